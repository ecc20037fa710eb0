/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUTHORITY_BROKER_H
#define WIRE_AUTHORITY_BROKER_H

/*
 * Authority (A) grants model calls to the broker (B) and takes them back. It
 * also puts on record which secrets the broker reads, and hands it those of the
 * store, which are sealed: only CLI and broker can open them.
 *
 *	SECRET_BEGIN, SECRET_ENDED    calls of the broker, answered with their id: what it is
 *	                              about to do, which it does once BEGUN says that it is on
 *	                              record, and how that ended. What it leaves open when it
 *	                              dies the authority ends
 *	SECRET_GET  a call of the broker, answered with its id
 *	FETCH       a call of the authority, answered with its id: a public document of an identity
 *	            provider. The broker asks the hosts that its configuration names, no others
 *	ATTEMPTED   for every exchange with a provider that is followed by another
 *	DONE        for every granted call, once, with its last exchange
 */
#include <wire/errors.h>
#include <wire/grant.h>

enum ab_type {
	AB_GRANT = 1,
	AB_TURN_END,        /* A: cancel what runs for the turn, forget its grants */
	AB_TURN_ENDED,      /* B: same id: nothing of that turn runs any more */
	AB_DONE,            /* B: a granted call ended */
	AB_ATTEMPTED,       /* B: an exchange of it failed, and another follows */
	AB_SECRET_BEGIN,    /* B: an access to a secret, or to its source, is about to be made */
	AB_SECRET_BEGUN,    /* A: same id: the intent is in the log, or why not: then do not */
	AB_SECRET_ENDED,    /* B: how it ended; what was read is used once that is recorded */
	AB_SECRET_RECORDED, /* A: same id: it is in the log, or why not */
	AB_SECRET_GET,      /* B: a secret of the store */
	AB_SECRET_SEALED,   /* A: same id */
	AB_SECRET_CHANGED,  /* A: this secret of the store is another now: ask again */
	AB_FETCH,           /* A: a document of an identity provider is wanted */
	AB_FETCHED,         /* B: same id */
};

/* Which one. */
enum fetch_kind {
	FETCH_DISCOVERY, /* OpenID Connect Discovery 1.0 */
	FETCH_KEYS,      /* the JWK Set at `url` */
	FETCH_KIND_COUNT
};

/* What is done, and the record that says so. */
enum secret_act {
	SECRET_ACT_READ,   /* a value: SecretAccessed */
	SECRET_ACT_RENEW,  /* the lease of one: SecretLease */
	SECRET_ACT_REVOKE, /* … given back, since nobody uses it any more */
	SECRET_ACT_LOGIN,  /* to the source, with our own identity: SecretLogin */
	SECRET_ACT_LOGIN_RENEW,
	SECRET_ACT_LOGOUT, /* with all its leases */
	SECRET_ACT_COUNT
};
static const char *const secret_act_names[SECRET_ACT_COUNT] = { "read", "renew", "revoke", "login",
	"renew", "logout" };

/* Why the broker read a secret. */
enum secret_why {
	SECRET_START,    /* first use, or the broker's start */
	SECRET_EXPIRING, /* its hour or lease ends */
	SECRET_ROTATED,  /* its source has a new version */
	SECRET_REJECTED, /* the provider refused it (401) */
	SECRET_PREVIOUS, /* … and the new one, too: the version before */
	SECRET_RELOAD,   /* the configuration is another */
	SECRET_WRAP,     /* a key-encryption key of the store: see store_broker.h */
	SECRET_UNWRAP,
	SECRET_REWRAP,
	SECRET_WHY_COUNT
};
static const char *const secret_why_names[SECRET_WHY_COUNT] = { "start", "expiring", "rotated",
	"rejected", "previous", "reload", "wrap", "unwrap", "rewrap" };

/* Why it could not. */
enum secret_fault {
	SECRET_FAULT_NONE,
	SECRET_UNREACHABLE, /* no connection, TLS, time-out */
	SECRET_SEALED,      /* the source is sealed, a standby, or starts */
	SECRET_THROTTLED,
	SECRET_LOGIN, /* our own identity was not accepted */
	SECRET_DENIED,
	SECRET_NOT_FOUND,  /* secret, version or field */
	SECRET_INVALID,    /* the answer makes no sense, or a value that cannot be sent */
	SECRET_EXPIRED,    /* its lease is over and cannot be renewed */
	SECRET_TAMPERED,   /* it does not open, or was unwrapped by another */
	SECRET_FAILED,     /* inside: memory, a limit */
	SECRET_UNRECORDED, /* not begun: it could not be put on record */
	SECRET_FAULT_COUNT
};
static const char *const secret_fault_names[SECRET_FAULT_COUNT] = { "none", "unreachable", "sealed",
	"throttled", "login", "denied", "not_found", "invalid", "expired", "tampered", "failed",
	"unrecorded" };

struct ab_done {
	uint8_t grant[GRANT_LEN];
	uint64_t turn;
	uint16_t http_status; /* the provider's; 0: none */
	uint64_t bytes_out;
	uint64_t bytes_in;
	uint16_t error;       /* enum error; NONE: an answer came, whole, whatever its status */
	uint8_t attempts;     /* exchanges, the last one included; 0: none was begun */
	struct span provider; /* its name in the configuration; empty: none was chosen */
	struct span host;     /* host and port */
	struct span secret_version; /* of the credential that was sent; empty: none */
	struct span upstream_id; /* what the provider calls this request; empty: it does not say */
};
static const struct wire_field ab_done_rows[] = {
	WIRE_FIXED(struct ab_done, grant),
	WIRE_U64(struct ab_done, turn),
	WIRE_U16(struct ab_done, http_status, 999),
	WIRE_U64(struct ab_done, bytes_out),
	WIRE_U64(struct ab_done, bytes_in),
	WIRE_U16(struct ab_done, error, ERROR_COUNT - 1),
	WIRE_U8(struct ab_done, attempts, UPSTREAM_ATTEMPTS_MAX),
	WIRE_BYTES(struct ab_done, provider, 0, PROVIDER_MAX),
	WIRE_BYTES(struct ab_done, host, 0, UPSTREAM_HOST_MAX),
	WIRE_BYTES(struct ab_done, secret_version, 0, SECRET_VERSION_MAX),
	WIRE_BYTES(struct ab_done, upstream_id, 0, UPSTREAM_ID_MAX),
};

struct ab_attempted {
	uint8_t grant[GRANT_LEN];
	uint64_t turn;
	uint8_t attempt; /* from 1 */
	uint16_t http_status;
	uint16_t error; /* enum error; NONE: see http_status */
	struct span provider;
	struct span host;
	struct span secret_version;
};
static const struct wire_field ab_attempted_rows[] = {
	WIRE_FIXED(struct ab_attempted, grant),
	WIRE_U64(struct ab_attempted, turn),
	WIRE_U8(struct ab_attempted, attempt, UPSTREAM_ATTEMPTS_MAX),
	WIRE_U16(struct ab_attempted, http_status, 999),
	WIRE_U16(struct ab_attempted, error, ERROR_COUNT - 1),
	WIRE_BYTES(struct ab_attempted, provider, 1, PROVIDER_MAX),
	WIRE_BYTES(struct ab_attempted, host, 0, UPSTREAM_HOST_MAX),
	WIRE_BYTES(struct ab_attempted, secret_version, 0, SECRET_VERSION_MAX),
};

struct ab_secret_begin {
	uint8_t act;           /* enum secret_act */
	struct span reference; /* the configured URI, never a value; of a login: its source */
	struct span method;    /* of a login; else empty */
	struct span lease;     /* to be renewed or revoked; else empty */
	uint8_t why;           /* enum secret_why, of a reading */
};
static const struct wire_field ab_secret_begin_rows[] = {
	WIRE_U8(struct ab_secret_begin, act, SECRET_ACT_COUNT - 1),
	WIRE_BYTES(struct ab_secret_begin, reference, 1, SECRET_REF_MAX),
	WIRE_BYTES(struct ab_secret_begin, method, 0, SECRET_METHOD_MAX),
	WIRE_BYTES(struct ab_secret_begin, lease, 0, SECRET_LEASE_MAX),
	WIRE_U8(struct ab_secret_begin, why, SECRET_WHY_COUNT - 1),
};

struct ab_secret_begun {
	uint16_t error;  /* ERROR_NONE, or ERROR_AUDIT_UNAVAILABLE: do not do it */
	uint64_t access; /* names it in SECRET_ENDED */
};
static const struct wire_field ab_secret_begun_rows[] = {
	WIRE_U16(struct ab_secret_begun, error, ERROR_COUNT - 1),
	WIRE_U64(struct ab_secret_begun, access),
};

struct ab_secret_ended {
	uint64_t access;
	struct span version; /* empty: not known; of a login: the token's accessor */
	struct span lease;   /* of what was read; empty: none */
	uint32_t lease_s;    /* how long the source lends it; 0: it does not say */
	uint32_t valid_s;    /* how long what is held now may be used; 0: nothing is held */
	uint8_t fault;       /* enum secret_fault; NONE: it was done */
	uint8_t given_up;    /* nobody waited for its end: it is not known */
};
static const struct wire_field ab_secret_ended_rows[] = {
	WIRE_U64(struct ab_secret_ended, access),
	WIRE_BYTES(struct ab_secret_ended, version, 0, SECRET_VERSION_MAX),
	WIRE_BYTES(struct ab_secret_ended, lease, 0, SECRET_LEASE_MAX),
	WIRE_U32(struct ab_secret_ended, lease_s, UINT32_MAX),
	WIRE_U32(struct ab_secret_ended, valid_s, UINT32_MAX),
	WIRE_U8(struct ab_secret_ended, fault, SECRET_FAULT_COUNT - 1),
	WIRE_U8(struct ab_secret_ended, given_up, 1),
};

struct ab_secret_recorded {
	uint16_t error; /* ERROR_NONE, or ERROR_AUDIT_UNAVAILABLE: do not use what was read */
};
static const struct wire_field ab_secret_recorded_rows[] = {
	WIRE_U16(struct ab_secret_recorded, error, ERROR_COUNT - 1),
};

struct ab_secret_name {
	struct span name; /* of file:NAME */
};
static const struct wire_field ab_secret_name_rows[] = {
	WIRE_BYTES(struct ab_secret_name, name, 1, SECRET_NAME_MAX),
};

struct ab_secret_sealed {
	uint16_t code; /* enum code: E_OK, E_NOTFOUND, E_CLOSED (the store is away), E_SYS … */
	struct span version;
	struct span sealed;
	struct span previous_version; /* empty, with `previous`: there is none */
	struct span previous;
};
static const struct wire_field ab_secret_sealed_rows[] = {
	WIRE_U16(struct ab_secret_sealed, code, 64),
	WIRE_BYTES(struct ab_secret_sealed, version, 0, SECRET_VERSION_MAX),
	WIRE_BYTES(struct ab_secret_sealed, sealed, 0, SECRET_SEALED_MAX),
	WIRE_BYTES(struct ab_secret_sealed, previous_version, 0, SECRET_VERSION_MAX),
	WIRE_BYTES(struct ab_secret_sealed, previous, 0, SECRET_SEALED_MAX),
};

struct ab_fetch {
	uint8_t kind;        /* enum fetch_kind */
	struct span issuer;  /* as configured */
	struct span url;     /* of KEYS: where the discovery document says; else empty */
	uint32_t generation; /* of the configuration that it is asked for by */
};
static const struct wire_field ab_fetch_rows[] = {
	WIRE_U8(struct ab_fetch, kind, FETCH_KIND_COUNT - 1),
	WIRE_BYTES(struct ab_fetch, issuer, 1, ISSUER_MAX),
	WIRE_BYTES(struct ab_fetch, url, 0, ISSUER_KEYS_URL_MAX),
	WIRE_U32(struct ab_fetch, generation, UINT32_MAX),
};

struct ab_fetched {
	/*
	 * enum code. E_OK: the body of a 200. E_NOTFOUND: no such issuer in the broker's
	 * configuration. E_DENIED: not a place where its keys may be. E_PROTO: another status.
	 * E_RANGE: too long. E_AGAIN: it has, or had, another configuration: nothing is said of the
	 * issuer. Else as fetch.h has it.
	 */
	uint16_t code;
	uint16_t http_status; /* 0: no answer came */
	struct span body;
};
static const struct wire_field ab_fetched_rows[] = {
	WIRE_U16(struct ab_fetched, code, 64),
	WIRE_U16(struct ab_fetched, http_status, 999),
	WIRE_BYTES(struct ab_fetched, body, 0, ISSUER_DOCUMENT_MAX),
};

static const struct wire_msg ab_msgs[] = {
	[AB_GRANT] = { "grant", WIRE_A_TO_B, WIRE_TABLE(struct grant, grant_rows) },
	[AB_TURN_END] = { "turn-end", WIRE_A_TO_B, WIRE_TABLE(struct turn_ref, turn_ref_rows) },
	[AB_TURN_ENDED] = { "turn-ended", WIRE_B_TO_A, WIRE_TABLE(struct turn_ref, turn_ref_rows) },
	[AB_DONE] = { "done", WIRE_B_TO_A, WIRE_TABLE(struct ab_done, ab_done_rows) },
	[AB_ATTEMPTED] = { "attempted", WIRE_B_TO_A,
	    WIRE_TABLE(struct ab_attempted, ab_attempted_rows) },
	[AB_SECRET_BEGIN] = { "secret-begin", WIRE_B_TO_A,
	    WIRE_TABLE(struct ab_secret_begin, ab_secret_begin_rows) },
	[AB_SECRET_BEGUN] = { "secret-begun", WIRE_A_TO_B,
	    WIRE_TABLE(struct ab_secret_begun, ab_secret_begun_rows) },
	[AB_SECRET_ENDED] = { "secret-ended", WIRE_B_TO_A,
	    WIRE_TABLE(struct ab_secret_ended, ab_secret_ended_rows) },
	[AB_SECRET_RECORDED] = { "secret-recorded", WIRE_A_TO_B,
	    WIRE_TABLE(struct ab_secret_recorded, ab_secret_recorded_rows) },
	[AB_SECRET_GET] = { "secret-get", WIRE_B_TO_A,
	    WIRE_TABLE(struct ab_secret_name, ab_secret_name_rows) },
	[AB_SECRET_SEALED] = { "secret-sealed", WIRE_A_TO_B,
	    WIRE_TABLE(struct ab_secret_sealed, ab_secret_sealed_rows) },
	[AB_SECRET_CHANGED] = { "secret-changed", WIRE_A_TO_B,
	    WIRE_TABLE(struct ab_secret_name, ab_secret_name_rows) },
	[AB_FETCH] = { "fetch", WIRE_A_TO_B, WIRE_TABLE(struct ab_fetch, ab_fetch_rows) },
	[AB_FETCHED] = { "fetched", WIRE_B_TO_A, WIRE_TABLE(struct ab_fetched, ab_fetched_rows) },
};
static const struct wire_edge ab_edge = WIRE_EDGE("authority-broker", ab_msgs, false);

#endif
