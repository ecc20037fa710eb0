/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.c: open the log as a crash, or nothing, left it.
 * It is read from its state on; all of it where there is no state that fits.
 *
 * Runs in: audit, jailed, before anything is served.
 * Trusts: what its own checkpoint signs; nothing beyond that but the chain.
 * Owns: the scan. Invariants: bytes under the checkpoint are never changed: a
 * contradiction there is an error. Beyond it only what was never acknowledged is
 * left out, for repair.c to cut: a line without its newline, a batch without its last
 * record, a stretch that a power loss left as NULs.
 * See: log.h; state.h; docs/audit-format.md, "After a crash".
 */
#include "recover.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/io.h>

#include "state.h"

static struct status checkpoint_read(struct scan *s, bool *ret_new);
static struct status log_create(struct log *l);
static struct status scan_from_state(struct scan *s, bool *ret_done);
static struct status scan_whole(struct scan *s);
static struct status scan_all(struct scan *s);
static struct status scan_record(struct scan *s, struct span line, const struct auditlog_head *h);
static struct status key_choose(struct scan *s);

struct status
contradiction(struct scan *s, const char *why)
{
	s->why = why;
	return fail(E_CORRUPT);
}

static struct status
recover(struct scan *s)
{
	bool is_new = false, done = false;

	TRY(checkpoint_read(s, &is_new));
	if (is_new)
		return log_create(s->l);
	s->l->key_signed = true;
	TRY(auditlog_open(s->l->dirfd, &s->reader));
	TRY(scan_from_state(s, &done));
	if (!done)
		TRY(scan_whole(s));
	TRY(key_choose(s));
	TRY(torn_cut(s));
	return tail_rewrite(s);
}

struct status
log_open(struct log *l, int dirfd, const char *instance, const struct log_keys *keys,
    const struct log_opts *opts, const char **ret_why)
{
	auto_free struct scan *s = calloc(1, sizeof(*s));
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
	TRY(auditlog_origin(instance, l->origin));
	sign_key_public(keys->key, public_key);
	TRY(note_verifier_init(&l->name, span_str(l->origin), public_key));
	s->l = l;
	s->keys = keys;
	s->why = "";
	st = recover(s);
	auditlog_close(s->reader);
	*ret_why = s->why;
	if (!is_ok(st))
		return st;
	l->durable = l->now;
	l->senders = l->senders_now;
	l->allocated = l->len;
	return log_bytes_before(l, l->segment, &l->before);
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

bool
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

/* What was read of it is as if it had not been. */
static void
scan_reset(struct scan *s)
{
	struct log *l = s->l;

	intents_done(&l->intents);
	l->now = (struct log_chain){ 0 };
	l->senders_now = (struct log_senders){ 0 };
	l->key_version = 1;
	l->key_since_ns = l->signed_size = l->scanned = 0;
	l->state.size = 0;
	s->is_named = s->in_group = false;
	s->ngroup = 0;
	s->why = "";
	s->good = s->signed_at = (struct position){ AUDITLOG_SEGMENT_FIRST, 0 };
}

/* It may be long from here on, too: whoever waits is told that it goes on. */
static struct status
scan_expect(struct scan *s, struct position from)
{
	uint64_t before = 0;

	s->read = s->told = s->total = 0;
	if (s->l->opts.progress == NULL)
		return OK;
	TRY(log_bytes_before(s->l, AUDITLOG_SEGMENT_LAST, &s->total));
	TRY(log_bytes_before(s->l, from.segment, &before));
	before += from.off;
	s->total = s->total > before ? s->total - before : 0;
	return OK;
}

/*
 * Whatever does not fit, the state or the log: reading all of it finds out which, and what a
 * state says that does not lead to the signed root is never used.
 */
static struct status
scan_from_state(struct scan *s, bool *ret_done)
{
	uint8_t public_key[ED25519_KEY_LEN];
	struct state_place place = { 0 };
	struct log *l = s->l;
	struct status st = state_take(l, s->keys, s->checkpoint.size, &place);

	if (is_ok(st) && l->key_version > 1) {
		sign_key_public(place.key, public_key);
		st = note_verifier_init(&s->named, span_str(l->name.name), public_key);
		s->is_named = true;
	}
	if (is_ok(st))
		st = auditlog_seek(s->reader, place.segment, place.off);
	if (is_ok(st)) {
		s->good = s->signed_at = (struct position){ place.segment, place.off };
		st = scan_expect(s, s->good);
	}
	if (is_ok(st))
		st = scan_all(s);
	*ret_done = is_ok(st);
	if (is_ok(st) || st.code == E_NOMEM)
		return st;
	l->state_misfit = st.code != E_NOTFOUND;
	return OK;
}

static struct status
scan_whole(struct scan *s)
{
	scan_reset(s);
	TRY(auditlog_seek(s->reader, AUDITLOG_SEGMENT_FIRST, 0));
	TRY(scan_expect(s, s->good));
	return scan_all(s);
}

/* It takes as long as the log is: whoever waits is told that it goes on. */
static void
scan_tell(struct scan *s, size_t len)
{
	s->l->scanned++;
	s->read += len;
	if (s->l->opts.progress == NULL || s->total == 0 ||
	    s->read - s->told < s->l->opts.progress_every)
		return;
	s->told = s->read;
	s->l->opts.progress(s->read, s->total);
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
		scan_tell(s, line.len + 1);
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
	l->senders_now = s->group_senders;
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
		log_sender_seen(&s->l->senders_now, name, (uint32_t)id, seq);
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
		s->group_senders = l->senders_now;
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
