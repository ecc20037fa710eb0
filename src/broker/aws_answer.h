/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_AWS_ANSWER_H
#define BROKER_AWS_ANSWER_H

/*
 * What AWS answers: Secrets Manager (JSON 1.1), STS (XML), instance and
 * container credentials (JSON), and the shared credentials file. Pure.
 */
#include <crypto/secret.h>
#include <wire/authority_broker.h>

#define AWS_KEY_ID_MAX 128
#define AWS_KEY_MAX 256
#define AWS_TOKEN_MAX 8192
#define AWS_VERSION_MAX 64
#define AWS_CIPHERTEXT_MAX 8192 /* base64 */

struct aws_keys {
	char id[AWS_KEY_ID_MAX + 1];
	struct secret secret;
	struct secret token; /* SECRET_NONE: none */
	int64_t expires_s;   /* Unix seconds; 0: it does not say */
};
void aws_keys_done(struct aws_keys *k);

/* All: E_SYNTAX: not what was asked for. E_NOTFOUND. E_RANGE, E_NOMEM, E_SYS. */

/* GetSecretValue. With a field, the SecretString is an object, and the field a text in it. */
MUST_USE struct status aws_value_parse(
    struct span body, struct span field, struct secret *ret, char version[AWS_VERSION_MAX + 1]);
/* DescribeSecret: the version that is AWSCURRENT; "" where it is to be deleted. */
MUST_USE struct status aws_describe_parse(struct span body, char version[AWS_VERSION_MAX + 1]);
/*
 * KMS: Encrypt, ReEncrypt: the CiphertextBlob as it is written, base64; Decrypt: the Plaintext, at
 * most `len_max` bytes. `key`: the last part of the key's ARN, cut at AWS_VERSION_MAX.
 */
MUST_USE struct status aws_ciphertext_parse(
    struct span body, struct secret *ret, char key[AWS_VERSION_MAX + 1]);
MUST_USE struct status aws_plaintext_parse(
    struct span body, size_t len_max, struct secret *ret, char key[AWS_VERSION_MAX + 1]);
/* Credentials of an instance or a container. */
MUST_USE struct status aws_keys_parse(struct span body, struct aws_keys *ret);
/* AssumeRoleWithWebIdentityResponse. */
MUST_USE struct status aws_sts_parse(struct span body, struct aws_keys *ret);
/* The profile of a shared credentials file. */
MUST_USE struct status aws_profile_parse(
    struct span text, const char *profile, struct aws_keys *ret);
/* 2026-01-02T03:04:05Z, with or without a fraction. */
MUST_USE struct status aws_time_parse(struct span s, int64_t *ret_s);

enum aws_retry { AWS_GIVE_UP, AWS_LATER, AWS_NEW_KEYS, AWS_CLOCK };
struct aws_error {
	enum secret_fault fault;
	enum aws_retry retry;
};
/* What a status that is not 200 means. */
struct aws_error aws_error_of(uint16_t status, struct span body);

#endif
