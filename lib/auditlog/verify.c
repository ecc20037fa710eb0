/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c: is the log what was signed?
 *
 * Runs in: CLI (audit verify), as whoever may read the state directory.
 * Trusts: nothing but the arithmetic: audit.pub says whose log it is, and
 * whoever can replace audit.pub and audit.head can replace the log; keep copies.
 * Owns: one reader. Invariants: reads audit.head, then the checkpoint, then the
 * records, each in that order of growth, so that a log that is being written
 * never looks cut; four passes at most, so it always ends.
 * See: docs/audit-format.md; auditlog/auditlog.h; chain.c for who signs.
 */
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/io.h>

#define RACE_PAUSE_NS 300000000L
#define HEAD_FMT_LEN 128

/* What is to be verified, and from which key. */
struct source {
	int state_dirfd;
	const char *pub; /* a file; NULL: audit.pub of the state directory */
};

static void verify_any_start(const struct source *from, struct auditlog_result *ret);
static bool verify_once(const struct source *from, bool later, struct auditlog_result *ret);
static bool signed_files_read(struct verify *v, const struct source *from, int dirfd, bool later);
static void records_read(struct verify *v);
static void end_check(struct verify *v, int dirfd);
static void tail_check(struct verify *v);
static bool segment_beyond(int dirfd, uint32_t last);

const char *
auditlog_fault_text(enum auditlog_fault f)
{
	static const char *const texts[AUDITLOG_FAULT_COUNT] = {
		[AUDITLOG_NO_FAULT] = "intact",
		[AUDITLOG_CHANGED] = "changed",
		[AUDITLOG_REMOVED] = "removed",
		[AUDITLOG_INSERTED] = "inserted",
		[AUDITLOG_REORDERED] = "reordered",
		[AUDITLOG_CUT_OFF] = "cut off",
		[AUDITLOG_BAD_FILE] = "bad file",
	};

	return f < AUDITLOG_FAULT_COUNT ? texts[f] : "";
}

/*
 * Beyond the last signature a running service may take back lines that it could
 * not make durable, and audit.head appears just after the first checkpoint: what
 * is seen there counts only when it is seen twice.
 */
void
auditlog_verify_from(int state_dirfd, const char *pub, struct auditlog_result *ret)
{
	const struct timespec pause = { .tv_nsec = RACE_PAUSE_NS };
	const struct source from = { state_dirfd, pub };

	verify_any_start(&from, ret);
	if (ret->verdict != AUDITLOG_TAMPERED)
		return;
	if (ret->seq > 0 ? ret->seq <= ret->signed_records : ret->err != ENOENT)
		return;
	(void)nanosleep(&pause, NULL);
	verify_any_start(&from, ret);
}

void
auditlog_verify(int state_dirfd, struct auditlog_result *ret)
{
	auditlog_verify_from(state_dirfd, NULL, ret);
}

/* The key to start from is the log's first, or else one that a record of it names. */
static void
verify_any_start(const struct source *from, struct auditlog_result *ret)
{
	struct auditlog_result other;

	if (!verify_once(from, false, ret) || ret->verdict != AUDITLOG_TAMPERED)
		return;
	(void)verify_once(from, true, &other);
	if (other.verdict == AUDITLOG_INTACT)
		*ret = other;
}

static void
unreadable(struct auditlog_result *ret, const char *file, int err, const char *why)
{
	ret->verdict = AUDITLOG_UNREADABLE;
	ret->err = err;
	ret->why = why;
	(void)snprintf(ret->file, sizeof(ret->file), "%s", file);
}

void
verify_bad_file(struct verify *v, const char *file, const char *why)
{
	struct auditlog_result *ret = v->ret;

	ret->verdict = AUDITLOG_TAMPERED;
	ret->fault = AUDITLOG_BAD_FILE;
	ret->why = why;
	(void)snprintf(ret->file, sizeof(ret->file), "%s", file);
}

void
verify_fault(struct verify *v, enum auditlog_fault fault, uint64_t seq, const char *why)
{
	struct auditlog_result *ret = v->ret;
	bool before = seq < v->next && seq > 0;

	if (ret->verdict != 0)
		return;
	ret->verdict = AUDITLOG_TAMPERED;
	ret->fault = fault;
	ret->seq = seq;
	ret->trusted = v->anchored;
	ret->why = why;
	ret->offset = before ? v->last_offset : v->bad_offset;
	auditlog_segment_name(before ? v->last_segment : v->bad_segment, ret->file);
}

static void
files_done(struct verify *v)
{
	buf_done(&v->head.note);
	buf_done(&v->checkpoint.note);
}

/* True: a signature was not of the key in force; it may be that of another start. */
static bool
verify_once(const struct source *from, bool later, struct auditlog_result *ret)
{
	auto_free struct verify *v = calloc(1, sizeof(*v));
	auto_auditlog struct auditlog_reader *reader = NULL;
	auto_fd int dirfd = openat(
	    from->state_dirfd, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	*ret = (struct auditlog_result){ 0 };
	if (dirfd < 0) {
		unreadable(ret, "audit", errno, "the directory cannot be opened");
		return false;
	}
	if (v == NULL || !is_ok(auditlog_open(dirfd, &reader))) {
		unreadable(ret, "audit", ENOMEM, "out of memory");
		return false;
	}
	v->reader = reader;
	v->ret = ret;
	v->next = 1;
	ret->keys = 1;
	v->head = (struct signed_file){ "audit.head", BUF_INIT(AUDITLOG_NOTE_MAX), { { 0 } } };
	v->checkpoint = (struct signed_file){ "checkpoint", BUF_INIT(AUDITLOG_NOTE_MAX),
		{ { 0 } } };
	if (signed_files_read(v, from, dirfd, later)) {
		records_read(v);
		if (ret->verdict == 0)
			end_check(v, dirfd);
		if (ret->verdict == 0)
			ret->verdict = AUDITLOG_INTACT;
	}
	files_done(v);
	return v->chain.doubtful;
}

/* False: said why. ENOENT is the caller's to judge: *ret_missing. */
static bool
file_read(struct verify *v, int dirfd, const char *name, struct buf *out, bool *ret_missing)
{
	struct status st = io_read_file(dirfd, name, out);

	*ret_missing = st.code == E_SYS && st.err == ENOENT;
	if (is_ok(st) || *ret_missing)
		return true;
	if (st.code == E_FULL || (st.code == E_SYS && st.err == ELOOP))
		verify_bad_file(v, name, "it is not a file of ours");
	else
		unreadable(v->ret, name, st.err, "the file cannot be read");
	return false;
}

static bool
sizes_check(struct verify *v)
{
	v->ret->head_records = v->head.says.size;
	v->ret->signed_records = v->checkpoint.says.size;
	memcpy(v->ret->root, v->checkpoint.says.root, SHA256_LEN);
	if (v->checkpoint.says.size < v->head.says.size) {
		verify_bad_file(v, "checkpoint", "it is older than audit.head: cut off");
		v->ret->fault = AUDITLOG_CUT_OFF;
		v->ret->seq = v->checkpoint.says.size + 1;
		return false;
	}
	return true;
}

static bool
pub_read(struct verify *v, const struct source *from, struct buf *out, bool *ret_missing)
{
	if (from->pub == NULL)
		return file_read(v, from->state_dirfd, "audit.pub", out, ret_missing);
	return file_read(v, AT_FDCWD, from->pub, out, ret_missing);
}

/* In the order of growth: audit.head is never ahead of the checkpoint. */
static bool
signed_files_read(struct verify *v, const struct source *from, int dirfd, bool later)
{
	auto_buf struct buf pub = BUF_INIT(AUDITLOG_NOTE_MAX);
	bool no_pub, no_head, no_checkpoint;
	struct note_verifier key;

	if (!pub_read(v, from, &pub, &no_pub) ||
	    !file_read(v, from->state_dirfd, "audit.head", &v->head.note, &no_head) ||
	    !file_read(v, dirfd, "checkpoint", &v->checkpoint.note, &no_checkpoint))
		return false;
	if (no_head && no_checkpoint && !segment_beyond(dirfd, 0)) {
		unreadable(v->ret, "audit", ENOENT, "there is no log yet");
		return false;
	}
	if (no_pub) {
		unreadable(v->ret, "audit.pub", ENOENT, "the public key is missing");
		return false;
	}
	if (no_head || no_checkpoint) {
		verify_bad_file(v, no_head ? "audit.head" : "checkpoint", "the file is missing");
		v->ret->err = ENOENT;
		return false;
	}
	if (!is_ok(auditlog_pub_parse(buf_span(&pub), &key))) {
		verify_bad_file(v, "audit.pub", "it is not a verifier key");
		return false;
	}
	chain_begin(v, &key, later);
	return chain_file_early(v, &v->head) && chain_file_early(v, &v->checkpoint) &&
	       sizes_check(v);
}

/* The tree is as large as a signed one: the key must be the right one, and the roots agree. */
static bool
root_check(struct verify *v, struct signed_file *f)
{
	const struct checkpoint *c = &f->says;
	uint8_t root[SHA256_LEN];

	if (c->size != v->tree.size)
		return true;
	if (!chain_file(v, f))
		return false;
	if (!is_ok(merkle_root(&v->tree, root))) {
		unreadable(v->ret, "audit", 0, "the hash cannot be computed");
		return false;
	}
	if (memcmp(root, c->root, SHA256_LEN) == 0) {
		v->anchored = c->size;
		return true;
	}
	return false;
}

/* All links hold up to here, but the signed root differs. */
static void
root_fault(struct verify *v)
{
	struct auditlog_head next;
	struct span line;
	bool chained = is_ok(auditlog_next(v->reader, &line)) &&
		       is_ok(auditlog_head_of(line, &next)) &&
		       memcmp(next.prev, v->leaf, SHA256_LEN) == 0;

	if (chained)
		verify_fault(v, AUDITLOG_CHANGED, v->anchored + 1,
		    "this record or a later one was changed and the chain made anew");
	else
		verify_fault(v, AUDITLOG_CHANGED, v->next - 1,
		    "the signed root does not match from this record on, or from an earlier one");
}

static bool
accept(struct verify *v, struct span line)
{
	if (!chain_record(v, line))
		return false;
	memcpy(v->leaf_before, v->leaf, SHA256_LEN);
	if (!is_ok(merkle_leaf_hash(line, v->leaf)) ||
	    !is_ok(merkle_append_hash(&v->tree, v->leaf))) {
		unreadable(v->ret, "audit", 0, "the hash cannot be computed");
		return false;
	}
	memcpy(v->last.bytes, line.ptr, line.len);
	v->last.len = line.len;
	v->last_offset = auditlog_offset(v->reader);
	v->last_segment = auditlog_segment(v->reader);
	v->next++;
	v->ret->records++;
	if (root_check(v, &v->head) && root_check(v, &v->checkpoint))
		return true;
	if (v->ret->verdict == 0)
		root_fault(v);
	return false;
}

static void
records_read(struct verify *v)
{
	if (!root_check(v, &v->head) || !root_check(v, &v->checkpoint)) {
		if (v->ret->verdict == 0)
			verify_bad_file(v, "checkpoint", "its root is not that of no records");
		return;
	}
	for (;;) {
		struct auditlog_head h;
		struct span line = SPAN_EMPTY;
		struct status st = auditlog_next(v->reader, &line);

		if (st.code == E_EOF)
			return;
		if (st.code == E_SYS) {
			unreadable(v->ret, "audit", st.err, "a segment cannot be read");
			return;
		}
		if (is_ok(st) && is_ok(auditlog_head_of(line, &h)) && h.seq == v->next &&
		    memcmp(h.prev, v->leaf, SHA256_LEN) == 0) {
			if (!accept(v, line))
				return;
			continue;
		}
		line_copy(&v->bad, is_ok(st) ? line : SPAN_EMPTY);
		v->bad_offset = auditlog_offset(v->reader);
		v->bad_segment = auditlog_segment(v->reader);
		verify_classify(v);
		return;
	}
}

static void
end_check(struct verify *v, int dirfd)
{
	uint32_t segment = auditlog_segment(v->reader);

	v->bad_segment = segment > 0 ? segment : AUDITLOG_SEGMENT_FIRST;
	v->bad_offset = auditlog_offset(v->reader);
	if (v->ret->records < v->checkpoint.says.size && !chain_file(v, &v->checkpoint))
		return;
	if (segment_beyond(dirfd, segment))
		verify_fault(v, AUDITLOG_REMOVED, v->next, "a whole segment is missing");
	else if (v->ret->records < v->checkpoint.says.size && v->next > 1 &&
		 !line_is_json(&v->last))
		verify_fault(v, AUDITLOG_CHANGED, v->next - 1, "the record is not well-formed");
	else if (v->ret->records < v->checkpoint.says.size)
		verify_fault(v, AUDITLOG_CUT_OFF, v->next, "the log ends before its signed head");
	else
		tail_check(v);
}

/* Bytes of a record that is being written, or that a crash left: they must begin as it would. */
static void
tail_check(struct verify *v)
{
	struct span tail = auditlog_tail(v->reader);
	char want[HEAD_FMT_LEN + 2 * SHA256_LEN];
	char prev[2 * SHA256_LEN + 1] = { 0 };
	size_t mark = sizeof("{\"ts\":\"") - 1, from = mark + AUDITLOG_TS_LEN;
	int len;

	v->ret->tail_bytes = tail.len;
	hex_encode(span_of(v->leaf, SHA256_LEN), prev);
	len = snprintf(want, sizeof(want), "{\"ts\":\"%0*d\",\"prev\":\"%s\",\"seq\":%llu,",
	    AUDITLOG_TS_LEN, 0, prev, (unsigned long long)v->next);
	if (len < 0 || (size_t)len >= sizeof(want))
		return;
	for (size_t i = 0; i < tail.len && i < (size_t)len; i++) {
		if ((i < mark || i >= from) && tail.ptr[i] != (uint8_t)want[i]) {
			verify_fault(v, AUDITLOG_INSERTED, v->next,
			    "the bytes after the last record are not the start of one");
			return;
		}
	}
}

static bool
is_segment(const char *name, uint32_t *ret)
{
	uint64_t n;

	if (strlen(name) != AUDITLOG_SEGMENT_NAME_LEN ||
	    !is_ok(span_u64(span_of(name, 8), AUDITLOG_SEGMENT_LAST, &n)) ||
	    strcmp(name + 8, ".jsonl") != 0)
		return false;
	*ret = (uint32_t)n;
	return true;
}

/* A segment that the reader could not get to, because one before it is missing. */
static bool
segment_beyond(int dirfd, uint32_t last)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	bool found = false, next_there = false;
	uint32_t n;

	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return false;
	}
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		if (!is_segment(e->d_name, &n) || n <= last)
			continue;
		found = true;
		next_there = next_there || n == last + 1;
	}
	(void)closedir(dir);
	/* The next one there: the writer made it just now. */
	return found && (last == 0 || !next_there);
}
