/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timers of a running store: sweeps, by which time and with what of the configuration; and a
 * rotation.
 */
#include "sum_world.h"
#include "store_loop.h"

#include <sys/stat.h>

#include <base/clock.h>

#include <backup.h>
#include <privacy.h>
#include <requests.h>
#include <rotate.h>

static uint64_t real_s; /* what the clock says */
static struct {
	unsigned n;
	uint64_t now_s; /* of the last one */
} swept;
static unsigned rotated; /* steps of a rotation */
static struct {
	unsigned n;
	uint64_t ms; /* of the last one */
} timed;

uint64_t __wrap_clock_real_ns(void);
struct status __wrap_db_sweep(struct db *db, uint64_t now_s, bool *ret_more);

uint64_t
__wrap_clock_real_ns(void)
{
	return real_s * NS_PER_S;
}

struct status
__wrap_db_sweep(struct db *db, uint64_t now_s, bool *ret_more)
{
	assert_non_null(db);
	swept.n++;
	swept.now_s = now_s;
	*ret_more = false;
	return OK;
}

int __real_uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t ms, uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t ms, uint64_t repeat);
int
__wrap_uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t ms, uint64_t repeat)
{
	timed.n++;
	timed.ms = ms;
	return __real_uv_timer_start(t, cb, ms, repeat);
}

struct status __wrap_db_rotate_step(
    struct db *db, uint64_t now_s, uint64_t budget_ns, bool *ret_more);
struct status
__wrap_db_rotate_step(struct db *db, uint64_t now_s, uint64_t budget_ns, bool *ret_more)
{
	assert_true(db_rotate_is_under_way(db) && now_s == real_s && budget_ns > 0);
	rotated++;
	*ret_more = false;
	return OK;
}

static void
until_swept(void)
{
	unsigned n = swept.n;

	while (swept.n == n)
		(void)uv_run(&loop, UV_RUN_ONCE);
}

/* A store whose last day was that of NOW, started when the clock says `at_s`. */
static struct db *
start(uint64_t at_s, const char *yaml)
{
	uint8_t key[AS_SECRET_LEN];
	struct db *db = open_ok();

	assert_is_ok(db_day_key(db, SPAN_LIT("2024-10-04"), NOW, key));
	loop_begin(yaml);
	memset(&swept, 0, sizeof(swept));
	real_s = at_s;
	privacy_start(&d, db);
	return db;
}

#define YAML "policies: { p: { endpoints: [models] } }\n"

static void
as_the_clock_says(void **arg)
{
	struct db *db = start(NOW + 60, YAML);

	(void)arg;
	until_swept();
	assert_int_equal(swept.now_s, NOW + 60);
	end(db);
	/* One that was set back is believed. */
	db = start(NOW - 40 * DAY_S, YAML);
	until_swept();
	assert_int_equal(swept.now_s, NOW - 40 * DAY_S);
	end(db);
}

/* What is ahead of the last day that the service ran is not believed; nor is a jump. */
static void
a_clock_ahead_deletes_nothing(void **arg)
{
	const uint64_t day_s = NOW - NOW % DAY_S;
	struct db *db = start(NOW + 400 * DAY_S, YAML);

	(void)arg;
	until_swept();
	assert_in_range(swept.now_s, day_s, day_s + 2 * DAY_S + 60);
	end(db);
	db = start(NOW, YAML);
	real_s = NOW + 400 * DAY_S; /* meanwhile */
	until_swept();
	assert_in_range(swept.now_s, NOW, NOW + 60);
	end(db);
}

static void
the_configuration_is_taken(void **arg)
{
	struct db *db = start(NOW,
	    YAML "store: { user_mb: 7 }\nretention: { conversations_days: 1, responses_days: 2, "
		 "files_days: 3, usage_days: 4 }\n");

	(void)arg;
	assert_int_equal(db->content.user_bytes_max, 7U << 20);
	assert_int_equal(db->content.reserve, DB_RESERVE);
	assert_int_equal(db->content.days[RETAINED_CONVERSATIONS], 1);
	assert_int_equal(db->content.days[RETAINED_RESPONSES], 2);
	assert_int_equal(db->content.days[RETAINED_FILES], 3);
	assert_int_equal(db->content.days[RETAINED_USAGE], 4);
	end(db);
}

/* Who asks for a sweep all the time gets one: what is due is not put off. */
static void
asked_for_again_and_again(void **arg)
{
	struct db *db = start(NOW, YAML);

	(void)arg;
	for (int i = 0; i < 3; i++) {
		until_swept();
		assert_int_equal(timed.ms, SWEEP_IDLE_MS);
		timed.n = 0;
		for (int n = 0; n < 100; n++)
			privacy_sweep_soon();
		assert_int_equal(timed.n, 1);
		assert_int_equal(timed.ms, SWEEP_BUSY_MS);
	}
	end(db);
}

/* ---- the way back from a migration ---- */

/* A copy of before that was made at `made_s`. */
static void
leave_copy(const char *name, uint64_t made_s)
{
	const struct timespec times[2] = { { .tv_sec = (time_t)made_s },
		{ .tv_sec = (time_t)made_s } };

	assert_is_ok(io_replace_file(here, name, SPAN_LIT("before"), 0600));
	assert_int_equal(utimensat(AT_FDCWD, name, times, 0), 0);
}

static void
copies_of_before_go(void **arg)
{
	struct db *db;

	(void)arg;
	leave_copy(BACKUP_BEFORE_FILE, NOW - 29 * DAY_S);
	leave_copy(BACKUP_BEFORE_FILE_7, NOW - 31 * DAY_S);
	db = start(NOW + 60, YAML);
	until_swept();
	assert_int_equal(access(BACKUP_BEFORE_FILE, F_OK), 0);
	assert_int_equal(access(BACKUP_BEFORE_FILE_7, F_OK), -1);
	end(db);
}

/* By what is believed, at a start and later: a wrong date does not take the way back. */
static void
copies_of_before_stay(void **arg)
{
	struct db *db;

	(void)arg;
	leave_copy(BACKUP_BEFORE_FILE, NOW - 1);
	db = start(NOW + 40 * DAY_S, YAML);
	until_swept();
	assert_int_equal(access(BACKUP_BEFORE_FILE, F_OK), 0);
	end(db);
	db = start(NOW, YAML);
	real_s = NOW + 400 * DAY_S;
	until_swept();
	assert_int_equal(access(BACKUP_BEFORE_FILE, F_OK), 0);
	end(db);
}

/* ---- a rotation ---- */

/* A store with a rotation that was begun, some of whose rows are not its own. */
static struct db *
rotating(const char *change)
{
	struct db *db = filled();

	assert_is_ok(db_rotate(db, AS_ROTATE_KEK, NOW));
	db_close(db);
	edit(change);
	assert_int_equal(uv_loop_init(&loop), 0);
	d = (struct daemon){ .loop = &loop };
	db = open_ok();
	real_s = NOW + 1;
	rotated = 0;
	assert_is_ok(rotate_requests_init(&d, db));
	(void)uv_run(&loop, UV_RUN_ONCE);
	return db;
}

/* Nothing of people is sealed anew before it is ours: it is put off, and goes on once it is. */
static void
a_rotation_waits_for_our_own(void **arg)
{
	struct db *db = rotating("UPDATE users SET hold = 1 WHERE id = 2");

	(void)arg;
	assert_int_equal(db_sums_unfit(db), PEOPLE);
	assert_int_equal(rotated, 0);
	assert_in_range(timed.ms, 1000, 60000);
	end(db);
	(void)fresh(arg);
	db = rotating("UPDATE file_secrets SET set_s = 1");
	assert_int_equal(db_sums_unfit(db), 1U << SUM_SECRETS);
	assert_int_equal(rotated, 1);
	end(db);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(as_the_clock_says), T(a_clock_ahead_deletes_nothing),
		T(the_configuration_is_taken), T(asked_for_again_and_again), T(copies_of_before_go),
		T(copies_of_before_stay), T(a_rotation_waits_for_our_own) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
