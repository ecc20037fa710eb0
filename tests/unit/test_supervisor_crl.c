/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_supervisor_crl.c: the lists in use, on disk for the next start: written once, gone with
 * them, and tried again where the disk refuses. (Kills in between: io_replace_file()'s, of which
 * test_supervisor_owed.c sees each.)
 */
#include "crash_life.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>
#include <supervisor.h>

#define FILE_NAME "crl.used"
#define BAD_NAME "crl.used.bad"

static struct supervisor sv;

static void
use(const char *text)
{
	struct clients *in = &sv.inst.clients;

	buf_clear(&in->crl);
	assert_true(is_ok(buf_put_str(&in->crl, text)));
	in->until_s = text[0] == '\0' ? 0 : 1;
	memset(in->digest, 0, sizeof(in->digest));
	if (text[0] != '\0')
		assert_true(is_ok(sha256(buf_span(&in->crl), in->digest)));
}

/* A later start finds this. */
static bool
finds(const char *text)
{
	auto_buf struct buf kept = BUF_INIT(TLS_CRLS_USED_LEN_MAX);

	memset(sv.crl_kept, 7, sizeof(sv.crl_kept));
	return clients_kept_read(&sv, &kept) && span_eq_str(buf_span(&kept), text);
}

static bool
is_there(void)
{
	return faccessat(sv.inst.dir_fd, FILE_NAME, F_OK, 0) == 0;
}

static void
those_in_use_are_found_again(void **state)
{
	struct stat first, then;

	(void)state;
	assert_true(finds(""));
	use("one");
	clients_keep(&sv);
	assert_int_equal(fstatat(sv.inst.dir_fd, FILE_NAME, &first, 0), 0);
	assert_int_equal(first.st_mode & 0777, 0600);
	assert_true(finds("one"));
	clients_keep(&sv); /* nothing is new: it is not written again */
	assert_int_equal(fstatat(sv.inst.dir_fd, FILE_NAME, &then, 0), 0);
	assert_int_equal(first.st_ino, then.st_ino);
	use("two");
	clients_keep(&sv);
	assert_true(finds("two"));
	use("");
	clients_keep(&sv);
	assert_false(is_there());
	assert_true(finds(""));
	clients_keep(&sv);
}

/* Lists were taken out of the configuration while it did not run. */
static void
what_nobody_uses_goes(void **state)
{
	(void)state;
	use("one");
	clients_keep(&sv);
	assert_true(finds("one"));
	use("");
	clients_keep(&sv);
	assert_false(is_there());
}

static void
what_fails_is_tried_again(void **state)
{
	int dir = sv.inst.dir_fd;

	(void)state;
	use("one");
	sv.inst.dir_fd = -1;
	for (unsigned i = 0; i < 2; i++) {
		clients_keep(&sv);
		assert_true(sv.crl_unkept);
	}
	sv.inst.dir_fd = dir;
	clients_keep(&sv);
	assert_false(sv.crl_unkept);
	assert_true(finds("one"));
	use("");
	sv.inst.dir_fd = -1;
	clients_keep(&sv);
	assert_true(sv.crl_unkept);
	sv.inst.dir_fd = dir;
	clients_keep(&sv);
	assert_false(sv.crl_unkept || is_there());
}

static void
is_put_aside(struct stat *ret_bad)
{
	auto_buf struct buf kept = BUF_INIT(TLS_CRLS_USED_LEN_MAX);
	struct stat sb;

	/* A start that fails changes nothing. */
	for (unsigned i = 0; i < 2; i++) {
		assert_false(clients_kept_read(&sv, &kept));
		assert_int_equal(fstatat(sv.inst.dir_fd, FILE_NAME, &sb, AT_SYMLINK_NOFOLLOW), 0);
		assert_true(faccessat(sv.inst.dir_fd, BAD_NAME, F_OK, AT_SYMLINK_NOFOLLOW) < 0);
	}
	use("one");
	clients_keep(&sv);
	assert_int_equal(fstatat(sv.inst.dir_fd, BAD_NAME, ret_bad, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(unlinkat(sv.inst.dir_fd, BAD_NAME, 0), 0);
	assert_true(finds("one"));
	use("");
	clients_keep(&sv);
}

/* Too long, or no file at all, which nobody waits for: it is kept for whoever looks why. */
static void
what_cannot_be_read_is_put_aside(void **state)
{
	int fd = openat(sv.inst.dir_fd, FILE_NAME, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	struct stat sb;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, TLS_CRLS_USED_LEN_MAX + 1), 0);
	(void)close(fd);
	is_put_aside(&sb);
	assert_int_equal(sb.st_size, TLS_CRLS_USED_LEN_MAX + 1);
	assert_int_equal(symlinkat("/etc/hostname", sv.inst.dir_fd, FILE_NAME), 0);
	is_put_aside(&sb);
	assert_true(S_ISLNK(sb.st_mode));
	assert_int_equal(mkfifoat(sv.inst.dir_fd, FILE_NAME, 0600), 0);
	is_put_aside(&sb);
	assert_true(S_ISFIFO(sb.st_mode));
	/* Also where there are no lists any more. */
	assert_int_equal(mkfifoat(sv.inst.dir_fd, FILE_NAME, 0600), 0);
	assert_false(finds(""));
	clients_keep(&sv);
	assert_false(is_there());
	assert_int_equal(unlinkat(sv.inst.dir_fd, BAD_NAME, 0), 0);
}

static int
begin(void **state)
{
	static char dir[64];

	(void)snprintf(dir, sizeof(dir), "/tmp/sallyport-unit-XXXXXX");
	assert_non_null(mkdtemp(dir));
	*state = dir;
	sv.inst.clients = CLIENTS_NONE;
	sv.inst.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return is_ok(crypto_init()) && sv.inst.dir_fd >= 0 ? 0 : -1;
}

static int
end(void **state)
{
	buf_done(&sv.inst.clients.crl);
	(void)close(sv.inst.dir_fd);
	return rmdir(*state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_in_use_are_found_again),
		cmocka_unit_test(what_nobody_uses_goes),
		cmocka_unit_test(what_fails_is_tried_again),
		cmocka_unit_test(what_cannot_be_read_is_put_aside),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
