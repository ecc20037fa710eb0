/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_CONTROL_H
#define WIRE_CONTROL_H

/*
 * Supervisor (A) and every process (B). Order at start: HELLO from the process;
 * START, FD…, FILE…, PEER…, GO from the supervisor; the process enters its jail; READY.
 * EOF means: end at once.
 */
#include <link/wire.h>
#include <wire/audit_event.h>
#include <wire/limits.h>

#define CTL_VERSION 1
#define CTL_CONFIG_MAX (512U << 10)
#define CTL_FAULT_MAX 16
#define CTL_AUTHORITY_MAX 255
#define CTL_OWED_MAX 4096 /* revocations that the store has not heard of yet */
#define CTL_OWED_ID_LEN 16
#define CTL_OWED_LEN (1 + CTL_OWED_ID_LEN + 8) /* bytes of one: ctl_owed_entry_table */

enum ctl_type {
	CTL_HELLO = 1,   /* B: who I am */
	CTL_START,       /* A */
	CTL_FD,          /* A: one named descriptor: listen, management, audit-dir … */
	CTL_FILE,        /* A: a file that the configuration names; anew before each CONFIG, CERT */
	CTL_FILES_AGAIN, /* B: open those that others rotate once more: FILE…, and then … */
	CTL_FILES_SENT,  /* A: … that was all (same id) */
	CTL_PEER,        /* A: one end of a fresh link (one descriptor) */
	CTL_METRICS,    /* A, to authority: another process's counters (one read-only descriptor) */
	CTL_CERT,       /* A, to gateway: public certificate chain and key, PEM */
	CTL_GO,         /* A: that was all; enter the jail */
	CTL_READY,      /* B: jailed and serving */
	CTL_CONFIG,     /* A: a new generation of the slice */
	CTL_DRAIN,      /* A: finish what runs, take nothing new, exit 0 */
	CTL_RECORD,     /* A, to audit: an event of processes or configuration */
	CTL_RECORDED,   /* B, audit: it is durable */
	CTL_HEAD,       /* B, audit: a signed head, to be kept outside its reach */
	CTL_HEAD_KEPT,  /* A, to audit: the head is on disk (same id) */
	CTL_GENERATION, /* B, store: its database's generation, to be kept outside its reach */
	CTL_RELOAD,     /* B, authority: an operator asks for a reload */
	CTL_RELOADED,   /* A: how it ended (same id) */
	CTL_PING,       /* A: are you alive? */
	CTL_PONG,       /* B */
	CTL_ROLLED_BACK,  /* A, to authority: the store's database is an older one */
	CTL_CERT_ROTATE,  /* B, authority: an operator asks for another public certificate */
	CTL_CERT_ROTATED, /* A: how it ended (same id) */
	CTL_OWED,         /* A, to authority, before GO: the revocations that are kept */
	CTL_OWE,          /* B, authority: keep these, and no others */
	CTL_OWE_KEPT,     /* A: they are on disk, or not (same id) */
	CTL_REVOCATIONS,  /* A, to authority: when clients' lists count, and when they grew */
};

struct ctl_hello {
	uint32_t version;
	uint64_t tables; /* wire_edge_hash over all edges that this binary knows */
};
static const struct wire_field ctl_hello_rows[] = {
	WIRE_U32(struct ctl_hello, version, UINT32_MAX),
	WIRE_U64(struct ctl_hello, tables),
};

struct ctl_start {
	struct span instance; /* hex name of the instance */
	uint32_t uid;         /* uid and gid to become */
	uint32_t uid_base;
	uint32_t index;   /* which of several (gateway workers) */
	uint32_t peer_id; /* unique among all processes ever started by this supervisor */
	uint32_t generation;
	struct span config; /* conf_slice() */
};
static const struct wire_field ctl_start_rows[] = {
	WIRE_BYTES(struct ctl_start, instance, 1, 32),
	WIRE_U32(struct ctl_start, uid, UINT32_MAX),
	WIRE_U32(struct ctl_start, uid_base, UINT32_MAX),
	WIRE_U32(struct ctl_start, index, 1024),
	WIRE_U32(struct ctl_start, peer_id, UINT32_MAX),
	WIRE_U32(struct ctl_start, generation, UINT32_MAX),
	WIRE_BYTES(struct ctl_start, config, 0, CTL_CONFIG_MAX),
};

struct ctl_fd {
	struct span name;
};
static const struct wire_field ctl_fd_rows[] = {
	WIRE_BYTES(struct ctl_fd, name, 1, 32),
};

/* Read-only. `name` is the path in the configuration, its parts joined by CONF_SEP. */
struct ctl_file {
	struct span name;
};
static const struct wire_field ctl_file_rows[] = {
	WIRE_BYTES(struct ctl_file, name, 1, 255),
};

struct ctl_peer {
	uint8_t edge; /* enum edge */
	uint32_t peer_id;
	uint32_t index;
};
static const struct wire_field ctl_peer_rows[] = {
	WIRE_U8(struct ctl_peer, edge, 32),
	WIRE_U32(struct ctl_peer, peer_id, UINT32_MAX),
	WIRE_U32(struct ctl_peer, index, 1024),
};

struct ctl_metrics {
	uint8_t proc; /* enum proc */
	uint32_t index;
	uint32_t peer_id;
	uint32_t pid;
	uint32_t uid;
};
static const struct wire_field ctl_metrics_rows[] = {
	WIRE_U8(struct ctl_metrics, proc, 32),
	WIRE_U32(struct ctl_metrics, index, 1024),
	WIRE_U32(struct ctl_metrics, peer_id, UINT32_MAX),
	WIRE_U32(struct ctl_metrics, pid, UINT32_MAX),
	WIRE_U32(struct ctl_metrics, uid, UINT32_MAX),
};

struct ctl_cert {
	struct span chain_pem;
	struct span key_pem;
	uint8_t ticket_key[48];
};
static const struct wire_field ctl_cert_rows[] = {
	WIRE_BYTES(struct ctl_cert, chain_pem, 1, 64U << 10),
	WIRE_BYTES(struct ctl_cert, key_pem, 1, 16U << 10),
	WIRE_FIXED(struct ctl_cert, ticket_key),
};

struct ctl_config {
	uint32_t generation;
	struct span config;
};
static const struct wire_field ctl_config_rows[] = {
	WIRE_U32(struct ctl_config, generation, UINT32_MAX),
	WIRE_BYTES(struct ctl_config, config, 0, CTL_CONFIG_MAX),
};

struct ctl_drain {
	uint32_t grace_ms; /* how long idle clients may stay for one more request */
	uint32_t end_ms;   /* when what still runs is to end with an error; 0: never */
};
static const struct wire_field ctl_drain_rows[] = {
	WIRE_U32(struct ctl_drain, grace_ms, 60000),
	WIRE_U32(struct ctl_drain, end_ms, 60000),
};

struct ctl_recorded {
	uint64_t seq;
	uint8_t ok;
};
static const struct wire_field ctl_recorded_rows[] = {
	WIRE_U64(struct ctl_recorded, seq),
	WIRE_U8(struct ctl_recorded, ok, 1),
};

struct ctl_head {
	uint64_t size;    /* records covered */
	struct span note; /* the checkpoint, a signed note */
};
static const struct wire_field ctl_head_rows[] = {
	WIRE_U64(struct ctl_head, size),
	WIRE_BYTES(struct ctl_head, note, 1, 2048),
};

struct ctl_generation {
	uint64_t generation;
};
static const struct wire_field ctl_generation_rows[] = {
	WIRE_U64(struct ctl_generation, generation),
};

struct ctl_rolled_back {
	uint64_t generation, expected; /* expected 0: not known */
	uint64_t noticed_s;
};
static const struct wire_field ctl_rolled_back_rows[] = {
	WIRE_U64(struct ctl_rolled_back, generation),
	WIRE_U64(struct ctl_rolled_back, expected),
	WIRE_U64(struct ctl_rolled_back, noticed_s),
};

/* Of the authorities together; until_s 0: there are none. */
struct ctl_revocations {
	uint64_t from_s, until_s;
	uint64_t news_s; /* when certificates were revoked that were not before; 0: not yet */
	struct span fault, authority; /* of the file, and whose lists; empty: none, nobody's */
};
static const struct wire_field ctl_revocations_rows[] = {
	WIRE_U64(struct ctl_revocations, from_s),
	WIRE_U64(struct ctl_revocations, until_s),
	WIRE_U64(struct ctl_revocations, news_s),
	WIRE_BYTES(struct ctl_revocations, fault, 0, CTL_FAULT_MAX),
	WIRE_BYTES(struct ctl_revocations, authority, 0, CTL_AUTHORITY_MAX),
};

struct ctl_reloaded {
	uint8_t ok;
	uint32_t generation;
	struct span text; /* why not */
};
static const struct wire_field ctl_reloaded_rows[] = {
	WIRE_U8(struct ctl_reloaded, ok, 1),
	WIRE_U32(struct ctl_reloaded, generation, UINT32_MAX),
	WIRE_BYTES(struct ctl_reloaded, text, 0, 1024),
};

struct ctl_cert_rotated {
	uint8_t ok, changed;             /* not: the files hold the one that is in use */
	uint64_t not_after_s;            /* of the one that is in use now */
	uint8_t fingerprint[DIGEST_LEN]; /* SHA-256 of it, DER */
	struct span text;                /* why not */
};
static const struct wire_field ctl_cert_rotated_rows[] = {
	WIRE_U8(struct ctl_cert_rotated, ok, 1),
	WIRE_U8(struct ctl_cert_rotated, changed, 1),
	WIRE_U64(struct ctl_cert_rotated, not_after_s),
	WIRE_FIXED(struct ctl_cert_rotated, fingerprint),
	WIRE_BYTES(struct ctl_cert_rotated, text, 0, 1024),
};

/* A revocation that was answered, and that the store has not heard of. */
enum ctl_owed_kind { CTL_OWED_KEY = 1 };
struct ctl_owed_entry {
	uint8_t kind;                /* enum ctl_owed_kind */
	uint8_t id[CTL_OWED_ID_LEN]; /* NULs behind it */
	uint64_t at_s;               /* Unix time of it */
};
static const struct wire_field ctl_owed_entry_rows[] = {
	WIRE_U8(struct ctl_owed_entry, kind, 8),
	WIRE_FIXED(struct ctl_owed_entry, id),
	WIRE_U64(struct ctl_owed_entry, at_s),
};
static const struct wire_table ctl_owed_entry_table = WIRE_TABLE(
    struct ctl_owed_entry, ctl_owed_entry_rows);

struct ctl_owed {
	struct span entries; /* one behind the other, CTL_OWED_LEN each */
};
static const struct wire_field ctl_owed_rows[] = {
	WIRE_BYTES(struct ctl_owed, entries, 0, CTL_OWED_MAX *CTL_OWED_LEN),
};

struct ctl_owe_kept {
	uint8_t ok;
};
static const struct wire_field ctl_owe_kept_rows[] = {
	WIRE_U8(struct ctl_owe_kept, ok, 1),
};

static const struct wire_msg ctl_msgs[] = {
	[CTL_HELLO] = { "hello", WIRE_B_TO_A, WIRE_TABLE(struct ctl_hello, ctl_hello_rows) },
	[CTL_START] = { "start", WIRE_A_TO_B, WIRE_TABLE(struct ctl_start, ctl_start_rows) },
	[CTL_FD] = { "fd", WIRE_A_TO_B, WIRE_TABLE(struct ctl_fd, ctl_fd_rows) },
	[CTL_FILE] = { "file", WIRE_A_TO_B, WIRE_TABLE(struct ctl_file, ctl_file_rows) },
	[CTL_FILES_AGAIN] = { "files-again", WIRE_B_TO_A, WIRE_TABLE_NONE },
	[CTL_FILES_SENT] = { "files-sent", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[CTL_PEER] = { "peer", WIRE_A_TO_B, WIRE_TABLE(struct ctl_peer, ctl_peer_rows) },
	[CTL_METRICS] = { "metrics", WIRE_A_TO_B,
	    WIRE_TABLE(struct ctl_metrics, ctl_metrics_rows) },
	[CTL_CERT] = { "cert", WIRE_A_TO_B, WIRE_TABLE(struct ctl_cert, ctl_cert_rows) },
	[CTL_GO] = { "go", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[CTL_READY] = { "ready", WIRE_B_TO_A, WIRE_TABLE_NONE },
	[CTL_CONFIG] = { "config", WIRE_A_TO_B, WIRE_TABLE(struct ctl_config, ctl_config_rows) },
	[CTL_DRAIN] = { "drain", WIRE_A_TO_B, WIRE_TABLE(struct ctl_drain, ctl_drain_rows) },
	[CTL_RECORD] = { "record", WIRE_A_TO_B, WIRE_TABLE(struct audit_rec, audit_rec_rows) },
	[CTL_RECORDED] = { "recorded", WIRE_B_TO_A,
	    WIRE_TABLE(struct ctl_recorded, ctl_recorded_rows) },
	[CTL_HEAD] = { "head", WIRE_B_TO_A, WIRE_TABLE(struct ctl_head, ctl_head_rows) },
	[CTL_HEAD_KEPT] = { "head-kept", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[CTL_GENERATION] = { "generation", WIRE_B_TO_A,
	    WIRE_TABLE(struct ctl_generation, ctl_generation_rows) },
	[CTL_RELOAD] = { "reload", WIRE_B_TO_A, WIRE_TABLE_NONE },
	[CTL_RELOADED] = { "reloaded", WIRE_A_TO_B,
	    WIRE_TABLE(struct ctl_reloaded, ctl_reloaded_rows) },
	[CTL_PING] = { "ping", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[CTL_PONG] = { "pong", WIRE_B_TO_A, WIRE_TABLE_NONE },
	[CTL_ROLLED_BACK] = { "rolled-back", WIRE_A_TO_B,
	    WIRE_TABLE(struct ctl_rolled_back, ctl_rolled_back_rows) },
	[CTL_CERT_ROTATE] = { "cert-rotate", WIRE_B_TO_A, WIRE_TABLE_NONE },
	[CTL_CERT_ROTATED] = { "cert-rotated", WIRE_A_TO_B,
	    WIRE_TABLE(struct ctl_cert_rotated, ctl_cert_rotated_rows) },
	[CTL_OWED] = { "owed", WIRE_A_TO_B, WIRE_TABLE(struct ctl_owed, ctl_owed_rows) },
	[CTL_OWE] = { "owe", WIRE_B_TO_A, WIRE_TABLE(struct ctl_owed, ctl_owed_rows) },
	[CTL_OWE_KEPT] = { "owe-kept", WIRE_A_TO_B,
	    WIRE_TABLE(struct ctl_owe_kept, ctl_owe_kept_rows) },
	[CTL_REVOCATIONS] = { "revocations", WIRE_A_TO_B,
	    WIRE_TABLE(struct ctl_revocations, ctl_revocations_rows) },
};
static const struct wire_edge ctl_edge = { .name = "control",
	.msgs = ctl_msgs,
	.nmsgs = sizeof(ctl_msgs) / sizeof(ctl_msgs[0]),
	.secrets = true };

#endif
