/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c: append, commit, sign.
 *
 * Runs in: audit, jailed; blocks on its disk, which is its job.
 * Trusts: the kernel's word on fdatasync; after it failed once, nothing.
 * Owns: the open segment, the batch, the chain's two states, the intents.
 * Invariants: what is acknowledged is durable; a batch that fails leaves the
 * file as long as before and the chain as it was; a checkpoint never covers
 * what is not durable; files are only written through write, pwrite, ftruncate,
 * fdatasync, fsync, rename and unlink (the crash tests stop before and after each).
 * See: log.h; recover.c; docs/audit-format.md.
 */
#include "log.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/io.h>

#define CLOSING_MAX 65536U

static struct status batch_write(struct log *l);
static struct status segment_rotate(struct log *l);
static void reserve_fill(struct log *l);
static void batch_drop(struct log *l);
static void batch_keep(struct log *l);

/* ---- appending ---- */

static struct status
closing_reserve(struct log *l, uint32_t more)
{
	uint32_t cap = l->closing_cap;
	uint64_t *grown;

	if (more > CLOSING_MAX - l->nclosing)
		return fail(E_FULL);
	if (l->nclosing + more <= cap)
		return OK;
	cap = cap > 0 ? cap * 2 : 256;
	while (cap < l->nclosing + more)
		cap *= 2;
	grown = realloc(l->closing, cap * sizeof(grown[0]));
	if (grown == NULL)
		return fail(E_NOMEM);
	l->closing = grown;
	l->closing_cap = cap;
	return OK;
}

static struct status
admit_one(struct log *l, const struct audit_rec *r, uint64_t owner)
{
	struct intent *i;

	if (r->phase != AUDIT_PHASE_OUTCOME)
		return OK;
	i = intents_find(&l->intents, r->intent_seq);
	if (i == NULL || i->owner != owner || i->closing)
		return fail(E_NOTFOUND);
	if (!intent_pairs(i->event, r->event))
		return fail(E_PROTO);
	i->closing = true;
	l->closing[l->nclosing++] = r->intent_seq;
	return OK;
}

static void
closing_undo(struct log *l, uint32_t down_to)
{
	while (l->nclosing > down_to) {
		struct intent *i = intents_find(&l->intents, l->closing[--l->nclosing]);

		if (i != NULL)
			i->closing = false;
	}
}

struct status
log_admit(struct log *l, const struct audit_rec *recs, uint32_t count, uint64_t owner)
{
	uint32_t before = l->nclosing;
	struct status st = OK;

	if (LOG_BATCH_MAX - l->batch.len < (size_t)count * RECORD_ROOM)
		return fail(E_FULL);
	TRY(intents_reserve(&l->intents, count));
	TRY(closing_reserve(l, count));
	for (uint32_t i = 0; i < count && is_ok(st); i++)
		st = admit_one(l, &recs[i], owner);
	if (!is_ok(st))
		closing_undo(l, before);
	return st;
}

static void
intent_open(struct log *l, const struct audit_rec *r, uint64_t owner)
{
	struct intent i = { .seq = l->now.size, .owner = owner, .event = r->event };

	memcpy(i.request_id, r->request_id, sizeof(i.request_id));
	memcpy(i.subject, r->subject, sizeof(i.subject));
	memcpy(i.key, r->key, sizeof(i.key));
	intents_add(&l->intents, &i);
}

void
log_sender_seen(struct log_senders *s, struct span name, uint32_t id, uint64_t seq)
{
	struct log_sender *at = NULL;

	for (uint32_t i = 0; i < s->n && at == NULL; i++) {
		if (s->rows[i].id == id && span_eq_str(name, s->rows[i].name))
			at = &s->rows[i];
	}
	if (at == NULL) {
		struct log_sender fresh = { .id = id };

		if (!is_ok(span_to_cstr(name, fresh.name, sizeof(fresh.name))))
			return;
		if (s->n == LOG_SENDERS_MAX) {
			memmove(s->rows, s->rows + 1, (LOG_SENDERS_MAX - 1) * sizeof(s->rows[0]));
			s->n--;
		}
		at = &s->rows[s->n++];
		*at = fresh;
	}
	at->seq = seq;
}

static struct status
append(struct log *l, const struct audit_rec *r, const struct record_sender *from, bool more)
{
	uint64_t ts = clock_real_ns();
	size_t start = l->batch.len;
	struct record_place at;

	at = (struct record_place){ .ts_ns = ts > l->now.ts_ns ? ts : l->now.ts_ns,
		.seq = l->now.size + 1,
		.prev = l->now.leaf,
		.more = more };
	TRY(record_encode(r, from, &at, &l->batch));
	TRY(merkle_leaf_hash(span_from(buf_span(&l->batch), start), l->now.leaf));
	TRY(merkle_append_hash(&l->now.tree, l->now.leaf));
	if (l->now.size++ == 0)
		l->key_since_ns = at.ts_ns;
	l->now.ts_ns = at.ts_ns;
	log_sender_seen(&l->senders_now, span_str(from->name), from->id, r->proc_seq);
	return buf_put_u8(&l->batch, '\n');
}

void
log_append(struct log *l, const struct audit_rec *r, const struct record_sender *from,
    uint64_t owner, bool more)
{
	if (l->dead)
		return;
	if (!is_ok(append(l, r, from, more))) {
		l->dead = true; /* half a line may be in the batch */
		return;
	}
	if (r->phase == AUDIT_PHASE_INTENT)
		intent_open(l, r, owner);
}

/* ---- commit ---- */

struct status
log_usable(const struct log *l)
{
	if (l->dead)
		return fail(E_SYS);
	if (l->unsigned_since_ns != 0 &&
	    clock_mono_ns() - l->unsigned_since_ns > LOG_CHECKPOINT_LATE_NS)
		return fail(E_TIMEOUT);
	return OK;
}

struct status
log_commit(struct log *l)
{
	struct status st;

	if (l->batch.len == 0 && !l->dead)
		return OK;
	st = l->dead ? fail(E_SYS) : batch_write(l);
	if (is_ok(st))
		batch_keep(l);
	else
		batch_drop(l);
	return st;
}

static struct status
pwrite_all(int fd, struct span s, uint64_t at)
{
	while (s.len > 0) {
		ssize_t n = pwrite(fd, s.ptr, s.len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		s = span_from(s, (size_t)n);
		at += (size_t)n;
	}
	return OK;
}

/* Nothing half-written remains; when even that fails, the log is dead. */
static void
take_back(struct log *l)
{
	if (ftruncate(l->fd, (off_t)l->len) < 0)
		l->dead = true;
	l->allocated = l->len;
}

static struct status
batch_write(struct log *l)
{
	struct status st;

	if (l->len > 0 && l->len + l->batch.len > l->opts.segment_max)
		TRY(segment_rotate(l));
	reserve_fill(l);
	if (!l->no_reserve && l->len + l->batch.len > l->allocated)
		return fail(E_FULL);
	st = pwrite_all(l->fd, buf_span(&l->batch), l->len);
	if (!is_ok(st)) {
		take_back(l);
		return st;
	}
	if (fdatasync(l->fd) < 0) {
		st = fail_errno();
		/* The kernel may have dropped the pages and will not say so twice. */
		l->dead = true;
		take_back(l);
		return st;
	}
	l->len += l->batch.len;
	if (l->allocated < l->len)
		l->allocated = l->len;
	return OK;
}

/* Hold disk space beyond the end, so that a full disk does not stop those who are known. */
static void
reserve_fill(struct log *l)
{
	uint64_t need = l->len + l->batch.len, want = need + l->opts.reserve;

	if (l->no_reserve || (l->allocated >= want - l->opts.reserve / 2 && !l->low))
		return;
	if (fallocate(l->fd, FALLOC_FL_KEEP_SIZE, (off_t)l->len, (off_t)(want - l->len)) == 0) {
		l->allocated = want;
		l->low = false;
		return;
	}
	if (errno == EOPNOTSUPP || errno == ENOSYS) {
		l->no_reserve = true;
		return;
	}
	l->low = true;
	if (l->allocated < need &&
	    fallocate(l->fd, FALLOC_FL_KEEP_SIZE, (off_t)l->len, (off_t)(need - l->len)) == 0)
		l->allocated = need;
}

static void
batch_drop(struct log *l)
{
	for (uint64_t seq = l->durable.size + 1; seq <= l->now.size; seq++)
		intents_remove(&l->intents, seq);
	closing_undo(l, 0);
	l->now = l->durable;
	l->senders_now = l->senders;
	if (l->durable.size == 0)
		l->key_since_ns = 0;
	buf_clear(&l->batch);
}

static void
batch_keep(struct log *l)
{
	for (uint32_t i = 0; i < l->nclosing; i++)
		intents_remove(&l->intents, l->closing[i]);
	l->nclosing = 0;
	l->durable = l->now;
	l->senders = l->senders_now;
	if (l->unsigned_since_ns == 0)
		l->unsigned_since_ns = clock_mono_ns();
	buf_clear(&l->batch);
}

/* ---- segments ---- */

struct status
log_segment_create(struct log *l, uint32_t n)
{
	char name[AUDITLOG_SEGMENT_NAME_LEN + 1];
	int fd;

	if (n > AUDITLOG_SEGMENT_LAST)
		return fail(E_FULL);
	auditlog_segment_name(n, name);
	fd = openat(l->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno();
	if (fsync(l->dirfd) < 0) {
		struct status st = fail_errno();

		(void)close(fd);
		(void)unlinkat(l->dirfd, name, 0);
		return st;
	}
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = fd;
	l->segment = n;
	l->len = l->allocated = 0;
	return OK;
}

struct status
log_bytes_before(const struct log *l, uint32_t segment, uint64_t *ret)
{
	char name[AUDITLOG_SEGMENT_NAME_LEN + 1];
	uint64_t sum = 0;
	struct stat sb;

	for (uint32_t n = AUDITLOG_SEGMENT_FIRST; n < segment; n++) {
		auditlog_segment_name(n, name);
		if (fstatat(l->dirfd, name, &sb, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				break;
			return fail_errno();
		}
		sum += (uint64_t)sb.st_size;
	}
	*ret = sum;
	return OK;
}

static struct status
segment_rotate(struct log *l)
{
	uint64_t ended;

	/* Gives back what was held beyond its end. */
	if (ftruncate(l->fd, (off_t)l->len) < 0)
		return fail_errno();
	l->allocated = l->len;
	ended = l->len;
	TRY(log_segment_create(l, l->segment + 1));
	l->before += ended;
	return OK;
}

/* ---- signing ---- */

struct status
log_replace(struct log *l, const char *tmp, const char *name, struct span s)
{
	auto_fd int fd = openat(
	    l->dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return fail_errno();
	TRY(io_write_all(fd, s));
	if (fsync(fd) < 0 || renameat(l->dirfd, tmp, l->dirfd, name) < 0 || fsync(l->dirfd) < 0)
		return fail_errno();
	return OK;
}

struct status
log_sign(struct log *l, const struct log_chain *c)
{
	auto_buf struct buf text = BUF_INIT(AUDITLOG_NOTE_MAX);
	struct checkpoint cp = { .origin = span_str(l->name.name), .size = c->size };

	TRY(merkle_root(&c->tree, cp.root));
	TRY(checkpoint_put(&cp, &text));
	buf_clear(&l->note);
	TRY(note_sign(buf_span(&text), cp.origin, l->key, &l->note));
	TRY(log_replace(l, "checkpoint.tmp", "checkpoint", buf_span(&l->note)));
	l->signed_size = c->size;
	l->key_signed = true;
	return OK;
}

struct status
log_key_set(struct log *l, const struct sign_key *key)
{
	uint8_t public_key[ED25519_KEY_LEN];
	struct note_verifier v;

	sign_key_public(key, public_key);
	TRY(note_verifier_init(&v, span_str(l->name.name), public_key));
	l->name = v;
	l->key = key;
	l->key_signed = false;
	l->key_version++;
	l->key_since_ns = l->durable.ts_ns;
	return OK;
}

struct status
log_checkpoint(struct log *l)
{
	if (l->dead)
		return fail(E_SYS);
	if (l->signed_size == l->durable.size)
		return OK;
	TRY(log_sign(l, &l->durable));
	l->unsigned_since_ns = 0;
	return OK;
}

struct status
log_repair_done(struct log *l)
{
	if (unlinkat(l->dirfd, "repair", 0) < 0 && errno != ENOENT)
		return fail_errno();
	l->repaired = false;
	return fsync(l->dirfd) < 0 ? fail_errno() : OK;
}

void
log_close(struct log *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
	intents_done(&l->intents);
	free(l->closing);
	l->closing = NULL;
	l->nclosing = l->closing_cap = 0;
	buf_done(&l->batch);
	buf_done(&l->note);
}
