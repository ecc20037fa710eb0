/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env.c: what the environment of `serve` may say: where AWS credentials lie.
 *
 * Runs in: supervisor, at start and at a reload; CLI (which variables pass, and
 * `config check`). Trusts: nothing: values are checked as those of the file are.
 * Owns: nothing.
 * Invariants: only names of files, a role, a region and URLs; never a secret; the
 * file has precedence, and without a credential in AWS nothing is taken.
 * See: conf/conf.h; docs/configuration.md.
 */
#include "internal.h"

#include <base/cleanup.h>

#define CONTAINER_HOST "http://169.254.170.2"

static const struct {
	const char *variable;
	const char *key;
	const char *source; /* of aws.credentials that uses it; NULL: all */
	const char *prefix;
} rows[] = {
	{ "AWS_REGION", "aws.region", NULL, "" },
	{ "AWS_DEFAULT_REGION", "aws.region", NULL, "" },
	{ "AWS_SHARED_CREDENTIALS_FILE", "aws.shared_file", "shared_file", "" },
	{ "AWS_PROFILE", "aws.profile", "shared_file", "" },
	{ "AWS_ROLE_ARN", "aws.web_identity.role_arn", "web_identity", "" },
	{ "AWS_WEB_IDENTITY_TOKEN_FILE", "aws.web_identity.token_file", "web_identity", "" },
	{ "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "aws.container.uri", "container",
	    CONTAINER_HOST },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI", "aws.container.uri", "container", "" },
	{ "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "aws.container.token_file", "container", "" },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

const char *
conf_env_variable(size_t i)
{
	return i < ROWS ? rows[i].variable : NULL;
}

static struct span
key_path(const char *key, char out[CONF_PATH_MAX + 1])
{
	size_t n = strlen(key);

	memcpy(out, key, n + 1);
	for (size_t i = 0; i < n; i++) {
		if (out[i] == '.')
			out[i] = CONF_SEP;
	}
	return span_of(out, n);
}

static struct status
apply(struct conf *c, size_t i, const char *text, char *error)
{
	auto_buf struct buf given = BUF_INIT(CONF_VALUE_MAX);
	auto_buf struct buf value = BUF_INIT(CONF_VALUE_MAX);
	char path[CONF_PATH_MAX + 1];
	struct span at = key_path(rows[i].key, path), v;
	const struct conf_row *row;
	struct conf_scalar s = { .plain = true };
	enum conf_match match;
	const char *why = "is too long";
	struct status st;

	if (conf_find(c, at) != NULL)
		return OK;
	row = conf_row_find(at, &match);
	st = buf_put_str(&given, rows[i].prefix);
	if (is_ok(st))
		st = buf_put_str(&given, text);
	s.text = buf_span(&given);
	if (is_ok(st))
		st = conf_value_check(row, &s, &value, &why);
	if (!is_ok(st)) {
		conf_error(error, 0, span_str(rows[i].variable), "%s", why);
		return st;
	}
	v = buf_span(&value);
	TRY(conf_add(c, at, &v, 0));
	conf_sort(c);
	return OK;
}

static bool
is_used(const struct conf *c, size_t i)
{
	const char *source = conf_str(c, "aws.credentials");

	return rows[i].source == NULL || strcmp(source, "auto") == 0 ||
	       strcmp(source, rows[i].source) == 0;
}

/* What neither file nor environment says. */
static struct status
need_all(const struct conf *c, char *error)
{
	static const struct {
		const char *key, *source, *why;
	} needed[] = {
		{ "aws.region", NULL, "is missing, as is AWS_REGION" },
		{ "aws.shared_file", "shared_file",
		    "is missing, as is AWS_SHARED_CREDENTIALS_FILE" },
		{ "aws.web_identity.role_arn", "web_identity", "is missing, as is AWS_ROLE_ARN" },
		{ "aws.web_identity.token_file", "web_identity",
		    "is missing, as is AWS_WEB_IDENTITY_TOKEN_FILE" },
		{ "aws.container.uri", "container",
		    "is missing, as is AWS_CONTAINER_CREDENTIALS_FULL_URI" },
	};
	const char *source = conf_str(c, "aws.credentials");

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (conf_str(c, needed[i].key) != NULL ||
		    (needed[i].source != NULL && strcmp(needed[i].source, source) != 0))
			continue;
		conf_error(error, 0, span_str(needed[i].key), "%s", needed[i].why);
		return fail(E_NOTFOUND);
	}
	return OK;
}

struct status
conf_env_apply(struct conf *c, conf_env_fn *get, char error[CONF_ERROR_MAX])
{
	if (!conf_uses_aws(c))
		return OK;
	for (size_t i = 0; i < ROWS; i++) {
		const char *text = get(rows[i].variable);

		if (text != NULL && text[0] != '\0' && is_used(c, i))
			TRY(apply(c, i, text, error));
	}
	return need_all(c, error);
}
