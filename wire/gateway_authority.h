/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_GATEWAY_AUTHORITY_H
#define WIRE_GATEWAY_AUTHORITY_H

/*
 * Gateway (A) asks, authority (B) decides. Which gateway asks is known from the
 * link, never from the payload. A turn is one client request from admission to
 * settlement; it dies with the gateway's link.
 */
#include <link/wire.h>
#include <wire/content.h>
#include <wire/endpoint.h>
#include <wire/errors.h>
#include <wire/limits.h>
#include <wire/tool.h>

enum ga_type {
	GA_CHECK = 1, /* A: is this credential good? (before a body is read) */
	GA_CHECKED,   /* B */
	GA_ADMIT,     /* A: may this request run? Recorded before the answer */
	GA_ADMITTED,  /* B */
	GA_STEP,      /* A: the next effect of a turn: run code, or ask the model again */
	GA_GRANTED,   /* B */
	GA_SETTLE,    /* A: the turn is over; answered when ResponseReturned is durable */
	GA_SETTLED,   /* B */
	GA_FAILURES,  /* A: credentials that failed their checksum, counted per source */
	GA_REVOKE,    /* B: end this turn now */
	GA_REVOKED,   /* A: same id: it is over */
	GA_ADMIN,     /* A: an act of administration: /admin/v1/… */
	GA_ADMINED,   /* B: same id: it is durable, or why it was not done */
	GA_TOKEN,     /* A: exchange a credential for a session token */
	GA_TOKENED,   /* B: same id */
	GA_TYPES,
};

/* In one answer: what is offered, or a page of a list; their manifests fit a message. */
#define GA_TOOLS_MAX 64
#define GA_TOOLS_BYTES_MAX (768U << 10)

enum ga_step_kind { STEP_RUN = 1, STEP_MODEL, STEP_TOOL, STEP_CONTENT };
enum ga_tools { TOOL_CODE_INTERPRETER = 1 }; /* bits */

struct ga_check {
	uint8_t request_id[REQUEST_ID_LEN];
	uint8_t source[SOURCE_LEN];
	struct span credential;
};
static const struct wire_field ga_check_rows[] = {
	WIRE_FIXED(struct ga_check, request_id),
	WIRE_FIXED(struct ga_check, source),
	WIRE_BYTES(struct ga_check, credential, 0, CREDENTIAL_MAX),
};

struct ga_checked {
	uint16_t error; /* enum error */
};
static const struct wire_field ga_checked_rows[] = {
	WIRE_U16(struct ga_checked, error, ERROR_COUNT - 1),
};

struct ga_admit {
	uint8_t request_id[REQUEST_ID_LEN];
	uint8_t source[SOURCE_LEN];
	struct span credential;     /* empty: none was given */
	uint8_t endpoint;           /* enum ga_endpoint; OTHER: no such route */
	uint16_t refused;           /* enum error that the gateway found in the request itself
				       (schema, route): to be told to valid keys only, and recorded */
	struct span model;          /* model calls: the alias that the client named */
	uint32_t model_off;         /* and where its JSON text is in what goes to the broker */
	struct span language;       /* execute */
	uint8_t tools;              /* enum ga_tools that the request names */
	uint8_t attached;           /* those of them that its policy was said to attach */
	uint32_t tokens_in;         /* an estimate */
	uint32_t size_bytes;        /* prompt or code */
	uint32_t body_len;          /* what goes to broker or executor */
	uint8_t digest[DIGEST_LEN]; /* SHA-256 of what goes to broker or executor */
	struct span tool_name;      /* execute: the entry of the tool table, = language;
				       TOOL_LIST: the name behind which the page begins */
	uint32_t tool_version;      /* of a tool; 0: the current one, or all of them */
	uint8_t tool_parts;         /* TOOL_PUSH: enum tool_parts */
	uint64_t catalog; /* the state of the key's tools that the body was made with, or the
			     arguments checked with; 0: not known yet */
	/*
	 * Endpoints of content: what is to be done, and `body_len` and `digest` are of the encoded
	 * struct content_request. A model call that goes on from what is kept: LOAD; the turn
	 * begins with that, and asks for its model call by STEP_MODEL when it has its body.
	 */
	uint8_t content_op;     /* enum content_op; 0: none */
	uint8_t content_kind;   /* enum content_kind */
	struct span content_id; /* of the object; CREATE: the new one's */
	uint8_t store;          /* enum content_store: a response that is to be kept */
	uint8_t credentials;    /* enum content_credentials: in the body */
	struct span leaked;     /* with ERROR_LEAKED_KEY: the texts of keys that stand in the body,
				   each once, one behind the other */
	uint8_t leaked_home;    /* so many, the last, stood only where a credential belongs */
};
static const struct wire_field ga_admit_rows[] = {
	WIRE_FIXED(struct ga_admit, request_id),
	WIRE_FIXED(struct ga_admit, source),
	WIRE_BYTES(struct ga_admit, credential, 0, CREDENTIAL_MAX),
	WIRE_U8(struct ga_admit, endpoint, ENDPOINT_OTHER),
	WIRE_U16(struct ga_admit, refused, ERROR_COUNT - 1),
	WIRE_BYTES(struct ga_admit, model, 0, MODEL_MAX),
	WIRE_U32(struct ga_admit, model_off, BODY_MAX),
	WIRE_BYTES(struct ga_admit, language, 0, LANGUAGE_MAX),
	WIRE_U8(struct ga_admit, tools, 255),
	WIRE_U8(struct ga_admit, attached, 255),
	WIRE_U32(struct ga_admit, tokens_in, UINT32_MAX),
	WIRE_U32(struct ga_admit, size_bytes, BODY_MAX),
	WIRE_U32(struct ga_admit, body_len, RUN_BLOB_MAX),
	WIRE_FIXED(struct ga_admit, digest),
	WIRE_BYTES(struct ga_admit, tool_name, 0, TOOL_MAX),
	WIRE_U32(struct ga_admit, tool_version, UINT32_MAX),
	WIRE_U8(struct ga_admit, tool_parts, TOOL_PARTS_ALL),
	WIRE_U64(struct ga_admit, catalog),
	WIRE_U8(struct ga_admit, content_op, CONTENT_OP_COUNT - 1),
	WIRE_U8(struct ga_admit, content_kind, CONTENT_KIND_COUNT - 1),
	WIRE_BYTES(struct ga_admit, content_id, 0, CONTENT_ID_MAX),
	WIRE_U8(struct ga_admit, store, STORE_COUNT - 1),
	WIRE_U8(struct ga_admit, credentials, CREDENTIALS_COUNT - 1),
	WIRE_BYTES(struct ga_admit, leaked, 0, LEAKED_KEYS_MAX *KEY_TEXT_LEN),
	WIRE_U8(struct ga_admit, leaked_home, LEAKED_KEYS_MAX),
};

/* A version of a tool, as its owner and those who may call it see it. */
struct ga_tool {
	struct span name;
	struct span user; /* its owner */
	uint32_t version;
	uint8_t current; /* the version that calls get */
	uint8_t allowed; /* to others than its owner, too */
	uint8_t sandbox; /* enum tool_sandbox that the operator chose */
	uint8_t parts;   /* enum tool_parts */
	uint8_t digest[DIGEST_LEN];
	uint64_t created_s;
	struct span manifest;
};
static const struct wire_field ga_tool_rows[] = {
	WIRE_BYTES(struct ga_tool, name, 1, TOOL_MAX),
	WIRE_BYTES(struct ga_tool, user, 1, USER_MAX),
	WIRE_U32(struct ga_tool, version, UINT32_MAX),
	WIRE_U8(struct ga_tool, current, 1),
	WIRE_U8(struct ga_tool, allowed, 1),
	WIRE_U8(struct ga_tool, sandbox, TOOL_GVISOR),
	WIRE_U8(struct ga_tool, parts, TOOL_PARTS_ALL),
	WIRE_FIXED(struct ga_tool, digest),
	WIRE_U64(struct ga_tool, created_s),
	WIRE_BYTES(struct ga_tool, manifest, 0, TOOL_MANIFEST_MAX),
};
static const struct wire_table ga_tool_table = WIRE_TABLE(struct ga_tool, ga_tool_rows);

struct ga_admitted {
	uint16_t error; /* ERROR_NONE: go */
	uint8_t attach; /* enum ga_tools that the policy attaches and the client does not name:
			   when they are not those of the request's `attached`, nothing was
			   admitted or recorded; send ADMIT again with them in the body */
	uint64_t turn;  /* 0 when the request ended here (models list, any error) */
	uint8_t grant[GRANT_LEN]; /* for broker (chat), executor (execute) or store (content) */
	uint32_t limit;           /* x-ratelimit-limit-requests */
	uint32_t remaining;
	uint32_t reset_ms;
	uint32_t retry_after_ms; /* with 429 and 503 */
	uint32_t steps_max;      /* tool steps that the turn may take */
	struct span models;      /* models endpoint: names that the key may use, '\n' between */
	/*
	 * Model calls with tools: when the request's `catalog` is not this one, nothing was
	 * admitted or recorded (turn 0, no error); send ADMIT again with these tools offered
	 * in the body; a key without tools has the catalog 0. TOOL_CALL: the same, to check the
	 * arguments with. TOOL_LIST: the key's tools, current versions, in the order of their
	 * names. TOOL_GET: the tool's versions, newest first; with a manifest: the version that
	 * was asked for, else the current one. TOOL_REMOVE, TOOL_CURRENT: answered once it is
	 * durable, without tools.
	 */
	uint64_t catalog;
	struct wire_list tools; /* struct ga_tool */
	uint8_t more;           /* TOOL_LIST: another page follows */
	uint8_t store;          /* RESPONSES: it is kept: its turn ends with SAVE */
	/*
	 * Others' credentials do not go into what is kept. Endpoints of content, CREATE and UPDATE
	 * with such credentials in the body: nothing was admitted or recorded (turn 0, no error);
	 * send ADMIT again without them.
	 */
	uint8_t mask;
};
static const struct wire_field ga_admitted_rows[] = {
	WIRE_U16(struct ga_admitted, error, ERROR_COUNT - 1),
	WIRE_U8(struct ga_admitted, attach, 255),
	WIRE_U64(struct ga_admitted, turn),
	WIRE_FIXED(struct ga_admitted, grant),
	WIRE_U32(struct ga_admitted, limit, UINT32_MAX),
	WIRE_U32(struct ga_admitted, remaining, UINT32_MAX),
	WIRE_U32(struct ga_admitted, reset_ms, UINT32_MAX),
	WIRE_U32(struct ga_admitted, retry_after_ms, UINT32_MAX),
	WIRE_U32(struct ga_admitted, steps_max, TURN_STEPS_MAX),
	WIRE_BYTES(struct ga_admitted, models, 0, 64U << 10),
	WIRE_U64(struct ga_admitted, catalog),
	WIRE_LIST(struct ga_admitted, tools, 0, GA_TOOLS_MAX, &ga_tool_table),
	WIRE_U8(struct ga_admitted, more, 1),
	WIRE_U8(struct ga_admitted, store, 1),
	WIRE_U8(struct ga_admitted, mask, 1),
};

struct ga_step {
	uint64_t turn;
	uint8_t kind;         /* enum ga_step_kind */
	struct span language; /* RUN */
	uint32_t size_bytes;  /* RUN: code; MODEL: body */
	uint32_t body_len;
	uint32_t model_off; /* MODEL */
	uint8_t digest[DIGEST_LEN];
	struct span tool_name; /* TOOL */
	uint32_t tool_version; /* TOOL: that was offered */
	uint8_t content_op;    /* CONTENT: SAVE */
	uint8_t content_kind;
	struct span content_id;
	uint16_t refused; /* RUN, TOOL: enum error that the gateway found in the call; it is
			     recorded, then answered with that error at the least */
};
static const struct wire_field ga_step_rows[] = {
	WIRE_U64(struct ga_step, turn),
	WIRE_U8(struct ga_step, kind, STEP_CONTENT),
	WIRE_BYTES(struct ga_step, language, 0, LANGUAGE_MAX),
	WIRE_U32(struct ga_step, size_bytes, BODY_MAX),
	WIRE_U32(struct ga_step, body_len, RUN_BLOB_MAX),
	WIRE_U32(struct ga_step, model_off, BODY_MAX),
	WIRE_FIXED(struct ga_step, digest),
	WIRE_BYTES(struct ga_step, tool_name, 0, TOOL_MAX),
	WIRE_U32(struct ga_step, tool_version, UINT32_MAX),
	WIRE_U8(struct ga_step, content_op, CONTENT_OP_COUNT - 1),
	WIRE_U8(struct ga_step, content_kind, CONTENT_KIND_COUNT - 1),
	WIRE_BYTES(struct ga_step, content_id, 0, CONTENT_ID_MAX),
	WIRE_U16(struct ga_step, refused, ERROR_COUNT - 1),
};

struct ga_granted {
	uint16_t error;
	uint32_t retry_after_ms;
	uint8_t grant[GRANT_LEN];
};
static const struct wire_field ga_granted_rows[] = {
	WIRE_U16(struct ga_granted, error, ERROR_COUNT - 1),
	WIRE_U32(struct ga_granted, retry_after_ms, UINT32_MAX),
	WIRE_FIXED(struct ga_granted, grant),
};

struct ga_settle {
	uint64_t turn;
	uint16_t error; /* ERROR_NONE: answered in full */
	uint32_t tokens_in;
	uint32_t tokens_out;
	uint8_t estimated; /* tokens are ours, not the provider's */
	/* Parts of those in, in, and out, as the provider says. */
	uint32_t tokens_cached, tokens_cache_written, tokens_reasoning;
};
static const struct wire_field ga_settle_rows[] = {
	WIRE_U64(struct ga_settle, turn),
	WIRE_U16(struct ga_settle, error, ERROR_COUNT - 1),
	WIRE_U32(struct ga_settle, tokens_in, UINT32_MAX),
	WIRE_U32(struct ga_settle, tokens_out, UINT32_MAX),
	WIRE_U8(struct ga_settle, estimated, 1),
	WIRE_U32(struct ga_settle, tokens_cached, UINT32_MAX),
	WIRE_U32(struct ga_settle, tokens_cache_written, UINT32_MAX),
	WIRE_U32(struct ga_settle, tokens_reasoning, UINT32_MAX),
};

struct ga_settled {
	uint16_t error; /* ERROR_AUDIT_UNAVAILABLE: do not finish the answer */
};
static const struct wire_field ga_settled_rows[] = {
	WIRE_U16(struct ga_settled, error, ERROR_COUNT - 1),
};

struct ga_failures {
	uint8_t source[SOURCE_LEN];
	uint32_t count;
	uint32_t window_ms;
};
static const struct wire_field ga_failures_rows[] = {
	WIRE_FIXED(struct ga_failures, source),
	WIRE_U32(struct ga_failures, count, UINT32_MAX),
	WIRE_U32(struct ga_failures, window_ms, 60000),
};

struct ga_revoke {
	uint64_t turn;
	uint16_t error;
};
static const struct wire_field ga_revoke_rows[] = {
	WIRE_U64(struct ga_revoke, turn),
	WIRE_U16(struct ga_revoke, error, ERROR_COUNT - 1),
};

/*
 * An act of administration, as the client sent it; its route, role, schema and record are the
 * authority's. The gateway has checked that it is HTTP and, with a body, strict JSON.
 */
struct ga_admin {
	uint8_t request_id[REQUEST_ID_LEN];
	uint8_t source[SOURCE_LEN];
	struct span credential;
	struct span method;
	struct span path;
	struct span query;
	struct span body;
};
static const struct wire_field ga_admin_rows[] = {
	WIRE_FIXED(struct ga_admin, request_id),
	WIRE_FIXED(struct ga_admin, source),
	WIRE_BYTES(struct ga_admin, credential, 0, CREDENTIAL_MAX),
	WIRE_BYTES(struct ga_admin, method, 1, 16),
	WIRE_BYTES(struct ga_admin, path, 1, ADMIN_PATH_MAX),
	WIRE_BYTES(struct ga_admin, query, 0, ADMIN_PATH_MAX),
	WIRE_BYTES(struct ga_admin, body, 0, ADMIN_REQUEST_MAX),
};

struct ga_admined {
	uint16_t error;   /* ERROR_NONE: `status` and `body` are the answer */
	uint16_t status;  /* HTTP */
	struct span body; /* JSON; may hold a fresh key: wiped behind the answer */
	uint32_t retry_after_ms;
};
static const struct wire_field ga_admined_rows[] = {
	WIRE_U16(struct ga_admined, error, ERROR_COUNT - 1),
	WIRE_U16(struct ga_admined, status, 999),
	WIRE_BYTES(struct ga_admined, body, 0, ADMIN_ANSWER_MAX),
	WIRE_U32(struct ga_admined, retry_after_ms, UINT32_MAX),
};

/* RFC 8693: `credential` is the subject token. */
struct ga_token {
	uint8_t request_id[REQUEST_ID_LEN];
	uint8_t source[SOURCE_LEN];
	struct span credential;
	struct span scope;   /* words; empty: all that the credential has */
	uint32_t lifetime_s; /* 0: the longest */
	struct span revoke;  /* a session token to be revoked; then nothing is exchanged */
};
static const struct wire_field ga_token_rows[] = {
	WIRE_FIXED(struct ga_token, request_id),
	WIRE_FIXED(struct ga_token, source),
	WIRE_BYTES(struct ga_token, credential, 0, CREDENTIAL_MAX),
	WIRE_BYTES(struct ga_token, scope, 0, SCOPE_MAX),
	WIRE_U32(struct ga_token, lifetime_s, UINT32_MAX),
	WIRE_BYTES(struct ga_token, revoke, 0, CREDENTIAL_MAX),
};

struct ga_tokened {
	uint16_t error;
	uint8_t scope_bad; /* with ERROR_INVALID_FIELD: RFC 6749's invalid_scope */
	struct span token;
	struct span scope;  /* that it has */
	uint32_t expires_s; /* from now */
	uint32_t retry_after_ms;
};
static const struct wire_field ga_tokened_rows[] = {
	WIRE_U16(struct ga_tokened, error, ERROR_COUNT - 1),
	WIRE_U8(struct ga_tokened, scope_bad, 1),
	WIRE_BYTES(struct ga_tokened, token, 0, CREDENTIAL_MAX),
	WIRE_BYTES(struct ga_tokened, scope, 0, SCOPE_MAX),
	WIRE_U32(struct ga_tokened, expires_s, UINT32_MAX),
	WIRE_U32(struct ga_tokened, retry_after_ms, UINT32_MAX),
};

static const struct wire_msg ga_msgs[] = {
	[GA_CHECK] = { "check", WIRE_A_TO_B, WIRE_TABLE(struct ga_check, ga_check_rows) },
	[GA_CHECKED] = { "checked", WIRE_B_TO_A, WIRE_TABLE(struct ga_checked, ga_checked_rows) },
	[GA_ADMIT] = { "admit", WIRE_A_TO_B, WIRE_TABLE(struct ga_admit, ga_admit_rows) },
	[GA_ADMITTED] = { "admitted", WIRE_B_TO_A,
	    WIRE_TABLE(struct ga_admitted, ga_admitted_rows) },
	[GA_STEP] = { "step", WIRE_A_TO_B, WIRE_TABLE(struct ga_step, ga_step_rows) },
	[GA_GRANTED] = { "granted", WIRE_B_TO_A, WIRE_TABLE(struct ga_granted, ga_granted_rows) },
	[GA_SETTLE] = { "settle", WIRE_A_TO_B, WIRE_TABLE(struct ga_settle, ga_settle_rows) },
	[GA_SETTLED] = { "settled", WIRE_B_TO_A, WIRE_TABLE(struct ga_settled, ga_settled_rows) },
	[GA_FAILURES] = { "failures", WIRE_A_TO_B,
	    WIRE_TABLE(struct ga_failures, ga_failures_rows) },
	[GA_REVOKE] = { "revoke", WIRE_B_TO_A, WIRE_TABLE(struct ga_revoke, ga_revoke_rows) },
	[GA_REVOKED] = { "revoked", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[GA_ADMIN] = { "admin", WIRE_A_TO_B, WIRE_TABLE(struct ga_admin, ga_admin_rows) },
	[GA_ADMINED] = { "admined", WIRE_B_TO_A, WIRE_TABLE(struct ga_admined, ga_admined_rows) },
	[GA_TOKEN] = { "token", WIRE_A_TO_B, WIRE_TABLE(struct ga_token, ga_token_rows) },
	[GA_TOKENED] = { "tokened", WIRE_B_TO_A, WIRE_TABLE(struct ga_tokened, ga_tokened_rows) },
};
static const struct wire_edge ga_edge = WIRE_EDGE("gateway-authority", ga_msgs, false);

#endif
