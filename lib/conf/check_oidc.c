/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_oidc.c: what an identity provider's keys say together.
 *
 * Runs in: CLI, supervisor. Trusts: that each value fits its row.
 * Invariants: an issuer is there once, has a tenant for its people and a policy that exists; no key
 * without effect; nothing in clear but to loopback, and only where it says so.
 * See: check.c, conf/conf.h.
 */
#include "internal.h"

#include <stdio.h>

#define HOSTS_MAX 8 /* as in the broker */

/* What one issuer's keys are. */
struct issuer_keys {
	const char *issuer, *claim_tenant, *tenant, *claim_roles, *policy, *ca_file, *hosts;
	bool plain, private_ok, map;
};

static struct issuer_keys
keys_of(const struct conf *c, unsigned i)
{
	char map[64];
	struct span one;
	size_t iter = 0;

	(void)snprintf(map, sizeof(map), "oidc.%u.roles_map", i);
	return (struct issuer_keys){
		.issuer = conf_strf(c, "oidc.%u.issuer", i),
		.claim_tenant = conf_strf(c, "oidc.%u.claims.tenant", i),
		.tenant = conf_strf(c, "oidc.%u.tenant_fixed", i),
		.claim_roles = conf_strf(c, "oidc.%u.claims.roles", i),
		.policy = conf_strf(c, "oidc.%u.policy", i),
		.ca_file = conf_strf(c, "oidc.%u.ca_file", i),
		.hosts = conf_strf(c, "oidc.%u.jwks_hosts", i),
		.plain = conf_boolf(c, "oidc.%u.allow_plain_loopback", i),
		.private_ok = conf_boolf(c, "oidc.%u.allow_private", i),
		.map = conf_each(c, map, &iter, &one),
	};
}

static bool
is_repeated(const struct conf *c, const char *issuer, unsigned i)
{
	for (unsigned before = 0; before < i; before++) {
		if (strcmp(conf_strf(c, "oidc.%u.issuer", before), issuer) == 0)
			return true;
	}
	return false;
}

bool
conf_person_ok(const char *s)
{
	if (strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		return false;
	for (; *s != '\0'; s++) {
		if (!(*s >= '0' && *s <= '9') && !(*s >= 'A' && *s <= 'Z') &&
		    !(*s >= 'a' && *s <= 'z') && strchr("_.-@+", *s) == NULL)
			return false;
	}
	return true;
}

/* Each HOST or HOST:PORT: made into a URL it must be one of an origin. */
static const char *
hosts_fault(const struct issuer_keys *k)
{
	struct conf_origin o;
	struct span host;
	unsigned n = 0;
	char url[320];

	for (size_t i = 0; conf_list_next(k->hosts, &i, &host);) {
		if (++n > HOSTS_MAX)
			return "names more than 8 hosts";
		if (span_eq_str(host, "*"))
			return "names each host; \"*\" is not allowed here";
		if (memchr(host.ptr, '/', host.len) != NULL ||
		    memchr(host.ptr, '@', host.len) != NULL)
			return "expects HOST or HOST:PORT";
		(void)snprintf(url, sizeof(url), "https://%.*s", PART(host));
		if (conf_origin_fault(url, false, k->private_ok, &o) != NULL)
			return conf_origin_fault(url, false, k->private_ok, &o);
	}
	return NULL;
}

static const char *
origin_fault(const struct issuer_keys *k, const char **key)
{
	struct conf_origin o;
	const char *why = conf_origin_fault(k->issuer, k->plain, k->private_ok, &o);

	*key = "issuer";
	if (why != NULL)
		return why;
	*key = "allow_plain_loopback";
	if (k->plain && o.tls)
		return "can never match: the URL is not http:";
	*key = "allow_private";
	if (k->private_ok && o.loopback && k->hosts[0] == '\0')
		return "can never match: the URL names a loopback address";
	*key = "ca_file";
	if (k->ca_file != NULL && !o.tls)
		return "can never match: the URL is not https:";
	*key = "jwks_hosts";
	return hosts_fault(k);
}

static const char *
people_fault(const struct conf *c, const struct issuer_keys *k, const char **key)
{
	*key = "tenant_fixed";
	if (k->claim_tenant == NULL && k->tenant == NULL)
		return "is missing, and so is claims.tenant: nobody would belong anywhere";
	if (k->claim_tenant != NULL && k->tenant != NULL)
		return "contradicts claims.tenant";
	if (k->tenant != NULL && !conf_person_ok(k->tenant))
		return "is not the name of a tenant";
	*key = "policy";
	if (!conf_exists(c, "policies", span_str(k->policy)))
		return "names a policy that is not there";
	*key = "roles_map";
	if (k->map && k->claim_roles == NULL)
		return "can never match: there is no claims.roles";
	return NULL;
}

static struct status
check_one(const struct checker *k, unsigned i)
{
	struct issuer_keys keys = keys_of(k->c, i);
	const char *key = "issuer", *why = NULL;
	char name[16];

	(void)snprintf(name, sizeof(name), "%u", i);
	if (i == CONF_ISSUERS_MAX)
		why = "is one issuer too many (16)";
	else if (is_repeated(k->c, keys.issuer, i))
		why = "is here twice";
	if (why == NULL)
		why = origin_fault(&keys, &key);
	if (why == NULL)
		why = people_fault(k->c, &keys, &key);
	return why == NULL ? OK : conf_refuse(k, "oidc", span_str(name), key, why);
}

struct status
conf_check_oidc(const struct checker *k)
{
	for (unsigned i = 0; conf_strf(k->c, "oidc.%u.issuer", i) != NULL; i++)
		TRY(check_one(k, i));
	return OK;
}
