/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.c: open the log as a crash, or nothing, left it.
 *
 * Runs in: audit, jailed, before anything is served.
 * Trusts: what its own checkpoint signs; nothing beyond that but the chain.
 * Owns: the scan. Invariants: bytes under the checkpoint are never changed: a
 * contradiction there is an error. Beyond it only what was never acknowledged is
 * cut: a line without its newline, a batch without its last record, a stretch
 * that a power loss left as NULs. The cut is noted in `repair` before it is
 * made, so that a further crash cannot hide it.
 * See: log.h; docs/audit-format.md, "After a crash".
 */
#include "log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/io.h>

#define REPAIR_TEXT_MAX 64
#define REWRITE_LEN (256U << 10)
#define GROUP_MAX 64 /* records of one batch; AUDIT_BATCH_MAX is less */

struct position {
	uint32_t segment;
	uint64_t off;
};

struct scan {
	struct log *l;
	struct auditlog_reader *reader;
	struct checkpoint checkpoint;
	const struct log_keys *keys;
	const struct sign_key *signer; /* of the checkpoint */
	struct note_verifier named;    /* by the last record of a new key */
	bool is_named;
	const char *why;
	struct position good;      /* behind the last record that counts */
	struct position signed_at; /* behind the last signed record */
	/* The batch that is not complete yet. */
	struct log_chain group_chain;
	struct position group_good;
	struct intent group[GROUP_MAX]; /* seq 0 in `owner`: opened; else owner is what it closes */
	uint32_t ngroup;
	bool in_group;
};

static struct status checkpoint_read(struct scan *s, bool *ret_new);
static struct status log_create(struct log *l);
static struct status scan_all(struct scan *s);
static struct status scan_record(struct scan *s, struct span line, const struct auditlog_head *h);
static struct status key_choose(struct scan *s);
static struct status torn_cut(struct scan *s);
static struct status tail_rewrite(struct scan *s);

static struct status
contradiction(struct scan *s, const char *why)
{
	s->why = why;
	return fail(E_CORRUPT);
}

static struct status
recover(struct scan *s)
{
	bool is_new = false;

	TRY(checkpoint_read(s, &is_new));
	if (is_new)
		return log_create(s->l);
	s->l->key_signed = true;
	TRY(auditlog_open(s->l->dirfd, &s->reader));
	s->good.segment = s->signed_at.segment = AUDITLOG_SEGMENT_FIRST;
	TRY(scan_all(s));
	TRY(key_choose(s));
	TRY(torn_cut(s));
	return tail_rewrite(s);
}

struct status
log_open(struct log *l, int dirfd, const char *instance, const struct log_keys *keys,
    const struct log_opts *opts, const char **ret_why)
{
	auto_free struct scan *s = calloc(1, sizeof(*s));
	char origin[AUDITLOG_ORIGIN_MAX + 1];
	uint8_t public_key[ED25519_KEY_LEN];
	struct status st;

	*l = (struct log){
		.dirfd = dirfd, .fd = -1, .opts = *opts, .key = keys->key, .key_version = 1
	};
	l->batch = BUF_INIT(LOG_BATCH_MAX + RECORD_ROOM);
	l->note = BUF_INIT(AUDITLOG_NOTE_MAX);
	*ret_why = "";
	if (s == NULL)
		return fail(E_NOMEM);
	TRY(auditlog_origin(instance, origin));
	sign_key_public(keys->key, public_key);
	TRY(note_verifier_init(&l->name, span_str(origin), public_key));
	s->l = l;
	s->keys = keys;
	s->why = "";
	st = recover(s);
	auditlog_close(s->reader);
	*ret_why = s->why;
	if (!is_ok(st))
		return st;
	l->durable = l->now;
	l->allocated = l->len;
	return OK;
}

/* Is the checkpoint this key's? A log keeps the name that it was signed with first. */
static bool
signed_by(struct scan *s, struct span note, const struct sign_key *key)
{
	const uint8_t *end = note.len > 0 ? memchr(note.ptr, '\n', note.len) : NULL;
	uint8_t public_key[ED25519_KEY_LEN];
	struct note_verifier v;

	if (key == NULL || end == NULL)
		return false;
	sign_key_public(key, public_key);
	if (!is_ok(
		note_verifier_init(&v, span_of(note.ptr, (size_t)(end - note.ptr)), public_key)) ||
	    !is_ok(auditlog_head_parse(note, &v, &s->checkpoint)))
		return false;
	s->l->name = v;
	s->checkpoint.origin = SPAN_EMPTY;
	s->signer = key;
	return true;
}

static struct status
checkpoint_parse_own(struct scan *s, struct span note)
{
	if (signed_by(s, note, s->keys->key) || signed_by(s, note, s->keys->next))
		return OK;
	return contradiction(s, "the checkpoint is not signed by this instance's key");
}

static bool
is_named(const struct scan *s, const struct sign_key *key)
{
	uint8_t public_key[ED25519_KEY_LEN];

	if (key == NULL)
		return false;
	sign_key_public(key, public_key);
	return memcmp(public_key, s->named.public_key, ED25519_KEY_LEN) == 0;
}

/* The key that the last record of its kind names, or the first; a log knows no other. */
static struct status
key_choose(struct scan *s)
{
	struct log *l = s->l;

	if (!s->is_named || is_named(s, s->keys->key))
		l->key = s->keys->key;
	else if (is_named(s, s->keys->next))
		l->key = s->keys->next;
	else
		return contradiction(s, "its last signing key is not this instance's");
	l->key_signed = l->key == s->signer;
	return note_verifier_init(&l->name, span_str(l->name.name),
	    s->is_named ? s->named.public_key : l->name.public_key);
}

static bool
segment_exists(const struct log *l, uint32_t n)
{
	char name[AUDITLOG_SEGMENT_NAME_LEN + 1];

	auditlog_segment_name(n, name);
	return faccessat(l->dirfd, name, F_OK, 0) == 0;
}

static struct status
checkpoint_read(struct scan *s, bool *ret_new)
{
	auto_buf struct buf note = BUF_INIT(AUDITLOG_NOTE_MAX);
	struct status st = io_read_file(s->l->dirfd, "checkpoint", &note);

	if (is_ok(st))
		return checkpoint_parse_own(s, buf_span(&note));
	if (st.code == E_FULL)
		return contradiction(s, "the checkpoint is not one of ours");
	if (st.err != ENOENT)
		return st;
	/* The first checkpoint is signed before the first segment exists. */
	if (segment_exists(s->l, AUDITLOG_SEGMENT_FIRST))
		return contradiction(s, "there are records but no checkpoint");
	*ret_new = true;
	return OK;
}

static struct status
log_create(struct log *l)
{
	TRY(log_sign(l, &l->now));
	return log_segment_create(l, AUDITLOG_SEGMENT_FIRST);
}

/* ---- scanning ---- */

static bool
has_nul(struct span line)
{
	return line.len > 0 && memchr(line.ptr, 0, line.len) != NULL;
}

/* A line that does not fit. Only what a power loss leaves of unsynced pages may be torn. */
static struct status
scan_misfit(struct scan *s, struct status read, struct span line)
{
	if (s->l->now.size < s->checkpoint.size)
		return contradiction(s, "a signed record was changed");
	if (read.code == E_CORRUPT)
		return contradiction(s, "a segment other than the last ends within a record");
	if (is_ok(read) && !has_nul(line))
		return contradiction(s, "a record beyond the checkpoint does not chain");
	return OK;
}

static struct status
signed_reached(struct scan *s)
{
	uint8_t root[SHA256_LEN];

	if (s->l->now.size != s->checkpoint.size)
		return OK;
	TRY(merkle_root(&s->l->now.tree, root));
	if (memcmp(root, s->checkpoint.root, SHA256_LEN) != 0)
		return contradiction(s, "the records do not have the signed root");
	if (s->is_named ? !is_named(s, s->signer) : s->signer != s->keys->key)
		return contradiction(s, "the checkpoint is not signed by the key of its time");
	s->signed_at = s->good;
	s->l->signed_size = s->checkpoint.size;
	return OK;
}

static struct status
scan_all(struct scan *s)
{
	struct log *l = s->l;
	struct status st;

	TRY(signed_reached(s));
	for (;;) {
		struct auditlog_head h = { 0 };
		struct span line = SPAN_EMPTY;

		st = auditlog_next(s->reader, &line);
		if (st.code == E_EOF)
			break;
		if (st.code == E_SYS || st.code == E_NOMEM)
			return st;
		if (!is_ok(st) || !is_ok(auditlog_head_of(line, &h)) || h.seq != l->now.size + 1 ||
		    h.ts_ns < l->now.ts_ns || memcmp(h.prev, l->now.leaf, SHA256_LEN) != 0) {
			TRY(scan_misfit(s, st, line));
			break;
		}
		TRY(scan_record(s, line, &h));
		TRY(signed_reached(s));
	}
	if (l->now.size < s->checkpoint.size)
		return contradiction(s, "the log is shorter than its checkpoint");
	if (!s->in_group)
		return OK;
	/* The rest of the batch never came: it was not acknowledged. */
	if (s->group_chain.size < s->checkpoint.size)
		return contradiction(s, "a signed batch is not complete");
	l->now = s->group_chain;
	s->good = s->group_good;
	return OK;
}

static bool
member_u64(struct span line, const char *name, uint64_t max, uint64_t *ret)
{
	struct span text;

	return auditlog_member(line, name, &text) && is_ok(span_u64(text, max, ret));
}

static uint8_t
event_of(struct span rest)
{
	struct span type;

	if (!auditlog_member(rest, "type", &type))
		return 0;
	for (unsigned i = 1; i < EVENT_COUNT; i++) {
		if (audit_events[i].name != NULL && span_eq_str(type, audit_events[i].name))
			return (uint8_t)i;
	}
	return 0;
}

/* Hex, dashes skipped; left as zeroes when the member is absent. */
static void
member_bytes(struct span rest, const char *name, uint8_t *out, size_t len)
{
	char digits[2 * REQUEST_ID_LEN];
	struct span text;
	size_t n = 0;

	if (!auditlog_member(rest, name, &text) || 2 * len > sizeof(digits))
		return;
	for (size_t i = 0; i < text.len && n < 2 * len; i++) {
		if (text.ptr[i] != '-')
			digits[n++] = (char)text.ptr[i];
	}
	if (n != 2 * len || !is_ok(hex_decode(span_of(digits, n), out, len)))
		memset(out, 0, len);
}

static struct status
group_apply(struct scan *s)
{
	TRY(intents_reserve(&s->l->intents, GROUP_MAX));
	for (uint32_t i = 0; i < s->ngroup; i++) {
		struct intent *g = &s->group[i];

		if (g->owner != 0)
			intents_remove(&s->l->intents, g->owner);
		else
			intents_add(&s->l->intents, g);
	}
	s->ngroup = 0;
	return OK;
}

/* What the record opens or closes; applied when its batch is complete. */
static struct status
scan_phase(struct scan *s, struct span rest, uint64_t seq)
{
	struct intent i = { .seq = seq, .cause = AUDIT_RECOVERY };
	struct span phase;

	if (!auditlog_member(rest, "phase", &phase))
		return OK;
	if (s->ngroup == GROUP_MAX)
		return contradiction(s, "a batch is too long");
	if (span_eq_str(phase, "intent")) {
		i.event = event_of(rest);
		member_bytes(rest, "request_id", i.request_id, REQUEST_ID_LEN);
		member_bytes(rest, "subject", i.subject, SUBJECT_LEN);
		member_bytes(rest, "key", i.key, SUBJECT_LEN);
	} else if (!member_u64(rest, "intent_seq", UINT64_MAX, &i.owner) || i.owner == 0) {
		return contradiction(s, "an outcome names no intent");
	}
	s->group[s->ngroup++] = i;
	return OK;
}

static void
scan_sender(struct scan *s, struct span rest)
{
	struct span name;
	uint64_t id, seq;

	if (auditlog_member(rest, "name", &name) && member_u64(rest, "id", UINT32_MAX, &id) &&
	    member_u64(rest, "seq", UINT64_MAX, &seq))
		log_sender_seen(s->l, name, (uint32_t)id, seq);
}

/* A record that names a new key stands alone: it is there, or it is not. */
static struct status
scan_rotation(struct scan *s, struct span line, const struct auditlog_head *h)
{
	struct auditlog_rotation r;

	if (s->l->now.size == 0)
		s->l->key_since_ns = h->ts_ns;
	if (!auditlog_rotation_of(line, &r))
		return OK;
	if (h->more || s->in_group || !is_ok(auditlog_vkey_parse(r.key, &s->named)))
		return contradiction(s, "the record of a signing key is not one of ours");
	s->is_named = true;
	s->l->key_version++;
	s->l->key_since_ns = h->ts_ns;
	return OK;
}

static struct status
scan_record(struct scan *s, struct span line, const struct auditlog_head *h)
{
	struct log *l = s->l;

	TRY(scan_rotation(s, line, h));
	if (h->more && !s->in_group) {
		s->group_chain = l->now;
		s->group_good = s->good;
	}
	s->in_group = h->more;
	TRY(merkle_leaf_hash(line, l->now.leaf));
	TRY(merkle_append_hash(&l->now.tree, l->now.leaf));
	l->now.size++;
	l->now.ts_ns = h->ts_ns;
	s->good = (struct position){ auditlog_segment(s->reader),
		auditlog_offset(s->reader) + line.len + 1 };
	scan_sender(s, h->rest);
	TRY(scan_phase(s, h->rest, h->seq));
	return h->more ? OK : group_apply(s);
}

void
log_sender_seen(struct log *l, struct span name, uint32_t id, uint64_t seq)
{
	struct log_sender *at = NULL;

	for (uint32_t i = 0; i < l->nsenders && at == NULL; i++) {
		if (l->senders[i].id == id && span_eq_str(name, l->senders[i].name))
			at = &l->senders[i];
	}
	if (at == NULL) {
		if (l->nsenders == LOG_SENDERS_MAX) {
			memmove(l->senders, l->senders + 1,
			    (LOG_SENDERS_MAX - 1) * sizeof(l->senders[0]));
			l->nsenders--;
		}
		at = &l->senders[l->nsenders];
		if (!is_ok(span_to_cstr(name, at->name, sizeof(at->name))))
			return;
		at->id = id;
		l->nsenders++;
	}
	at->seq = seq;
}

/* ---- repairing ---- */

static struct status
repair_read(struct scan *s, uint64_t *ret_size, uint64_t *ret_torn)
{
	auto_buf struct buf text = BUF_INIT(REPAIR_TEXT_MAX);
	struct status st = io_read_file(s->l->dirfd, "repair", &text);
	const uint8_t *blank;
	size_t at;

	if (st.code == E_SYS && st.err == ENOENT)
		return OK;
	TRY(st);
	blank = text.len > 0 ? memchr(text.ptr, ' ', text.len) : NULL;
	if (blank == NULL || text.ptr[text.len - 1] != '\n')
		return contradiction(s, "the note about a repair is not one of ours");
	at = (size_t)(blank - text.ptr);
	if (!is_ok(span_u64(span_of(text.ptr, at), INT64_MAX, ret_size)) ||
	    !is_ok(span_u64(span_of(blank + 1, text.len - at - 2), INT64_MAX, ret_torn)))
		return contradiction(s, "the note about a repair is not one of ours");
	return OK;
}

static struct status
repair_note(struct log *l)
{
	auto_buf struct buf text = BUF_INIT(REPAIR_TEXT_MAX);

	TRY(buf_printf(&text, "%llu %llu\n", (unsigned long long)l->torn_size,
	    (unsigned long long)l->torn_bytes));
	return log_replace(l, "repair.tmp", "repair", buf_span(&text));
}

static struct status
segment_last_open(struct scan *s, uint64_t *ret_size)
{
	char name[AUDITLOG_SEGMENT_NAME_LEN + 1];
	struct log *l = s->l;
	struct stat sb;

	l->segment = auditlog_segment(s->reader);
	if (l->segment == 0)
		l->segment = AUDITLOG_SEGMENT_FIRST;
	auditlog_segment_name(l->segment, name);
	l->fd = openat(l->dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (l->fd < 0 && errno == ENOENT && l->segment == AUDITLOG_SEGMENT_FIRST) {
		*ret_size = 0;
		return log_segment_create(l, AUDITLOG_SEGMENT_FIRST);
	}
	if (l->fd < 0 || fstat(l->fd, &sb) < 0)
		return fail_errno();
	*ret_size = (uint64_t)sb.st_size;
	return OK;
}

/* Cut what is torn, after a note that it is going to be. */
static struct status
torn_cut(struct scan *s)
{
	struct log *l = s->l;
	uint64_t size, noted_size = UINT64_MAX, noted = 0, torn;

	TRY(segment_last_open(s, &size));
	if (s->good.segment != l->segment)
		s->good = (struct position){ l->segment, 0 };
	l->len = s->good.off;
	torn = size - l->len;
	if (torn > 0 && segment_exists(l, l->segment + 1))
		return contradiction(s, "a segment other than the last ends within a record");
	TRY(repair_read(s, &noted_size, &noted));
	if (noted_size != UINT64_MAX && noted_size > l->now.size)
		return contradiction(s, "the log is shorter than when it was repaired");
	if (noted_size == l->now.size) {
		torn += noted; /* that repair was not recorded yet */
	} else if (noted_size != UINT64_MAX && torn == 0) {
		return log_repair_done(l);
	}
	l->torn_size = l->now.size;
	l->torn_bytes = torn;
	l->repaired = torn > 0;
	if (size > l->len) {
		TRY(repair_note(l));
		if (ftruncate(l->fd, (off_t)l->len) < 0)
			return fail_errno();
	}
	return OK;
}

/*
 * What lies beyond the checkpoint may never have reached the disk, if an
 * fdatasync failed: write it once more, so that the next one covers it.
 */
static struct status
tail_rewrite(struct scan *s)
{
	auto_free uint8_t *chunk = malloc(REWRITE_LEN);
	struct log *l = s->l;
	uint64_t at = s->signed_at.segment == l->segment ? s->signed_at.off : 0;

	if (chunk == NULL)
		return fail(E_NOMEM);
	while (at < l->len) {
		size_t want = l->len - at < REWRITE_LEN ? (size_t)(l->len - at) : REWRITE_LEN;
		ssize_t n = pread(l->fd, chunk, want, (off_t)at);

		if (n <= 0)
			return n < 0 ? fail_errno() : fail(E_CORRUPT);
		if (pwrite(l->fd, chunk, (size_t)n, (off_t)at) != n)
			return fail_errno();
		at += (uint64_t)n;
	}
	return fdatasync(l->fd) < 0 ? fail_errno() : OK;
}
