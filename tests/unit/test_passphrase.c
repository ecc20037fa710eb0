/* SPDX-License-Identifier: Apache-2.0 */
/* master.key under a passphrase: opens by it alone, unchanged alone, at a bounded cost. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <crypto/crypto.h>
#include <crypto/file_secret.h>
#include <crypto/passphrase.h>

/* cmocka's fail_msg(), which needs its fail(). */
#define test_fail(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

static const struct scrypt_cost cheap = { 1U << 10, 1, 1 };
static struct secret master, pass;

static struct secret
secret_text(const char *text)
{
	struct secret s = SECRET_NONE;

	assert_true(is_ok(secret_from_span(span_str(text), &s)));
	return s;
}

static struct status
open_text(struct span text, const struct secret *by)
{
	auto_secret struct secret got = SECRET_NONE;
	struct status st = master_file_open(text, by, &got);

	assert_true(!is_ok(st) || secret_eq(&got, secret_borrow(&master)));
	return st;
}

static void
there_and_back(void **arg)
{
	const struct scrypt_cost costs[] = { cheap, SCRYPT_COST, { 1U << 10, 16, 16 } };

	(void)arg;
	for (size_t i = 0; i < COUNT(costs); i++) {
		auto_buf struct buf a = BUF_INIT(MASTER_FILE_MAX), b = BUF_INIT(MASTER_FILE_MAX);

		assert_true(is_ok(master_file_seal(&master, &pass, &costs[i], &a)));
		assert_true(is_ok(master_file_seal(&master, &pass, &costs[i], &b)));
		assert_false(span_eq(buf_span(&a), buf_span(&b)));
		assert_true(master_file_is_sealed(buf_span(&a)));
		assert_true(is_ok(open_text(buf_span(&a), &pass)));
		/* As secret_read_fd() gives it. */
		assert_true(is_ok(open_text(span_of(a.ptr, a.len - 1), &pass)));
	}
}

static void
in_the_clear(void **arg)
{
	auto_secret struct secret text = SECRET_NONE, got = SECRET_NONE, none = SECRET_NONE;

	(void)arg;
	assert_true(is_ok(master_file_put(&master, &text)));
	assert_int_equal(text.len, 65);
	assert_false(master_file_is_sealed(secret_borrow(&text)));
	assert_true(is_ok(master_file_parse(secret_borrow(&text), &got)));
	assert_true(secret_eq(&got, secret_borrow(&master)));
	assert_int_equal(master_file_parse(SPAN_LIT("0a"), &none).code, E_SYNTAX);
	assert_int_equal(master_file_parse(SPAN_EMPTY, &none).code, E_SYNTAX);
}

static void
by_another_passphrase(void **arg)
{
	static const char *const others[] = { "correct horse batterz", "Correct horse battery",
		"correct horse batter", "correct horse battery ", "x" };
	auto_buf struct buf a = BUF_INIT(MASTER_FILE_MAX);

	(void)arg;
	assert_true(is_ok(master_file_seal(&master, &pass, &cheap, &a)));
	for (size_t i = 0; i < COUNT(others); i++) {
		auto_secret struct secret other = secret_text(others[i]);

		assert_int_equal(open_text(buf_span(&a), &other).code, E_CRYPTO);
	}
}

static void
each_byte_changed_and_cut(void **arg)
{
	auto_buf struct buf a = BUF_INIT(MASTER_FILE_MAX);

	(void)arg;
	assert_true(is_ok(master_file_seal(&master, &pass, &cheap, &a)));
	for (size_t i = 0; i + 1 < a.len; i++) {
		for (int bit = 0; bit < 8; bit += 3) {
			a.ptr[i] ^= (uint8_t)(1 << bit);
			if (is_ok(open_text(buf_span(&a), &pass)))
				test_fail("byte %zu bit %d", i, bit);
			a.ptr[i] ^= (uint8_t)(1 << bit);
		}
		if (i + 2 < a.len && is_ok(open_text(span_of(a.ptr, i), &pass)))
			test_fail("cut to %zu", i);
	}
	assert_true(is_ok(buf_put_u8(&a, '\n')));
	assert_false(is_ok(open_text(buf_span(&a), &pass)));
}

/* A file that somebody else wrote makes us compute nothing beyond the bounds. */
static void
at_a_bounded_cost(void **arg)
{
	static const struct {
		unsigned long long n, r, p;
	} rows[] = { { 1ULL << 21, 1, 1 }, { 1ULL << 40, 8, 1 }, { (1U << 17) + 1, 8, 1 },
		{ 512, 8, 1 }, { 0, 8, 1 }, { 1U << 20, 16, 1 }, { 1U << 20, 8, 4 },
		{ 1U << 10, 17, 1 }, { 1U << 10, 1, 17 }, { 1U << 10, 0, 1 }, { 1U << 10, 1, 0 },
		{ 1U << 20, 4294967295, 4294967295 } };
	uint64_t began = clock_mono_ns();

	(void)arg;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf text = BUF_INIT(MASTER_FILE_MAX);
		struct scrypt_cost c = { rows[i].n, (uint32_t)rows[i].r, (uint32_t)rows[i].p };
		auto_buf struct buf out = BUF_INIT(MASTER_FILE_MAX);

		assert_true(is_ok(
		    buf_printf(&text, "sallyport master key 1\nscrypt %llu %llu %llu %064d\nAAAA\n",
			rows[i].n, rows[i].r, rows[i].p, 0)));
		assert_int_equal(open_text(buf_span(&text), &pass).code, E_RANGE);
		assert_int_equal(master_file_seal(&master, &pass, &c, &out).code, E_RANGE);
	}
	/* To compute one of them takes longer. */
	assert_true(clock_mono_ns() - began < 2000 * 1000000ULL);
}

static int
setup(void **arg)
{
	(void)arg;
	assert_true(is_ok(crypto_init()));
	assert_true(is_ok(secret_random(MASTER_KEY_LEN, &master)));
	pass = secret_text("correct horse battery");
	return 0;
}

static int
teardown(void **arg)
{
	(void)arg;
	secret_done(&master);
	secret_done(&pass);
	return 0;
}

/* Whose it is, and who may read it, before anything of it is. */
static void
found_where_it_is_private(void **arg)
{
	static const struct {
		mode_t mode;
		uid_t dir, file;
		const char *why; /* NULL: taken */
	} rows[] = { { 0600, 0, 0, NULL }, { 0400, 0, 0, NULL }, { 0600, 1000, 0, NULL },
		{ 0600, 1000, 1000, NULL }, { 0600, 0, 1000, "belongs to neither root" },
		{ 0600, 1000, 1001, "belongs to neither root" }, { 0644, 0, 0, "others may read" },
		{ 0640, 0, 0, "others may read" }, { 0602, 0, 0, "others may read" } };
	char path[] = "/tmp/sallyport-test-XXXXXX";
	auto_fd int dir = -1;

	(void)arg;
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_fd int made = openat(dir, "master.key", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		auto_fd int fd = -1;
		const char *why = "";
		struct status st;

		assert_true(made >= 0 && fchmod(made, rows[i].mode) == 0);
		assert_true(fchown(dir, rows[i].dir, 0) == 0 && fchown(made, rows[i].file, 0) == 0);
		st = master_file_find(dir, &fd, &why);
		if (rows[i].why == NULL ? !is_ok(st) || fd < 0
					: st.code != E_DENIED || strstr(why, rows[i].why) != why)
			test_fail("row %zu: %s (%s)", i, status_text(st), why);
		assert_int_equal(unlinkat(dir, "master.key", 0), 0);
	}
	for (size_t i = 0; i < 3; i++) { /* nothing, a link, what never ends: none is waited for */
		auto_fd int fd = -1;
		const char *why = "";

		assert_true(i != 1 || symlinkat("/etc/passwd", dir, "master.key") == 0);
		assert_true(i != 2 || mkfifoat(dir, "master.key", 0600) == 0);
		assert_false(is_ok(master_file_find(dir, &fd, &why)));
		assert_true(fd == -1 && why[0] != '\0');
		(void)unlinkat(dir, "master.key", 0);
	}
	assert_int_equal(rmdir(path), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(in_the_clear),
		cmocka_unit_test(by_another_passphrase),
		cmocka_unit_test(each_byte_changed_and_cut),
		cmocka_unit_test(at_a_bounded_cost),
		cmocka_unit_test(found_where_it_is_private),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
