/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weak.c: which connections the configuration allows in clear or below TLS 1.3.
 *
 * Runs in: supervisor (for the audit log), authority (for status).
 * Trusts: the configuration, which was checked. Owns: nothing.
 * Invariants: what is allowed by name is shown by name, used or not.
 * See: conf/conf.h.
 */
#include <conf/conf.h>

static bool
in_clear(const char *url)
{
	return url != NULL && strncmp(url, "http:", 5) == 0;
}

static bool
below_13(const char *tls_min)
{
	return tls_min != NULL && strcmp(tls_min, "1.3") != 0;
}

static bool
any_credential(const struct conf *c, const char *scheme)
{
	struct span name;

	for (size_t i = 0; conf_each(c, "providers", &i, &name);) {
		const char *is = conf_strf(c, "providers.%.*s.credential", SPAN_FMT(name));

		if (is != NULL && strncmp(is, scheme, strlen(scheme)) == 0)
			return true;
	}
	return false;
}

static bool
wraps(const struct conf *c, const char *scheme)
{
	static const char *const keys[] = { "store.kek", "store.kek_before" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *is = conf_str(c, keys[i]);

		if (is != NULL && strncmp(is, scheme, strlen(scheme)) == 0)
			return true;
	}
	return false;
}

static void
providers(const struct conf *c, conf_weak_fn *fn, void *ctx)
{
	struct span name;

	for (size_t i = 0; conf_each(c, "providers", &i, &name);) {
		const char *url = conf_strf(c, "providers.%.*s.base_url", SPAN_FMT(name));
		const char *tls = conf_strf(c, "providers.%.*s.tls_min", SPAN_FMT(name));

		/* The demo has no URL: it stands behind a link of ours, not a connection. */
		if (url != NULL && (in_clear(url) || below_13(tls)))
			fn(ctx, name);
	}
}

/* Is instance metadata asked, which is in clear? */
static bool
asks_imds(const struct conf *c)
{
	static const char *const others[] = { "aws.shared_file", "aws.web_identity.token_file",
		"aws.container.uri" };
	const char *source = conf_str(c, "aws.credentials");

	if (source == NULL || strcmp(source, "auto") != 0)
		return source != NULL && strcmp(source, "imds") == 0;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (conf_str(c, others[i]) != NULL)
			return false;
	}
	return true;
}

static void
aws(const struct conf *c, conf_weak_fn *fn, void *ctx)
{
	if (!any_credential(c, "aws-sm:") && !wraps(c, "aws-kms:"))
		return;
	if (in_clear(conf_str(c, "aws.endpoint")) || in_clear(conf_str(c, "aws.sts_endpoint")) ||
	    in_clear(conf_str(c, "aws.kms_endpoint")) || below_13(conf_str(c, "aws.tls_min")))
		fn(ctx, SPAN_LIT("aws"));
	if (in_clear(conf_str(c, "aws.container.uri")))
		fn(ctx, SPAN_LIT("aws.container"));
	if (asks_imds(c))
		fn(ctx, SPAN_LIT("aws.imds"));
}

static void
issuers(const struct conf *c, conf_weak_fn *fn, void *ctx)
{
	const char *url;

	for (unsigned i = 0; (url = conf_strf(c, "oidc.%u.issuer", i)) != NULL; i++) {
		if (in_clear(url) || below_13(conf_strf(c, "oidc.%u.tls_min", i)))
			fn(ctx, span_str(url));
	}
}

void
conf_each_weak(const struct conf *c, conf_weak_fn *fn, void *ctx)
{
	providers(c, fn, ctx);
	if (any_credential(c, "vault:") &&
	    (in_clear(conf_str(c, "vault.address")) || below_13(conf_str(c, "vault.tls_min"))))
		fn(ctx, SPAN_LIT("vault"));
	aws(c, fn, ctx);
	issuers(c, fn, ctx);
}
