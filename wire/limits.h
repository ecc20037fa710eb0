/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_LIMITS_H
#define WIRE_LIMITS_H

/*
 * Sizes that several processes agree on. Bytes unless the name says otherwise.
 */
#define REQUEST_ID_LEN 16 /* UUIDv7 */
#define GRANT_LEN 16      /* random, single use */
#define DIGEST_LEN 32     /* SHA-256 */
#define SOURCE_LEN 16     /* IPv6, or IPv4-mapped; network order */
#define SUBJECT_LEN 16    /* HMAC-SHA-256, cut to 128 bits */

/* A key's text: "sp_" id "_" secret checksum; base62 but for the marks. */
#define KEY_ID_LEN 12
#define KEY_SECRET_LEN 43
#define KEY_CRC_LEN 6
#define KEY_TEXT_LEN (3 + KEY_ID_LEN + 1 + KEY_SECRET_LEN + KEY_CRC_LEN)

#define CREDENTIAL_MAX 256
#define TENANT_MAX 64
#define USER_MAX 64
#define POLICY_MAX 64
#define MODEL_MAX 128
#define PROVIDER_MAX 64
#define LANGUAGE_MAX 32
#define TOOL_MAX 64

#define BODY_MAX (8U << 20)     /* one request's body */
#define RUN_BLOB_MAX (8U << 20) /* one encoded run request */
#define FILES_MAX 32            /* files into or out of one run */
#define FILE_NAME_MAX 255
#define FILES_TOTAL_MAX (4U << 20)
#define GRANT_TTL_MS 5000
#define TURN_STEPS_MAX 16
#define TURN_TTL_MS 600000

#endif
