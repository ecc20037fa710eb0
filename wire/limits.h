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
#define LEAKED_KEYS_MAX 8 /* texts of one body that are looked up */

#define CREDENTIAL_MAX 8192 /* a key's text, or a signed token */
#define SCOPE_MAX 4096      /* of a key or a session: JSON, or words */
#define ADMIN_PATH_MAX 512
#define ADMIN_REQUEST_MAX (64U << 10)
#define ADMIN_ANSWER_MAX (768U << 10)
#define TENANT_MAX 64
#define USER_MAX 64
#define POLICY_MAX 64
#define SESSION_ID_LEN 16
#define SCOPES_MAX 4096 /* what a key may, as text */
#define MODEL_MAX 128
#define PROVIDER_MAX 64
#define LANGUAGE_MAX 32
#define TOOL_MAX 64
#define TOOL_MANIFEST_MAX (16U << 10) /* tool.json */
#define TOOL_NATIVE_MAX (4U << 20)    /* a script or a static binary */
#define TOOL_ARTEFACT_MAX (64U << 20) /* a module, compiled */
#define TOOL_ARGUMENTS_MAX (512U << 10)
#define TOOL_OUTPUT_MAX (512U << 10)
#define TOOL_STDERR_MAX (64U << 10)
#define TOOL_ENV_MAX (4U << 10) /* "NAME=value", each with its NUL */
#define TOOL_REASON_MAX 256     /* why a module was refused, or the trap that ended a call */
#define TOOL_ENGINE_MAX 64      /* what compiled it: name, version, configuration */
#define TOOLS_OFFERED_MAX 32    /* to one request */
#define TOOLS_PER_USER_MAX 64
#define TOOL_VERSIONS_MAX 64 /* of one tool */
#define ANTHROPIC_VERSION_MAX 32
#define ANTHROPIC_BETA_MAX 1024

#define SECRET_NAME_MAX 64        /* of a secret in the store: file:NAME */
#define SECRET_REF_MAX 256        /* a credential's URI, as configured */
#define SECRET_VERSION_MAX 64     /* as its source names it */
#define SECRET_METHOD_MAX 32      /* of a login to a source of secrets */
#define SECRET_LEASE_MAX 128      /* a lease's id, never a token */
#define SECRET_SEALED_MAX 8192    /* a sealed value */
#define SECRET_VALUE_MAX 4096     /* in plain: only CLI and broker ever have it */
#define ISSUER_MAX 255            /* URL of an identity provider */
#define ISSUER_KEYS_URL_MAX 1024  /* where it says that its keys are */
#define ISSUER_DOCUMENT_MAX 65536 /* what it says of itself, or its keys */
#define UPSTREAM_HOST_MAX 255     /* host and port of a provider */
#define UPSTREAM_ID_MAX 128       /* a provider's own id of a request */
#define UPSTREAM_ATTEMPTS_MAX 255 /* of one model call */

#define BODY_MAX (8U << 20)     /* one request's body */
#define RUN_BLOB_MAX (8U << 20) /* one encoded run request */
#define FILES_MAX 32            /* files into or out of one run */
#define FILE_NAME_MAX 255
#define FILES_TOTAL_MAX (4U << 20)
#define GRANT_TTL_MS 5000
#define TURN_STEPS_MAX 16
#define TURN_TTL_MS 600000

#endif
