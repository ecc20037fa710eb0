/* SPDX-License-Identifier: Apache-2.0 */
/* lib/conf: references of credentials, and the sections vault and aws. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include <conf/conf.h>
#include <conf/reference.h>
#include <internal.h>

static void
references_are_read(void **state)
{
	static const struct {
		const char *text;
		enum reference_source source;
		const char *place, *field;
	} rows[] = {
		{ "none", REFERENCE_NONE, "", "" },
		{ "vault:kv/openai#key", REFERENCE_VAULT, "kv/openai", "key" },
		{ "vault:team/kv/a/b_c.d-e#K.1", REFERENCE_VAULT, "team/kv/a/b_c.d-e", "K.1" },
		{ "vault:database/creds/ro#password", REFERENCE_VAULT, "database/creds/ro",
		    "password" },
		{ "aws-sm:prod/openai#key", REFERENCE_AWS, "prod/openai", "key" },
		{ "aws-sm:prod/openai", REFERENCE_AWS, "prod/openai", "" },
		{ "aws-sm:arn:aws:secretsmanager:eu-central-1:123456789012:secret:x-AbCdEf#key",
		    REFERENCE_AWS,
		    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x-AbCdEf", "key" },
		{ "aws-sm:rds!db-1", REFERENCE_AWS, "rds!db-1", "" },
		{ "file:openai.key-1", REFERENCE_FILE, "openai.key-1", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct reference r;
		const char *why;

		assert_true(is_ok(reference_parse(span_str(rows[i].text), &r, &why)));
		assert_int_equal(r.source, rows[i].source);
		assert_true(span_eq_str(r.place, rows[i].place));
		assert_true(span_eq_str(r.field, rows[i].field));
	}
}

#define KMS_KEY "1234abcd-12ab-34cd-56ef-1234567890ab"

static void
wrappers_of_the_kek_are_read(void **state)
{
	static const struct {
		const char *text;
		enum kek_wrapper by;
		const char *place;
	} rows[] = {
		{ "local", KEK_LOCAL, "" },
		{ "vault:transit/sallyport", KEK_VAULT, "transit/sallyport" },
		{ "vault:team/a/transit/key-1", KEK_VAULT, "team/a/transit/key-1" },
		{ "aws-kms:" KMS_KEY, KEK_AWS, KMS_KEY },
		{ "aws-kms:mrk-0123456789abcdef0123456789abcdef", KEK_AWS,
		    "mrk-0123456789abcdef0123456789abcdef" },
		{ "aws-kms:alias/sallyport/kek", KEK_AWS, "alias/sallyport/kek" },
		{ "aws-kms:arn:aws-cn:kms:cn-north-1:123456789012:key/" KMS_KEY, KEK_AWS,
		    "arn:aws-cn:kms:cn-north-1:123456789012:key/" KMS_KEY },
		{ "aws-kms:arn:aws:kms:eu-central-1:123456789012:alias/a", KEK_AWS,
		    "arn:aws:kms:eu-central-1:123456789012:alias/a" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kek_reference r;
		const char *why;

		assert_true(is_ok(kek_reference_parse(span_str(rows[i].text), &r, &why)));
		assert_int_equal(r.by, rows[i].by);
		assert_true(span_eq_str(r.place, rows[i].place));
	}
}

static void
what_is_no_wrapper_is_refused(void **state)
{
	static const char *const rows[] = { "", "Local", "local ", "none", "transit/x",
		"vault:", "vault:x", "vault:/x", "vault:x/", "vault:a//x", "vault:a/../x",
		"vault:a/./x", "vault:a/x#f", "vault:a/x?y", "vault:a/x%2f", "vault:a/x y",
		"vault:a/x\n", "aws-kms:", "aws-kms:x",
		"aws-kms:1234abcd-12ab-34cd-56ef-1234567890a",
		"aws-kms:1234abcd-12ab-34cd-56ef-1234567890ab1",
		"aws-kms:1234abcd12ab-34cd-56ef-1234567890ab1", "aws-kms:mrk-012345",
		"aws-kms:alias/", "aws-kms:alias/a b", "aws-kms:alias/a\"",
		"aws-kms:arn:aws:s3:eu-central-1:123456789012:key/" KMS_KEY,
		"aws-kms:arn:aws:kms:eu-central-1:123456789012:" KMS_KEY,
		"aws-kms:arn:aws:kms:eu-central-1::key/" KMS_KEY,
		"aws-kms:arn:aws:kms:key/" KMS_KEY, "aws-kms:arn:", "aws-sm:" KMS_KEY, "file:x" };
	char longer[REFERENCE_LEN_MAX + 2] = "vault:t/";

	(void)state;
	memset(longer + 8, 'a', sizeof(longer) - 9);
	for (size_t i = 0; i <= COUNT(rows); i++) {
		struct kek_reference r;
		const char *why = NULL;

		assert_int_equal(
		    kek_reference_parse(span_str(i < COUNT(rows) ? rows[i] : longer), &r, &why)
			.code,
		    E_SYNTAX);
		assert_non_null(why);
	}
}

static void
what_is_no_reference_is_refused(void **state)
{
	static const char *const rows[] = { "", "None", "sk-canary-1", "env:KEY",
		"vault:", "vault:#f", "vault:kv#f", "vault:kv/#f", "vault:/kv/x#f", "vault:kv//x#f",
		"vault:kv/x", "vault:kv/x#", "vault:kv/../x#f", "vault:kv/./x#f", "vault:../kv/x#f",
		"vault:kv/x?version=1#f", "vault:kv/x%2e#f", "vault:kv/x y#f", "vault:kv/x#f#g",
		"vault:kv/x#a/b", "vault:kv/x\n#f", "vault:kv/\xc3\xa9#f", "aws-sm:", "aws-sm:#f",
		"aws-sm:a b", "aws-sm:a#", "aws-sm:a/../b", "aws-sm:a?b", "file:", "file:.x",
		"file:../x", "file:a/b", "file:a#f", "file:a b",
		"file:01234567890123456789012345678901234567890123456789012345678901234" };
	char longer[REFERENCE_LEN_MAX + 2] = "vault:kv/";

	(void)state;
	memset(longer + 9, 'a', sizeof(longer) - 12);
	memcpy(longer + sizeof(longer) - 3, "#f", 3);
	for (size_t i = 0; i <= COUNT(rows); i++) {
		struct reference r;
		const char *why = NULL;
		struct span s = span_str(i < COUNT(rows) ? rows[i] : longer);

		assert_int_equal(reference_parse(s, &r, &why).code, E_SYNTAX);
		assert_non_null(why);
		assert_null(strstr(why, "canary"));
	}
}

#define BASE                                                       \
	"policies: {default: {endpoints: \"*\", models: \"*\"}}\n" \
	"providers: {demo: {kind: demo}}\nmodels: {demo: [{provider: demo, model: demo}]}\n"
#define APPROLE "auth: {approle: {role_id: r, secret_id_file: f}}"

static void
unused_and_unfinished_sections_are_refused(void **state)
{
	static const struct {
		const char *yaml, *why;
	} rows[] = {
		{ "vault: {address: 'https://v:8200', " APPROLE "}\n", "vault: can never match" },
		{ "vault: {address: 'https://v:8200'}\n", "vault.auth: needs one method" },
		{ "vault: {" APPROLE "}\n", "vault.address: is missing" },
		{ "vault: {address: 'http://v:8200', " APPROLE "}\n", "needs a loopback address" },
		{ "vault: {address: 'http://127.0.0.1:8200', " APPROLE "}\n",
		    "allow_plain_loopback" },
		{ "vault: {address: 'https://v', allow_plain_loopback: true, " APPROLE "}\n",
		    "vault.allow_plain_loopback: can never match" },
		{ "vault: {address: 'https://v/v1', " APPROLE "}\n", "vault.address: has a path" },
		{ "vault: {address: 'https://v', auth: {approle: {role_id: r}}}\n",
		    "vault.auth.approle.secret_id_file: is missing" },
		{ "vault: {address: 'https://v', auth: {jwt: {token_file: f}}}\n",
		    "vault.auth.jwt.role: is missing" },
		{ "vault: {address: 'https://v', auth: {approle: {role_id: r, secret_id_file: f}, "
		  "jwt: "
		  "{role: r, token_file: f}}}\n",
		    "vault.auth: needs one method" },
		{ "vault: {address: 'http://[::1]:1', allow_plain_loopback: true, auth: {cert: "
		  "{cert_file: "
		  "f, key_file: g}}}\n",
		    "vault.auth.cert: can never match" },
		{ "vault: {address: 'https://v', poll_s: 46, " APPROLE "}\n", "out of its range" },
		{ "vault: {address: 'https://v', auth: {approle: {role_id: r, secret_id_file: f, "
		  "mount: "
		  "../x}}}\n",
		    "vault.auth.approle.mount: expects a path" },
		{ "vault: {address: 'https://v', token: t}\n", "unknown key" },
		{ "aws: {region: eu-central-1}\n", "aws: can never match" },
		{ "aws: {profile: x}\n", "aws: can never match" },
		{ "aws: {region: 'eu.evil/x'}\n", "aws.region: is not the name of a region" },
		{ "aws: {region: eu-central-1, endpoint: 'http://x'}\n",
		    "needs a loopback address" },
		{ "aws: {region: eu-central-1, credentials: imds, shared_file: f}\n",
		    "aws.shared_file: can never match" },
		{ "aws: {region: eu-central-1, access_key_id: x}\n", "unknown key" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char yaml[2048], error[CONF_ERROR_MAX];
		struct conf *c = NULL;

		(void)snprintf(yaml, sizeof(yaml), "%s%s", BASE, rows[i].yaml);
		assert_false(is_ok(conf_parse(span_str(yaml), &c, error)));
		if (strstr(error, rows[i].why) == NULL)
			print_error("case %zu: got %s\n want %s\n", i, error, rows[i].why);
		assert_non_null(strstr(error, rows[i].why));
	}
}

/* ---- the environment of `serve` ---- */
static struct {
	const char *name;
	char *value;
} environment[4];

static char *
fake_getenv(const char *name)
{
	for (size_t i = 0; i < COUNT(environment); i++) {
		if (environment[i].name != NULL && strcmp(environment[i].name, name) == 0)
			return environment[i].value;
	}
	return NULL;
}

static void
put(struct conf *c, const char *key, const char *value)
{
	char path[CONF_PATH_MAX + 1];
	struct span v = span_str(value);
	size_t n = strlen(key);

	for (size_t i = 0; i < n; i++)
		path[i] = key[i] == '.' ? CONF_SEP : key[i];
	assert_true(is_ok(conf_add(c, span_of(path, n), &v, 1)));
}

static struct conf *
with_aws(const char *credentials)
{
	struct conf *c = NULL;

	assert_true(is_ok(conf_new(&c)));
	put(c, "aws.credentials", credentials);
	put(c, "providers.o.credential", "aws-sm:prod/openai#key");
	conf_sort(c);
	return c;
}

static void
the_environment_names_files_and_places(void **state)
{
	char error[CONF_ERROR_MAX] = "";
	struct conf *c = with_aws("auto");

	(void)state;
	memset(environment, 0, sizeof(environment));
	assert_int_equal(conf_env_apply(c, fake_getenv, error).code, E_NOTFOUND);
	assert_string_equal(error, "aws.region: is missing, as is AWS_REGION");
	environment[0].name = "AWS_REGION";
	environment[0].value = strdup("eu-central-1");
	environment[1].name = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
	environment[1].value = strdup("/v2/credentials/x");
	environment[2].name =
	    "AWS_SECRET_ACCESS_KEY"; /* is refused elsewhere, and never asked for */
	environment[2].value = strdup("canary");
	assert_true(is_ok(conf_env_apply(c, fake_getenv, error)));
	assert_string_equal(conf_str(c, "aws.region"), "eu-central-1");
	assert_string_equal(
	    conf_str(c, "aws.container.uri"), "http://169.254.170.2/v2/credentials/x");
	conf_free(c);
	/* The file has precedence, and a source that is not chosen is left alone. */
	c = with_aws("imds");
	put(c, "aws.region", "us-east-1");
	conf_sort(c);
	assert_true(is_ok(conf_env_apply(c, fake_getenv, error)));
	assert_string_equal(conf_str(c, "aws.region"), "us-east-1");
	assert_null(conf_str(c, "aws.container.uri"));
	conf_free(c);
	c = with_aws("web_identity");
	assert_int_equal(conf_env_apply(c, fake_getenv, error).code, E_NOTFOUND);
	assert_non_null(strstr(error, "AWS_ROLE_ARN"));
	conf_free(c);
	/* It is checked as the file is. */
	environment[0].value[2] = '/';
	c = with_aws("auto");
	assert_false(is_ok(conf_env_apply(c, fake_getenv, error)));
	assert_string_equal(error, "AWS_REGION: is not the name of a region");
	conf_free(c);
	/* Without a credential in AWS nothing is taken. */
	assert_true(is_ok(conf_new(&c)));
	assert_true(is_ok(conf_env_apply(c, fake_getenv, error)));
	assert_int_equal(c->count, 0);
	conf_free(c);
	for (size_t i = 0; i < COUNT(environment); i++)
		free(environment[i].value);
}

/* What may pass is no secret. */
static void
no_variable_with_a_secret_passes(void **state)
{
	size_t i = 0;

	(void)state;
	for (; conf_env_variable(i) != NULL; i++) {
		const char *name = conf_env_variable(i);

		assert_null(strstr(name, "SECRET"));
		assert_null(strstr(name, "KEY"));
		assert_true(strstr(name, "TOKEN") == NULL || strstr(name, "TOKEN_FILE") != NULL);
	}
	assert_int_equal(i, 9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references_are_read),
		cmocka_unit_test(what_is_no_reference_is_refused),
		cmocka_unit_test(wrappers_of_the_kek_are_read),
		cmocka_unit_test(what_is_no_wrapper_is_refused),
		cmocka_unit_test(unused_and_unfinished_sections_are_refused),
		cmocka_unit_test(the_environment_names_files_and_places),
		cmocka_unit_test(no_variable_with_a_secret_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
