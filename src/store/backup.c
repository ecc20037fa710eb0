/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup.c: a sealed copy of the database, made in small steps while it is in use.
 *
 * Runs in: store. Trusts: the backend not to touch a frozen file.
 * Owns: the copy and its stream, until it is whole.
 * Invariants: the file stays as it is while the copy is made, or the copy ends; a copy
 * without its last chunk is none, and has not the name of one. What is destroyed while it is made
 * stays in the file until it is over, but no longer than BACKUP_WAITED_S. Nobody's backup stays.
 * See: backup.h; crypto/backup.h.
 */
#include "backup.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/io.h>
#include <crypto/backup.h>
#include <daemon/daemon.h>

#include "internal.h"

struct backup {
	const char *name;
	char part[32]; /* its name while it is made */
	uint64_t began_ns;
	struct seal_stream *stream;
	int fd;
	struct backup_head head;
	uint64_t at; /* bytes of head and database that are in it */
	struct buf chunk, sealed;
};

void
db_backup_abort(struct db *db)
{
	struct backup *b = db->backup;

	if (b == NULL)
		return;
	backend_thaw(db->back);
	seal_stream_free(b->stream);
	if (b->fd >= 0)
		(void)close(b->fd);
	(void)unlink(b->part);
	buf_done(&b->chunk);
	buf_done(&b->sealed);
	free(b);
	db->backup = NULL;
	db->backup_state.under_way = 0;
	db->backup_state.code = E_AGAIN;
}

/* The file stays as it is from here on. */
static struct status
begin(struct db *db, struct backup *b, uint64_t now_s)
{
	auto_secret struct secret key = SECRET_NONE;

	TRY(db_settle(db));
	TRY(backend_freeze(db->back, &b->head.db_len));
	b->head.created_s = now_s;
	TRY(backup_key(db->root, &key));
	TRY(seal_stream_new(&key, BACKUP_AAD, &b->stream));
	(void)unlink(b->part);
	b->fd = open(b->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (b->fd < 0)
		return fail_errno();
	return io_write_all(b->fd, seal_stream_head(b->stream));
}

static struct status
start(struct db *db, const char *name, uint64_t generation, uint64_t now_s)
{
	struct backup *b = calloc(1, sizeof(*b));
	struct status st;

	if (b == NULL)
		return fail(E_NOMEM);
	b->name = name;
	(void)snprintf(b->part, sizeof(b->part), "%s.part", name);
	b->began_ns = clock_mono_ns();
	b->fd = -1;
	b->head.generation = generation;
	b->chunk = BUF_INIT(SEAL_CHUNK_LEN);
	b->sealed = BUF_INIT(SEAL_CHUNK_LEN + SEAL_TAG_LEN);
	st = begin(db, b, now_s);
	db->backup = b;
	if (!is_ok(st)) {
		db_backup_abort(db);
		db->backup_state.code = st.code;
		return st;
	}
	db->backup_state = (struct as_backup_state){ .code = E_OK,
		.under_way = 1,
		.all_bytes = BACKUP_HEAD_LEN + b->head.db_len,
		.generation = generation,
		.created_s = now_s };
	return OK;
}

struct status
db_backup(struct db *db, uint64_t now_s)
{
	uint64_t generation;

	if (db->backup != NULL)
		return fail(E_EXISTS);
	TRY(db_generation_next(db, &generation));
	sql_reset_all(db); /* a read that is open would keep the log */
	return start(db, BACKUP_FILE, generation, now_s);
}

static struct status
folder_sync(void)
{
	auto_fd int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? fail_errno() : OK;
}

struct status
db_backup_before(struct db *db)
{
	TRY(start(db, BACKUP_BEFORE_TMP, 0, 0));
	while (db->backup != NULL) {
		TRY(db_backup_step(db));
		daemon_progress("bytes copied before the upgrade", db->backup_state.done_bytes,
		    db->backup_state.all_bytes);
	}
	/* Only a whole one takes the place of that of an earlier attempt. */
	if (renameat(AT_FDCWD, BACKUP_BEFORE_TMP, AT_FDCWD, BACKUP_BEFORE_FILE) < 0)
		return fail_errno();
	TRY(folder_sync());
	db->backup_state = (struct as_backup_state){ 0 };
	return OK;
}

void
db_backup_before_expire(uint64_t now_s)
{
	static const char *const names[] = { BACKUP_BEFORE_FILE, BACKUP_BEFORE_FILE_OLD,
		BACKUP_BEFORE_FILE_7 };
	struct stat sb;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (lstat(names[i], &sb) == 0 && sb.st_mtime >= 0 &&
		    now_s > (uint64_t)sb.st_mtime &&
		    now_s - (uint64_t)sb.st_mtime > BACKUP_BEFORE_DAYS * 86400ULL)
			(void)unlink(names[i]);
	}
}

/* The next piece of head and database into b->chunk. */
static struct status
chunk_fill(struct db *db, struct backup *b)
{
	uint64_t all = BACKUP_HEAD_LEN + b->head.db_len;
	size_t want = all - b->at < SEAL_CHUNK_LEN ? (size_t)(all - b->at) : SEAL_CHUNK_LEN;
	size_t head = 0;

	buf_clear(&b->chunk);
	TRY(buf_reserve(&b->chunk, SEAL_CHUNK_LEN));
	if (b->at == 0) {
		backup_head_put(&b->head, b->chunk.ptr);
		head = BACKUP_HEAD_LEN;
	}
	TRY(backend_file_read(
	    db->back, b->at + head - BACKUP_HEAD_LEN, b->chunk.ptr + head, want - head));
	b->chunk.len = want;
	return OK;
}

static struct status
finish(struct db *db, struct backup *b)
{
	auto_fd int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 || fsync(b->fd) < 0 || renameat(AT_FDCWD, b->part, AT_FDCWD, b->name) < 0 ||
	    fsync(dir) < 0)
		return fail_errno();
	backend_thaw(db->back);
	seal_stream_free(b->stream);
	(void)close(b->fd);
	buf_done(&b->chunk);
	buf_done(&b->sealed);
	free(b);
	db->backup = NULL;
	db->backup_state.under_way = 0;
	db->backup_done_ns = clock_mono_ns();
	return OK;
}

bool
db_backup_holds(const struct db *db)
{
	return db->backup != NULL &&
	       clock_mono_ns() - db->backup->began_ns < db->backup_waited_s * NS_PER_S;
}

bool
db_backup_erased(struct db *db)
{
	db->backup_state.erased++;
	return db->backup != NULL;
}

void
db_backup_drop(struct db *db, uint64_t age_s)
{
	if (db->backup_done_ns == 0 || clock_mono_ns() - db->backup_done_ns < age_s * NS_PER_S)
		return;
	(void)unlink(BACKUP_FILE);
	db->backup_done_ns = 0;
	/* Whoever is taking it still asks how many there were. */
	db->backup_state = (struct as_backup_state){ .erased = db->backup_state.erased };
}

void
db_backup_drop_old(void)
{
	(void)unlink(BACKUP_FILE);
	(void)unlink(BACKUP_FILE ".part");
	(void)unlink(BACKUP_BEFORE_FILE ".part");
	(void)unlink(BACKUP_BEFORE_TMP ".part");
	(void)unlink(BACKUP_BEFORE_TMP);
}

static struct status
step(struct db *db, struct backup *b)
{
	bool last;

	TRY(chunk_fill(db, b));
	last = b->at + b->chunk.len == BACKUP_HEAD_LEN + b->head.db_len;
	buf_clear(&b->sealed);
	TRY(seal_stream_put(b->stream, buf_span(&b->chunk), last, &b->sealed));
	TRY(io_write_all(b->fd, buf_span(&b->sealed)));
	b->at += b->chunk.len;
	db->backup_state.done_bytes = b->at;
	return last ? finish(db, b) : OK;
}

struct status
db_backup_step(struct db *db)
{
	struct status st;

	if (db->backup == NULL)
		return db->backup_state.code == E_OK || db->backup_state.code == 0
			   ? fail(E_NOTFOUND)
			   : fail((enum code)db->backup_state.code);
	st = step(db, db->backup);
	if (!is_ok(st)) {
		db_backup_abort(db);
		db->backup_state.code = st.code;
	}
	return st;
}

void
db_backup_state(const struct db *db, struct as_backup_state *ret)
{
	*ret = db->backup_state;
	if (ret->code == 0)
		ret->code = E_NOTFOUND; /* none since the start */
}
