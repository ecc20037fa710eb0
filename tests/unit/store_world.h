/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_STORE_WORLD_H
#define TESTS_STORE_WORLD_H

/*
 * A folder of its own with a database in it, and keys to put there.
 */
#include "unit.h"

#define UNUSED __attribute__((unused))

#include <dirent.h>
#include <sys/wait.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/crypto.h>
#include <keytext/keytext.h>

#include <backend_sqlite.h>

#include "crashpoint.h"
#include <internal.h>
#include <privacy.h>

#define DAY_S 86400ULL
#define NOW (20000 * DAY_S + 5)

#define test_fail(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

static char path[64];
static struct secret kek;
static int here = -1; /* the current directory */

static void UNUSED
assert_is_ok(struct status st)
{
	if (!is_ok(st))
		test_fail("%s", status_text(st));
}

static void UNUSED
dir_clear(void)
{
	DIR *dir = opendir(".");

	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		if (e->d_name[0] != '.')
			(void)unlinkat(AT_FDCWD, e->d_name, 0);
	}
	(void)closedir(dir);
}

static int UNUSED
setup(void **arg)
{
	(void)arg;
	assert_is_ok(crypto_init());
	(void)snprintf(path, sizeof(path), "%s/sallyport-unit-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(path));
	assert_int_equal(chdir(path), 0);
	here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_is_ok(secret_random(32, &kek));
	return 0;
}

static int UNUSED
teardown(void **arg)
{
	(void)arg;
	dir_clear();
	(void)close(here);
	assert_int_equal(chdir("/"), 0);
	(void)rmdir(path);
	secret_done(&kek);
	return 0;
}

static int UNUSED
fresh(void **arg)
{
	(void)arg;
	crash.fail_errno = 0;
	dir_clear();
	return 0;
}

static UNUSED struct db *
open_ok(void)
{
	struct db *db = NULL;

	assert_is_ok(db_open(&kek, NULL, &db));
	return db;
}

/* An operator says that what others have changed is true. */
static void UNUSED
accept_changes(struct db *db)
{
	uint8_t unfit = db_sums_unfit(db);

	if (unfit != 0)
		assert_is_ok(db_sums_accept(db, unfit));
	assert_int_equal(db_sums_unfit(db), 0);
}

/* A root that a child process can make again: the parent's pages are empty there. */
static void UNUSED
kek_known(void)
{
	secret_done(&kek);
	assert_is_ok(secret_new(32, &kek));
	memset(kek.ptr, 5, 32);
}

static void UNUSED
kek_child(void)
{
	kek = SECRET_NONE;
	if (!is_ok(secret_new(32, &kek)))
		_exit(6);
	memset(kek.ptr, 5, 32);
}

/* Key number n of user n / 2 of tenant n / 4. */
static struct as_key UNUSED
key_of(unsigned n, char names[3][24])
{
	struct as_key k = { .created_s = NOW + n, .expires_s = n, .revoked_s = 0, .pepper = 1 };

	(void)snprintf(names[0], 24, "tenant%u", n / 4);
	(void)snprintf(names[1], 24, "user%u", n / 2);
	(void)snprintf(names[2], 24, "policy%u", n % 3);
	memset(k.id, 'a' + (int)(n % 26), sizeof(k.id));
	k.id[0] = (uint8_t)('0' + n / 26);
	memset(k.hash, (int)n, sizeof(k.hash));
	k.tenant = span_str(names[0]);
	k.user = span_str(names[1]);
	k.policy = span_str(names[2]);
	return k;
}

static struct status UNUSED
put(struct db *db, unsigned n, uint8_t subject_key[AS_SECRET_LEN])
{
	char names[3][24];
	struct as_key k = key_of(n, names);

	return db_key_put(db, &k, subject_key);
}

static unsigned UNUSED
count_keys(struct db *db, uint64_t *ret_revoked)
{
	int64_t cursor = 0;
	struct as_key k;
	unsigned n = 0;

	while (is_ok(db_key_next(db, &cursor, &k))) {
		char names[3][24];
		struct as_key want = key_of(n, names);

		assert_memory_equal(k.id, want.id, sizeof(k.id));
		assert_memory_equal(k.hash, want.hash, sizeof(k.hash));
		assert_true(span_eq(k.tenant, want.tenant) && span_eq(k.user, want.user) &&
			    span_eq(k.policy, want.policy));
		assert_int_equal(k.created_s, want.created_s);
		assert_int_equal(k.expires_s, want.expires_s);
		*ret_revoked += k.revoked_s != 0 ? 1 : 0;
		n++;
	}
	return n;
}

static struct status UNUSED
usage_add(struct db *db, uint64_t seq, unsigned key, const char *model, uint32_t day)
{
	char names[3][24];
	struct as_key k = key_of(key, names);
	struct as_usage_item i = { .model = span_str(model),
		.day = day,
		.requests = 2,
		.errors = 1,
		.tokens_in = 10,
		.tokens_out = 20,
		.estimated = 1,
		.estimated_in = 3,
		.estimated_out = 4,
		.cached_in = 7,
		.cache_written_in = 2,
		.reasoning_out = 11 };
	struct as_usage_add m = { .epoch = { 9 }, .seq = seq, .items = { &i, 1 } };

	memcpy(i.id, k.id, sizeof(i.id));
	return db_usage_add(db, &m);
}

struct usage_seen {
	unsigned rows;
	uint64_t requests, tokens_out, cached, written, reasoning;
	char last_model[MODEL_MAX + 1];
};

static struct status UNUSED
usage_see(void *ctx, const struct as_usage_row *row)
{
	struct usage_seen *s = ctx;

	s->rows++;
	s->requests += row->requests;
	s->tokens_out += row->tokens_out;
	s->cached += row->cached_in;
	s->written += row->cache_written_in;
	s->reasoning += row->reasoning_out;
	assert_int_equal(row->estimated_in * 2, row->requests * 3);
	(void)snprintf(s->last_model, sizeof(s->last_model), "%.*s", SPAN_FMT(row->model));
	return OK;
}

static struct usage_seen UNUSED
usage_of(struct db *db, const struct as_usage_list *m, struct db_usage_at *ret_next)
{
	struct usage_seen s = { 0 };

	assert_is_ok(db_usage_list(db, m, usage_see, &s, ret_next));
	return s;
}

/* All steps of it; *ret_rows: before the first. */
static struct status UNUSED
erase_all(struct db *db, struct span tenant, struct span user, uint64_t *ret_rows)
{
	bool more = false;

	TRY(db_user_erase(db, tenant, user, ret_rows, &more));
	while (more)
		TRY(db_user_erase(db, tenant, user, NULL, &more));
	return OK;
}

#endif
