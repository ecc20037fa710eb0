/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS, its metadata service and its files, and the references that lead there: the first byte
 * chooses what is read.
 */
#include <aws_answer.h>

#include <stdlib.h>

#include <conf/reference.h>
#include <crypto/crypto.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_value(struct span body, bool field)
{
	char version[AWS_VERSION_MAX + 1];
	struct secret s = SECRET_NONE;
	struct span name = field ? SPAN_LIT("key") : SPAN_EMPTY;

	if (is_ok(aws_value_parse(body, name, &s, version)) != (s.len > 0))
		abort();
	secret_done(&s);
	if (is_ok(aws_describe_parse(body, version)) && strlen(version) > AWS_VERSION_MAX)
		abort();
	if (aws_error_of(400, body).fault == SECRET_FAULT_NONE)
		abort();
}

static void
fuzz_keys(struct span body, unsigned which)
{
	struct aws_keys k = { .expires_s = 0 };
	struct status st = which == 0   ? aws_keys_parse(body, &k)
			   : which == 1 ? aws_sts_parse(body, &k)
					: aws_profile_parse(body, "default", &k);

	if (is_ok(st) != (k.secret.len > 0) || (is_ok(st) && k.id[0] == '\0'))
		abort();
	aws_keys_done(&k);
}

static void
fuzz_kms(struct span body)
{
	char key[AWS_VERSION_MAX + 1];
	struct secret s = SECRET_NONE;

	if (is_ok(aws_ciphertext_parse(body, &s, key)) != (s.len > 0) || s.len > AWS_CIPHERTEXT_MAX)
		abort();
	secret_done(&s);
	if (is_ok(aws_plaintext_parse(body, 113, &s, key)) != (s.len > 0) || s.len > 113)
		abort();
	secret_done(&s);
}

static void
fuzz_reference(struct span text)
{
	struct kek_reference k;
	struct reference r;
	const char *why;

	if (is_ok(kek_reference_parse(text, &k, &why)) && k.place.len > 0 &&
	    memmem(k.place.ptr, k.place.len, "..", 2) != NULL && k.by != KEK_VAULT)
		abort();
	if (!is_ok(reference_parse(text, &r, &why)))
		return;
	if (r.source != REFERENCE_NONE && r.place.len == 0)
		abort();
	if (r.place.len > 0 && memmem(r.place.ptr, r.place.len, "/../", 4) != NULL)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span body = span_of(data + 1, size - (size > 0));

	if (size == 0 || !is_ok(crypto_init()))
		return 0;
	if (data[0] % 7 < 2)
		fuzz_value(body, data[0] % 7 == 1);
	else if (data[0] % 7 < 5)
		fuzz_keys(body, data[0] % 7 - 2U);
	else if (data[0] % 7 == 5)
		fuzz_reference(body);
	else
		fuzz_kms(body);
	return 0;
}
