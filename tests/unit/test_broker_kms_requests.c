/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/broker/aws_kms.c, vault_transit.c: what KMS and Vault's transit engine are asked, byte for
 * byte: each question names the store and the version that it is for, so that nothing that was
 * wrapped for another one opens.
 */
#include "unit.h"

#include <aws_internal.h>
#include <vault_internal.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <wire/store_broker.h>

#define STATE "abababababababababababababababab"
#define ARN "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
#define CONTEXT "{\"sallyport:store\":\"" STATE "\",\"sallyport:kek\":\"7\"}"
/* "sallyport store STATE kek 7" */
#define VAULT_CONTEXT "c2FsbHlwb3J0IHN0b3JlIGFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiIGtlayA3"

static struct source_job
job_of(const char *place, const char *data)
{
	return (struct source_job){ .ref = { .place = span_str(place) },
		.version = "",
		.lease = "",
		.kms = { span_str(data), STATE, 7 } };
}

static void
kms_is_asked(void **state)
{
	static const struct {
		const struct aws_row *row;
		const char *place, *data, *body;
	} rows[] = {
		{ &aws_wrap, "alias/b", "key",
		    "{\"KeyId\":\"alias/b\",\"Plaintext\":\"a2V5\",\"EncryptionContext\":" CONTEXT
		    "}" },
		{ &aws_unwrap, ARN, "AAEC",
		    "{\"KeyId\":\"" ARN
		    "\",\"CiphertextBlob\":\"AAEC\",\"EncryptionContext\":" CONTEXT "}" },
		/* An alias may stand for another key by now. */
		{ &aws_unwrap, "alias/b", "AAEC",
		    "{\"CiphertextBlob\":\"AAEC\",\"EncryptionContext\":" CONTEXT "}" },
		{ &aws_unwrap, "arn:aws:kms:eu-central-1:123456789012:alias/b", "AAEC",
		    "{\"CiphertextBlob\":\"AAEC\",\"EncryptionContext\":" CONTEXT "}" },
		{ &aws_rewrap, "alias/b", "AAEC",
		    "{\"CiphertextBlob\":\"AAEC\",\"SourceEncryptionContext\":" CONTEXT
		    ",\"DestinationKeyId\":\"alias/b\",\"DestinationEncryptionContext\":" CONTEXT
		    "}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct source_job job = job_of(rows[i].place, rows[i].data);
		const struct work w = { .job = &job };
		auto_buf struct buf body = BUF_INIT(8192);

		assert_true(is_ok(rows[i].row->put(&w, &body)));
		assert_true(is_ok(buf_put_u8(&body, '\0')));
		assert_string_equal((const char *)body.ptr, rows[i].body);
	}
	assert_string_equal(aws_wrap.target, "TrentService.Encrypt");
	assert_string_equal(aws_unwrap.target, "TrentService.Decrypt");
	assert_string_equal(aws_rewrap.target, "TrentService.ReEncrypt");
}

static void
transit_is_asked(void **state)
{
	static const struct {
		const struct vault_row *row;
		const char *data, *target, *body;
	} rows[] = {
		{ &vault_wrap, "key", "/v1/a/b/encrypt/k",
		    "{\"context\":\"" VAULT_CONTEXT "\",\"plaintext\":\"a2V5\"}" },
		{ &vault_unwrap, "vault:v1:AA==", "/v1/a/b/decrypt/k",
		    "{\"context\":\"" VAULT_CONTEXT "\",\"ciphertext\":\"vault:v1:AA==\"}" },
		{ &vault_rewrap, "vault:v1:AA==", "/v1/a/b/rewrap/k",
		    "{\"context\":\"" VAULT_CONTEXT "\",\"ciphertext\":\"vault:v1:AA==\"}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct source_job job = job_of("a/b/k", rows[i].data);
		const struct vault_work w = { .work = { .job = &job } };
		auto_buf struct buf body = BUF_INIT(8192), target = BUF_INIT(256);

		assert_true(is_ok(rows[i].row->put(&w, &body)));
		assert_true(is_ok(rows[i].row->target(&w, &target)));
		assert_true(is_ok(buf_put_u8(&body, '\0')));
		assert_true(is_ok(buf_put_u8(&target, '\0')));
		assert_string_equal((const char *)body.ptr, rows[i].body);
		assert_string_equal((const char *)target.ptr, rows[i].target);
	}
}

/* Of what is unwrapped, the ciphertext says by which version; one that says none is not ours. */
static void
a_ciphertext_says_its_version(void **state)
{
	static const char *const none[] = { "", "AA==", "vault:AA==", "vault:v:AA==", "vault:v1:" };
	uint8_t key[SB_KEY_LEN] = { 1 };
	auto_buf struct buf body = BUF_INIT(1024);
	struct source_job job = job_of("t/k", "vault:v12:AA==");
	struct vault_work w = { .work = { .job = &job } };
	struct fetch_answer a = { .status = 200 };

	(void)state;
	assert_true(is_ok(buf_put_str(&body, "{\"data\":{\"plaintext\":\"")));
	assert_true(is_ok(base64_encode(span_of(key, sizeof(key)), &body)));
	assert_true(is_ok(buf_put_str(&body, "\"}}")));
	a.body = buf_span(&body);
	assert_true(is_ok(vault_unwrap.take(&w, &a)));
	assert_true(secret_eq(&w.work.result.value, span_of(key, sizeof(key))));
	assert_string_equal(w.work.result.reading.version, "12");
	secret_done(&w.work.result.value);
	for (size_t i = 0; i < COUNT(none); i++) {
		job.kms.data = span_str(none[i]);
		assert_false(is_ok(vault_unwrap.take(&w, &a)));
		secret_done(&w.work.result.value);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kms_is_asked),
		cmocka_unit_test(transit_is_asked),
		cmocka_unit_test(a_ciphertext_says_its_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
