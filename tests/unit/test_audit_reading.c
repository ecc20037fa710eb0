/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of the log: whatever the page begins behind, forwards and backwards, over many segments,
 * by type and by time, all of it comes once and in order; what is not durable does not come; a
 * line that is none is told.
 */
#include "audit_fixture.h"

#include <base/clock.h>

#include "reading.h"

#define RECORDS 400U

static struct state state;
static struct log l;

/* RECORDS records; each third is an intent, of another type. */
static void
fill(const struct log_opts *opts)
{
	state_make(&state);
	log_open_ok(&state, &l, opts);
	for (uint32_t i = 1; i <= RECORDS; i++) {
		if (i % 3 == 0)
			append_intent(&l, i, 1, false);
		else
			append_plain(&l, i, false);
		if (i % 7 == 0 || i == RECORDS)
			assert_is_ok(log_commit(&l));
	}
}

/* In segments of 4 KiB. */
static int
setup(void **unused)
{
	const struct log_opts opts = opts_small();

	(void)unused;
	fill(&opts);
	assert_true(l.segment > 20);
	return 0;
}

/* In one, which is longer than a page, and than what is searched line by line. */
static int
setup_long(void **unused)
{
	const struct log_opts opts = { .segment_max = 64U << 20, .reserve = 65536 };

	(void)unused;
	fill(&opts);
	assert_true(l.segment == 1 && l.len > AA_PAGE_MAX);
	return 0;
}

static int
teardown(void **unused)
{
	(void)unused;
	log_close(&l);
	state_remove(&state);
	return 0;
}

static struct auditlog_head
head_of(struct span *lines)
{
	const uint8_t *end = memchr(lines->ptr, '\n', lines->len);
	struct auditlog_head h;

	assert_non_null(end);
	assert_is_ok(auditlog_head_of(span_of(lines->ptr, (size_t)(end - lines->ptr)), &h));
	*lines = span_from(*lines, (size_t)(end - lines->ptr) + 1);
	return h;
}

/* All pages from there on: how many records came; each must be the next one of its kind. */
static uint32_t
walk(struct aa_read m, uint64_t first, uint32_t step)
{
	struct aa_page page;
	uint64_t expected = first;
	uint32_t n = 0, pages = 0;

	do {
		assert_is_ok(reading_page(&l, &m, &page));
		assert_true(page.end || page.at != m.at);
		assert_true(page.lines.len <= AA_PAGE_MAX);
		assert_true(++pages < 1000);
		while (page.lines.len > 0) {
			assert_int_equal(head_of(&page.lines).seq, expected);
			expected += m.descending ? -(uint64_t)step : step;
			n++;
		}
		m.at = page.at;
	} while (!page.end);
	return n;
}

static void
test_walks(void **unused)
{
	(void)unused;
	assert_int_equal(walk((struct aa_read){ 0 }, 1, 1), RECORDS);
	assert_int_equal(walk((struct aa_read){ .descending = 1 }, RECORDS, 1), RECORDS);
	for (uint32_t at = 1; at <= RECORDS; at++) {
		assert_int_equal(walk((struct aa_read){ .at = at }, at + 1, 1), RECORDS - at);
		assert_int_equal(
		    walk((struct aa_read){ .at = at, .descending = 1 }, at - 1, 1), at - 1);
	}
	/* Behind the end, and before the beginning. */
	assert_int_equal(walk((struct aa_read){ .at = UINT64_MAX }, 0, 1), 0);
	assert_int_equal(walk((struct aa_read){ .at = 1, .descending = 1 }, 0, 1), 0);
	assert_int_equal(
	    walk((struct aa_read){ .at = UINT64_MAX, .descending = 1 }, RECORDS, 1), RECORDS);
}

static void
test_types(void **unused)
{
	const struct span type = SPAN_LIT("PromptSubmitted");

	(void)unused;
	assert_int_equal(walk((struct aa_read){ .type = type }, 3, 3), RECORDS / 3);
	assert_int_equal(
	    walk((struct aa_read){ .type = type, .descending = 1 }, RECORDS - RECORDS % 3, 3),
	    RECORDS / 3);
	assert_int_equal(walk((struct aa_read){ .type = SPAN_LIT("Prompt") }, 0, 1), 0);
}

static uint64_t
ts_of(uint64_t seq)
{
	struct aa_page page;

	assert_is_ok(reading_page(&l, &(struct aa_read){ .at = seq - 1 }, &page));
	return head_of(&page.lines).ts_ns;
}

static void
test_times(void **unused)
{
	(void)unused;
	for (uint64_t seq = 2; seq <= RECORDS; seq += 13) {
		uint64_t ts = ts_of(seq);

		if (ts_of(seq - 1) == ts)
			continue;
		assert_int_equal(
		    walk((struct aa_read){ .since_ns = ts }, seq, 1), RECORDS - seq + 1);
		assert_int_equal(walk((struct aa_read){ .until_ns = ts }, 1, 1), seq - 1);
		assert_int_equal(
		    walk((struct aa_read){ .since_ns = ts, .descending = 1 }, RECORDS, 1),
		    RECORDS - seq + 1);
		assert_int_equal(
		    walk((struct aa_read){ .until_ns = ts, .descending = 1 }, seq - 1, 1), seq - 1);
		assert_int_equal(walk((struct aa_read){ .since_ns = ts, .until_ns = ts }, 0, 1), 0);
	}
	assert_int_equal(walk((struct aa_read){ .since_ns = UINT64_MAX }, 0, 1), 0);
	assert_int_equal(walk((struct aa_read){ .until_ns = 1, .descending = 1 }, 0, 1), 0);
}

/* What waits for its commit is not there yet; a segment without a record is none. */
static void
test_durable(void **unused)
{
	(void)unused;
	append_plain(&l, RECORDS + 1, false);
	assert_int_equal(walk((struct aa_read){ 0 }, 1, 1), RECORDS);
	assert_int_equal(walk((struct aa_read){ .descending = 1 }, RECORDS, 1), RECORDS);
	assert_is_ok(log_commit(&l));
	assert_int_equal(walk((struct aa_read){ 0 }, 1, 1), RECORDS + 1);
	assert_is_ok(log_segment_create(&l, l.segment + 1));
	assert_int_equal(walk((struct aa_read){ 0 }, 1, 1), RECORDS + 1);
	assert_int_equal(walk((struct aa_read){ .descending = 1 }, RECORDS + 1, 1), RECORDS + 1);
	assert_int_equal(walk((struct aa_read){ .at = RECORDS }, RECORDS + 1, 1), 1);
}

static void
test_spoilt(void **unused)
{
	auto_fd int fd = openat(state.audit, "00000002.jsonl", O_WRONLY);
	struct aa_page page;
	struct aa_read m = { 0 };
	struct status st = OK;

	(void)unused;
	assert_true(fd >= 0 && pwrite(fd, "X", 1, 0) == 1);
	for (uint32_t i = 0; i < 100 && is_ok(st); i++) {
		st = reading_page(&l, &m, &page);
		m.at = page.at;
	}
	assert_int_equal(st.code, E_CORRUPT);
	/* One that is gone is no empty one. */
	assert_int_equal(unlinkat(state.audit, "00000002.jsonl", 0), 0);
	m.at = 0;
	for (st = OK; is_ok(st); m.at = page.at)
		st = reading_page(&l, &m, &page);
	assert_int_equal(st.code, E_SYS);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define L(f) cmocka_unit_test_setup_teardown(f, setup_long, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(test_walks), T(test_types), T(test_times),
		T(test_durable), T(test_spoilt), L(test_walks), L(test_types), L(test_times),
		L(test_durable) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
