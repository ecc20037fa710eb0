/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sum.c: sums over rows that say who may what: kept, compared, accepted.
 *
 * Runs in: store. Trusts: nothing that it reads, but a database that never had sums (of a version
 * before 8): its rows are taken as they are, once. Owns: the sums in memory, their key.
 * Invariants: the sums in memory are those of the last commit, or of the transaction under way;
 * what is kept is written in the very transaction that changes a row, whatever statement does
 * it: triggers see it. One that does not fit is changed by what takes rights away alone, and by as
 * much as its rows are: what it differs from them by stays, so that it does not fit at the next
 * start either, unless those that it is of are back.
 * See: sum.h; sum_walk.c for what rows add; sum_rows.c for the rows.
 */
#include "sum.h"

#include <stdio.h>

#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>

#include "tool.h"

#define KEY_NAME "sums"
#define NAME_LEN_MAX 32

static struct span
name_of(enum as_sum sum, char out[NAME_LEN_MAX])
{
	(void)snprintf(out, NAME_LEN_MAX, "sum:%s", as_sum_names[sum]);
	return span_str(out);
}

/* ---- numbers of 256 bits, modulo 2^256 ---- */

void
sum_add(uint8_t sum[DIGEST_LEN], const uint8_t term[DIGEST_LEN])
{
	unsigned carry = 0;

	for (size_t i = 0; i < DIGEST_LEN; i++) {
		carry += (unsigned)sum[i] + term[i];
		sum[i] = (uint8_t)carry;
		carry >>= 8;
	}
}

void
sum_take(uint8_t sum[DIGEST_LEN], const uint8_t term[DIGEST_LEN])
{
	unsigned borrow = 0;

	for (size_t i = 0; i < DIGEST_LEN; i++) {
		unsigned v = 256U + sum[i] - term[i] - borrow;

		sum[i] = (uint8_t)v;
		borrow = v < 256U ? 1 : 0;
	}
}

/* ---- what is kept ---- */

/* What the generation adds to each. */
static struct status
generation_term(struct db *db, uint8_t out[DIGEST_LEN])
{
	uint8_t number[8];
	const struct span parts[] = { span_of("generation", sizeof("generation")),
		place_number(db->sums.generation, number) };

	return hmac_sha256_parts(db->sums.key, parts, 2, out);
}

static struct status
write_one(struct db *db, enum as_sum sum)
{
	uint8_t value[DIGEST_LEN];
	char name[NAME_LEN_MAX];

	TRY(generation_term(db, value));
	sum_add(value, db->sums.now[sum]);
	return db_secret_keep(db, name_of(sum, name), value);
}

struct status
sums_write(struct db *db)
{
	if (db->sums.failed) /* and whoever asked for that change went on all the same */
		return fail(E_CORRUPT);
	for (enum as_sum sum = SUM_PEOPLE; sum < SUM_COUNT; sum++) {
		if (db->sums.dirty[sum] && !db->sums.fit[sum] && !db->sums.less)
			return fail(E_CORRUPT);
		if (db->sums.known[sum] && (db->sums.dirty[sum] || db->sums.due[sum]))
			TRY(write_one(db, sum));
	}
	return OK;
}

void
sums_over(struct db *db, bool committed)
{
	struct sums_state *s = &db->sums;

	if (committed) {
		s->changes += s->dirty[SUM_PEOPLE] || s->dirty[SUM_SECRETS] ? 1 : 0;
		memcpy(s->kept, s->now, sizeof(s->kept));
		s->generation_kept = s->generation;
	} else {
		memcpy(s->now, s->kept, sizeof(s->now));
		s->generation = s->generation_kept;
	}
	sum_walk_over(&s->walk, committed);
	memset(s->dirty, 0, sizeof(s->dirty));
	memset(s->due, 0, sizeof(s->due));
	s->failed = s->less = false;
}

void
sums_less(struct db *db)
{
	db->sums.less = true;
}

bool
sums_fit(const struct db *db, enum as_sum sum)
{
	return db->sums.fit[sum];
}

void
sums_generation(struct db *db, uint64_t generation)
{
	struct sums_state *s = &db->sums;

	s->generation = generation;
	for (enum as_sum sum = SUM_PEOPLE; sum < SUM_COUNT; sum++)
		s->due[sum] = s->known[sum];
}

/* ---- do they fit? ---- */

/*
 * Of a value that is not there, or does not open, the rows fit nothing. Where they do not fit what
 * is there, that is what the sum stays.
 */
static struct status
check_one(struct db *db, enum as_sum sum)
{
	struct sums_state *s = &db->sums;
	uint8_t kept[AS_SECRET_LEN], term[DIGEST_LEN];
	char name[NAME_LEN_MAX];
	struct status st = db_secret_find(db, name_of(sum, name), kept);

	s->fit[sum] = s->known[sum] = false;
	if (st.code == E_NOMEM || st.code == E_SYS)
		return st;
	if (!is_ok(st))
		return OK;
	TRY(generation_term(db, term));
	sum_take(kept, term);
	s->known[sum] = true;
	s->fit[sum] = crypto_eq(span_of(kept, DIGEST_LEN), span_of(s->now[sum], DIGEST_LEN));
	memcpy(s->now[sum], kept, DIGEST_LEN);
	memcpy(s->kept[sum], kept, DIGEST_LEN);
	return OK;
}

static struct status
check(struct db *db)
{
	for (enum as_sum sum = SUM_PEOPLE; sum < SUM_COUNT; sum++)
		TRY(check_one(db, sum));
	return OK;
}

static struct status
write_all(struct db *db)
{
	TRY(generation_put(db, db->sums.generation));
	sums_generation(db, db->sums.generation);
	return OK;
}

/* There never were any: what is there is what is true. */
static struct status
begin(struct db *db)
{
	memset(db->sums.fit, true, sizeof(db->sums.fit));
	memset(db->sums.known, true, sizeof(db->sums.known));
	TRY(db_begin(db));
	return db_end(db, write_all(db));
}

/* The sums of the rows that are there, as those of now. */
static struct status
take(struct db *db)
{
	TRY(sum_walk_all(db));
	memcpy(db->sums.now, db->sums.walk.now, sizeof(db->sums.now));
	memcpy(db->sums.kept, db->sums.now, sizeof(db->sums.kept));
	return OK;
}

static bool
is_ours(struct status st)
{
	return st.code == E_NOMEM || st.code == E_SYS;
}

static struct status
find_out(struct db *db)
{
	struct sums_state *s = &db->sums;
	bool summed = false;
	struct status st = take(db);

	if (is_ok(st))
		st = generation_get(db, &s->generation, &summed);
	if (is_ours(st))
		return st;
	s->generation_kept = s->generation;
	if (st.code == E_NOTFOUND || (is_ok(st) && !summed))
		return begin(db);
	return is_ok(st) ? check(db) : OK; /* what cannot be read fits nothing */
}

struct status
sums_open(struct db *db)
{
	uint8_t key[AS_SECRET_LEN];
	struct status st = db_secret_ensure(db, SPAN_LIT(KEY_NAME), key);

	if (is_ok(st))
		st = hmac_key_new(span_of(key, sizeof(key)), &db->sums.key);
	explicit_bzero(key, sizeof(key));
	TRY(st);
	TRY(sum_watch(db));
	TRY(find_out(db));
	db->tools.fit = db->tools.fit && db->sums.fit[SUM_TOOLS];
	return OK;
}

void
sums_close(struct db *db)
{
	hmac_key_free(db->sums.key);
	db->sums.key = NULL;
}

uint8_t
db_sums_unfit(const struct db *db)
{
	uint8_t unfit = db->tools.fit ? 0 : 1U << SUM_TOOLS;

	for (enum as_sum sum = SUM_PEOPLE; sum < SUM_COUNT; sum++)
		unfit |= (uint8_t)(db->sums.fit[sum] ? 0 : 1U << sum);
	return unfit;
}

struct status
db_sums_look(struct db *db, uint64_t budget_ns, bool *ret_more)
{
	struct sums_state *s = &db->sums;

	sql_reset_all(db);
	TRY(sum_walk_some(db, budget_ns, ret_more));
	if (*ret_more)
		return OK;
	for (enum as_sum sum = SUM_PEOPLE; sum < SUM_COUNT; sum++)
		s->fit[sum] = s->fit[sum] && memcmp(s->walk.now[sum], s->now[sum], DIGEST_LEN) == 0;
	db->tools.fit = db->tools.fit && s->fit[SUM_TOOLS];
	return OK;
}

void
db_sums_look_anew(struct db *db)
{
	db->sums.walk.under_way = false;
}

/* ---- an operator says that it is true ---- */

/* A generation that could not be read begins anew: the supervisor notices that, too. */
static struct status
accept(struct db *db)
{
	uint64_t generation = 0;
	bool summed;
	struct status st = generation_get(db, &generation, &summed);

	if (is_ours(st))
		return st;
	db->sums.generation = generation;
	TRY(tools_accept(db));
	return write_all(db);
}

struct status
db_sums_accept(struct db *db, uint8_t unfit)
{
	const struct sums_state was = db->sums;
	const bool fit = db->tools.fit, known = db->tools.known;
	uint8_t tools[DIGEST_LEN];
	struct status st;

	memcpy(tools, db->tools.sum, sizeof(tools));
	if (db_sums_unfit(db) == 0)
		return fail(E_NOTFOUND);
	if (db_sums_unfit(db) != unfit)
		return fail(E_AGAIN);
	sql_reset_all(db);
	TRY(take(db));
	memset(db->sums.fit, true, sizeof(db->sums.fit));
	memset(db->sums.known, true, sizeof(db->sums.known));
	st = db_begin(db);
	if (is_ok(st))
		st = db_end(db, accept(db));
	if (!is_ok(st)) {
		db->sums = was;
		db->tools.fit = fit;
		db->tools.known = known;
		memcpy(db->tools.sum, tools, sizeof(tools));
	}
	return st;
}

uint64_t
db_sums_changes(const struct db *db)
{
	return db->sums.changes;
}
