/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_CERTIFICATE_H
#define WIRE_CERTIFICATE_H

/*
 * A client's certificate, as a credential: what the gateway has verified of it stands where the
 * text of a key or token would.
 *
 *	MARK END MARK NAME	END: when its chain, or what is known of its revocation, ends, Unix
 *				time, decimal; 0: it is revoked
 *
 * No client can write one: no field of HTTP holds that mark. What is not of this form is none.
 */
#include <stdio.h>

#include <base/span.h>

#define CERTIFICATE_MARK 1
#define CERTIFICATE_NAME_MAX 2048 /* SPIFFE-ID §2.3 */
#define CERTIFICATE_HEAD_MAX 24   /* what is before the name */
#define CERTIFICATE_REVOKED 0     /* in the place of its end */

struct certificate {
	struct span name; /* as the configuration has it read: URI, DNS name or common name */
	uint64_t until_s;
};

static inline bool
certificate_is(struct span credential)
{
	return credential.len > 0 && credential.ptr[0] == CERTIFICATE_MARK;
}

/* E_RANGE, E_FULL, E_NOMEM. */
MUST_USE static inline struct status
certificate_put(const struct certificate *c, struct buf *out)
{
	if (c->name.len == 0 || c->name.len > CERTIFICATE_NAME_MAX)
		return fail(E_RANGE);
	TRY(buf_printf(
	    out, "%c%llu%c", CERTIFICATE_MARK, (unsigned long long)c->until_s, CERTIFICATE_MARK));
	return buf_put_span(out, c->name);
}

/* E_PROTO. ret->name is borrowed from `credential`. */
MUST_USE static inline struct status
certificate_read(struct span credential, struct certificate *ret)
{
	struct span rest = span_from(credential, certificate_is(credential) ? 1 : 0);
	const uint8_t *end = rest.len == 0 ? NULL : memchr(rest.ptr, CERTIFICATE_MARK, rest.len);
	size_t len = end == NULL ? 0 : (size_t)(end - rest.ptr);
	struct certificate c;

	if (!certificate_is(credential) || len == 0 || len + 2 > CERTIFICATE_HEAD_MAX ||
	    !is_ok(span_u64(span_of(rest.ptr, len), UINT64_MAX, &c.until_s)))
		return fail(E_PROTO);
	c.name = span_from(rest, len + 1);
	if (c.name.len == 0 || c.name.len > CERTIFICATE_NAME_MAX)
		return fail(E_PROTO);
	*ret = c;
	return OK;
}

#endif
