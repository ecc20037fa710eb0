/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_sources.c: where credentials come from, and what wraps the key of the store: vault, aws,
 * and who needs them.
 *
 * Runs in: CLI, supervisor. Trusts: that each value fits its row.
 * Invariants: a source that nobody uses, a login that is not whole and a credential without its
 * source are refused; nothing goes in clear but to loopback, and only where it says so.
 * See: conf/conf.h, conf/reference.h, check.c.
 */
#include "internal.h"

#include <conf/reference.h>

static struct status
refuse(const struct conf *c, char *error, const char *path, const char *why)
{
	char sep[CONF_PATH_MAX + 1];
	struct span s;

	(void)span_to_cstr(span_str(path), sep, sizeof(sep)).code;
	for (char *p = sep; *p != '\0'; p++) {
		if (*p == '.')
			*p = CONF_SEP;
	}
	s = span_str(sep);
	conf_error(error, conf_line(c, s), s, "%s", why);
	return fail(E_RANGE);
}

/* Does the file itself say something at or below the path (with CONF_SEP)? */
static bool
given(const struct conf *c, const char *path)
{
	struct span prefix = span_str(path);

	for (size_t i = 0; i < c->count; i++) {
		const struct conf_entry *e = &c->entries[i];

		if (e->line != 0 && span_starts(span_of(e->path, e->path_len), prefix) &&
		    (e->path_len == prefix.len || e->path[prefix.len] == CONF_SEP))
			return true;
	}
	return false;
}

/* The first provider whose credential comes from there; false: none. */
static bool
used(const struct conf *c, enum reference_source source, struct span *provider)
{
	struct reference r;
	const char *text, *why;

	for (size_t i = 0; conf_each(c, "providers", &i, provider);) {
		text = conf_strf(c, "providers.%.*s.credential", SPAN_FMT(*provider));
		if (text != NULL && is_ok(reference_parse(span_str(text), &r, &why)) &&
		    r.source == source)
			return true;
	}
	return false;
}

/* Is the store's key, or was it, wrapped there? */
static bool
wraps(const struct conf *c, enum kek_wrapper by)
{
	static const char *const keys[] = { "store.kek", "store.kek_before" };
	struct kek_reference r;
	const char *why;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *text = conf_str(c, keys[i]);

		if (text != NULL && is_ok(kek_reference_parse(span_str(text), &r, &why)) &&
		    r.by == by)
			return true;
	}
	return false;
}

static bool
is_loopback(const char *url)
{
	static const char *const hosts[] = { "127.0.0.1", "[::1]", "localhost" };
	const char *host = strstr(url, "://") + 3;

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		size_t n = strlen(hosts[i]);

		if (strncmp(host, hosts[i], n) == 0 && strchr("/:", host[n]) != NULL)
			return true;
	}
	return false;
}

static struct status
check_url(const struct conf *c, char *error, const char *path, bool plain)
{
	const char *url = conf_str(c, path);

	if (url == NULL || strncmp(url, "http:", 5) != 0 || (plain && is_loopback(url)))
		return OK;
	return refuse(
	    c, error, path, "http: needs a loopback address and allow_plain_loopback: true");
}

/* ---- vault ---- */
/* Of each method: the key that must be there, and the other one. */
static const struct {
	const char *path, *first, *second;
} methods[] = {
	{ "vault\x1f"
	  "auth\x1f"
	  "approle",
	    "vault.auth.approle.role_id", "vault.auth.approle.secret_id_file" },
	{ "vault\x1f"
	  "auth\x1f"
	  "kubernetes",
	    "vault.auth.kubernetes.role", "vault.auth.kubernetes.token_file" },
	{ "vault\x1f"
	  "auth\x1f"
	  "jwt",
	    "vault.auth.jwt.role", "vault.auth.jwt.token_file" },
	{ "vault\x1f"
	  "auth\x1f"
	  "cert",
	    "vault.auth.cert.cert_file", "vault.auth.cert.key_file" },
};

static struct status
check_method(const struct conf *c, char *error)
{
	size_t count = 0, at = 0;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (!given(c, methods[i].path))
			continue;
		at = i;
		count++;
	}
	if (count != 1)
		return refuse(
		    c, error, "vault.auth", "needs one method: approle, kubernetes, jwt or cert");
	if (conf_str(c, methods[at].first) == NULL)
		return refuse(c, error, methods[at].first, "is missing");
	if (conf_str(c, methods[at].second) == NULL)
		return refuse(c, error, methods[at].second, "is missing");
	return OK;
}

static struct status
check_vault(const struct conf *c, char *error)
{
	const char *address = conf_str(c, "vault.address");
	bool plain = conf_bool(c, "vault.allow_plain_loopback");
	struct span provider;
	bool credential = used(c, REFERENCE_VAULT, &provider),
	     wanted = credential || wraps(c, KEK_VAULT);

	if (!given(c, "vault") && !wanted)
		return OK;
	if (!given(c, "vault"))
		return refuse(c, error, "vault",
		    credential ? "is missing, and a credential is in Vault"
			       : "is missing, and store.kek is in Vault");
	if (address == NULL)
		return refuse(c, error, "vault.address", "is missing");
	TRY(check_url(c, error, "vault.address", plain));
	if (plain && strncmp(address, "http:", 5) != 0)
		return refuse(c, error, "vault.allow_plain_loopback",
		    "can never match: the address is not http:");
	if (strchr(strstr(address, "://") + 3, '/') != NULL)
		return refuse(c, error, "vault.address", "has a path; expects https://HOST[:PORT]");
	TRY(check_method(c, error));
	if (plain && given(c, "vault\x1f"
			      "auth\x1f"
			      "cert"))
		return refuse(
		    c, error, "vault.auth.cert", "can never match: the address is not https:");
	return wanted ? OK
		      : refuse(c, error, "vault",
			    "can never match: neither a credential nor store.kek is in Vault");
}

/* ---- aws ---- */
static const char *const aws_urls[] = { "aws.endpoint", "aws.kms_endpoint", "aws.sts_endpoint" };

/* What the chosen source of AWS credentials does not use. */
static const struct {
	const char *path, *key, *source;
} aws_parts[] = {
	{ "aws\x1f"
	  "shared_file",
	    "aws.shared_file", "shared_file" },
	{ "aws\x1f"
	  "profile",
	    "aws.profile", "shared_file" },
	{ "aws\x1f"
	  "web_identity",
	    "aws.web_identity", "web_identity" },
	{ "aws\x1f"
	  "sts_endpoint",
	    "aws.sts_endpoint", "web_identity" },
	{ "aws\x1f"
	  "container",
	    "aws.container", "container" },
	{ "aws\x1f"
	  "imds_endpoint",
	    "aws.imds_endpoint", "imds" },
};

static struct status
check_aws_parts(const struct conf *c, char *error)
{
	const char *source = conf_str(c, "aws.credentials");

	if (strcmp(source, "auto") == 0)
		return OK;
	for (size_t i = 0; i < sizeof(aws_parts) / sizeof(aws_parts[0]); i++) {
		if (given(c, aws_parts[i].path) && strcmp(source, aws_parts[i].source) != 0)
			return refuse(c, error, aws_parts[i].key,
			    "can never match: aws.credentials names another source");
	}
	return OK;
}

bool
conf_uses_aws(const struct conf *c)
{
	struct span provider;

	return used(c, REFERENCE_AWS, &provider) || wraps(c, KEK_AWS);
}

static struct status
check_aws(const struct conf *c, char *error)
{
	bool plain = conf_bool(c, "aws.allow_plain_loopback");
	bool wanted = conf_uses_aws(c);

	/* Region and sources may come from the environment of `serve`: conf_env_apply(). */
	if (!given(c, "aws"))
		return OK;
	for (size_t i = 0; i < sizeof(aws_urls) / sizeof(aws_urls[0]); i++)
		TRY(check_url(c, error, aws_urls[i], plain));
	TRY(check_aws_parts(c, error));
	return wanted ? OK
		      : refuse(c, error, "aws",
			    "can never match: neither a credential nor store.kek is in AWS");
}

/* ---- what wraps the store's key ---- */
static struct status
check_kek(const struct conf *c, char *error)
{
	const char *kek = conf_str(c, "store.kek"), *before = conf_str(c, "store.kek_before");

	if (before == NULL)
		return OK;
	if (strcmp(before, "local") == 0)
		return refuse(
		    c, error, "store.kek_before", "is never needed for local: master.key is there");
	if (strcmp(before, kek) == 0)
		return refuse(c, error, "store.kek_before", "is the same as store.kek");
	return OK;
}

struct status
conf_check_sources(const struct conf *c, char error[CONF_ERROR_MAX])
{
	TRY(check_kek(c, error));
	TRY(check_vault(c, error));
	return check_aws(c, error);
}
