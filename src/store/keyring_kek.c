/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyring_kek.c: key-encryption keys: under the root, and then perhaps under a key elsewhere.
 *
 * Runs in: store. Trusts: nothing that it reads or that Vault or KMS gave: a key opens only as that
 * version of this root's, and under the wrapper that its row names.
 * Owns: the unwrapped keys in memory, and the one that is in no row yet.
 * Invariants: a row says by what it is wrapped. `local`: sealed under the root. Else: sealed under
 * the root for that wrapper, and what Vault or KMS made of that; such a key, once it is in
 * memory, stays there as long as its row, since whoever opens it may be away.
 * See: keyring.h; kek.c, which asks; wire/store_broker.h.
 */
#include "keyring_internal.h"

#include <base/cleanup.h>
#include <base/rand.h>
#include <crypto/hash.h>
#include <wire/store_broker.h>

_Static_assert(SB_KEY_LEN == SEAL_KEY_LEN + SEAL_OVERHEAD, "a sealed key");

static bool
is_local(const char *wrapper)
{
	return strcmp(wrapper, KEK_WRAPPER_LOCAL) == 0;
}

static struct place
kek_place(uint64_t version, const char *wrapper, uint8_t number[8])
{
	return (struct place){ "keks",
		{ place_number(version, number),
		    is_local(wrapper) ? SPAN_EMPTY : span_str(wrapper) },
		"wrapped" };
}

/* ---- one of them ---- */

struct status
keyring_kek_get(struct db *db, uint64_t version, struct data_key *ret)
{
	uint8_t number[8];
	const struct wrapped w = { db->keyring->keks, version, 0,
		kek_place(version, KEK_WRAPPER_LOCAL, number), 0 };
	struct status st;

	if (keyring_in_memory(w.cache, version, 0, ret))
		return OK;
	sql_int(db, SQL_KEK_GET, 1, version);
	st = sql_row(db, SQL_KEK_GET);
	if (st.code == E_NOTFOUND)
		return fail(E_CORRUPT); /* something is wrapped with it */
	TRY(st);
	if (!span_eq_str(sql_column(db, SQL_KEK_GET, 1), KEK_WRAPPER_LOCAL))
		st = fail(E_CLOSED); /* it was not asked for */
	else
		st = keyring_unwrap(&w, db->root, sql_column(db, SQL_KEK_GET, 0), ret);
	sql_reset(db, SQL_KEK_GET);
	return st;
}

struct status
keyring_kek_version(struct db *db, uint64_t *ret)
{
	return sql_number(db, SQL_KEK_NEWEST, ret);
}

struct status
keyring_kek_newest(struct db *db, struct data_key *ret)
{
	uint64_t version;

	TRY(keyring_kek_version(db, &version));
	return keyring_kek_get(db, version, ret);
}

/* ---- rows ---- */

static struct status
kek_write(
    struct db *db, enum statement s, uint64_t version, const char *wrapper, struct span wrapped)
{
	sql_int(db, s, 1, version);
	sql_blob(db, s, 2, wrapped);
	sql_text(db, s, 3, span_str(wrapper));
	return sql_run(db, s);
}

/* Sealed under the root. */
static struct status
kek_seal(struct db *db, uint64_t version, const char *wrapper, struct buf *out)
{
	uint8_t number[8];
	const struct place at = kek_place(version, wrapper, number);
	struct data_key key;

	TRY(keyring_kek_get(db, version, &key));
	return keyring_wrap(db->root, &at, 0, key.key, out);
}

static struct status
kek_add_local(struct db *db, uint64_t version)
{
	auto_buf struct buf blob = BUF_INIT(WRAPPED_MAX);

	TRY(kek_seal(db, version, KEK_WRAPPER_LOCAL, &blob));
	return kek_write(db, SQL_KEK_ADD, version, KEK_WRAPPER_LOCAL, buf_span(&blob));
}

struct status
keyring_kek_make_local(struct db *db, uint64_t version)
{
	struct secret *key = key_cache_add(db->keyring->keks, version, 0);
	struct status st = rand_bytes(key->ptr, key->len);

	db->kek.made = version;
	if (is_ok(st))
		st = kek_add_local(db, version);
	if (!is_ok(st))
		keyring_kek_forget(db);
	return st;
}

struct status
keyring_kek_make(struct db *db, uint64_t version)
{
	if (is_local(db->kek.wrapper))
		return keyring_kek_make_local(db, version);
	if (db->kek.prepared != version || db->kek.wrapped.len == 0)
		return fail(E_CLOSED);
	return kek_write(db, SQL_KEK_ADD, version, db->kek.wrapper, buf_span(&db->kek.wrapped));
}

void
keyring_kek_forget(struct db *db)
{
	if (db->kek.made != 0)
		key_cache_drop(db->keyring->keks, db->kek.made);
	db->kek.made = 0;
}

struct status
keyring_kek_next(struct db *db, uint64_t after, struct kek_row *ret, struct buf *wrapped)
{
	struct status st;

	sql_int(db, SQL_KEK_NEXT, 1, after);
	TRY(sql_row(db, SQL_KEK_NEXT));
	st = sql_column_u64(db, SQL_KEK_NEXT, 0, &ret->version);
	if (is_ok(st) && !is_ok(span_to_cstr(
			     sql_column(db, SQL_KEK_NEXT, 1), ret->wrapper, sizeof(ret->wrapper))))
		st = fail(E_CORRUPT);
	if (is_ok(st) && sql_column(db, SQL_KEK_NEXT, 2).len > wrapped->max)
		st = fail(E_CORRUPT);
	buf_clear(wrapped);
	if (is_ok(st))
		st = buf_put_span(wrapped, sql_column(db, SQL_KEK_NEXT, 2));
	sql_reset(db, SQL_KEK_NEXT);
	return st;
}

/* ---- wrapped elsewhere ---- */

struct status
keyring_state_name(struct db *db, uint8_t out[SB_STATE_LEN])
{
	return hkdf_sha256(secret_borrow(db->root), SPAN_EMPTY,
	    SPAN_LIT("sallyport store.kek state v1"), out, SB_STATE_LEN);
}

bool
keyring_kek_is_open(struct db *db, uint64_t version)
{
	return key_cache_get(db->keyring->keks, version, 0) != NULL;
}

/* What another end gave is opened for a look, not into the keyring. */
static struct status
inner_open(
    struct db *db, uint64_t version, const char *wrapper, struct span inner, struct secret *ret)
{
	auto_buf struct buf aad = BUF_INIT(2048);
	uint8_t number[8];
	const struct place at = kek_place(version, wrapper, number);
	struct status st;

	TRY(place_aad(&at, 0, &aad));
	st = seal_open_secret(db->root, buf_span(&aad), inner, ret);
	if (is_ok(st) && ret->len != SEAL_KEY_LEN)
		st = fail(E_CRYPTO);
	return st.code == E_SYNTAX || st.code == E_RANGE ? fail(E_CRYPTO) : st;
}

struct status
keyring_kek_opened(struct db *db, uint64_t version, const char *wrapper, struct span inner)
{
	auto_secret struct secret key = SECRET_NONE;

	TRY(inner_open(db, version, wrapper, inner, &key));
	memcpy(key_cache_add(db->keyring->keks, version, 0)->ptr, key.ptr, key.len);
	return OK;
}

struct status
keyring_kek_same(struct db *db, uint64_t version, const char *wrapper, struct span inner)
{
	auto_secret struct secret key = SECRET_NONE;
	struct data_key have;

	TRY(keyring_kek_get(db, version, &have));
	TRY(inner_open(db, version, wrapper, inner, &key));
	return secret_eq(have.key, secret_borrow(&key)) ? OK : fail(E_CRYPTO);
}

struct status
keyring_kek_inner(struct db *db, uint64_t version, const char *wrapper, uint8_t out[SB_KEY_LEN])
{
	struct buf inner = { .ptr = out, .cap = SB_KEY_LEN, .max = SB_KEY_LEN };

	TRY(kek_seal(db, version, wrapper, &inner));
	return inner.len == SB_KEY_LEN ? OK : fail(E_CRYPTO);
}

struct status
keyring_kek_prepare(struct db *db, uint64_t version)
{
	struct secret *key;
	struct status st;

	keyring_kek_unprepare(db);
	key = key_cache_add(db->keyring->keks, version, 0);
	st = rand_bytes(key->ptr, key->len);
	db->kek.prepared = version;
	if (!is_ok(st))
		keyring_kek_unprepare(db);
	return st;
}

struct status
keyring_kek_prepared(struct db *db, struct span wrapped)
{
	buf_clear(&db->kek.wrapped);
	return buf_put_span(&db->kek.wrapped, wrapped);
}

/* A key that is in a row by now stays. */
void
keyring_kek_unprepare(struct db *db)
{
	uint64_t version = db->kek.prepared;

	db->kek.prepared = 0;
	buf_clear(&db->kek.wrapped);
	if (version == 0)
		return;
	sql_int(db, SQL_KEK_GET, 1, version);
	if (sql_row(db, SQL_KEK_GET).code == E_NOTFOUND)
		key_cache_drop(db->keyring->keks, version);
	sql_reset(db, SQL_KEK_GET);
}

struct status
keyring_kek_set(struct db *db, uint64_t version, const char *wrapper, struct span wrapped)
{
	auto_buf struct buf blob = BUF_INIT(WRAPPED_MAX);

	if (!is_local(wrapper))
		return kek_write(db, SQL_KEK_SET, version, wrapper, wrapped);
	TRY(kek_seal(db, version, wrapper, &blob));
	return kek_write(db, SQL_KEK_SET, version, wrapper, buf_span(&blob));
}

/* ---- what is retired ---- */

static bool
has_row(void *ctx, uint64_t version)
{
	struct db *db = ctx;
	struct status st;

	if (version == db->kek.prepared)
		return true;
	sql_int(db, SQL_KEK_GET, 1, version);
	st = sql_row(db, SQL_KEK_GET);
	sql_reset(db, SQL_KEK_GET);
	return st.code != E_NOTFOUND;
}

void
keyring_kek_prune(struct db *db)
{
	key_cache_keep(db->keyring->keks, has_row, db);
}
