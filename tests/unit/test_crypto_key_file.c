/* SPDX-License-Identifier: Apache-2.0 */
/* lib/crypto/key_file.c: private keys on disk, those of earlier versions too. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/crypto.h>
#include <crypto/key_file.h>
#include <crypto/leaf.h>

#define CLEAR "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"
#define CLEAR_LEN (sizeof(CLEAR) - 2) /* without the last LF, as secret_read_fd() has it */

static char path[64];
static int dir = -1;
static struct secret keys[KEY_FILE_USES];

static struct status
read_as(const char *file, enum key_file_use use, const char *name, struct secret *ret, bool *clear)
{
	auto_fd int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? fail_errno() : key_file_read(fd, &keys[use], name, ret, clear);
}

static void
expect(const char *file, bool is_clear)
{
	auto_secret struct secret got = SECRET_NONE;
	bool clear;

	assert_true(is_ok(read_as(file, KEY_FILE_SUPERVISOR, "ca.key", &got, &clear)));
	assert_int_equal(clear, is_clear);
	assert_int_equal(got.len, CLEAR_LEN);
	assert_memory_equal(got.ptr, CLEAR, CLEAR_LEN);
}

static void
put(const char *file, struct span text)
{
	assert_true(is_ok(io_replace_file(dir, file, text, 0600)));
}

static void
carried_over(void **arg)
{
	auto_buf struct buf text = BUF_INIT(KEY_FILE_TEXT_MAX), again = BUF_INIT(KEY_FILE_TEXT_MAX);
	auto_fd int old = -1;
	uint8_t was[sizeof(CLEAR)];
	struct stat sb;

	(void)arg;
	put("a", SPAN_LIT(CLEAR));
	expect("a", true);
	old = openat(dir, "a", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 2; i++)
		assert_true(is_ok(key_file_carry(dir, "a", &keys[KEY_FILE_SUPERVISOR], "ca.key")));
	expect("a", false);
	assert_int_equal(fstatat(dir, "a", &sb, 0), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	assert_true(is_ok(io_read_file(dir, "a", &text)));
	assert_true(key_file_is_sealed(buf_span(&text)));
	assert_null(memmem(text.ptr, text.len, "PRIVATE", 7));
	/* What lay there is overwritten. */
	assert_int_equal(pread(old, was, sizeof(was), 0), sizeof(was) - 1);
	for (size_t i = 0; i < sizeof(was) - 1; i++)
		assert_int_equal(was[i], 0);
	/* What is sealed stays as it is. */
	assert_true(is_ok(key_file_carry(dir, "a", &keys[KEY_FILE_SUPERVISOR], "ca.key")));
	assert_true(is_ok(io_read_file(dir, "a", &again)));
	assert_true(span_eq(buf_span(&text), buf_span(&again)));
	/* One that is missing, or empty, is somebody else's to miss. */
	assert_true(is_ok(key_file_carry(dir, "none", &keys[KEY_FILE_SUPERVISOR], "ca.key")));
	put("empty", SPAN_EMPTY);
	assert_true(is_ok(key_file_carry(dir, "empty", &keys[KEY_FILE_SUPERVISOR], "ca.key")));
}

static bool
has_clear(const char *file)
{
	auto_buf struct buf text = BUF_INIT(KEY_FILE_TEXT_MAX);

	assert_true(is_ok(io_read_file(dir, file, &text)));
	return span_eq(buf_span(&text), SPAN_LIT(CLEAR));
}

/* The operator's own pair under the default names, as a file or a link, stays as it was brought. */
static void
an_operators_key_stays(void **arg)
{
	const struct secret *key = &keys[KEY_FILE_SUPERVISOR];

	(void)arg;
	assert_int_equal(mkdirat(dir, "tls", 0700), 0);
	put("tls/key.pem", SPAN_LIT(CLEAR));
	assert_true(is_ok(leaf_carry(dir, "tls/cert.pem", key))); /* no ca.key: not ours */
	assert_true(has_clear("tls/key.pem"));
	put("ca.key", SPAN_LIT(CLEAR));
	assert_true(is_ok(leaf_carry(dir, "/etc/own.pem", key)));
	assert_true(has_clear("tls/key.pem"));
	assert_false(has_clear("ca.key"));
	assert_true(is_ok(leaf_carry(dir, "tls/cert.pem", key)));
	assert_false(has_clear("tls/key.pem"));
	assert_int_equal(unlinkat(dir, "tls/key.pem", 0) | unlinkat(dir, "ca.key", 0), 0);
	assert_int_equal(symlinkat("../a", dir, "tls/key.pem"), 0);
	assert_true(is_ok(leaf_carry(dir, "tls/cert.pem", key)));
	assert_int_equal(unlinkat(dir, "tls/key.pem", 0), 0);
	assert_int_equal(unlinkat(dir, "tls", AT_REMOVEDIR), 0);
}

static void
no_other_place(void **arg)
{
	auto_secret struct secret got = SECRET_NONE;
	bool clear;

	(void)arg;
	put("b", SPAN_LIT(CLEAR));
	assert_true(is_ok(key_file_carry(dir, "b", &keys[KEY_FILE_SUPERVISOR], "ca.key")));
	assert_int_equal(
	    read_as("b", KEY_FILE_SUPERVISOR, "tls/key.pem", &got, &clear).code, E_CRYPTO);
	assert_int_equal(read_as("b", KEY_FILE_AUDIT, "ca.key", &got, &clear).code, E_CRYPTO);
	assert_int_equal(key_file_carry(dir, "b", &keys[KEY_FILE_AUDIT], "ca.key").code, E_CRYPTO);
	expect("b", false);
}

/* Each bit flipped, each length: never opened, never taken for one in the clear by our writers. */
static void
changed(void **arg)
{
	auto_buf struct buf text = BUF_INIT(KEY_FILE_TEXT_MAX);
	const size_t head = sizeof("sallyport sealed key 1\n") - 1;

	(void)arg;
	put("c", SPAN_LIT(CLEAR));
	assert_true(is_ok(key_file_carry(dir, "c", &keys[KEY_FILE_SUPERVISOR], "ca.key")));
	assert_true(is_ok(io_read_file(dir, "c", &text)));
	for (size_t bit = 8 * head; bit < 8 * (text.len - 1); bit++) {
		auto_secret struct secret got = SECRET_NONE;
		bool clear;

		text.ptr[bit / 8] ^= (uint8_t)(1U << bit % 8);
		put("d", buf_span(&text));
		text.ptr[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_false(is_ok(read_as("d", KEY_FILE_SUPERVISOR, "ca.key", &got, &clear)));
		assert_null(got.ptr);
	}
	for (size_t len = head + 1; len < text.len - 1; len++) {
		auto_secret struct secret got = SECRET_NONE;
		bool clear;

		put("d", span_of(text.ptr, len));
		assert_false(is_ok(read_as("d", KEY_FILE_SUPERVISOR, "ca.key", &got, &clear)));
	}
}

/* A name that leads elsewhere, and one that cannot be opened, are errors: nothing is written. */
static void
no_link_is_followed(void **arg)
{
	auto_buf struct buf text = BUF_INIT(KEY_FILE_TEXT_MAX);
	const struct secret *key = &keys[KEY_FILE_SUPERVISOR];
	struct status st;

	(void)arg;
	put("f", SPAN_LIT(CLEAR));
	assert_int_equal(symlinkat("f", dir, "g"), 0);
	st = key_file_carry(dir, "g", key, "ca.key");
	assert_true(st.code == E_SYS && st.err == ELOOP);
	assert_int_equal(key_file_carry(dir, "f/g", key, "ca.key").err, ENOTDIR);
	assert_true(is_ok(io_read_file(dir, "f", &text)));
	assert_true(span_eq(buf_span(&text), SPAN_LIT(CLEAR)));
}

static void
sizes(void **arg)
{
	auto_buf struct buf huge = BUF_INIT(KEY_FILE_TEXT_MAX + 1U), out = BUF_INIT(64);
	auto_secret struct secret big = SECRET_NONE, got = SECRET_NONE;
	bool clear;

	(void)arg;
	assert_true(is_ok(buf_reserve(&huge, KEY_FILE_TEXT_MAX + 1U)));
	memset(huge.ptr, 'x', KEY_FILE_TEXT_MAX + 1U);
	huge.len = KEY_FILE_TEXT_MAX + 1U;
	put("e", buf_span(&huge));
	assert_int_equal(read_as("e", KEY_FILE_SUPERVISOR, "ca.key", &got, &clear).code, E_FULL);
	assert_true(is_ok(secret_new(KEY_FILE_LEN_MAX + 1U, &big)));
	assert_int_equal(
	    key_file_seal(&keys[KEY_FILE_SUPERVISOR], "ca.key", &big, &out).code, E_RANGE);
	assert_int_equal(key_file_key(&big, KEY_FILE_AUDIT, &got).code, E_RANGE);
	assert_int_equal(
	    key_file_seal(&keys[KEY_FILE_SUPERVISOR], "ca.key", &got, &out).code, E_RANGE);
}

static int
setup(void **arg)
{
	auto_secret struct secret master = SECRET_NONE;

	(void)arg;
	(void)snprintf(path, sizeof(path), "%s/sallyport-unit-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!is_ok(crypto_init()) || mkdtemp(path) == NULL ||
	    !is_ok(secret_random(SEAL_KEY_LEN, &master)))
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < KEY_FILE_USES; i++) {
		if (!is_ok(key_file_key(&master, (enum key_file_use)i, &keys[i])))
			return -1;
	}
	return dir < 0 ? -1 : 0;
}

static int
teardown(void **arg)
{
	static const char *const files[] = { "a", "b", "c", "d", "e", "empty", "f", "g" };

	(void)arg;
	for (size_t i = 0; i < COUNT(files); i++)
		(void)unlinkat(dir, files[i], 0);
	for (int i = 0; i < KEY_FILE_USES; i++)
		secret_done(&keys[i]);
	(void)close(dir);
	return rmdir(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(carried_over),
		cmocka_unit_test(an_operators_key_stays),
		cmocka_unit_test(no_other_place),
		cmocka_unit_test(changed),
		cmocka_unit_test(no_link_is_followed),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
