/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyring.c: keys over keys: tenants', users', and values under them.
 *
 * Runs in: store. Trusts: nothing that it reads: a wrapped key opens only as that version
 * of that owner's, under the very key that it says.
 * Owns: the unwrapped keys in memory.
 * Invariants: a key that is in memory is in the database, too: what is made in a
 * transaction that is taken back is forgotten (db_end()); nobody makes a key for an erased user.
 * See: keyring.h; keyring_kek.c (the keys above), rotate.c.
 */
#include "keyring_internal.h"

#include <assert.h>

#include <base/cleanup.h>
#include <base/rand.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>

#define AAD_MAX 2048

static struct status tenant_make(
    struct db *db, int64_t tenant, uint64_t version, struct data_key *ret);
static struct status user_make(
    struct db *db, int64_t user, int64_t tenant, uint64_t version, struct data_key *ret);

struct span
place_number(uint64_t v, uint8_t out[8])
{
	for (size_t i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (56 - 8 * i));
	return span_of(out, 8);
}

static struct status
aad_part(struct span s, struct buf *out)
{
	uint8_t len[8];

	TRY(buf_put_span(out, place_number(s.len, len)));
	return buf_put_span(out, s);
}

struct status
place_aad(const struct place *at, uint64_t version, struct buf *out)
{
	uint8_t number[8];

	TRY(aad_part(span_str(at->table), out));
	TRY(aad_part(at->row[0], out));
	TRY(aad_part(at->row[1], out));
	TRY(aad_part(span_str(at->column), out));
	return buf_put_span(out, place_number(version, number));
}

static struct status
seal_in_place(const struct secret *key, const struct place *at, uint64_t version, struct span plain,
    struct buf *out)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX);

	TRY(place_aad(at, version, &aad));
	return seal(key, buf_span(&aad), plain, out);
}

static struct status
open_in_place(const struct secret *key, const struct place *at, uint64_t version, struct span blob,
    struct buf *out)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX);

	TRY(place_aad(at, version, &aad));
	return seal_open(key, buf_span(&aad), blob, out);
}

/* ---- one key under another ---- */

struct status
keyring_unwrap(
    const struct wrapped *w, const struct secret *by, struct span blob, struct data_key *ret)
{
	struct secret *key = key_cache_add(w->cache, w->id, w->owner);
	struct buf out = secret_buf(key);
	struct status st = open_in_place(by, &w->at, w->by, blob, &out);

	if (is_ok(st) && out.len != SEAL_KEY_LEN)
		st = fail(E_CORRUPT);
	if (!is_ok(st)) {
		key_cache_drop(w->cache, w->id);
		return st.code == E_SYNTAX || st.code == E_FULL ? fail(E_CORRUPT) : st;
	}
	*ret = (struct data_key){ w->id, key };
	return OK;
}

struct status
keyring_wrap(const struct secret *by, const struct place *at, uint64_t by_id,
    const struct secret *key, struct buf *out)
{
	return seal_in_place(by, at, by_id, secret_borrow(key), out);
}

bool
keyring_in_memory(struct key_cache *c, uint64_t id, uint64_t owner, struct data_key *ret)
{
	const struct secret *key = key_cache_get(c, id, owner);

	if (key != NULL)
		*ret = (struct data_key){ id, key };
	return key != NULL;
}

/* ---- tenants ---- */

static struct place
tenant_place(int64_t tenant, uint64_t version, uint8_t numbers[16])
{
	return (struct place){ "tenant_keys",
		{ place_number((uint64_t)tenant, numbers), place_number(version, numbers + 8) },
		"wrapped" };
}

/* The row that statement `s` has found: id, version, kek, wrapped. */
static struct status
tenant_row(struct db *db, enum statement s, int64_t tenant, struct data_key *ret)
{
	uint8_t numbers[16];
	struct wrapped w = { .cache = db->keyring->tenants, .owner = (uint64_t)tenant };
	struct data_key kek;
	uint64_t version;

	TRY(sql_column_u64(db, s, 0, &w.id));
	if (keyring_in_memory(w.cache, w.id, w.owner, ret))
		return OK;
	TRY(sql_column_u64(db, s, 1, &version));
	TRY(sql_column_u64(db, s, 2, &w.by));
	TRY(keyring_kek_get(db, w.by, &kek));
	w.at = tenant_place(tenant, version, numbers);
	return keyring_unwrap(&w, kek.key, sql_column(db, s, 3), ret);
}

struct status
keyring_tenant_get(struct db *db, int64_t tenant, uint64_t id, struct data_key *ret)
{
	struct status st;

	if (keyring_in_memory(db->keyring->tenants, id, (uint64_t)tenant, ret))
		return OK;
	sql_int(db, SQL_TENANT_KEY_GET, 1, id);
	sql_int(db, SQL_TENANT_KEY_GET, 2, (uint64_t)tenant);
	st = sql_row(db, SQL_TENANT_KEY_GET);
	if (st.code == E_NOTFOUND)
		return fail(E_CORRUPT); /* something is under it */
	TRY(st);
	st = tenant_row(db, SQL_TENANT_KEY_GET, tenant, ret);
	sql_reset(db, SQL_TENANT_KEY_GET);
	return st;
}

struct status
keyring_tenant_newest(struct db *db, int64_t tenant, struct data_key *ret)
{
	struct status st;

	sql_int(db, SQL_TENANT_KEY_NEWEST, 1, (uint64_t)tenant);
	st = sql_row(db, SQL_TENANT_KEY_NEWEST);
	if (st.code == E_NOTFOUND)
		return tenant_make(db, tenant, 1, ret);
	TRY(st);
	st = tenant_row(db, SQL_TENANT_KEY_NEWEST, tenant, ret);
	sql_reset(db, SQL_TENANT_KEY_NEWEST);
	return st;
}

static struct status
tenant_wrapped_add(struct db *db, int64_t tenant, uint64_t version, const struct secret *key)
{
	auto_buf struct buf blob = BUF_INIT(WRAPPED_MAX);
	uint8_t numbers[16];
	const struct place at = tenant_place(tenant, version, numbers);
	struct data_key kek;

	TRY(keyring_kek_newest(db, &kek));
	TRY(keyring_wrap(kek.key, &at, kek.id, key, &blob));
	sql_int(db, SQL_TENANT_KEY_ADD, 1, (uint64_t)tenant);
	sql_int(db, SQL_TENANT_KEY_ADD, 2, version);
	sql_int(db, SQL_TENANT_KEY_ADD, 3, kek.id);
	sql_blob(db, SQL_TENANT_KEY_ADD, 4, buf_span(&blob));
	return sql_run(db, SQL_TENANT_KEY_ADD);
}

/* The id is known after the row is in; until then the key lies in a secret of its own. */
static struct status
tenant_make(struct db *db, int64_t tenant, uint64_t version, struct data_key *ret)
{
	auto_secret struct secret key = SECRET_NONE;
	struct secret *kept;

	TRY(secret_random(SEAL_KEY_LEN, &key));
	TRY(tenant_wrapped_add(db, tenant, version, &key));
	ret->id = (uint64_t)backend_last_id(db->back);
	kept = key_cache_add(db->keyring->tenants, ret->id, (uint64_t)tenant);
	memcpy(kept->ptr, key.ptr, key.len);
	ret->key = kept;
	return OK;
}

/* ---- users ---- */

static struct place
user_place(int64_t user, uint64_t version, uint8_t numbers[16])
{
	return (struct place){ "user_keys",
		{ place_number((uint64_t)user, numbers), place_number(version, numbers + 8) },
		"wrapped" };
}

/* The row that statement `s` has found: id, version, tenant, tenant's key, wrapped. */
static struct status
user_row(struct db *db, enum statement s, int64_t user, struct data_key *ret)
{
	uint8_t numbers[16];
	struct wrapped w = { .cache = db->keyring->users, .owner = (uint64_t)user };
	struct data_key over;
	uint64_t version, tenant;

	TRY(sql_column_u64(db, s, 0, &w.id));
	if (keyring_in_memory(w.cache, w.id, w.owner, ret))
		return OK;
	TRY(sql_column_u64(db, s, 1, &version));
	TRY(sql_column_u64(db, s, 2, &tenant));
	TRY(sql_column_u64(db, s, 3, &w.by));
	TRY(keyring_tenant_get(db, (int64_t)tenant, w.by, &over));
	w.at = user_place(user, version, numbers);
	return keyring_unwrap(&w, over.key, sql_column(db, s, 4), ret);
}

struct status
keyring_user_get(struct db *db, int64_t user, uint64_t id, struct data_key *ret)
{
	struct status st;

	if (keyring_in_memory(db->keyring->users, id, (uint64_t)user, ret))
		return OK;
	if (id > INT64_MAX || user < 0)
		return fail(E_NOTFOUND);
	sql_int(db, SQL_USER_KEY_GET, 1, id);
	sql_int(db, SQL_USER_KEY_GET, 2, (uint64_t)user);
	TRY(sql_row(db, SQL_USER_KEY_GET));
	st = user_row(db, SQL_USER_KEY_GET, user, ret);
	sql_reset(db, SQL_USER_KEY_GET);
	return st;
}

/* Has it a key? Its tenant, its newest version (0: none). */
static struct status
user_look(
    struct db *db, int64_t user, int64_t *ret_tenant, uint64_t *ret_version, struct data_key *ret)
{
	uint64_t tenant, state;
	struct status st;

	if (user < 0)
		return fail(E_NOTFOUND);
	sql_int(db, SQL_USER_KEY_NEWEST, 1, (uint64_t)user);
	TRY(sql_row(db, SQL_USER_KEY_NEWEST));
	*ret_version = 0;
	st = sql_column_u64(db, SQL_USER_KEY_NEWEST, 2, &tenant);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_USER_KEY_NEWEST, 5, &state);
	if (is_ok(st) && state >= USER_ERASED)
		st = fail(E_NOTFOUND);
	if (is_ok(st))
		*ret_tenant = (int64_t)tenant;
	if (is_ok(st) && sql_column(db, SQL_USER_KEY_NEWEST, 4).len > 0) {
		st = sql_column_u64(db, SQL_USER_KEY_NEWEST, 1, ret_version);
		if (is_ok(st))
			st = user_row(db, SQL_USER_KEY_NEWEST, user, ret);
	}
	sql_reset(db, SQL_USER_KEY_NEWEST);
	return st;
}

struct status
keyring_user_newest(struct db *db, int64_t user, struct data_key *ret)
{
	uint64_t version;
	int64_t tenant;

	TRY(user_look(db, user, &tenant, &version, ret));
	if (version != 0)
		return OK;
	if (backend_in_transaction(db->back))
		return user_make(db, user, tenant, 1, ret);
	TRY(db_begin(db));
	return db_end(db, user_make(db, user, tenant, 1, ret));
}

struct status
keyring_user_newer(struct db *db, int64_t user, struct data_key *ret)
{
	uint64_t version;
	int64_t tenant;

	TRY(user_look(db, user, &tenant, &version, ret));
	return user_make(db, user, tenant, version + 1, ret);
}

struct status
keyring_tenant_newer(struct db *db, int64_t tenant, uint64_t version, struct data_key *ret)
{
	return tenant_make(db, tenant, version, ret);
}

static struct status
user_wrapped_add(
    struct db *db, int64_t user, int64_t tenant, uint64_t version, const struct secret *key)
{
	auto_buf struct buf blob = BUF_INIT(WRAPPED_MAX);
	uint8_t numbers[16];
	const struct place at = user_place(user, version, numbers);
	struct data_key over;

	TRY(keyring_tenant_newest(db, tenant, &over));
	TRY(keyring_wrap(over.key, &at, over.id, key, &blob));
	sql_int(db, SQL_USER_KEY_ADD, 1, (uint64_t)user);
	sql_int(db, SQL_USER_KEY_ADD, 2, version);
	sql_int(db, SQL_USER_KEY_ADD, 3, over.id);
	sql_blob(db, SQL_USER_KEY_ADD, 4, buf_span(&blob));
	return sql_run(db, SQL_USER_KEY_ADD);
}

static struct status
user_make(struct db *db, int64_t user, int64_t tenant, uint64_t version, struct data_key *ret)
{
	auto_secret struct secret key = SECRET_NONE;
	struct secret *kept;

	TRY(secret_random(SEAL_KEY_LEN, &key));
	TRY(user_wrapped_add(db, user, tenant, version, &key));
	ret->id = (uint64_t)backend_last_id(db->back);
	kept = key_cache_add(db->keyring->users, ret->id, (uint64_t)user);
	memcpy(kept->ptr, key.ptr, key.len);
	ret->key = kept;
	return OK;
}

/* ---- keys that stay, under another one ---- */

struct status
keyring_tenant_rewrap(struct db *db, int64_t tenant, uint64_t id, uint64_t version)
{
	auto_buf struct buf blob = BUF_INIT(WRAPPED_MAX);
	uint8_t numbers[16];
	const struct place at = tenant_place(tenant, version, numbers);
	struct data_key key, kek;

	TRY(keyring_tenant_get(db, tenant, id, &key));
	TRY(keyring_kek_newest(db, &kek));
	TRY(keyring_wrap(kek.key, &at, kek.id, key.key, &blob));
	sql_int(db, SQL_TENANT_KEY_SET, 1, id);
	sql_int(db, SQL_TENANT_KEY_SET, 2, kek.id);
	sql_blob(db, SQL_TENANT_KEY_SET, 3, buf_span(&blob));
	return sql_run(db, SQL_TENANT_KEY_SET);
}

struct status
keyring_user_rewrap(struct db *db, int64_t user, int64_t tenant, uint64_t id, uint64_t version)
{
	auto_buf struct buf blob = BUF_INIT(WRAPPED_MAX);
	uint8_t numbers[16];
	const struct place at = user_place(user, version, numbers);
	struct data_key key, over;

	TRY(keyring_user_get(db, user, id, &key));
	TRY(keyring_tenant_newest(db, tenant, &over));
	TRY(keyring_wrap(over.key, &at, over.id, key.key, &blob));
	sql_int(db, SQL_USER_KEY_SET, 1, id);
	sql_int(db, SQL_USER_KEY_SET, 2, over.id);
	sql_blob(db, SQL_USER_KEY_SET, 3, buf_span(&blob));
	return sql_run(db, SQL_USER_KEY_SET);
}

void
keyring_user_drop(struct db *db, uint64_t id)
{
	key_cache_drop(db->keyring->users, id);
}

/* ---- erasure ---- */

static struct status
user_destroy(struct db *db, int64_t user)
{
	sql_int(db, SQL_USER_ERASE, 1, (uint64_t)user);
	TRY(sql_run(db, SQL_USER_ERASE));
	if (backend_changed(db->back) == 0)
		return fail(E_NOTFOUND);
	sql_int(db, SQL_USER_KEYS_REMOVE, 1, (uint64_t)user);
	return sql_run(db, SQL_USER_KEYS_REMOVE);
}

struct status
keyring_user_destroy(struct db *db, int64_t user)
{
	assert(!backend_in_transaction(db->back));
	if (user < 0)
		return fail(E_NOTFOUND);
	sql_reset_all(db); /* a read that is open would keep the log */
	users_forget(db);
	TRY(db_begin(db));
	sums_less(db);
	TRY(db_end(db, user_destroy(db, user)));
	key_cache_drop_owner(db->keyring->users, (uint64_t)user);
	return db_settle(db);
}

/* ---- values ---- */

struct status
keyring_value_seal(struct db *db, int64_t user, const struct place *at, uint64_t version,
    struct span plain, uint64_t *ret_key_id, struct buf *out)
{
	struct data_key key = { 0 };

	TRY(keyring_user_newest(db, user, &key));
	TRY(seal_in_place(key.key, at, version, plain, out));
	*ret_key_id = key.id;
	return OK;
}

/* What is no blob of ours was changed. */
static struct status
changed(struct status st)
{
	return st.code == E_SYNTAX ? fail(E_CORRUPT) : st;
}

struct status
keyring_value_open(struct db *db, int64_t user, uint64_t key_id, const struct place *at,
    uint64_t version, struct span blob, struct buf *out)
{
	struct data_key key = { 0 };

	TRY(keyring_user_get(db, user, key_id, &key));
	return changed(open_in_place(key.key, at, version, blob, out));
}

struct status
keyring_sealed_with(const struct data_key *key, const struct place *at, uint64_t version,
    struct span plain, struct buf *out)
{
	return seal_in_place(key->key, at, version, plain, out);
}

struct status
keyring_opened_with(const struct data_key *key, const struct place *at, uint64_t version,
    struct span blob, struct buf *out)
{
	return changed(open_in_place(key->key, at, version, blob, out));
}

struct status
keyring_index(struct db *db, const char *label, struct span text, uint8_t out[DIGEST_LEN])
{
	const struct span parts[] = { span_of(label, strlen(label) + 1), text };

	return hmac_sha256_parts(db->keyring->index, parts, 2, out);
}

/* ---- start and end ---- */

struct status
keyring_new(struct db *db)
{
	db->keyring = calloc(1, sizeof(*db->keyring));
	if (db->keyring == NULL)
		return fail(E_NOMEM);
	TRY(key_cache_new(KEYRING_KEKS_MAX, &db->keyring->keks));
	TRY(key_cache_new(KEYRING_TENANTS_MAX, &db->keyring->tenants));
	return key_cache_new(KEYRING_USERS_MAX, &db->keyring->users);
}

struct status
keyring_index_key(struct db *db, const uint8_t key[AS_SECRET_LEN])
{
	/* A migration has made one already, the same. */
	hmac_key_free(db->keyring->index);
	db->keyring->index = NULL;
	return hmac_key_new(span_of(key, AS_SECRET_LEN), &db->keyring->index);
}

void
keyring_forget(struct db *db)
{
	keyring_kek_forget(db);
	key_cache_clear(db->keyring->tenants);
	key_cache_clear(db->keyring->users);
}

void
keyring_free(struct db *db)
{
	if (db->keyring == NULL)
		return;
	key_cache_free(db->keyring->keks);
	key_cache_free(db->keyring->tenants);
	key_cache_free(db->keyring->users);
	hmac_key_free(db->keyring->index);
	free(db->keyring);
	db->keyring = NULL;
}
