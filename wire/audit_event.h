/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUDIT_EVENT_H
#define WIRE_AUDIT_EVENT_H

/*
 * The events of the audit log, once: name, fields and their kinds. A sender
 * fills `values` in the order of the row; the audit process writes the JSON.
 * Never prompts, code, output or secrets: sizes, names and hashes only.
 */
#include <link/wire.h>
#include <wire/limits.h>

#define AUDIT_VALUES_MAX 11
#define AUDIT_STR_MAX 256
#define AUDIT_SEALED_MAX 256
#define AUDIT_BATCH_MAX 16 /* records in one append */

enum audit_event {
	EVENT_AUTHENTICATION = 1,
	EVENT_AUTHENTICATION_FAILURES, /* one counted record above the rate limit */
	EVENT_PROMPT_SUBMITTED,
	EVENT_MODEL_CALLED, /* each model call of a turn */
	EVENT_CODE_GENERATED,
	EVENT_TOOL_EXECUTED,
	EVENT_RESPONSE_RETURNED,
	EVENT_ERROR,
	EVENT_KEY_CREATED,
	EVENT_KEY_REVOKED,
	EVENT_PROCESS_STARTED,
	EVENT_PROCESS_ENDED,
	EVENT_CONFIG_LOADED,
	EVENT_LOG_OPENED,
	EVENT_LOG_REPAIRED,
	EVENT_INTENT_CLOSED,   /* the audit process's own: the holder died */
	EVENT_ADMIN,           /* any other administrative act or read */
	EVENT_MODEL_ATTEMPTED, /* an exchange with a provider that was followed by another */
	EVENT_SECRET_ACCESSED,
	EVENT_SECRET_SET,
	EVENT_SECRET_REMOVED,
	EVENT_TOOL_STORED,      /* a new version of a user's tool */
	EVENT_TOOL_CHANGED,     /* current, allowed, not allowed any more, removed */
	EVENT_SECRET_LEASE,     /* renewed, revoked */
	EVENT_SECRET_LOGIN,     /* of the broker, to a source of secrets */
	EVENT_CONTENT_ACCESSED, /* what is kept for a user was read or changed */
	EVENT_IDENTITY_CHANGED, /* users, roles, holds, policies of keys */
	EVENT_SESSION_CREATED,
	EVENT_SESSION_REVOKED,
	EVENT_ERASED,            /* a person's keys are destroyed */
	EVENT_EXPORTED,          /* a person's data, to who asked */
	EVENT_KEYS_ROTATED,      /* of encryption or of signing */
	EVENT_STORE_ROLLED_BACK, /* the database is older than the one before */
	EVENT_APPROVAL,   /* an act that needs two people: asked for, approved, refused, lapsed */
	EVENT_RETENTION,  /* what was deleted for its age */
	EVENT_KEY_LEAKED, /* a key of ours stood in a request's body */
	EVENT_STORE_AWAY, /* what was loaded serves on, no more, or the store is back */
	EVENT_SIGNING_KEY_ROTATED, /* the audit process's own: the key of the log, by the one before
				    */
	EVENT_CERTIFICATE_CHANGED, /* of the public side, or another one was refused */
	EVENT_REVOCATIONS_CHANGED, /* lists of clients' certificates, or others were refused */
	EVENT_STORE_TAMPERED,      /* rows that say who may what were changed by others */
	EVENT_STORE_ACCEPTED,      /* … and an operator says that they are true */
	EVENT_COUNT,
};

enum audit_value_kind { AUDIT_V_STR = 1, AUDIT_V_U64, AUDIT_V_BOOL, AUDIT_V_NULL };
enum audit_phase { AUDIT_PHASE_NONE, AUDIT_PHASE_INTENT, AUDIT_PHASE_OUTCOME };
enum audit_outcome {
	AUDIT_OUTCOME_NONE,
	AUDIT_SUCCESS,
	AUDIT_FAILURE,
	AUDIT_DENIED,
	AUDIT_UNKNOWN
};
enum audit_cause {
	AUDIT_CAUSE_NONE,
	AUDIT_PROCESS_DIED,
	AUDIT_RECOVERY,
	AUDIT_CANCELLED,
	AUDIT_REVOKED,
	AUDIT_TIMEOUT
};

struct audit_event_row {
	const char *name;   /* event.type */
	const char *action; /* action */
	struct {
		const char *name;
		enum audit_value_kind kind;
	} fields[AUDIT_VALUES_MAX];
};

static const struct audit_event_row audit_events[EVENT_COUNT] = {
	[EVENT_AUTHENTICATION] = { "Authentication", "authenticate",
	    { { "method", AUDIT_V_STR }, { "success", AUDIT_V_BOOL }, { "reason", AUDIT_V_STR } } },
	[EVENT_AUTHENTICATION_FAILURES] = { "AuthenticationFailures", "authenticate",
	    { { "method", AUDIT_V_STR }, { "count", AUDIT_V_U64 }, { "window_ms", AUDIT_V_U64 } } },
	[EVENT_PROMPT_SUBMITTED] = { "PromptSubmitted", "model.call",
	    { { "model", AUDIT_V_STR }, { "tokens_in", AUDIT_V_U64 },
		{ "tokens_in_estimated", AUDIT_V_BOOL }, { "size_bytes", AUDIT_V_U64 },
		{ "sha256", AUDIT_V_STR } } },
	[EVENT_MODEL_CALLED] = { "ModelCalled", "model.call",
	    { { "model", AUDIT_V_STR }, { "step", AUDIT_V_U64 }, { "size_bytes", AUDIT_V_U64 },
		{ "sha256", AUDIT_V_STR }, { "provider", AUDIT_V_STR }, { "host", AUDIT_V_STR },
		{ "secret_version", AUDIT_V_STR }, { "http_status", AUDIT_V_U64 },
		{ "attempts", AUDIT_V_U64 }, { "error_type", AUDIT_V_STR },
		{ "provider_request_id", AUDIT_V_STR } } },
	[EVENT_MODEL_ATTEMPTED] = { "ModelAttempted", "model.call",
	    { { "attempt", AUDIT_V_U64 }, { "provider", AUDIT_V_STR }, { "host", AUDIT_V_STR },
		{ "secret_version", AUDIT_V_STR }, { "http_status", AUDIT_V_U64 },
		{ "error_type", AUDIT_V_STR } } },
	[EVENT_CODE_GENERATED] = { "CodeGenerated", "code.generate",
	    { { "language", AUDIT_V_STR }, { "size_bytes", AUDIT_V_U64 },
		{ "sha256", AUDIT_V_STR } } },
	[EVENT_TOOL_EXECUTED] = { "ToolExecuted", "tool.execute",
	    { { "tool_name", AUDIT_V_STR }, { "sandbox_type", AUDIT_V_STR },
		{ "language", AUDIT_V_STR }, { "size_bytes", AUDIT_V_U64 },
		{ "sha256", AUDIT_V_STR }, { "execution_time_ms", AUDIT_V_U64 },
		{ "success", AUDIT_V_BOOL }, { "status", AUDIT_V_STR },
		{ "tool_version", AUDIT_V_U64 }, { "tool_sha256", AUDIT_V_STR } } },
	[EVENT_RESPONSE_RETURNED] = { "ResponseReturned", "response.return",
	    { { "tokens_out", AUDIT_V_U64 }, { "tokens_out_estimated", AUDIT_V_BOOL },
		{ "http_status", AUDIT_V_U64 }, { "tokens_in", AUDIT_V_U64 },
		{ "tokens_in_cached", AUDIT_V_U64 }, { "tokens_in_cache_written", AUDIT_V_U64 },
		{ "tokens_out_reasoning", AUDIT_V_U64 } } },
	[EVENT_ERROR] = { "Error", "request.fail",
	    { { "error_type", AUDIT_V_STR }, { "message", AUDIT_V_STR } } },
	[EVENT_KEY_CREATED] = { "KeyCreated", "key.create",
	    { { "key_id", AUDIT_V_STR }, { "tenant", AUDIT_V_STR }, { "policy", AUDIT_V_STR },
		{ "by_uid", AUDIT_V_U64 } } },
	[EVENT_KEY_REVOKED] = { "KeyRevoked", "key.revoke",
	    { { "key_id", AUDIT_V_STR }, { "by_uid", AUDIT_V_U64 } } },
	[EVENT_SECRET_ACCESSED] = { "SecretAccessed", "secret.read",
	    { { "secret", AUDIT_V_STR }, { "version", AUDIT_V_STR }, { "lease", AUDIT_V_STR },
		{ "lease_s", AUDIT_V_U64 }, { "why", AUDIT_V_STR }, { "fault", AUDIT_V_STR } } },
	[EVENT_SECRET_LEASE] = { "SecretLease", "secret.lease",
	    { { "secret", AUDIT_V_STR }, { "operation", AUDIT_V_STR }, { "lease", AUDIT_V_STR },
		{ "lease_s", AUDIT_V_U64 }, { "fault", AUDIT_V_STR } } },
	[EVENT_SECRET_LOGIN] = { "SecretLogin", "secret.login",
	    { { "source", AUDIT_V_STR }, { "operation", AUDIT_V_STR }, { "method", AUDIT_V_STR },
		{ "accessor", AUDIT_V_STR }, { "lease_s", AUDIT_V_U64 },
		{ "fault", AUDIT_V_STR } } },
	[EVENT_SECRET_SET] = { "SecretSet", "secret.set",
	    { { "secret", AUDIT_V_STR }, { "version", AUDIT_V_U64 },
		{ "previous_kept", AUDIT_V_BOOL }, { "by_uid", AUDIT_V_U64 } } },
	[EVENT_SECRET_REMOVED] = { "SecretRemoved", "secret.remove",
	    { { "secret", AUDIT_V_STR }, { "by_uid", AUDIT_V_U64 } } },
	[EVENT_TOOL_STORED] = { "ToolStored", "tool.store",
	    { { "tool_name", AUDIT_V_STR }, { "size_bytes", AUDIT_V_U64 },
		{ "sha256", AUDIT_V_STR }, { "tool_version", AUDIT_V_U64 },
		{ "fault", AUDIT_V_STR } } },
	[EVENT_TOOL_CHANGED] = { "ToolChanged", "tool.change",
	    { { "tool_name", AUDIT_V_STR }, { "tool_version", AUDIT_V_U64 },
		{ "tool_sha256", AUDIT_V_STR }, { "change", AUDIT_V_STR },
		{ "by_uid", AUDIT_V_U64 } } },
	[EVENT_CONTENT_ACCESSED] = { "ContentAccessed", "content.access",
	    { { "operation", AUDIT_V_STR }, { "kind", AUDIT_V_STR }, { "size_bytes", AUDIT_V_U64 },
		{ "sha256", AUDIT_V_STR }, { "items", AUDIT_V_U64 },
		{ "error_type", AUDIT_V_STR } } },
	[EVENT_IDENTITY_CHANGED] = { "IdentityChanged", "identity.change",
	    { { "change", AUDIT_V_STR }, { "target", AUDIT_V_STR }, { "value", AUDIT_V_STR },
		{ "by_uid", AUDIT_V_U64 } } },
	[EVENT_SESSION_CREATED] = { "SessionCreated", "session.create",
	    { { "session", AUDIT_V_STR }, { "method", AUDIT_V_STR },
		{ "lifetime_s", AUDIT_V_U64 } } },
	[EVENT_SESSION_REVOKED] = { "SessionRevoked", "session.revoke",
	    { { "session", AUDIT_V_STR }, { "by_uid", AUDIT_V_U64 } } },
	[EVENT_ERASED] = { "Erased", "subject.erase",
	    { { "target", AUDIT_V_STR }, { "rows", AUDIT_V_U64 }, { "waits_for", AUDIT_V_STR },
		{ "by_uid", AUDIT_V_U64 } } },
	[EVENT_EXPORTED] = { "Exported", "subject.export",
	    { { "target", AUDIT_V_STR }, { "size_bytes", AUDIT_V_U64 },
		{ "by_uid", AUDIT_V_U64 } } },
	[EVENT_KEYS_ROTATED] = { "KeysRotated", "keys.rotate",
	    { { "what", AUDIT_V_STR }, { "version", AUDIT_V_U64 }, { "why", AUDIT_V_STR },
		{ "by_uid", AUDIT_V_U64 } } },
	[EVENT_STORE_ROLLED_BACK] = { "StoreRolledBack", "store.rollback",
	    { { "generation", AUDIT_V_U64 }, { "expected", AUDIT_V_U64 } } },
	[EVENT_APPROVAL] = { "Approval", "approval",
	    { { "approval", AUDIT_V_STR }, { "operation", AUDIT_V_STR },
		{ "state", AUDIT_V_STR } } },
	[EVENT_RETENTION] = { "RetentionApplied", "retention.apply",
	    { { "kind", AUDIT_V_STR }, { "rows", AUDIT_V_U64 }, { "days", AUDIT_V_U64 } } },
	[EVENT_KEY_LEAKED] = { "KeyLeaked", "key.leak", { { "key_id", AUDIT_V_STR } } },
	[EVENT_STORE_AWAY] = { "StoreAway", "store.away",
	    { { "state", AUDIT_V_STR }, { "grace_s", AUDIT_V_U64 }, { "away_s", AUDIT_V_U64 } } },
	[EVENT_STORE_TAMPERED] = { "StoreTampered", "store.tamper", { { "what", AUDIT_V_STR } } },
	[EVENT_STORE_ACCEPTED] = { "StoreAccepted", "store.accept",
	    { { "what", AUDIT_V_STR }, { "by_uid", AUDIT_V_U64 } } },
	[EVENT_SIGNING_KEY_ROTATED] = { "SigningKeyRotated", "audit.rotate_key",
	    { { "signing_key", AUDIT_V_STR }, { "previous_key", AUDIT_V_STR },
		{ "signature", AUDIT_V_STR }, { "why", AUDIT_V_STR } } },
	[EVENT_CERTIFICATE_CHANGED] = { "CertificateChanged", "certificate.change",
	    { { "fingerprint", AUDIT_V_STR }, { "not_after_s", AUDIT_V_U64 },
		{ "why", AUDIT_V_STR }, { "fault", AUDIT_V_STR } } },
	[EVENT_REVOCATIONS_CHANGED] = { "RevocationsChanged", "revocations.change",
	    { { "sha256", AUDIT_V_STR }, { "until_s", AUDIT_V_U64 }, { "why", AUDIT_V_STR },
		{ "fault", AUDIT_V_STR }, { "authority", AUDIT_V_STR } } },
	[EVENT_PROCESS_STARTED] = { "ProcessStarted", "process.start",
	    { { "process", AUDIT_V_STR }, { "index", AUDIT_V_U64 }, { "pid", AUDIT_V_U64 } } },
	[EVENT_PROCESS_ENDED] = { "ProcessEnded", "process.end",
	    { { "process", AUDIT_V_STR }, { "index", AUDIT_V_U64 }, { "pid", AUDIT_V_U64 },
		{ "exit_status", AUDIT_V_U64 }, { "signal", AUDIT_V_U64 } } },
	[EVENT_CONFIG_LOADED] = { "ConfigLoaded", "config.load",
	    { { "generation", AUDIT_V_U64 }, { "sha256", AUDIT_V_STR },
		{ "providers_without_credential", AUDIT_V_STR },
		{ "weak_connections", AUDIT_V_STR }, { "weaker_controls", AUDIT_V_STR } } },
	[EVENT_LOG_OPENED] = { "LogOpened", "audit.open",
	    { { "size", AUDIT_V_U64 }, { "origin", AUDIT_V_STR } } },
	[EVENT_LOG_REPAIRED] = { "LogRepaired", "audit.repair",
	    { { "size", AUDIT_V_U64 }, { "torn_bytes", AUDIT_V_U64 } } },
	[EVENT_INTENT_CLOSED] = { "IntentClosed", "intent.close",
	    { { "event_type", AUDIT_V_STR } } },
	[EVENT_ADMIN] = { "Administration", "admin",
	    { { "operation", AUDIT_V_STR }, { "by_uid", AUDIT_V_U64 } } },
};

/* One value; kind AUDIT_V_NULL for a field that does not apply (it is left out). */
struct audit_value {
	uint8_t kind;
	uint64_t num;    /* U64, BOOL */
	struct span str; /* STR */
};
static const struct wire_field audit_value_rows[] = {
	WIRE_U8(struct audit_value, kind, 4),
	WIRE_U64(struct audit_value, num),
	WIRE_BYTES(struct audit_value, str, 0, AUDIT_STR_MAX),
};
static const struct wire_table audit_value_table = WIRE_TABLE(struct audit_value, audit_value_rows);

struct audit_rec {
	uint8_t event;       /* enum audit_event */
	uint8_t phase;       /* enum audit_phase; NONE: an act without a second record */
	uint8_t outcome;     /* enum audit_outcome; NONE exactly for intents */
	uint8_t cause;       /* enum audit_cause */
	uint64_t intent_seq; /* outcome records that close an intent: its seq; else 0 */
	uint8_t request_id[REQUEST_ID_LEN]; /* all zero: none */
	uint8_t subject[SUBJECT_LEN];       /* all zero: none yet */
	uint8_t key[SUBJECT_LEN];           /* all zero: none */
	struct span resource;
	struct span source_ip;   /* sealed, base64 text; empty: none */
	uint32_t config;         /* generation */
	uint64_t proc_seq;       /* the sender's own count, from 1, no gaps */
	struct wire_list values; /* struct audit_value, as many as the event's row has fields */
};
static const struct wire_field audit_rec_rows[] = {
	WIRE_U8(struct audit_rec, event, EVENT_COUNT - 1),
	WIRE_U8(struct audit_rec, phase, 2),
	WIRE_U8(struct audit_rec, outcome, 4),
	WIRE_U8(struct audit_rec, cause, 5),
	WIRE_U64(struct audit_rec, intent_seq),
	WIRE_FIXED(struct audit_rec, request_id),
	WIRE_FIXED(struct audit_rec, subject),
	WIRE_FIXED(struct audit_rec, key),
	WIRE_BYTES(struct audit_rec, resource, 0, AUDIT_STR_MAX),
	WIRE_BYTES(struct audit_rec, source_ip, 0, AUDIT_SEALED_MAX),
	WIRE_U32(struct audit_rec, config, UINT32_MAX),
	WIRE_U64(struct audit_rec, proc_seq),
	WIRE_LIST(struct audit_rec, values, 0, AUDIT_VALUES_MAX, &audit_value_table),
};
static const struct wire_table audit_rec_table = WIRE_TABLE(struct audit_rec, audit_rec_rows);

#endif
