/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential.c: what a request shows of who sends it: a header, or its connection's certificate.
 *
 * Runs in: gateway. Trusts: OpenSSL about a certificate that it has verified; nothing in a header.
 * Owns: nothing: a credential lies in its request, and is wiped there.
 * Invariants: a header counts, whatever it says, where there is one; no header can be taken for a
 * certificate; a certificate stands for its own connection only, not beyond its end, and not once
 * its authority has revoked it.
 * See: request.c; wire/certificate.h; src/authority/principal.c, which tells whose it is.
 */
#include <base/clock.h>
#include <crypto/crypto.h>
#include <keytext/keytext.h>
#include <wire/certificate.h>

#include "conn.h"

/* What follows "Bearer" and one blank, as RFC 6750 has it; the scheme in any case. */
static struct span
bearer(struct span value)
{
	static const struct span scheme = { (const uint8_t *)"bearer ", 7 };

	if (value.len <= scheme.len || !span_eq_nocase(span_of(value.ptr, scheme.len), scheme))
		return SPAN_EMPTY;
	return span_from(value, scheme.len);
}

/* Either header names the key; both must name the same one. */
static void
take_header(struct request *r, struct status has_auth, struct span auth, struct status has_key,
    struct span value)
{
	if (has_auth.code == E_EXISTS || has_key.code == E_EXISTS)
		return;
	auth = bearer(auth);
	if (!is_ok(has_key))
		value = auth;
	else if (is_ok(has_auth) && !crypto_eq(auth, value))
		return;
	if (value.len == 0 || certificate_is(value) || !is_ok(buf_put_span(&r->credential, value)))
		return;
	r->key_ok = keytext_ok(value) || keytext_is_token(value);
}

void
credential_take(struct request *r, struct span certificate)
{
	struct span auth = SPAN_EMPTY, value = SPAN_EMPTY;
	struct status has_auth = http_request_field(&r->http, "authorization", &auth);
	struct status has_key = http_request_field(&r->http, "x-api-key", &value);

	if (certificate.len == 0 || has_auth.code != E_NOTFOUND || has_key.code != E_NOTFOUND)
		take_header(r, has_auth, auth, has_key, value);
	else if (is_ok(buf_put_span(&r->credential, certificate)))
		r->key_ok = true;
}

/* A key's room stays for the next one, a token's does not. */
void
credential_forget(struct request *r)
{
	if (r->credential.len > 0)
		explicit_bzero(r->credential.ptr, r->credential.len);
	buf_clear(&r->credential);
	if (r->credential.cap > CREDENTIAL_KEPT_MAX)
		buf_done(&r->credential);
	r->key_ok = false;
}

/* ---- of a connection ---- */

/* A certificate without the one name that was asked for is nobody's, and no fault. */
struct status
conn_take_certificate(struct conn *c)
{
	struct buf name = BUF_INIT(CERTIFICATE_NAME_MAX);
	struct certificate cert = { .until_s = 0 };
	struct status st = tls_peer_name(c->tls, c->g->peer_name, &name, &cert.until_s);

	cert.name = buf_span(&name);
	c->certificate_judged = c->g->tls_generation;
	if (is_ok(st))
		st = certificate_put(&cert, &c->certificate);
	if (is_ok(st))
		c->certificate_until_s = cert.until_s;
	buf_done(&name);
	return st.code == E_NOTFOUND || st.code == E_RANGE ? OK : st;
}

/* Its end may be another one now, too. What cannot be judged counts as revoked. */
static void
judge_again(struct conn *c)
{
	uint8_t name[CERTIFICATE_NAME_MAX];
	struct certificate cert;
	uint64_t until_s = 0;

	c->certificate_judged = c->g->tls_generation;
	if (!is_ok(tls_peer_again(c->g->tls, c->tls, &until_s)))
		until_s = CERTIFICATE_REVOKED;
	if (!is_ok(certificate_read(buf_span(&c->certificate), &cert)))
		return; /* we wrote it */
	memcpy(name, cert.name.ptr, cert.name.len);
	cert = (struct certificate){ span_of(name, cert.name.len), until_s };
	buf_clear(&c->certificate);
	if (!is_ok(certificate_put(&cert, &c->certificate)))
		buf_clear(&c->certificate); /* nobody's */
	c->certificate_until_s = until_s == CERTIFICATE_REVOKED ? 1 : until_s;
}

struct span
conn_certificate(struct conn *c)
{
	if (c->certificate.len > 0 && c->certificate_judged != c->g->tls_generation)
		judge_again(c);
	return buf_span(&c->certificate);
}

bool
conn_is_expired(const struct conn *c)
{
	return c->certificate_until_s != 0 &&
	       clock_real_ns() / 1000000000ULL >= c->certificate_until_s;
}
