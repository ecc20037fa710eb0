/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machines.c: whose certificate is this?
 *
 * Runs in: authority. Trusts: the configuration; a gateway about what it has verified (one that was
 * taken over can name any machine of the table, and nobody else).
 * Owns: the table, as loaded.
 * Invariants: no X.509 is parsed here; the first row that fits counts; a certificate that is over
 * or revoked stands for nobody. See: machines.h, people.c (their keys, and the end of who left the
 * table); src/gateway/credential.c, lib/tls/peer.c.
 */
#include "machines.h"

#include <stdlib.h>

#include <wire/certificate.h>
#include <wire/role.h>

#include "authority.h"

struct machine {
	struct span match;          /* of the configuration that is loaded now … */
	struct oidc_identity who;   /* … as are its names */
	uint8_t key_id[KEY_ID_LEN]; /* also when another one is loaded */
};

/* ---- the table ---- */

static uint8_t
roles_of(const char *list)
{
	struct span name;
	uint8_t roles = 0;

	for (size_t at = 0; conf_list_next(list, &at, &name);)
		roles |= role_of_name(name);
	return roles;
}

static struct status
load_one(const struct authority *a, unsigned i, struct machine *m)
{
	const struct conf *c = a->d->conf;

	m->match = span_str(conf_strf(c, "client_certificates.clients.%u.match", i));
	m->who = (struct oidc_identity){
		.tenant = span_str(conf_strf(c, "client_certificates.clients.%u.tenant", i)),
		.user = span_str(conf_strf(c, "client_certificates.clients.%u.user", i)),
		.policy = span_str(conf_strf(c, "client_certificates.clients.%u.policy", i)),
		.roles = roles_of(conf_strf(c, "client_certificates.clients.%u.roles", i)),
		.issuer = MACHINES_ISSUER,
		.certificate = true,
	};
	return people_key_id(&m->who, m->key_id);
}

struct status
machines_load(struct authority *a)
{
	struct machine *rows = calloc(MACHINES_MAX, sizeof(*rows));
	struct status st = rows == NULL ? fail(E_NOMEM) : OK;
	size_t n = 0;

	for (; is_ok(st) && conf_strf(a->d->conf, "client_certificates.clients.%zu.match", n); n++)
		st = n == MACHINES_MAX ? fail(E_RANGE) : load_one(a, (unsigned)n, &rows[n]);
	free(a->machines.rows);
	a->machines = (struct machines){ rows, is_ok(st) ? n : 0 };
	return st;
}

void
machines_done(struct authority *a)
{
	free(a->machines.rows);
	a->machines = (struct machines){ NULL, 0 };
}

bool
machines_name(const struct authority *a, struct span tenant, struct span user)
{
	for (size_t i = 0; i < a->machines.n; i++) {
		if (span_eq(a->machines.rows[i].who.tenant, tenant) &&
		    span_eq(a->machines.rows[i].who.user, user))
			return true;
	}
	return false;
}

bool
machines_have(const struct authority *a, const uint8_t key_id[KEY_ID_LEN])
{
	for (size_t i = 0; i < a->machines.n; i++) {
		if (memcmp(a->machines.rows[i].key_id, key_id, KEY_ID_LEN) == 0)
			return true;
	}
	return false;
}

void
machines_config(struct authority *a)
{
	struct status st = machines_load(a);

	if (!is_ok(st))
		diag(DIAG_ERROR, "client certificates: %s: none is accepted", status_text(st));
}

/* ---- a credential ---- */

/* A part of a URI ends at a slash, one of another name at a dot. */
bool
machines_match(struct span pattern, struct span name)
{
	const uint8_t *star = pattern.len == 0 ? NULL : memchr(pattern.ptr, '*', pattern.len);
	bool is_uri = pattern.len > 0 && memchr(pattern.ptr, '/', pattern.len) != NULL;
	size_t before = star == NULL ? 0 : (size_t)(star - pattern.ptr);
	struct span behind = span_from(pattern, before + 1), part;

	if (star == NULL)
		return span_eq(pattern, name);
	if (name.len < pattern.len || !span_starts(name, span_of(pattern.ptr, before)) ||
	    !span_eq(span_from(name, name.len - behind.len), behind))
		return false;
	part = span_of(name.ptr + before, name.len - before - behind.len);
	for (size_t i = 0; i < part.len; i++) {
		if (strchr(is_uri ? "/?#" : ".", part.ptr[i]) != NULL)
			return false; /* a NUL, too */
	}
	return true;
}

static const struct machine *
find(const struct machines *all, struct span name)
{
	for (size_t i = 0; i < all->n; i++) {
		if (machines_match(all->rows[i].match, name))
			return &all->rows[i];
	}
	return NULL;
}

enum error
machines_find(struct authority *a, struct span credential, uint64_t now_s, struct key **ret)
{
	const struct machine *m = NULL;
	struct certificate cert;
	struct oidc_identity who;

	a->oidc->fault = JWT_FAULT_FORMAT;
	if (!is_ok(certificate_read(credential, &cert)))
		return ERROR_INVALID_KEY;
	a->oidc->fault = cert.until_s == CERTIFICATE_REVOKED ? JWT_FAULT_REVOKED
							     : JWT_FAULT_EXPIRED;
	if (now_s >= cert.until_s)
		return ERROR_INVALID_KEY;
	a->oidc->fault = JWT_FAULT_MAPPING;
	m = find(&a->machines, cert.name);
	if (m == NULL)
		return ERROR_INVALID_KEY;
	a->oidc->fault = JWT_FAULT_NONE;
	who = m->who;
	who.expires_s = cert.until_s;
	return people_key_of(a, &who, now_s, ret);
}
