/* SPDX-License-Identifier: Apache-2.0 */
/* lib/base: spans, bufs, arenas, encodings. */
#include "unit.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <base/arena.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/encode.h>
#include <base/memfd.h>
#include <base/slice.h>
#include <base/span.h>

#include <stdio.h>

static void
buf_stays_within_its_cap(void **state)
{
	struct buf b = BUF_INIT(300);

	(void)state;
	assert_true(is_ok(buf_put(&b, "0123456789", 10)));
	assert_int_equal(buf_reserve(&b, 291).code, E_FULL);
	assert_int_equal(buf_reserve(&b, SIZE_MAX).code, E_FULL);
	assert_true(is_ok(buf_reserve(&b, 290)));
	assert_true(is_ok(buf_printf(&b, "-%d", 7)));
	assert_true(span_eq_str(buf_span(&b), "0123456789-7"));
	buf_shift(&b, 10);
	assert_true(span_eq_str(buf_span(&b), "-7"));
	buf_done(&b);
}

static void
arena_refuses_beyond_its_cap(void **state)
{
	struct arena a = ARENA_INIT(10000);

	(void)state;
	assert_non_null(arena_alloc(&a, 9000));
	assert_null(arena_alloc(&a, 2000));
	assert_null(arena_array(&a, SIZE_MAX / 2, 3));
	assert_null(arena_alloc(&a, SIZE_MAX));
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 2000));
	arena_done(&a);
}

/* One small block serves the next use, and what a large request took goes. */
static void
arena_keeps_one_small_block(void **state)
{
	struct arena a = ARENA_INIT(100000);
	uint8_t *small, *large;

	(void)state;
	assert_non_null(arena_alloc(&a, 1000));
	small = arena_alloc(&a, 2000);
	memset(small, 1, 2000);
	arena_reset(&a);
	assert_ptr_equal(arena_alloc(&a, 2000), small);
	assert_int_equal(small[1999], 0);
	large = arena_alloc(&a, 50000);
	assert_non_null(large);
	arena_reset(&a);
	assert_null(a.head);
	assert_int_equal(a.used, 0);
	arena_done(&a);
}

static void
wiping_leaves_nothing(void **state)
{
	struct buf b = BUF_INIT(300);
	struct arena a = ARENA_INIT(10000);
	uint8_t *p = arena_alloc(&a, 16);

	(void)state;
	assert_true(is_ok(buf_put(&b, "secret-and-rest", 15)));
	buf_shift_wipe(&b, 11);
	assert_true(span_eq_str(buf_span(&b), "rest"));
	for (size_t i = 4; i < 15; i++)
		assert_int_equal(b.ptr[i], 0);
	memset(p, 0x55, 16);
	arena_wipe(&a);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(p[i], 0);
	buf_done(&b);
	arena_done(&a);
}

static void
numbers_are_strict(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_true(is_ok(span_u64(SPAN_LIT("18446744073709551615"), UINT64_MAX, &v)));
	assert_true(v == UINT64_MAX);
	assert_int_equal(span_u64(SPAN_LIT("18446744073709551616"), UINT64_MAX, &v).code, E_RANGE);
	assert_int_equal(span_u64(SPAN_LIT("-1"), 10, &v).code, E_SYNTAX);
	assert_int_equal(span_u64(SPAN_LIT(""), 10, &v).code, E_SYNTAX);
	assert_int_equal(span_u64(SPAN_LIT("11"), 10, &v).code, E_RANGE);
}

static void
base64url_accepts_one_text_per_value(void **state)
{
	static const char *const bad[] = { "Zg==", "Zh", "Zm9v Zg", "Z", "Zm9vZ", "Zm9", "+___",
		"/___", "Zg=", "Zm9v\n", "=" };
	static const uint8_t high[] = { 0xfb, 0xff, 0xfe };
	struct buf b = BUF_INIT(1024);

	(void)state;
	assert_true(is_ok(base64url_encode(span_of(high, sizeof(high)), &b)));
	assert_true(is_ok(base64url_encode(SPAN_LIT("fooba"), &b)));
	assert_true(span_eq_str(buf_span(&b), "-__-Zm9vYmE"));
	buf_clear(&b);
	assert_true(is_ok(base64url_decode(SPAN_LIT("-__-"), &b)));
	assert_true(span_eq(buf_span(&b), span_of(high, sizeof(high))));
	buf_clear(&b);
	assert_true(is_ok(base64url_decode(SPAN_LIT("Zm9vYmE"), &b)));
	assert_true(is_ok(base64url_decode(SPAN_EMPTY, &b)));
	assert_true(span_eq_str(buf_span(&b), "fooba"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base64url_decode(span_str(bad[i]), &b).code, E_SYNTAX);
	assert_true(span_eq_str(buf_span(&b), "fooba"));
	buf_done(&b);
}

static void
percent_encoding_is_read_in_any_case(void **state)
{
	static const char *const bad[] = { "%", "a%4", "%4g", "%g4", "%%41", "%-1" };
	static const uint8_t bytes[] = { 'a', '.', 'Z', '-', '9', '_', '~', 0, ' ', '&', '/', '%',
		'+', 0xff };
	struct buf b = BUF_INIT(64), back = BUF_INIT(64);

	(void)state;
	assert_true(is_ok(percent_encode(span_of(bytes, sizeof(bytes)), &b)));
	assert_true(span_eq_str(buf_span(&b), "a.Z-9_~%00%20%26%2F%25%2B%FF"));
	assert_true(is_ok(percent_decode(buf_span(&b), &back)));
	assert_true(span_eq(buf_span(&back), span_of(bytes, sizeof(bytes))));
	buf_clear(&back);
	assert_true(is_ok(percent_decode(SPAN_LIT("a+%2f%2F"), &back)));
	assert_true(span_eq_str(buf_span(&back), "a+//"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(percent_decode(span_str(bad[i]), &back).code, E_SYNTAX);
	buf_done(&b);
	buf_done(&back);
}

static void
base64_accepts_one_text_per_value(void **state)
{
	static const char *const bad[] = { "Zg=", "Zh==", "Zm9=", "Z===", "Zg==Zg==", "Zm 9",
		"====", "Zm9v\n" };
	struct buf b = BUF_INIT(1024);

	(void)state;
	assert_true(is_ok(base64_encode(SPAN_LIT("fooba"), &b)));
	assert_true(span_eq_str(buf_span(&b), "Zm9vYmE="));
	buf_clear(&b);
	assert_true(is_ok(base64_decode(SPAN_LIT("Zm9vYmE="), &b)));
	assert_true(span_eq_str(buf_span(&b), "fooba"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base64_decode(span_str(bad[i]), &b).code, E_SYNTAX);
	buf_done(&b);
}

static void
utf8_is_repaired_across_any_split(void **state)
{
	/* Two good characters, an overlong, a surrogate, a lone tail, a cut-off lead. */
	static const uint8_t in[] = { 0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80, 0xc0, 0xaf, 0xed, 0xa0,
		0x80, 0x80, 'x', 0xe2, 0x82 };
	struct buf whole = BUF_INIT(256);
	size_t used = 0;

	(void)state;
	assert_true(is_ok(utf8_repair(span_of(in, sizeof(in)), true, &whole, &used)));
	assert_int_equal(used, sizeof(in));
	assert_int_equal(utf8_valid_len(buf_span(&whole)), whole.len);
	for (size_t cut = 0; cut <= sizeof(in); cut++) {
		struct buf split = BUF_INIT(256);

		assert_true(is_ok(utf8_repair(span_of(in, cut), false, &split, &used)));
		assert_true(
		    is_ok(utf8_repair(span_of(in + used, sizeof(in) - used), true, &split, &used)));
		assert_true(span_eq(buf_span(&split), buf_span(&whole)));
		buf_done(&split);
	}
	buf_done(&whole);
}

static void
known_values(void **state)
{
	char text[CLOCK_RFC3339_LEN + 1], digits[6];
	uint8_t id[UUID_LEN];

	(void)state;
	assert_true(crc32_ieee(SPAN_LIT("123456789")) == 0xcbf43926U);
	clock_rfc3339(1700000000123456789ULL, text);
	assert_string_equal(text, "2023-11-14T22:13:20.123456789Z");
	base62_u64(61 + 62 * 10, digits, 6);
	assert_memory_equal(digits, "0000Az", 6);
	assert_true(is_ok(uuid7(&(struct rand_pool){ .left = 0 }, id)));
	assert_int_equal(id[6] >> 4, 7);
	assert_int_equal(id[8] >> 6, 2);
}

/* Each byte once, none of them kept; what a pool has not left comes from the kernel. */
static void
a_pool_gives_each_byte_once(void **state)
{
	static const uint8_t zeros[RAND_POOL_LEN];
	static struct rand_pool p;
	uint8_t all[RAND_POOL_LEN], id[UUID_LEN];
	size_t at = 0;

	(void)state;
	assert_int_equal(rand_pool_take(&p, id, 0).code, E_RANGE);
	assert_int_equal(rand_pool_take(&p, all, sizeof(all) + 1).code, E_RANGE);
	for (; at + UUID_LEN <= sizeof(all) - UUID_LEN / 2; at += UUID_LEN)
		assert_true(is_ok(rand_pool_take(&p, all + at, UUID_LEN)));
	assert_memory_equal(p.bytes, zeros, at);
	assert_int_equal(p.left, sizeof(p.bytes) - at);
	for (size_t i = UUID_LEN; i < at; i += UUID_LEN)
		assert_memory_not_equal(all + i, all + i - UUID_LEN, UUID_LEN);
	/* More than is left: nothing of the rest is given out. */
	assert_true(is_ok(rand_pool_take(&p, all, UUID_LEN + p.left)));
	assert_true(p.left > 0 && p.left < sizeof(p.bytes));
	assert_memory_equal(p.bytes, zeros, sizeof(p.bytes) - p.left);
}

static void
memory_files_are_sealed_or_refused(void **state)
{
	auto_fd int fd = -1, plain = -1, null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint8_t out[5];
	size_t len = 0;

	(void)state;
	assert_true(is_ok(memfd_new("t", &plain)));
	assert_int_equal(memfd_check(plain, 10, &len).code, E_PROTO); /* not sealed yet */
	assert_int_equal(memfd_check(null, 10, &len).code, E_PROTO);
	assert_int_equal(memfd_check(-1, 10, &len).code, E_PROTO);
	assert_true(is_ok(memfd_of("t", SPAN_LIT("hello"), &fd)));
	assert_int_equal(memfd_check(fd, 4, &len).code, E_RANGE);
	assert_true(is_ok(memfd_check(fd, 5, &len)));
	assert_int_equal(len, 5);
	assert_true(is_ok(memfd_read(fd, 1, out, 4)));
	assert_memory_equal(out, "ello", 4);
	assert_int_equal(memfd_read(fd, 1, out, 5).code, E_RANGE);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 1), -1);
}

/* Of its own thread and of another, for whoever may, and nothing else changes by it. */
static void
slices_are_a_wish(void **state)
{
	const struct sched_param fifo = { .sched_priority = 1 };
	struct slice s, after;

	(void)state;
	assert_true(is_ok(slice_read(&s)));
	assert_true(is_ok(slice_set(&s, 0, SLICE_SHORT_US)));
	assert_true(is_ok(slice_read(&after)));
	assert_int_equal(after.policy, s.policy);
	assert_int_equal(after.nice, s.nice);
	assert_int_equal(after.flags, s.flags);
	assert_true(is_ok(slice_set(&s, gettid(), SLICE_DEFAULT)));
	assert_int_equal(slice_set(&s, INT32_MAX, SLICE_DEFAULT).code, E_SYS);
	s.nice = after.nice = getpriority(PRIO_PROCESS, 0);
	if (sched_setscheduler(0, SCHED_FIFO, &fifo) != 0)
		return;
	assert_int_equal(slice_read(&s).code, E_UNSUPPORTED);
	assert_int_equal(s.nice, after.nice); /* untouched */
	assert_int_equal(
	    sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){ .sched_priority = 0 }), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_stays_within_its_cap),
		cmocka_unit_test(arena_refuses_beyond_its_cap),
		cmocka_unit_test(arena_keeps_one_small_block),
		cmocka_unit_test(wiping_leaves_nothing),
		cmocka_unit_test(numbers_are_strict),
		cmocka_unit_test(a_pool_gives_each_byte_once),
		cmocka_unit_test(memory_files_are_sealed_or_refused),
		cmocka_unit_test(base64_accepts_one_text_per_value),
		cmocka_unit_test(base64url_accepts_one_text_per_value),
		cmocka_unit_test(percent_encoding_is_read_in_any_case),
		cmocka_unit_test(utf8_is_repaired_across_any_split),
		cmocka_unit_test(known_values),
		cmocka_unit_test(slices_are_a_wish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
