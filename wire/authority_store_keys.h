/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUTHORITY_STORE_KEYS_H
#define WIRE_AUTHORITY_STORE_KEYS_H

/*
 * Messages of authority_store.h about what rotates: the key-encryption key, data keys,
 * peppers and the keys that sign sessions.
 */
#include <link/wire.h>
#include <wire/authority_store_rights.h>
#include <wire/limits.h>

enum as_rotation { AS_ROTATE_NONE, AS_ROTATE_KEK, AS_ROTATE_DATA, AS_ROTATE_LAST = AS_ROTATE_DATA };
struct as_kek_rotate {
	uint8_t what; /* enum as_rotation */
};
static const struct wire_field as_kek_rotate_rows[] = {
	WIRE_U8(struct as_kek_rotate, what, AS_ROTATE_LAST),
};

struct as_kek {
	uint16_t code;     /* E_EXISTS: a rotation is under way, E_RANGE (what), E_SYS …; E_AGAIN:
			    * the new key was not wrapped, see `fault` */
	uint8_t under_way; /* enum as_rotation */
	uint64_t version;  /* of the newest key-encryption key */
	uint64_t versions; /* of it that are kept */
	uint64_t kek_left; /* keys and secrets under older ones */
	uint64_t data_left; /* keys of users that are to be replaced or deleted */
	uint64_t tenant_left;
	uint64_t unopened; /* values that do not open: the key that they need stays */
	uint64_t kek_started_s, kek_ended_s; /* of the last one of each kind; 0: never, not yet */
	uint64_t data_started_s, data_ended_s;
	struct span wrapper; /* of key-encryption keys: `store.kek` */
	uint64_t foreign;    /* versions that another one wraps still */
	uint8_t fault;       /* enum secret_fault: why the last try to wrap or unwrap went wrong */
};
static const struct wire_field as_kek_rows[] = {
	WIRE_U16(struct as_kek, code, 64),
	WIRE_U8(struct as_kek, under_way, AS_ROTATE_LAST),
	WIRE_U64(struct as_kek, version),
	WIRE_U64(struct as_kek, versions),
	WIRE_U64(struct as_kek, kek_left),
	WIRE_U64(struct as_kek, data_left),
	WIRE_U64(struct as_kek, tenant_left),
	WIRE_U64(struct as_kek, unopened),
	WIRE_U64(struct as_kek, kek_started_s),
	WIRE_U64(struct as_kek, kek_ended_s),
	WIRE_U64(struct as_kek, data_started_s),
	WIRE_U64(struct as_kek, data_ended_s),
	WIRE_BYTES(struct as_kek, wrapper, 0, SECRET_REF_MAX),
	WIRE_U64(struct as_kek, foreign),
	WIRE_U8(struct as_kek, fault, UINT8_MAX),
};

/* Keys that have versions, and nothing sealed under them. */
enum as_keysets { KEYSET_NONE, KEYSET_SESSION, KEYSET_PEPPER, KEYSET_COUNT };
struct as_keyset_ref {
	uint8_t what; /* enum as_keysets */
};
static const struct wire_field as_keyset_ref_rows[] = {
	WIRE_U8(struct as_keyset_ref, what, KEYSET_COUNT - 1),
};

struct as_keyset_key {
	uint8_t what;
	uint32_t version; /* counts from 1 */
	uint64_t created_s;
	uint8_t key[AS_SECRET_LEN];
};
static const struct wire_field as_keyset_key_rows[] = {
	WIRE_U8(struct as_keyset_key, what, KEYSET_COUNT - 1),
	WIRE_U32(struct as_keyset_key, version, UINT32_MAX),
	WIRE_U64(struct as_keyset_key, created_s),
	WIRE_FIXED(struct as_keyset_key, key),
};

struct as_keyset {
	uint16_t code; /* E_FULL: as many old ones are still needed as can be, E_RANGE, E_SYS … */
	uint8_t what;
	uint32_t version;  /* the newest */
	uint32_t versions; /* that are kept */
	uint64_t left;     /* what needs older ones */
	uint64_t created_s;
	uint8_t key[AS_SECRET_LEN]; /* the newest, where it was made just now; STATUS: zeroes */
};
static const struct wire_field as_keyset_rows[] = {
	WIRE_U16(struct as_keyset, code, 64),
	WIRE_U8(struct as_keyset, what, KEYSET_COUNT - 1),
	WIRE_U32(struct as_keyset, version, UINT32_MAX),
	WIRE_U32(struct as_keyset, versions, UINT32_MAX),
	WIRE_U64(struct as_keyset, left),
	WIRE_U64(struct as_keyset, created_s),
	WIRE_FIXED(struct as_keyset, key),
};

#endif
