/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key.c: API keys: what a key is and may, sealed under its user's data key.
 *
 * Runs in: store. Trusts: nothing that it reads. Owns: the value that was read last.
 * Invariants: whatever decides about a key (hash, policy, expiry, revocation, scopes) is in
 * its sealed value; a change seals it as the next version, so that an older value does not
 * open. Only id, owner and the time of its last use stand in clear. A row goes with its owner, or
 * KEY_ENDED_DAYS after the key has ended, when nothing is counted for it any more.
 * See: db.h; keyring.h.
 */
#include "internal.h"

#include <base/arena.h>
#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>

#define ARENA_MAX 1024U
#define KEYS_LOOKED_MAX 512U /* in one step of a sweep */
#define KEYS_SWEEP_S 3600    /* between two passes */

struct key_value {
	uint8_t hash[DIGEST_LEN];
	struct span policy;
	uint64_t created_s, expires_s, revoked_s;
	uint32_t pepper;
	uint8_t replaces[KEY_ID_LEN];
	struct span scopes;
};
static const struct wire_field key_value_rows[] = {
	WIRE_FIXED(struct key_value, hash),
	WIRE_BYTES(struct key_value, policy, 1, POLICY_MAX),
	WIRE_U64(struct key_value, created_s),
	WIRE_U64(struct key_value, expires_s),
	WIRE_U64(struct key_value, revoked_s),
	WIRE_U32(struct key_value, pepper, UINT32_MAX),
	WIRE_FIXED(struct key_value, replaces),
	WIRE_BYTES(struct key_value, scopes, 0, SCOPES_MAX),
};
static const struct wire_table key_value_table = WIRE_TABLE(struct key_value, key_value_rows);

/* A key's row, opened: spans lie in db->key_plain, until the next call. */
struct key_open {
	uint64_t n, version;
	int64_t user;
	uint8_t id[KEY_ID_LEN];
	struct key_value value;
};

static struct place
key_place(const struct key_open *k, uint8_t number[8])
{
	return (struct place){ "keys",
		{ span_of(k->id, KEY_ID_LEN), place_number((uint64_t)k->user, number) }, "value" };
}

/* The row that `s` has found: n, id, user, key, version, pepper, value. */
static struct status
row_open(struct db *db, enum statement s, struct key_open *k)
{
	auto_arena struct arena arena = ARENA_INIT(ARENA_MAX);
	uint64_t user, key, pepper;
	uint8_t number[8];
	struct place at;
	struct status st;

	TRY(sql_column_u64(db, s, 0, &k->n));
	TRY(sql_column_fixed(db, s, 1, k->id, KEY_ID_LEN));
	TRY(sql_column_u64(db, s, 2, &user));
	TRY(sql_column_u64(db, s, 3, &key));
	TRY(sql_column_u64(db, s, 4, &k->version));
	TRY(sql_column_u64(db, s, 5, &pepper));
	k->user = (int64_t)user;
	at = key_place(k, number);
	buf_clear(&db->key_plain);
	TRY(keyring_value_open(
	    db, k->user, key, &at, k->version, sql_column(db, s, 6), &db->key_plain));
	st = wire_decode(&key_value_table, buf_span(&db->key_plain), &arena, &k->value);
	if (!is_ok(st))
		return st.code == E_NOMEM ? st : fail(E_CORRUPT);
	return pepper == k->value.pepper ? OK : fail(E_CORRUPT);
}

static struct status
row_get(struct db *db, const uint8_t id[KEY_ID_LEN], struct key_open *k)
{
	struct status st;

	sql_blob(db, SQL_KEY_FIND, 1, span_of(id, KEY_ID_LEN));
	TRY(sql_row(db, SQL_KEY_FIND));
	st = row_open(db, SQL_KEY_FIND, k);
	sql_reset(db, SQL_KEY_FIND);
	return st;
}

static struct status
row_seal(struct db *db, const struct key_open *k)
{
	auto_buf struct buf plain = BUF_INIT(KEY_VALUE_MAX),
			    sealed = BUF_INIT(KEY_VALUE_MAX + SEAL_OVERHEAD);
	uint8_t number[8];
	const struct place at = key_place(k, number);
	uint64_t key;

	TRY(wire_encode(&key_value_table, &k->value, &plain));
	TRY(keyring_value_seal(db, k->user, &at, k->version, buf_span(&plain), &key, &sealed));
	sql_int(db, SQL_KEY_SET, 1, k->n);
	sql_int(db, SQL_KEY_SET, 2, key);
	sql_int(db, SQL_KEY_SET, 3, k->version);
	sql_int(db, SQL_KEY_SET, 4, k->value.pepper);
	sql_blob(db, SQL_KEY_SET, 5, buf_span(&sealed));
	return sql_run(db, SQL_KEY_SET);
}

struct status
key_add(struct db *db, uint64_t n, int64_t user, const struct as_key *key)
{
	struct key_open k = { .version = 1,
		.user = user,
		.value = { .policy = key->policy,
		    .created_s = key->created_s,
		    .expires_s = key->expires_s,
		    .revoked_s = key->revoked_s,
		    .pepper = key->pepper,
		    .scopes = key->scopes } };

	memcpy(k.id, key->id, KEY_ID_LEN);
	memcpy(k.value.hash, key->hash, DIGEST_LEN);
	memcpy(k.value.replaces, key->replaces, KEY_ID_LEN);
	if (n != 0)
		sql_int(db, SQL_KEY_ADD, 1, n);
	sql_blob(db, SQL_KEY_ADD, 2, span_of(key->id, KEY_ID_LEN));
	sql_int(db, SQL_KEY_ADD, 3, (uint64_t)user);
	TRY(sql_run(db, SQL_KEY_ADD));
	k.n = (uint64_t)backend_last_id(db->back);
	if (k.n > DB_KEYS_MAX)
		TRY(rows_fit(db, SQL_COUNT_KEYS, DB_KEYS_MAX));
	return row_seal(db, &k);
}

/*
 * The older key ends when it was said to: with the new one, or neither of it happens. One that was
 * revoked meanwhile has no successor.
 */
static struct status
key_replace(struct db *db, int64_t user, const struct as_key *key)
{
	struct key_open k = { .n = 0 };

	if (key->old_expires_s == 0)
		return OK;
	TRY(row_get(db, key->replaces, &k));
	if (k.user != user)
		return fail(E_NOTFOUND);
	if (k.value.revoked_s != 0)
		return fail(E_DENIED);
	if (k.value.expires_s != 0 && k.value.expires_s <= key->old_expires_s)
		return OK;
	k.value.expires_s = key->old_expires_s;
	k.version++;
	return row_seal(db, &k);
}

static struct status
has_pepper(struct db *db, uint32_t version)
{
	struct status st;

	sql_int(db, SQL_KEYSET_IS, 1, KEYSET_PEPPER);
	sql_int(db, SQL_KEYSET_IS, 2, version);
	st = sql_row(db, SQL_KEYSET_IS);
	sql_reset(db, SQL_KEYSET_IS);
	return st.code == E_NOTFOUND ? fail(E_AGAIN) : st;
}

/*
 * It is there already: the answer to an earlier put was lost, and this says it once more. Not so if
 * it is another user's or policy's, or over: E_EXISTS.
 */
static struct status
put_again(struct db *db, const struct as_key *key, uint8_t subject_key[AS_SECRET_LEN])
{
	struct key_open k = { .n = 0 };
	int64_t user = 0;

	TRY(row_get(db, key->id, &k));
	if (k.value.revoked_s != 0 || !span_eq(k.value.policy, key->policy) ||
	    !span_eq(k.value.scopes, key->scopes) || k.value.expires_s != key->expires_s)
		return fail(E_EXISTS);
	TRY(user_ensure(db, key->tenant, key->user, &user, subject_key));
	return user == k.user ? OK : fail(E_EXISTS);
}

static struct status
insert(struct db *db, const struct as_key *key, uint8_t subject_key[AS_SECRET_LEN])
{
	struct status st = db_key_same(db, key);
	int64_t user = 0;

	if (key->pepper != 0)
		TRY(has_pepper(db, key->pepper));
	if (st.code != E_NOTFOUND)
		return is_ok(st) ? put_again(db, key, subject_key) : st;
	TRY(user_ensure(db, key->tenant, key->user, &user, subject_key));
	TRY(key_add(db, 0, user, key));
	return key_replace(db, user, key);
}

struct status
db_key_put(struct db *db, const struct as_key *key, uint8_t ret_subject_key[AS_SECRET_LEN])
{
	if (!text_ok(key->tenant, TENANT_MAX) || !text_ok(key->user, USER_MAX) ||
	    !text_ok(key->policy, POLICY_MAX))
		return fail(E_SYNTAX);
	if (key->scopes.len > SCOPES_MAX || key->created_s > INT64_MAX ||
	    key->expires_s > INT64_MAX || key->revoked_s > INT64_MAX ||
	    key->old_expires_s > INT64_MAX)
		return fail(E_RANGE);
	TRY(db_begin(db));
	return db_end(db, insert(db, key, ret_subject_key));
}

struct status
db_key_same(struct db *db, const struct as_key *key)
{
	struct key_open k = { .n = 0 };
	struct status st = row_get(db, key->id, &k);

	/* An id is taken for ever, also when its owner was erased. */
	if (st.code == E_NOTFOUND) {
		sql_blob(db, SQL_KEY_IS, 1, span_of(key->id, KEY_ID_LEN));
		st = sql_row(db, SQL_KEY_IS);
		sql_reset(db, SQL_KEY_IS);
		return is_ok(st) ? fail(E_EXISTS) : st;
	}
	TRY(st);
	return crypto_eq(span_of(k.value.hash, DIGEST_LEN), span_of(key->hash, DIGEST_LEN))
		   ? OK
		   : fail(E_EXISTS);
}

static struct status
key_revoke(struct db *db, const uint8_t id[KEY_ID_LEN], uint64_t revoked_s)
{
	struct key_open k = { .n = 0 };

	TRY(row_get(db, id, &k));
	TRY(sessions_remove_of_key(db, k.n));
	if (k.value.revoked_s != 0)
		return OK;
	k.value.revoked_s = revoked_s;
	k.version++;
	return row_seal(db, &k);
}

struct status
db_key_revoke(struct db *db, const uint8_t id[KEY_ID_LEN], uint64_t revoked_s)
{
	if (revoked_s == 0 || revoked_s > INT64_MAX)
		return fail(E_RANGE);
	TRY(db_begin(db));
	sums_less(db);
	return db_end(db, key_revoke(db, id, revoked_s));
}

static struct status
used(struct db *db, const struct as_key_used *m)
{
	const struct as_key_use *uses = m->keys.items;

	for (uint32_t i = 0; i < m->keys.count; i++) {
		sql_blob(db, SQL_KEY_USED, 1, span_of(uses[i].id, KEY_ID_LEN));
		sql_int(db, SQL_KEY_USED, 2, uses[i].used_s);
		TRY(sql_run(db, SQL_KEY_USED));
	}
	return OK;
}

struct status
db_keys_used(struct db *db, const struct as_key_used *m)
{
	TRY(db_begin(db));
	return db_end(db, used(db, m));
}

/* A hash of no text ends a key: one that is valid keeps what it has, whatever the authority holds.
 */
static bool
may_lose_text(const struct key_open *k, const struct as_key_hash *h)
{
	return k->value.revoked_s != 0 ||
	       crypto_eq(span_of(k->value.hash, DIGEST_LEN), span_of(h->hash, DIGEST_LEN));
}

static struct status
rehash(struct db *db, const struct as_key_hash *h, uint64_t newest)
{
	struct key_open k = { .n = 0 };
	struct status st = row_get(db, h->id, &k);

	if (st.code == E_NOTFOUND || st.code == E_CORRUPT || st.code == E_CRYPTO)
		return OK;
	TRY(st);
	if (k.value.pepper == 0 || k.value.pepper == newest ||
	    (h->pepper != 0 && h->pepper != newest) || (h->pepper == 0 && !may_lose_text(&k, h)))
		return OK;
	memcpy(k.value.hash, h->hash, DIGEST_LEN);
	k.value.pepper = h->pepper;
	k.version++;
	return row_seal(db, &k);
}

static struct status
rehash_all(struct db *db, const struct as_key_rehash *m)
{
	const struct as_key_hash *hashes = m->keys.items;
	uint64_t newest = 0;

	TRY(keyset_newest(db, KEYSET_PEPPER, &newest));
	for (uint32_t i = 0; i < m->keys.count; i++)
		TRY(rehash(db, &hashes[i], newest));
	return keysets_retire(db);
}

struct status
db_keys_rehash(struct db *db, const struct as_key_rehash *m)
{
	TRY(db_begin(db));
	return db_end(db, rehash_all(db, m));
}

static struct status
show(struct db *db, struct as_key *ret)
{
	struct key_open k = { .n = 0 };

	TRY(row_open(db, SQL_KEY_NEXT, &k));
	memcpy(ret->id, k.id, KEY_ID_LEN);
	memcpy(ret->hash, k.value.hash, DIGEST_LEN);
	memcpy(ret->replaces, k.value.replaces, KEY_ID_LEN);
	ret->policy = k.value.policy;
	ret->created_s = k.value.created_s;
	ret->expires_s = k.value.expires_s;
	ret->revoked_s = k.value.revoked_s;
	ret->scopes = k.value.scopes;
	ret->pepper = k.value.pepper;
	TRY(sql_column_u64(db, SQL_KEY_NEXT, 7, &ret->last_used_s));
	return user_names(db, k.user, &ret->tenant, &ret->user);
}

struct status
db_key_next(struct db *db, int64_t *cursor, struct as_key *ret)
{
	struct status st;
	uint64_t n;

	do {
		sql_reset(db, SQL_KEY_NEXT);
		sql_int(db, SQL_KEY_NEXT, 1, (uint64_t)*cursor);
		TRY(sql_row(db, SQL_KEY_NEXT));
		TRY(sql_column_u64(db, SQL_KEY_NEXT, 0, &n));
		*cursor = (int64_t)n;
		st = show(db, ret);
		sql_reset(db, SQL_KEY_NEXT);
	} while (st.code == E_NOTFOUND); /* its owner was erased */
	return st.code == E_CRYPTO ? fail(E_CORRUPT) : st;
}

/* ---- those that ended ---- */

/* A person's, who comes without one: its id comes again, and it says whether that may be. */
static bool
has_no_text(const struct key_open *k)
{
	const struct span no_text[] = { SPAN_LIT("no text"), span_of(k->id, sizeof(k->id)) };
	uint8_t hash[DIGEST_LEN];

	return !is_ok(sha256_parts(no_text, 2, hash)) ||
	       memcmp(hash, k->value.hash, DIGEST_LEN) == 0;
}

static bool
is_long_over(const struct key_open *k, uint64_t now_s)
{
	uint64_t over_s = k->value.revoked_s;

	if (over_s == 0 || (k->value.expires_s != 0 && k->value.expires_s < over_s))
		over_s = k->value.expires_s;
	return over_s != 0 && over_s + KEY_ENDED_DAYS * 86400ULL <= now_s && !has_no_text(k);
}

/* Is it anything to anybody? What it has used is kept for as long as usage is. */
static struct status
is_needed(struct db *db, const struct key_open *k, bool *ret)
{
	struct status st;
	uint64_t hold = 0;

	sql_int(db, SQL_CONTENT_USER, 1, (uint64_t)k->user);
	TRY(sql_row(db, SQL_CONTENT_USER));
	st = sql_column_u64(db, SQL_CONTENT_USER, 1, &hold);
	sql_reset(db, SQL_CONTENT_USER);
	TRY(st);
	*ret = hold != 0;
	sql_int(db, SQL_USAGE_MODEL, 1, k->n);
	sql_text(db, SQL_USAGE_MODEL, 2, span_of("", 0));
	sql_int(db, SQL_USAGE_MODEL, 3, 0);
	st = sql_row(db, SQL_USAGE_MODEL);
	sql_reset(db, SQL_USAGE_MODEL);
	*ret = *ret || is_ok(st);
	return st.code == E_NOTFOUND ? OK : st;
}

static struct status
sweep_one(struct db *db, uint64_t now_s, uint64_t *mark)
{
	struct key_open k = { .n = 0 };
	bool needed = true;
	struct status st;

	sql_int(db, SQL_KEY_NEXT, 1, *mark);
	TRY(sql_row(db, SQL_KEY_NEXT));
	st = sql_column_u64(db, SQL_KEY_NEXT, 0, mark);
	if (is_ok(st))
		st = row_open(db, SQL_KEY_NEXT, &k);
	sql_reset(db, SQL_KEY_NEXT);
	if (!is_ok(st)) /* what does not open stays, and is told of by a load */
		return st.code == E_NOMEM || st.code == E_SYS ? st : OK;
	if (is_long_over(&k, now_s))
		TRY(is_needed(db, &k, &needed));
	if (needed)
		return OK;
	TRY(sessions_remove_of_key(db, k.n));
	sql_int(db, SQL_KEY_REMOVE, 1, k.n);
	return sql_run(db, SQL_KEY_REMOVE);
}

struct status
keys_sweep(struct db *db, uint64_t now_s, struct content_state *c, bool *ret_more)
{
	*ret_more = false;
	if (c->key == 0 && c->keys_s != 0 && now_s >= c->keys_s && now_s - c->keys_s < KEYS_SWEEP_S)
		return OK;
	for (unsigned i = 0; i < KEYS_LOOKED_MAX; i++) {
		struct status st = sweep_one(db, now_s, &c->key);

		if (st.code == E_NOTFOUND) {
			c->key = 0;
			c->keys_s = now_s;
			return OK;
		}
		TRY(st);
	}
	*ret_more = true;
	return OK;
}
