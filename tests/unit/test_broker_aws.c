/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/aws_answer.c: what AWS answers, and what it might. */
#include "unit.h"

#include <stdio.h>

#include <aws_answer.h>
#include <crypto/crypto.h>

static void
a_value_has_its_version(void **state)
{
	char version[AWS_VERSION_MAX + 1];
	struct secret s = SECRET_NONE;

	(void)state;
	assert_true(is_ok(aws_value_parse(
	    SPAN_LIT(
		"{\"ARN\":\"a\",\"Name\":\"n\",\"SecretString\":\"{\\\"k\\\":\\\"sk-\\\\u0031\\\"}"
		"\","
		"\"VersionId\":\"v-1\",\"VersionStages\":[\"AWSCURRENT\"],\"CreatedDate\":1.5e9}"),
	    SPAN_LIT("k"), &s, version)));
	assert_true(secret_eq(&s, SPAN_LIT("sk-1")));
	assert_string_equal(version, "v-1");
	secret_done(&s);
	assert_true(is_ok(
	    aws_value_parse(SPAN_LIT("{\"SecretString\":\"plain text\",\"VersionId\":\"v-1\"}"),
		SPAN_EMPTY, &s, version)));
	assert_true(secret_eq(&s, SPAN_LIT("plain text")));
	secret_done(&s);
}

static void
a_value_that_is_none_is_refused(void **state)
{
	static const struct {
		const char *body;
		const char *field;
		enum code code;
	} rows[] = {
		{ "{\"SecretBinary\":\"AAAA\",\"VersionId\":\"v\"}", "", E_NOTFOUND },
		{ "{\"SecretString\":\"x\"}", "", E_SYNTAX },
		{ "{\"SecretString\":\"not json\",\"VersionId\":\"v\"}", "k", E_SYNTAX },
		{ "{\"SecretString\":\"{}\",\"VersionId\":\"v\"}", "k", E_NOTFOUND },
		{ "{\"SecretString\":\"{\\\"k\\\":1}\",\"VersionId\":\"v\"}", "k", E_SYNTAX },
		{ "{\"SecretString\":\"[]\",\"VersionId\":\"v\"}", "k", E_SYNTAX },
		{ "{\"SecretString\":7,\"VersionId\":\"v\"}", "", E_SYNTAX },
		{ "<html>", "", E_SYNTAX },
		{ "", "", E_SYNTAX },
	};
	char version[AWS_VERSION_MAX + 1];
	struct secret s = SECRET_NONE;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(
		    aws_value_parse(span_str(rows[i].body), span_str(rows[i].field), &s, version)
			.code,
		    rows[i].code);
		assert_null(s.ptr);
	}
}

static void
a_description_names_the_current_version(void **state)
{
	char version[AWS_VERSION_MAX + 1];

	(void)state;
	assert_true(is_ok(aws_describe_parse(
	    SPAN_LIT(
		"{\"VersionIdsToStages\":{\"a\":[\"AWSPREVIOUS\"],\"b\":[\"x\",\"AWSCURRENT\"],"
		"\"c\":[\"AWSPENDING\"]}}"),
	    version)));
	assert_string_equal(version, "b");
	assert_true(is_ok(aws_describe_parse(
	    SPAN_LIT("{\"DeletedDate\":1.5e9,\"VersionIdsToStages\":{\"b\":[\"AWSCURRENT\"]}}"),
	    version)));
	assert_string_equal(version, "");
	assert_int_equal(
	    aws_describe_parse(SPAN_LIT("{\"VersionIdsToStages\":{}}"), version).code, E_NOTFOUND);
	assert_false(is_ok(
	    aws_describe_parse(SPAN_LIT("{\"VersionIdsToStages\":[[\"AWSCURRENT\"]]}"), version)));
}

static void
keys_come_with_their_end(void **state)
{
	struct aws_keys k = { .expires_s = 0 };

	(void)state;
	assert_true(is_ok(aws_keys_parse(
	    SPAN_LIT(
		"{\"Code\":\"Success\",\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"secret\","
		"\"Token\":\"token\",\"Expiration\":\"2015-08-30T12:36:00Z\"}"),
	    &k)));
	assert_string_equal(k.id, "AKID");
	assert_true(secret_eq(&k.secret, SPAN_LIT("secret")));
	assert_true(secret_eq(&k.token, SPAN_LIT("token")));
	assert_int_equal(k.expires_s, 1440938160);
	aws_keys_done(&k);
	assert_false(is_ok(aws_keys_parse(SPAN_LIT("{\"Code\":\"Failed\",\"AccessKeyId\":\"A\","
						   "\"SecretAccessKey\":\"s\",\"Token\":\"t\","
						   "\"Expiration\":\"2015-08-30T12:36:00Z\"}"),
	    &k)));
	assert_false(
	    is_ok(aws_keys_parse(SPAN_LIT("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\","
					  "\"Token\":\"t\",\"Expiration\":\"soon\"}"),
		&k)));
	assert_null(k.secret.ptr);
}

#define STS(inside)                                                                                \
	SPAN_LIT(                                                                                  \
	    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>"                 \
	    "<Credentials>" inside "</Credentials><AssumedRoleUser><Arn>x</Arn></AssumedRoleUser>" \
	    "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>")
#define KEYS3                                                                           \
	"<AccessKeyId>AKID</AccessKeyId>\n <SecretAccessKey>se/cr+et</SecretAccessKey>" \
	"<SessionToken> tok== </SessionToken>"

static void
sts_is_read_element_by_element(void **state)
{
	struct aws_keys k = { .expires_s = 0 };

	(void)state;
	assert_true(is_ok(
	    aws_sts_parse(STS(KEYS3 "<Expiration>2015-08-30T12:36:00.123Z</Expiration>"), &k)));
	assert_string_equal(k.id, "AKID");
	assert_true(secret_eq(&k.secret, SPAN_LIT("se/cr+et")));
	assert_true(secret_eq(&k.token, SPAN_LIT("tok==")));
	assert_int_equal(k.expires_s, 1440938160);
	aws_keys_done(&k);
	assert_false(is_ok(aws_sts_parse(STS(KEYS3), &k)));
	assert_false(is_ok(
	    aws_sts_parse(STS(KEYS3 KEYS3 "<Expiration>2015-08-30T12:36:00Z</Expiration>"), &k)));
	assert_false(is_ok(aws_sts_parse(
	    STS("<AccessKeyId><b>A</b></AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
		"<SessionToken>t</SessionToken><Expiration>2015-08-30T12:36:00Z</Expiration>"),
	    &k)));
	assert_false(is_ok(aws_sts_parse(
	    STS("<AccessKeyId>A</AccessKeyId><SecretAccessKey>&lt;</SecretAccessKey>"
		"<SessionToken>t</SessionToken><Expiration>2015-08-30T12:36:00Z</Expiration>"),
	    &k)));
	assert_false(is_ok(aws_sts_parse(SPAN_LIT("<Credentials>"), &k)));
	assert_false(is_ok(aws_sts_parse(SPAN_EMPTY, &k)));
	assert_null(k.secret.ptr);
}

static void
a_profile_is_found_in_its_file(void **state)
{
	static const char file[] = "# comment\n[default]\naws_access_key_id = A1\r\n"
				   "aws_secret_access_key=s1/+=\n\n[ other ]\n"
				   "aws_access_key_id=A2\naws_secret_access_key = s2\n"
				   "aws_session_token = t2\nregion = x\n";
	struct aws_keys k = { .expires_s = 0 };

	(void)state;
	assert_true(is_ok(aws_profile_parse(span_str(file), "default", &k)));
	assert_string_equal(k.id, "A1");
	assert_true(secret_eq(&k.secret, SPAN_LIT("s1/+=")));
	assert_null(k.token.ptr);
	assert_int_equal(k.expires_s, 0);
	aws_keys_done(&k);
	assert_true(is_ok(aws_profile_parse(span_str(file), "other", &k)));
	assert_true(secret_eq(&k.token, SPAN_LIT("t2")));
	aws_keys_done(&k);
	assert_int_equal(aws_profile_parse(span_str(file), "none", &k).code, E_NOTFOUND);
	assert_false(is_ok(aws_profile_parse(SPAN_LIT("[default\n"), "default", &k)));
	assert_int_equal(aws_profile_parse(SPAN_EMPTY, "default", &k).code, E_NOTFOUND);
}

static void
errors_say_whether_to_try_again(void **state)
{
	static const struct {
		uint16_t status;
		const char *body;
		enum secret_fault fault;
		enum aws_retry retry;
	} rows[] = {
		{ 400, "{\"__type\":\"ResourceNotFoundException\"}", SECRET_NOT_FOUND,
		    AWS_GIVE_UP },
		{ 404, "{\"__type\":\"ResourceNotFoundException\"}", SECRET_NOT_FOUND,
		    AWS_GIVE_UP },
		{ 400, "{\"__type\":\"com.amazonaws.secretsmanager#AccessDeniedException\"}",
		    SECRET_DENIED, AWS_GIVE_UP },
		{ 400, "{\"__type\":\"DecryptionFailure\"}", SECRET_DENIED, AWS_LATER },
		{ 500, "{\"__type\":\"InternalServiceError\"}", SECRET_UNREACHABLE, AWS_LATER },
		{ 400, "{\"__type\":\"ThrottlingException\"}", SECRET_THROTTLED, AWS_LATER },
		{ 400, "{\"__type\":\"ExpiredTokenException\"}", SECRET_LOGIN, AWS_NEW_KEYS },
		{ 403, "{\"__type\":\"InvalidSignatureException\"}", SECRET_LOGIN, AWS_CLOCK },
		{ 400, "<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>",
		    SECRET_LOGIN, AWS_NEW_KEYS },
		{ 503, "<html>", SECRET_UNREACHABLE, AWS_LATER },
		{ 400, "{\"__type\":\"InvalidCiphertextException\"}", SECRET_INVALID, AWS_GIVE_UP },
		{ 400, "{\"__type\":\"DisabledException\"}", SECRET_DENIED, AWS_GIVE_UP },
		{ 400, "{\"__type\":\"com.amazonaws.kms#NotFoundException\"}", SECRET_NOT_FOUND,
		    AWS_GIVE_UP },
		{ 500, "{\"__type\":\"KeyUnavailableException\"}", SECRET_UNREACHABLE, AWS_LATER },
		{ 429, "", SECRET_THROTTLED, AWS_LATER },
		{ 403, "", SECRET_DENIED, AWS_GIVE_UP },
		{ 302, "", SECRET_UNREACHABLE, AWS_LATER },
		{ 400, "{\"__type\":7}", SECRET_INVALID, AWS_GIVE_UP },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct aws_error e = aws_error_of(rows[i].status, span_str(rows[i].body));

		assert_int_equal(e.fault, rows[i].fault);
		assert_int_equal(e.retry, rows[i].retry);
	}
}

/* ---- KMS ---- */
#define ARN "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

static void
kms_wraps_and_unwraps(void **state)
{
	char key[AWS_VERSION_MAX + 1];
	struct secret s = SECRET_NONE;

	(void)state;
	assert_true(is_ok(aws_ciphertext_parse(
	    SPAN_LIT("{\"CiphertextBlob\":\"AAECAw==\",\"KeyId\":\"" ARN "\"}"), &s, key)));
	assert_true(secret_eq(&s, SPAN_LIT("AAECAw==")));
	assert_string_equal(key, "1234abcd-12ab-34cd-56ef-1234567890ab");
	secret_done(&s);
	assert_true(is_ok(
	    aws_plaintext_parse(SPAN_LIT("{\"Plaintext\":\"AAECAw==\",\"KeyId\":7}"), 4, &s, key)));
	assert_true(secret_eq(&s, span_of("\0\1\2\3", 4)));
	assert_string_equal(key, "");
	secret_done(&s);
}

static void
what_kms_does_not_answer_is_refused(void **state)
{
	static const char *const bad[] = { "", "[]", "{}",
		"{\"CiphertextBlob\":null,\"Plaintext\":\"\"}",
		"{\"CiphertextBlob\":1,\"Plaintext\":{}}",
		"{\"CiphertextBlob\":\"A\",\"Plaintext\":\"A\"}",
		"{\"CiphertextBlob\":\"AA==\\n\",\"Plaintext\":\"AA==\\n\"}",
		"{\"CiphertextBlob\":\"-_==\",\"Plaintext\":\"AAAAAAA=\"}" };
	static char longest[AWS_CIPHERTEXT_MAX + 64];
	char key[AWS_VERSION_MAX + 1];
	struct secret s = SECRET_NONE;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_false(is_ok(aws_ciphertext_parse(span_str(bad[i]), &s, key)));
		assert_false(is_ok(aws_plaintext_parse(span_str(bad[i]), 4, &s, key)));
	}
	(void)snprintf(
	    longest, sizeof(longest), "{\"CiphertextBlob\":\"%0*d\"}", AWS_CIPHERTEXT_MAX + 4, 0);
	assert_false(is_ok(aws_ciphertext_parse(span_str(longest), &s, key)));
	(void)snprintf(
	    longest, sizeof(longest), "{\"CiphertextBlob\":\"%0*d\"}", AWS_CIPHERTEXT_MAX, 0);
	assert_true(is_ok(aws_ciphertext_parse(span_str(longest), &s, key)));
	secret_done(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_has_its_version),
		cmocka_unit_test(a_value_that_is_none_is_refused),
		cmocka_unit_test(a_description_names_the_current_version),
		cmocka_unit_test(keys_come_with_their_end),
		cmocka_unit_test(sts_is_read_element_by_element),
		cmocka_unit_test(a_profile_is_found_in_its_file),
		cmocka_unit_test(errors_say_whether_to_try_again),
		cmocka_unit_test(kms_wraps_and_unwraps),
		cmocka_unit_test(what_kms_does_not_answer_is_refused),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
