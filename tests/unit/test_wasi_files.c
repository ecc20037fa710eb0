/* SPDX-License-Identifier: Apache-2.0 */
/* lib/wasm: WASI preview 1 as a guest sees it: the scratch directory. */
#include "wasi_rig.h"

static void
given_files(void)
{
	given((struct wasi_given){ .files = true });
}

static uint32_t
open_path(const char *path, uint64_t flags, uint64_t *ret_fd)
{
	uint32_t err = CALL("path_open", 3, 1, PATH, put(PATH, path), flags,
	    RIGHTS_ALL & ~WASI_R_WRITE, RIGHTS_ALL, 0, RESULT);

	if (err != WASI_OK)
		return err;
	if (ctx.scratch->nodes[ctx.fds[at32(RESULT)].node].kind == WASI_REGULAR) {
		assert_int_equal(CALL("fd_close", at32(RESULT)), WASI_OK);
		err = CALL("path_open", 3, 0, PATH, put(PATH, path), flags & ~(uint64_t)WASI_EXCL,
		    RIGHTS_ALL, RIGHTS_ALL, 0, RESULT);
	}
	*ret_fd = at32(RESULT);
	return err;
}

static uint32_t
on_path(const char *name, const char *path)
{
	return CALL(name, 3, PATH, put(PATH, path));
}

static uint32_t
rename_path(const char *from, const char *to)
{
	return CALL("path_rename", 3, PATH, put(PATH, from), 3, OTHER_PATH, put(OTHER_PATH, to));
}

/* ---- the scratch directory ---- */
static void
test_no_files(void **state)
{
	(void)state;
	given((struct wasi_given){ 0 });
	assert_int_equal(CALL("fd_prestat_get", 3, RESULT), WASI_EBADF);
	assert_int_equal(CALL("path_open", 3, 0, PATH, put(PATH, "x"), WASI_CREAT, 0, 0, 0, RESULT),
	    WASI_ENOTCAPABLE);
	assert_int_equal(on_path("path_create_directory", "x"), WASI_ENOTCAPABLE);
	assert_int_equal(ctx.refused, 2);
	assert_null(ctx.scratch);
}

static void
test_file(void **state)
{
	uint64_t fd, again;

	(void)state;
	given_files();
	assert_int_equal(CALL("fd_prestat_get", 3, RESULT), WASI_OK);
	assert_int_equal(at32(RESULT + 4), 1);
	assert_int_equal(CALL("fd_prestat_dir_name", 3, DATA, 1), WASI_OK);
	assert_int_equal(mem.base[DATA], '/');
	assert_int_equal(open_path("f", 0, &fd), WASI_ENOENT);
	assert_int_equal(open_path("f", WASI_CREAT | WASI_EXCL, &fd), WASI_OK);
	assert_int_equal(fd, 4);
	assert_int_equal(write_text(fd, "hello, world"), WASI_OK);
	assert_int_equal(CALL("fd_seek", fd, (uint64_t)-5, WASI_SEEK_CUR, RESULT), WASI_OK);
	assert_int_equal(read_text(fd, 16), WASI_OK);
	assert_string_equal((char *)mem.base + DATA, "world");
	assert_int_equal(CALL("fd_tell", fd, RESULT), WASI_OK);
	assert_int_equal(at64(RESULT), 12);
	assert_int_equal(CALL("fd_seek", fd, (uint64_t)-13, WASI_SEEK_END, RESULT), WASI_EINVAL);
	assert_int_equal(CALL("fd_seek", fd, INT64_MAX, WASI_SEEK_CUR, RESULT), WASI_EINVAL);
	/* A hole reads as zeros. */
	vector(0, DATA, (uint32_t)put(DATA, "!"));
	assert_int_equal(CALL("fd_pwrite", fd, VECTORS, 1, 100, RESULT), WASI_OK);
	assert_int_equal(CALL("fd_filestat_get", fd, RESULT), WASI_OK);
	assert_int_equal(at64(RESULT + 32), 101);
	vector(0, DATA, 90);
	assert_int_equal(CALL("fd_pread", fd, VECTORS, 1, 12, RESULT), WASI_OK);
	assert_memory_equal(mem.base + DATA, (const uint8_t[88]){ 0 }, 88);
	/* Cut and grown: nothing old comes back. */
	assert_int_equal(CALL("fd_filestat_set_size", fd, 2), WASI_OK);
	assert_int_equal(CALL("fd_filestat_set_size", fd, 12), WASI_OK);
	assert_int_equal(CALL("fd_seek", fd, 0, WASI_SEEK_SET, RESULT), WASI_OK);
	assert_int_equal(read_text(fd, 12), WASI_OK);
	assert_memory_equal(mem.base + DATA, "he\0\0\0\0\0\0\0\0\0\0", 12);
	/* A file without a name lives while it is open. */
	assert_int_equal(on_path("path_unlink_file", "f"), WASI_OK);
	assert_int_equal(open_path("f", 0, &again), WASI_ENOENT);
	assert_int_equal(write_text(fd, "still"), WASI_OK);
	assert_int_equal(CALL("fd_close", fd), WASI_OK);
	assert_int_equal(ctx.scratch->bytes, 0);
	assert_int_equal(CALL("fd_close", fd), WASI_EBADF);
}

#define SECRET "sk-only-mine"

/* What is given back to malloc() while this is set must not hold the secret. */
static bool watched;

static unsigned leaks;

void __wrap_free(void *p);
void __real_free(void *p);

void
__wrap_free(void *p)
{
	if (watched && p != NULL &&
	    memmem(p, malloc_usable_size(p), SECRET, sizeof(SECRET) - 1) != NULL)
		leaks++;
	__real_free(p);
}

static void
write_secret(const char *name, uint64_t *fd)
{
	assert_int_equal(open_path(name, WASI_CREAT, fd), WASI_OK);
	assert_int_equal(write_text(*fd, SECRET), WASI_OK);
}

/* Behind a file that grew, shrank, was removed or is there at the end; and of its name. */
static void
test_nothing_stays_in_freed_memory(void **state)
{
	uint64_t fd;

	(void)state;
	given_files();
	watched = true;
	write_secret("grows", &fd);
	assert_int_equal(CALL("fd_filestat_set_size", fd, 1U << 20), WASI_OK);
	write_secret("shrinks", &fd);
	assert_int_equal(CALL("fd_filestat_set_size", fd, 2), WASI_OK);
	write_secret("removed", &fd);
	assert_int_equal(on_path("path_unlink_file", "removed"), WASI_OK);
	assert_int_equal(CALL("fd_close", fd), WASI_OK);
	assert_int_equal(open_path("name-" SECRET, WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(CALL("path_rename", 3, PATH, put(PATH, "name-" SECRET), 3, OTHER_PATH,
			     put(OTHER_PATH, "else")),
	    WASI_OK);
	assert_int_equal(open_path("left-" SECRET, WASI_CREAT, &fd), WASI_OK);
	write_secret("left", &fd);
	wasi_end(&ctx);
	watched = false;
	assert_int_equal(leaks, 0);
}

/* out and err are kept for the next call, without what was in them. */
static void
test_nothing_stays_in_streams(void **state)
{
	(void)state;
	for (uint64_t fd = 1; fd <= 2; fd++) {
		const struct buf *b = fd == 1 ? &ctx.out : &ctx.err;

		given((struct wasi_given){ .out_max = 64, .err_max = 64 });
		assert_int_equal(write_text(fd, SECRET), WASI_OK);
		assert_int_equal(b->len, sizeof(SECRET) - 1);
		wasi_end(&ctx);
		assert_non_null(b->ptr);
		assert_null(memmem(b->ptr, sizeof(SECRET) - 1, SECRET, 4));
	}
}

static void
test_append(void **state)
{
	uint64_t fd;

	(void)state;
	given_files();
	assert_int_equal(open_path("f", WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(write_text(fd, "ab"), WASI_OK);
	assert_int_equal(CALL("fd_fdstat_set_flags", fd, WASI_APPEND), WASI_OK);
	assert_int_equal(CALL("fd_fdstat_set_flags", fd, 32), WASI_EINVAL);
	assert_int_equal(CALL("fd_seek", fd, 0, WASI_SEEK_SET, RESULT), WASI_OK);
	assert_int_equal(write_text(fd, "cd"), WASI_OK);
	assert_int_equal(CALL("fd_tell", fd, RESULT), WASI_OK);
	assert_int_equal(at64(RESULT), 4);
}

static void
test_paths(void **state)
{
	static const struct {
		const char *path;
		uint32_t err;
	} cases[] = {
		{ "", WASI_ENOENT },
		{ "/d/f", WASI_ENOTCAPABLE },
		{ "..", WASI_ENOTCAPABLE },
		{ "d/../../f", WASI_ENOTCAPABLE },
		{ "d/e/../../..", WASI_ENOTCAPABLE },
		{ "d/./e/..//../d/f", WASI_OK },
		{ "d/f/", WASI_ENOTDIR },
		{ "d/f/..", WASI_ENOTDIR },
		{ "d/f/x", WASI_ENOTDIR },
		{ "none/..", WASI_ENOENT },
		{ "d/e/", WASI_OK },
		{ ".", WASI_OK },
		{ "d/\xff", WASI_EILSEQ },
	};
	char longest[WASI_NAME_MAX + 2];
	uint64_t fd;

	(void)state;
	given_files();
	assert_int_equal(on_path("path_create_directory", "d"), WASI_OK);
	assert_int_equal(on_path("path_create_directory", "d/e/"), WASI_OK);
	assert_int_equal(open_path("d/f", WASI_CREAT, &fd), WASI_OK);
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint32_t err = CALL(
		    "path_filestat_get", 3, 1, PATH, put(PATH, cases[i].path), RESULT);

		if (err != cases[i].err)
			print_error("%s\n", cases[i].path);
		assert_int_equal(err, cases[i].err);
	}
	mem.base[PATH + put(PATH, "d/f")] = '\0';
	assert_int_equal(CALL("path_filestat_get", 3, 0, PATH, 4, RESULT), WASI_EINVAL);
	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(open_path(longest, WASI_CREAT, &fd), WASI_ENAMETOOLONG);
	longest[WASI_NAME_MAX] = '\0';
	assert_int_equal(open_path(longest, WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(
	    CALL("path_filestat_get", 3, 0, 0, WASI_PATH_MAX + 1, RESULT), WASI_ENAMETOOLONG);
}

static void
test_names(void **state)
{
	uint64_t fd, dir;

	(void)state;
	given_files();
	assert_int_equal(on_path("path_create_directory", "a"), WASI_OK);
	assert_int_equal(on_path("path_create_directory", "a"), WASI_EEXIST);
	assert_int_equal(on_path("path_create_directory", "a/b"), WASI_OK);
	assert_int_equal(open_path("a/f", WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(open_path("a/f", WASI_CREAT | WASI_EXCL, &fd), WASI_EEXIST);
	assert_int_equal(open_path("a/f", WASI_O_DIRECTORY, &fd), WASI_ENOTDIR);
	assert_int_equal(open_path("a", WASI_TRUNC, &fd), WASI_EISDIR);
	assert_int_equal(on_path("path_remove_directory", "a"), WASI_ENOTEMPTY);
	assert_int_equal(on_path("path_remove_directory", "a/f"), WASI_ENOTDIR);
	assert_int_equal(on_path("path_unlink_file", "a/b"), WASI_EISDIR);
	assert_int_equal(on_path("path_remove_directory", "."), WASI_EBUSY);
	assert_int_equal(on_path("path_remove_directory", "a/b/."), WASI_EINVAL);
	assert_int_equal(rename_path("a", "a/b/c"), WASI_EINVAL);
	assert_int_equal(rename_path("a", "a/b"), WASI_EINVAL);
	assert_int_equal(rename_path("a/f", "a/b"), WASI_EISDIR);
	assert_int_equal(rename_path("a/b", "a/f"), WASI_ENOTDIR);
	assert_int_equal(rename_path("a/f", "a/f"), WASI_OK);
	assert_int_equal(rename_path("a/f", "a/b/g"), WASI_OK);
	assert_int_equal(rename_path("a/b", "b"), WASI_OK);
	assert_int_equal(rename_path("a", "b"), WASI_ENOTEMPTY);
	assert_int_equal(rename_path("b", "a"), WASI_OK);
	assert_int_equal(open_path("a/g", 0, &fd), WASI_OK);
	assert_int_equal(rename_path(".", "x"), WASI_EBUSY);
	/* In a directory that was removed while it was open, nothing comes to be. */
	assert_int_equal(on_path("path_create_directory", "gone"), WASI_OK);
	assert_int_equal(open_path("gone", WASI_O_DIRECTORY, &dir), WASI_OK);
	assert_int_equal(on_path("path_remove_directory", "gone"), WASI_OK);
	assert_int_equal(CALL("path_create_directory", dir, PATH, put(PATH, "x")), WASI_ENOENT);
	assert_int_equal(
	    CALL("path_create_directory", dir, PATH, put(PATH, "..")), WASI_ENOTCAPABLE);
	assert_int_equal(
	    CALL("path_rename", 3, PATH, put(PATH, "a"), dir, OTHER_PATH, put(OTHER_PATH, "a")),
	    WASI_ENOENT);
}

static void
test_limits(void **state)
{
	uint64_t fd = 0, other, made = 0;
	char path[64], deep[WASI_DEPTH_MAX * 2 + 4] = "";

	(void)state;
	given_files();
	/* Bytes: what fits is written, then ENOSPC; freed room is room again. */
	assert_int_equal(open_path("big", WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(CALL("fd_filestat_set_size", fd, WASI_SCRATCH_MAX + 1ULL), WASI_EFBIG);
	assert_int_equal(CALL("fd_filestat_set_size", fd, WASI_SCRATCH_MAX - 2ULL), WASI_OK);
	assert_int_equal(CALL("fd_seek", fd, 0, WASI_SEEK_END, RESULT), WASI_OK);
	assert_int_equal(write_text(fd, "12345"), WASI_OK);
	assert_int_equal(at32(RESULT), 2);
	assert_int_equal(write_text(fd, "12345"), WASI_EFBIG);
	assert_int_equal(open_path("small", WASI_CREAT, &other), WASI_OK);
	assert_int_equal(write_text(other, "x"), WASI_ENOSPC);
	assert_int_equal(CALL("fd_allocate", other, 0, 1), WASI_ENOSPC);
	assert_int_equal(CALL("fd_allocate", other, UINT64_MAX, 2), WASI_EFBIG);
	assert_int_equal(on_path("path_unlink_file", "big"), WASI_OK);
	assert_int_equal(CALL("fd_close", fd), WASI_OK);
	assert_int_equal(write_text(other, "x"), WASI_OK);
	/* Depth, also by renaming. */
	for (unsigned i = 0; i < WASI_DEPTH_MAX; i++) {
		strcat(deep, i == 0 ? "d" : "/d");
		assert_int_equal(on_path("path_create_directory", deep), WASI_OK);
	}
	strcat(deep, "/d");
	assert_int_equal(on_path("path_create_directory", deep), WASI_ENOSPC);
	assert_int_equal(on_path("path_create_directory", "e"), WASI_OK);
	assert_int_equal(rename_path("d", "e/d"), WASI_ENOSPC);
	assert_int_equal(rename_path("d", "f"), WASI_OK);
	/* Descriptors. */
	while (open_path("small", 0, &other) == WASI_OK)
		made++;
	assert_int_equal(open_path("small", 0, &other), WASI_EMFILE);
	assert_int_equal(made, WASI_FDS_MAX - 5);
	/* Names. */
	for (made = 0; made < WASI_FILES_MAX; made++) {
		(void)snprintf(path, sizeof(path), "n%u", (unsigned)made);
		if (on_path("path_create_directory", path) != WASI_OK)
			break;
	}
	assert_int_equal(on_path("path_create_directory", "one-more"), WASI_ENOSPC);
	assert_int_equal(made, WASI_FILES_MAX - 3 - WASI_DEPTH_MAX);
	assert_int_equal(on_path("path_remove_directory", "n7"), WASI_OK);
	assert_int_equal(on_path("path_create_directory", "one-more"), WASI_OK);
}

static void
test_listing(void **state)
{
	uint64_t cookie = 0;
	unsigned seen = 0;
	char path[16];

	(void)state;
	given_files();
	for (unsigned i = 0; i < 40; i++) {
		(void)snprintf(path, sizeof(path), "n%02u", i);
		assert_int_equal(on_path("path_create_directory", path), WASI_OK);
	}
	for (;;) {
		uint32_t used, at = 0;

		assert_int_equal(CALL("fd_readdir", 3, DATA, 100, cookie, RESULT), WASI_OK);
		used = at32(RESULT);
		while (used - at >= WASI_DIRENT_LEN &&
		       used - at >= WASI_DIRENT_LEN + at32(DATA + at + 16)) {
			cookie = at64(DATA + at);
			at += WASI_DIRENT_LEN + at32(DATA + at + 16);
			seen++;
		}
		if (used < 100)
			break;
	}
	assert_int_equal(seen, 42);
	assert_int_equal(CALL("fd_readdir", 3, DATA, 100, UINT64_MAX, RESULT), WASI_OK);
	assert_int_equal(at32(RESULT), 0);
	assert_int_equal(CALL("fd_readdir", 3, DATA, MEMORY_LEN, 0, RESULT), WASI_EFAULT);
}

static void
test_rights(void **state)
{
	uint64_t dir;

	(void)state;
	given_files();
	assert_int_equal(on_path("path_create_directory", "d"), WASI_OK);
	assert_int_equal(
	    CALL("path_open", 3, 0, PATH, put(PATH, "d"), WASI_O_DIRECTORY,
		WASI_R_OPEN | WASI_R_CREATE_FILE | WASI_R_SEEK, WASI_R_READ, 0, RESULT),
	    WASI_OK);
	dir = at32(RESULT);
	assert_int_equal(CALL("fd_seek", dir, 0, 0, RESULT), WASI_ENOTCAPABLE);
	assert_int_equal(CALL("path_create_directory", dir, PATH, 1), WASI_ENOTCAPABLE);
	/* What the directory does not hand on, nobody gets below it. */
	assert_int_equal(
	    CALL("path_open", dir, 0, PATH, put(PATH, "f"), WASI_CREAT, RIGHTS_ALL, 0, 0, RESULT),
	    WASI_OK);
	assert_int_equal(write_text(at32(RESULT), "x"), WASI_EBADF);
	assert_int_equal(
	    CALL("path_open", dir, 0, PATH, 1, WASI_TRUNC, 0, 0, 0, RESULT), WASI_ENOTCAPABLE);
	assert_int_equal(CALL("fd_fdstat_set_rights", dir, RIGHTS_ALL, 0), WASI_ENOTCAPABLE);
	assert_int_equal(CALL("fd_fdstat_set_rights", dir, 0, RIGHTS_ALL), WASI_ENOTCAPABLE);
	assert_int_equal(CALL("fd_fdstat_set_rights", dir, 0, 0), WASI_OK);
	assert_int_equal(CALL("path_open", dir, 0, PATH, 1, 0, 0, 0, 0, RESULT), WASI_ENOTCAPABLE);
	assert_int_equal(CALL("path_open", dir, 2, PATH, 1, 0, 0, 0, 0, RESULT), WASI_EINVAL);
	assert_int_equal(
	    CALL("path_open", 3, 0, PATH, 1, 5 | WASI_O_DIRECTORY, 0, 0, 0, RESULT), WASI_EINVAL);
}

static void
test_renumber(void **state)
{
	uint64_t fd;

	(void)state;
	given_files();
	assert_int_equal(open_path("f", WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(CALL("fd_renumber", fd, 1), WASI_OK);
	assert_int_equal(CALL("fd_close", fd), WASI_EBADF);
	assert_int_equal(write_text(1, "into the file"), WASI_OK);
	assert_int_equal(ctx.out.len, 0);
	assert_int_equal(CALL("fd_renumber", 1, 9), WASI_EBADF);
	assert_int_equal(CALL("fd_renumber", 1, 1), WASI_OK);
	assert_int_equal(CALL("fd_renumber", 1, 3), WASI_OK);
	assert_int_equal(CALL("fd_prestat_get", 3, RESULT), WASI_EBADF);
}

/* The next call finds nothing of this one. */
static void
test_next_call(void **state)
{
	uint64_t fd;

	(void)state;
	given((struct wasi_given){ .files = true, .in = SPAN_LIT("first") });
	assert_int_equal(open_path("secret", WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(write_text(fd, "secret"), WASI_OK);
	assert_int_equal(write_text(1, "secret"), WASI_OK);
	assert_int_equal(read_text(0, 5), WASI_OK);
	given((struct wasi_given){ .files = true, .in = SPAN_LIT("second") });
	assert_int_equal(CALL("fd_close", fd), WASI_EBADF);
	assert_int_equal(open_path("secret", 0, &fd), WASI_ENOENT);
	assert_int_equal(ctx.out.len, 0);
	assert_memory_equal(ctx.out.ptr, (const uint8_t[6]){ 0 }, 6);
	assert_int_equal(read_text(0, 6), WASI_OK);
	assert_string_equal((char *)mem.base + DATA, "second");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_files, begin, end),
		cmocka_unit_test_setup_teardown(test_file, begin, end),
		cmocka_unit_test_setup_teardown(test_nothing_stays_in_freed_memory, begin, end),
		cmocka_unit_test_setup_teardown(test_nothing_stays_in_streams, begin, end),
		cmocka_unit_test_setup_teardown(test_append, begin, end),
		cmocka_unit_test_setup_teardown(test_paths, begin, end),
		cmocka_unit_test_setup_teardown(test_names, begin, end),
		cmocka_unit_test_setup_teardown(test_limits, begin, end),
		cmocka_unit_test_setup_teardown(test_listing, begin, end),
		cmocka_unit_test_setup_teardown(test_rights, begin, end),
		cmocka_unit_test_setup_teardown(test_renumber, begin, end),
		cmocka_unit_test_setup_teardown(test_next_call, begin, end),
	};

	return cmocka_run_group_tests_name("wasi", tests, NULL, NULL);
}
