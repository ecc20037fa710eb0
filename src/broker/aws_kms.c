/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aws_kms.c: keys that are wrapped by a key of AWS KMS.
 *
 * Runs in: broker. Trusts: AWS, for what it answers over verified TLS.
 * Owns: nothing.
 * Invariants: what is wrapped goes from one struct secret to another, and through no other memory;
 * each request has state and version in its encryption context: KMS opens nothing under another
 * one, and CloudTrail shows it.
 * See: aws_internal.h; the API reference of KMS: Encrypt, Decrypt, ReEncrypt.
 */
#include "aws_internal.h"

#include <stdio.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <json/write.h>
#include <wire/store_broker.h>

#define REQUEST_MAX (SB_CIPHERTEXT_MAX + 2048)

/* ---- requests ---- */
static void
put_pair(struct json_writer *j, const char *key, struct span value)
{
	json_put_key(j, key);
	json_put_str(j, value);
}

static void
put_context(const struct work *w, const char *name, struct json_writer *j)
{
	char version[24];

	(void)snprintf(version, sizeof(version), "%llu", (unsigned long long)w->job->kms.version);
	json_put_key(j, name);
	json_put_object(j);
	put_pair(j, "sallyport:store", span_str(w->job->kms.state));
	put_pair(j, "sallyport:kek", span_str(version));
	json_put_end(j);
}

static struct status
put_encrypt(const struct work *w, struct buf *out)
{
	struct span data = w->job->kms.data;
	auto_secret struct secret mem = SECRET_NONE;
	struct json_writer j = json_writer(out);
	struct buf base64;

	TRY(secret_new((data.len + 2) / 3 * 4, &mem));
	base64 = secret_buf(&mem);
	TRY(base64_encode(data, &base64));
	json_put_object(&j);
	put_pair(&j, "KeyId", w->job->ref.place);
	put_pair(&j, "Plaintext", buf_span(&base64));
	put_context(w, "EncryptionContext", &j);
	json_put_end(&j);
	return json_writer_finish(&j);
}

/* What was wrapped before an alias came to stand for another key opens still. */
static bool
is_alias(struct span id)
{
	return memmem(id.ptr, id.len, "alias/", 6) != NULL;
}

static struct status
put_decrypt(const struct work *w, struct buf *out)
{
	struct json_writer j = json_writer(out);

	json_put_object(&j);
	if (!is_alias(w->job->ref.place))
		put_pair(&j, "KeyId", w->job->ref.place);
	put_pair(&j, "CiphertextBlob", w->job->kms.data);
	put_context(w, "EncryptionContext", &j);
	json_put_end(&j);
	return json_writer_finish(&j);
}

static struct status
put_reencrypt(const struct work *w, struct buf *out)
{
	struct json_writer j = json_writer(out);

	json_put_object(&j);
	put_pair(&j, "CiphertextBlob", w->job->kms.data);
	put_context(w, "SourceEncryptionContext", &j);
	put_pair(&j, "DestinationKeyId", w->job->ref.place);
	put_context(w, "DestinationEncryptionContext", &j);
	json_put_end(&j);
	return json_writer_finish(&j);
}

/* ---- answers ---- */
static struct status
take_ciphertext(struct work *w, struct span body)
{
	return aws_ciphertext_parse(body, &w->result.value, w->version);
}

static struct status
take_plaintext(struct work *w, struct span body)
{
	return aws_plaintext_parse(body, SB_KEY_LEN, &w->result.value, w->version);
}

const struct aws_row aws_wrap = { AWS_KMS, "kms", "TrentService.Encrypt", put_encrypt,
	take_ciphertext, REQUEST_MAX };
const struct aws_row aws_unwrap = { AWS_KMS, "kms", "TrentService.Decrypt", put_decrypt,
	take_plaintext, REQUEST_MAX };
const struct aws_row aws_rewrap = { AWS_KMS, "kms", "TrentService.ReEncrypt", put_reencrypt,
	take_ciphertext, REQUEST_MAX };
