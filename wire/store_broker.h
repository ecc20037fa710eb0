/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_STORE_BROKER_H
#define WIRE_STORE_BROKER_H

/*
 * Store (A) has a key-encryption key wrapped or unwrapped by Vault or KMS, which the broker (B)
 * alone speaks to. What travels is the key sealed by the store under its own root already: the
 * broker, which faces the internet, never has it in plain, and neither has Vault or KMS.
 * B tells A which credentials of providers are in use, by marks of them.
 *
 *	WRAP, UNWRAP, REWRAP    calls of the store, answered with their id by KEK: what came of it.
 *	                        The broker asks for the keys that its configuration names, and for
 *	                        no others, once that is on record; it does not try again: the store
 *	                        does
 *	CREDENTIALS             all marks, in place of what the same broker said before
 */
#include <link/wire.h>
#include <pasted/known.h>
#include <wire/authority_broker.h>
#include <wire/limits.h>

#define SB_KEY_LEN 113         /* a sealed key: 32 bytes and SEAL_OVERHEAD */
#define SB_CIPHERTEXT_MAX 8192 /* as Vault or KMS writes it, text */
#define SB_STATE_LEN 16        /* names the state that a key is of; no secret */

enum sb_type {
	SB_WRAP = 1, /* A: a key */
	SB_UNWRAP,   /* A: what WRAP or REWRAP gave */
	SB_REWRAP, /* A: the same, under the newest version of the key there, without plain text */
	SB_KEK,    /* B: same id */
	SB_CREDENTIALS, /* B */
};

struct sb_wrap {
	struct span reference;       /* vault:MOUNT/KEY, aws-kms:ID: as configured */
	uint8_t state[SB_STATE_LEN]; /* authenticated there, with `version` */
	uint64_t version;            /* of the key-encryption key */
	uint8_t key[SB_KEY_LEN];
};
static const struct wire_field sb_wrap_rows[] = {
	WIRE_BYTES(struct sb_wrap, reference, 1, SECRET_REF_MAX),
	WIRE_FIXED(struct sb_wrap, state),
	WIRE_U64(struct sb_wrap, version),
	WIRE_FIXED(struct sb_wrap, key),
};

struct sb_unwrap {
	struct span reference;
	uint8_t state[SB_STATE_LEN];
	uint64_t version;
	struct span ciphertext;
};
static const struct wire_field sb_unwrap_rows[] = {
	WIRE_BYTES(struct sb_unwrap, reference, 1, SECRET_REF_MAX),
	WIRE_FIXED(struct sb_unwrap, state),
	WIRE_U64(struct sb_unwrap, version),
	WIRE_BYTES(struct sb_unwrap, ciphertext, 1, SB_CIPHERTEXT_MAX),
};

struct sb_kek {
	uint8_t fault;           /* enum secret_fault; NONE: it was done */
	uint32_t retry_after_ms; /* what Vault or KMS asks for, or our pause; 0: nothing */
	struct span answer;      /* of UNWRAP the key, SB_KEY_LEN; else a ciphertext; or empty */
};
static const struct wire_field sb_kek_rows[] = {
	WIRE_U8(struct sb_kek, fault, SECRET_FAULT_COUNT - 1),
	WIRE_U32(struct sb_kek, retry_after_ms, UINT32_MAX),
	WIRE_BYTES(struct sb_kek, answer, 0, SB_CIPHERTEXT_MAX),
};

static const struct wire_field sb_mark_rows[] = {
	WIRE_U16(struct known_mark, len, SECRET_VALUE_MAX),
	WIRE_U32(struct known_mark, end, UINT32_MAX),
	WIRE_FIXED(struct known_mark, tag),
};
static const struct wire_table sb_mark_table = WIRE_TABLE(struct known_mark, sb_mark_rows);

struct sb_credentials {
	uint8_t key[KNOWN_KEY_LEN]; /* of the marks, for the life of a broker */
	struct wire_list marks;     /* of struct known_mark */
};
static const struct wire_field sb_credentials_rows[] = {
	WIRE_FIXED(struct sb_credentials, key),
	WIRE_LIST(struct sb_credentials, marks, 0, KNOWN_MAX, &sb_mark_table),
};

static const struct wire_msg sb_msgs[] = {
	[SB_WRAP] = { "wrap", WIRE_A_TO_B, WIRE_TABLE(struct sb_wrap, sb_wrap_rows) },
	[SB_UNWRAP] = { "unwrap", WIRE_A_TO_B, WIRE_TABLE(struct sb_unwrap, sb_unwrap_rows) },
	[SB_REWRAP] = { "rewrap", WIRE_A_TO_B, WIRE_TABLE(struct sb_unwrap, sb_unwrap_rows) },
	[SB_CREDENTIALS] = { "credentials", WIRE_B_TO_A,
	    WIRE_TABLE(struct sb_credentials, sb_credentials_rows) },
	[SB_KEK] = { "kek", WIRE_B_TO_A, WIRE_TABLE(struct sb_kek, sb_kek_rows) },
};
static const struct wire_edge sb_edge = { .name = "store-broker",
	.msgs = sb_msgs,
	.nmsgs = sizeof(sb_msgs) / sizeof(sb_msgs[0]),
	.secrets = true };

#endif
