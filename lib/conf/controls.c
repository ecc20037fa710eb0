/* SPDX-License-Identifier: Apache-2.0 */
/*
 * controls.c: which of the configuration's controls are weaker than they were.
 *
 * Runs in: supervisor (for the audit log), authority (for status).
 * Trusts: configurations that were checked. Owns: nothing.
 * Invariants: a control is one row of a table; what a configuration leaves out is what the table
 * of keys says that it is. Issuers are compared by their numbers.
 * See: conf/conf.h, weak.c for connections.
 */
#include <conf/conf.h>

#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

enum measure {
	LARGER, /* is weaker */
	RARER,  /* the same; 0 is never, or for ever */
	LATER,  /* of `words` is weaker */
	WORD,   /* the one in `words` is */
	WIDER,  /* a list with more than before, or none where one was */
	GONE,   /* is weaker, as long as the key in `words` is there */
};

struct control {
	const char *path; /* as in the table of keys */
	enum measure measure;
	const char *words; /* LATER: '|' before each, the strongest first */
};

static const struct control controls[] = {
	{ "policies.NAME.credentials", LATER, "|refuse|mask|keep" },
	{ "keys.revoke_leaked", LATER, "|true|false" },
	{ "providers.NAME.allow_private", LATER, "|false|true" },
	{ "oidc.N.link_local", LATER, "|false|true" },
	{ "oidc.N.algorithms", WIDER, NULL },
	{ "oidc.N.typ", LATER, "|at+jwt|jwt|any" },
	{ "oidc.N.max_age_s", RARER, NULL },
	{ "oidc.N.skew_s", LARGER, NULL },
	{ "oidc.N.allow_private", LATER, "|false|true" },
	{ "client_certificates.crl_file", GONE, "client_certificates.ca_file" },
	{ "store.kek", WORD, "local" },
	{ "store.grace_s", LARGER, NULL },
	{ "sessions.max_s", LARGER, NULL },
	{ "limits.auth_failures_per_s", LARGER, NULL },
	{ "limits.connections", LARGER, NULL },
	{ "limits.connections_per_source", LARGER, NULL },
	{ "limits.handshakes_per_source_per_s", LARGER, NULL },
	{ "limits.user_requests_per_min", LARGER, NULL },
	{ "limits.user_concurrent", LARGER, NULL },
	{ "audit.key_days", RARER, NULL },
	{ "store.rotate_days", RARER, NULL },
	{ "keys.pepper_days", RARER, NULL },
	{ "sessions.rotate_days", RARER, NULL },
	{ "retention.conversations_days", RARER, NULL },
	{ "retention.responses_days", RARER, NULL },
	{ "retention.files_days", RARER, NULL },
	{ "retention.usage_days", RARER, NULL },
	/* Last: there may be more policies than a record has room for. */
	{ "policies.NAME.requests_per_min", LARGER, NULL },
	{ "policies.NAME.concurrent", LARGER, NULL },
};

static const char *
fallback(const char *path)
{
	for (size_t i = 0; i < conf_row_count; i++) {
		if (strcmp(conf_rows[i].path, path) == 0)
			return conf_rows[i].fallback;
	}
	return NULL;
}

/* Larger is weaker. */
static uint64_t
weakness(const struct control *k, const char *value)
{
	uint64_t n = 0;
	const char *at;

	if (value == NULL)
		value = fallback(k->path);
	if (value == NULL)
		return 0;
	if (k->measure == LATER) {
		at = strstr(k->words, value);
		return at == NULL ? 0 : (uint64_t)(at - k->words);
	}
	if (k->measure == WORD)
		return strcmp(value, k->words) == 0;
	if (!is_ok(span_u64(span_str(value), UINT64_MAX, &n)))
		return 0;
	return k->measure == RARER && n == 0 ? UINT64_MAX : n;
}

static bool
is_wider(const char *was, const char *is)
{
	struct span item;

	if (was == NULL || was[0] == '\0')
		return false;
	if (is == NULL || is[0] == '\0')
		return true;
	for (size_t i = 0; conf_list_next(is, &i, &item);) {
		if (!conf_list_has(was, item))
			return true;
	}
	return false;
}

static void
compare(const struct control *k, const struct conf *old, const struct conf *now, const char *path,
    conf_weak_fn *fn, void *ctx)
{
	const char *was = old == NULL ? NULL : conf_str(old, path), *is = conf_str(now, path);
	bool weaker;

	if (k->measure == GONE)
		weaker = was != NULL && is == NULL && conf_str(now, k->words) != NULL;
	else if (k->measure == WIDER)
		weaker = is_wider(was, is);
	else
		weaker = is != NULL && weakness(k, is) > weakness(k, was);
	if (weaker)
		fn(ctx, span_str(path));
}

/* The path once for each name (or number) that stands in its second part. */
static void
compare_each(const struct control *k, const struct conf *old, const struct conf *now, size_t before,
    const char *behind, conf_weak_fn *fn, void *ctx)
{
	char group[CONF_PATH_MAX + 1], path[CONF_PATH_MAX + 1];
	struct span name;

	(void)snprintf(group, sizeof(group), "%.*s", (int)before, k->path);
	for (size_t i = 0; conf_each(now, group, &i, &name);) {
		int n = snprintf(path, sizeof(path), "%s.%.*s%s", group, SPAN_FMT(name), behind);

		if (n > 0 && (size_t)n < sizeof(path))
			compare(k, old, now, path, fn, ctx);
	}
}

void
conf_each_weaker(const struct conf *old, const struct conf *now, conf_weak_fn *fn, void *ctx)
{
	for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
		const struct control *k = &controls[i];
		const char *dot = strchr(k->path, '.');
		size_t part = strcspn(dot + 1, ".");

		if (dot[1 + part] == '\0')
			compare(k, old, now, k->path, fn, ctx);
		else
			compare_each(k, old, now, (size_t)(dot - k->path), dot + 1 + part, fn, ctx);
	}
}
