/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup.c: `sallyport backup` and `restore`: the store as one sealed file, and back.
 *
 * Runs in: CLI, as root. Trusts: nothing in a backup: it is opened to its end, under a key of
 * this state's master.key, before anything is replaced or called done.
 * Owns: the copy on its way.
 * Invariants: restore needs the service to be stopped, and holds its lock; the database is
 * replaced whole or not at all; a log of the old one never meets the new one.
 * See: crypto/backup.h; src/store/backup.c.
 */
#include "operate.h"
#include "passphrase.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/backup.h>
#include <crypto/file_secret.h>

#define CHUNK (SEAL_CHUNK_LEN + SEAL_TAG_LEN)
#define POLL_MS 100
#define POLLS_MAX (3600 * 1000 / POLL_MS)
#define RESTORED "store.db.restored"

/* ---- reading one ---- */

/* False after a message. */
static bool
key_open(const struct invocation *inv, const struct state *s, struct secret *ret)
{
	auto_secret struct secret master = SECRET_NONE, root = SECRET_NONE;
	struct status st;

	if (!master_key_open(inv, s->dir_fd, &master))
		return false;
	st = store_root_key(&master, &root);
	if (is_ok(st))
		st = backup_key(&root, ret);
	if (!is_ok(st))
		(void)cli_status("master.key", st);
	return is_ok(st);
}

static struct status
read_full(int fd, uint8_t *to, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(fd, to + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		if (n == 0)
			return fail(E_CORRUPT);
		at += (size_t)n;
	}
	return OK;
}

/* What is behind the head goes to `to`; -1: nowhere, it is only looked at. */
static struct status
chunk_write(int to, struct span plain, uint64_t at, struct backup_head *head)
{
	if (at == 0) {
		TRY(backup_head_get(plain, head));
		plain = span_from(plain, BACKUP_HEAD_LEN);
	}
	return to < 0 || plain.len == 0 ? OK : io_write_all(to, plain);
}

static struct status
chunks_open(int from, uint64_t left, struct seal_stream *stream, int to, struct backup_head *head)
{
	auto_buf struct buf sealed = BUF_INIT(CHUNK), plain = BUF_INIT(SEAL_CHUNK_LEN + 1);
	uint64_t at = 0;

	TRY(buf_reserve(&sealed, CHUNK));
	while (left > 0) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;

		TRY(read_full(from, sealed.ptr, n));
		left -= n;
		buf_clear(&plain);
		TRY(seal_stream_get(stream, span_of(sealed.ptr, n), left == 0, &plain));
		TRY(chunk_write(to, buf_span(&plain), at, head));
		at += plain.len;
	}
	return at == BACKUP_HEAD_LEN + head->db_len ? OK : fail(E_CORRUPT);
}

static struct status
backup_open(const struct secret *key, int from, int to, struct backup_head *head)
{
	uint8_t start[SEAL_STREAM_HEAD_LEN];
	struct seal_stream *stream = NULL;
	struct status st;
	struct stat sb;

	if (fstat(from, &sb) < 0)
		return fail_errno();
	if (!S_ISREG(sb.st_mode) || sb.st_size <= SEAL_STREAM_HEAD_LEN)
		return fail(E_SYNTAX);
	TRY(read_full(from, start, sizeof(start)));
	TRY(seal_stream_open(key, BACKUP_AAD, span_of(start, sizeof(start)), &stream));
	st = chunks_open(from, (uint64_t)sb.st_size - sizeof(start), stream, to, head);
	seal_stream_free(stream);
	return st;
}

static int
not_good(const char *path, struct status st)
{
	if (st.code == E_CRYPTO || st.code == E_CORRUPT || st.code == E_SYNTAX)
		return cli_error(path, "is no whole backup that this master.key made");
	return cli_status(path, st);
}

/* ---- backup ---- */

static bool
ask(const struct state *s, const char *method, struct reply *r)
{
	*r = (struct reply){ .x = { .method = method, .target = "/admin/v1/backup" } };
	return operate("backup", s, r);
}

/* Until the store has made it; false after a message. */
static bool
made(const struct state *s)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };

	for (int i = 0; i < POLLS_MAX; i++) {
		auto_reply struct reply r = { 0 };
		uint32_t state;

		if (!ask(s, i == 0 ? "POST" : "GET", &r))
			return false;
		state = json_get_str(&r.d, 0, "state");
		if (json_str_eq_str(&r.d, state, "done"))
			return true;
		if (!json_str_eq_str(&r.d, state, "under_way"))
			break;
		(void)nanosleep(&pause, NULL);
	}
	(void)cli_error("backup",
	    "the store did not finish it (a person was erased, or the disk is full); try again");
	return false;
}

static struct status
copy(int from, int to)
{
	auto_buf struct buf piece = BUF_INIT(1U << 20);
	ssize_t n;

	TRY(buf_reserve(&piece, 1U << 20));
	while ((n = read(from, piece.ptr, 1U << 20)) > 0)
		TRY(io_write_all(to, span_of(piece.ptr, (size_t)n)));
	return n < 0 || fsync(to) < 0 ? fail_errno() : OK;
}

/* Out of the store's folder, and looked at once more where it is now. */
static struct status
take(int dir, const struct secret *key, const char *part, struct backup_head *head)
{
	auto_fd int from = openat(dir, BACKUP_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_fd int to = -1;

	if (from < 0)
		return fail(E_AGAIN); /* the store has done away with it */
	to = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0)
		return fail_errno();
	TRY(copy(from, to));
	if (lseek(to, 0, SEEK_SET) < 0)
		return fail_errno();
	TRY(backup_open(key, to, -1, head));
	return unlinkat(dir, BACKUP_FILE, 0) < 0 && errno != ENOENT ? fail_errno() : OK;
}

/* It has its name once it is whole, and for good. */
static struct status
name_it(const char *part, const char *path)
{
	auto_fd int folder = -1;
	char parent[PATH_MAX];

	(void)snprintf(parent, sizeof(parent), "%s", path);
	folder = open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) < 0 ||
	    fsync(folder) < 0)
		return fail_errno();
	return OK;
}

/* One at a time, from the request to where it is taken: what is done is nobody else's. */
static bool
lock_folder(const struct state *s, int *ret)
{
	auto_fd int dir = openat(s->dir_fd, "store", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		(void)cli_status("store", fail_errno());
	else if (flock(dir, LOCK_EX | LOCK_NB) < 0)
		(void)cli_error("backup", "another one is being made: wait for its end");
	else
		*ret = fd_take(&dir);
	return *ret >= 0;
}

/* Until it was taken: an erasure knows of no file that is here. */
static void
print_erased_meanwhile(const struct state *s)
{
	auto_reply struct reply r = { 0 };
	uint64_t n = 0;

	if (!ask(s, "GET", &r))
		return;
	(void)is_ok(json_u64(&r.d, json_get_str(&r.d, 0, "erased"), UINT64_MAX, &n));
	if (n == 1)
		(void)puts("1 person was erased meanwhile and is in it, with keys");
	else if (n > 1)
		(void)printf("%llu people were erased meanwhile and are in it, with keys\n",
		    (unsigned long long)n);
}

/* A backup holds the keys as they were wrapped when it was made. */
static void
print_needs(const struct state *s, bool made)
{
	const char *kek = conf_str(s->conf, "store.kek");

	if (strcmp(kek, "local") != 0)
		(void)printf("%s this master.key, and %s (store.kek)\n",
		    made ? "to restore it takes" : "to open it takes", kek);
	else if (made)
		(void)puts("to restore it takes this master.key");
	if (!made)
		(void)puts(
		    "what store.kek was when the backup was made, if it is another now, has to be "
		    "in store.kek_before");
}

int
cmd_backup(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;
	auto_secret struct secret key = SECRET_NONE;
	struct backup_head head = { 0 };
	auto_fd int dir = -1;
	char part[PATH_MAX];
	struct status st;

	if (strcmp(inv->args[0], "-") == 0)
		return cli_error("-", "a backup needs the name of a file");
	if (access(inv->args[0], F_OK) == 0)
		return cli_error(inv->args[0], "is there already");
	if ((size_t)snprintf(part, sizeof(part), "%s.part", inv->args[0]) >= sizeof(part))
		return cli_error(inv->args[0], "is too long a name");
	if (!state_open_option(inv, &s) || !key_open(inv, &s, &key) || !lock_folder(&s, &dir) ||
	    !made(&s))
		return EXIT_FAILED;
	st = take(dir, &key, part, &head);
	if (is_ok(st))
		st = name_it(part, inv->args[0]);
	if (!is_ok(st)) {
		(void)unlink(part);
		return st.code == E_AGAIN
			   ? cli_error("backup", "the store has done away with it; try again")
			   : not_good(inv->args[0], st);
	}
	(void)printf("%s: generation %llu, %llu bytes\n", inv->args[0],
	    (unsigned long long)head.generation, (unsigned long long)head.db_len);
	print_erased_meanwhile(&s);
	print_needs(&s, true);
	return EXIT_DONE;
}

/* ---- restore ---- */

/* Held until this process ends. */
static struct status
lock_stopped(const struct state *s)
{
	int fd;

	if (mkdirat(s->dir_fd, "run", 0700) < 0 && errno != EEXIST)
		return fail_errno();
	fd = openat(s->dir_fd, "run/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno();
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? fail(E_EXISTS) : fail_errno();
	return OK;
}

static struct status
remove_if_there(int dir, const char *name)
{
	return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? fail_errno() : OK;
}

/* The old log goes first: it must never be taken for the new database's. */
static struct status
replace(int dir, int fd)
{
	struct stat sb;

	if (fstat(dir, &sb) < 0 || fchown(fd, sb.st_uid, sb.st_gid) < 0 || fsync(fd) < 0)
		return fail_errno();
	TRY(remove_if_there(dir, "store.db-wal"));
	TRY(remove_if_there(dir, "store.db-shm"));
	TRY(remove_if_there(dir, "store.db-journal"));
	if (fsync(dir) < 0 || renameat(dir, RESTORED, dir, "store.db") < 0 || fsync(dir) < 0)
		return fail_errno();
	return OK;
}

static struct status
restore(const struct state *s, const struct secret *key, int from, struct backup_head *head)
{
	auto_fd int dir = openat(s->dir_fd, "store", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd int to = -1;
	struct status st;

	if (dir < 0)
		return fail_errno();
	TRY(remove_if_there(dir, RESTORED));
	to = openat(dir, RESTORED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0)
		return fail_errno();
	st = backup_open(key, from, to, head);
	if (is_ok(st))
		st = replace(dir, to);
	if (!is_ok(st))
		(void)unlinkat(dir, RESTORED, 0);
	return st;
}

int
cmd_restore(const struct invocation *inv)
{
	auto_fd int from = open(inv->args[0], O_RDONLY | O_CLOEXEC);
	auto_state struct state s = STATE_NONE;
	auto_secret struct secret key = SECRET_NONE;
	struct backup_head head = { 0 };
	struct status st;

	if (from < 0)
		return cli_status(inv->args[0], fail_errno());
	if (!state_open_option(inv, &s) || !key_open(inv, &s, &key))
		return EXIT_FAILED;
	st = lock_stopped(&s);
	if (st.code == E_EXISTS)
		return cli_error("restore", "the service runs: stop it first");
	if (is_ok(st))
		st = restore(&s, &key, from, &head);
	if (!is_ok(st))
		return not_good(inv->args[0], st);
	(void)printf("restored: generation %llu, %llu bytes\n", (unsigned long long)head.generation,
	    (unsigned long long)head.db_len);
	print_needs(&s, false);
	return EXIT_DONE;
}
