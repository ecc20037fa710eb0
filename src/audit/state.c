/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c: what a start need not read again.
 *
 * Runs in: audit, jailed. Trusts: of the file nothing before its signature, and of a signed one
 * only what the caller then finds to lead to the signed root: the edge of the tree below it is
 * bound by that root, and an old state is as true as a new one, only longer ago.
 * Owns: nothing. Invariants: a state is never newer than the checkpoint on disk; it is replaced
 * whole; a log without one is only slower to open.
 * File: magic, u32 length and the fields below as a message of link/wire.h, each open intent
 * likewise without its length, Ed25519 signature over all before it.
 * See: state.h; recover.c; docs/audit-format.md, "The state".
 */
#include "state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/io.h>
#include <link/wire.h>

#define MAGIC SPAN_LIT("sallyport audit state 1\n")
#define LEN_LEN 4U
#define EDGE_MAX (MERKLE_LEVELS * SHA256_LEN)
#define SENDERS_ARENA_MAX (8U << 10)
#define INTENT_LEN (8U + 1U + REQUEST_ID_LEN + 2U * SUBJECT_LEN)

_Static_assert(INTENTS_MAX *INTENT_LEN + (16U << 10) <= STATE_FILE_MAX, "all intents fit");

struct sender_row {
	struct span name;
	uint32_t id;
	uint64_t seq;
};
static const struct wire_field sender_fields[] = {
	WIRE_BYTES(struct sender_row, name, 0, sizeof(((struct log_sender *)0)->name) - 1),
	WIRE_U32(struct sender_row, id, UINT32_MAX),
	WIRE_U64(struct sender_row, seq),
};
static const struct wire_table sender_table = WIRE_TABLE(struct sender_row, sender_fields);

struct state_head {
	struct span origin;
	uint64_t size, ts_ns;
	uint8_t leaf[SHA256_LEN];
	struct span edge; /* of the tree: its hashes */
	uint32_t segment;
	uint64_t off;    /* behind the last record */
	uint64_t before; /* bytes of the segments before it */
	uint64_t key_version, key_since_ns;
	struct wire_list senders;
	uint32_t intents;
};
static const struct wire_field head_fields[] = {
	WIRE_BYTES(struct state_head, origin, 1, AUDITLOG_ORIGIN_MAX),
	WIRE_U64(struct state_head, size),
	WIRE_U64(struct state_head, ts_ns),
	WIRE_FIXED(struct state_head, leaf),
	WIRE_BYTES(struct state_head, edge, SHA256_LEN, EDGE_MAX),
	WIRE_U32(struct state_head, segment, AUDITLOG_SEGMENT_LAST),
	WIRE_U64(struct state_head, off),
	WIRE_U64(struct state_head, before),
	WIRE_U64(struct state_head, key_version),
	WIRE_U64(struct state_head, key_since_ns),
	WIRE_LIST(struct state_head, senders, 0, LOG_SENDERS_MAX, &sender_table),
	WIRE_U32(struct state_head, intents, INTENTS_MAX),
};
static const struct wire_table head_table = WIRE_TABLE(struct state_head, head_fields);

static const struct wire_field intent_fields[] = {
	WIRE_U64(struct intent, seq),
	WIRE_U8(struct intent, event, EVENT_COUNT - 1),
	WIRE_FIXED(struct intent, request_id),
	WIRE_FIXED(struct intent, subject),
	WIRE_FIXED(struct intent, key),
};
static const struct wire_table intent_table = WIRE_TABLE(struct intent, intent_fields);

/* ---- writing ---- */

static struct status
put_head(const struct log *l, struct buf *out)
{
	auto_buf struct buf head = BUF_INIT(STATE_FILE_MAX);
	struct sender_row rows[LOG_SENDERS_MAX];
	struct state_head h = { .origin = span_str(l->name.name),
		.size = l->durable.size,
		.ts_ns = l->durable.ts_ns,
		.edge = span_of(l->durable.tree.stack, l->durable.tree.depth * SHA256_LEN),
		.segment = l->segment,
		.off = l->len,
		.before = l->before,
		.key_version = l->key_version,
		.key_since_ns = l->key_since_ns,
		.senders = { rows, l->senders.n },
		.intents = l->intents.count };
	uint8_t len[LEN_LEN];

	for (uint32_t i = 0; i < l->senders.n; i++) {
		const struct log_sender *s = &l->senders.rows[i];

		rows[i] = (struct sender_row){ span_str(s->name), s->id, s->seq };
	}
	memcpy(h.leaf, l->durable.leaf, SHA256_LEN);
	TRY(wire_encode(&head_table, &h, &head));
	for (size_t i = 0; i < LEN_LEN; i++)
		len[i] = (uint8_t)(head.len >> 8 * (LEN_LEN - 1 - i));
	TRY(buf_put(out, len, LEN_LEN));
	return buf_put_span(out, buf_span(&head));
}

static struct status
state_put(const struct log *l, struct buf *out)
{
	uint8_t signature[ED25519_SIG_LEN];

	TRY(buf_put_span(out, MAGIC));
	TRY(put_head(l, out));
	for (uint32_t i = 0; i < l->intents.cap; i++) {
		if (l->intents.slots[i].seq != 0)
			TRY(wire_encode(&intent_table, &l->intents.slots[i], out));
	}
	TRY(ed25519_sign(l->key, buf_span(out), signature));
	return buf_put(out, signature, sizeof(signature));
}

static bool
is_due(const struct log *l)
{
	return l->state.size == 0 || l->state.key_version != l->key_version ||
	       l->before + l->len - l->state.end >= l->opts.state_every ||
	       clock_mono_ns() - l->state.since_ns >= LOG_STATE_LATE_NS;
}

struct status
state_keep(struct log *l, bool now)
{
	auto_buf struct buf text = BUF_INIT(STATE_FILE_MAX);

	/* Only what a checkpoint on disk covers, and no intents of a batch that is not durable. */
	if (l->dead || l->batch.len > 0 || l->durable.size == 0 || !l->key_signed ||
	    l->durable.size != l->signed_size)
		return OK;
	if (l->state.size == l->durable.size && l->state.key_version == l->key_version)
		return OK;
	if (!now && !is_due(l))
		return OK;
	TRY(state_put(l, &text));
	TRY(log_replace(l, "state.tmp", "state", buf_span(&text)));
	l->state.size = l->durable.size;
	l->state.end = l->before + l->len;
	l->state.key_version = l->key_version;
	l->state.since_ns = clock_mono_ns();
	return OK;
}

/* ---- reading ---- */

static bool
is_signed_by(struct span file, const struct sign_key *key)
{
	size_t body = file.len - ED25519_SIG_LEN;
	uint8_t public_key[ED25519_KEY_LEN];

	sign_key_public(key, public_key);
	return is_ok(ed25519_verify(public_key, span_of(file.ptr, body), file.ptr + body));
}

/*
 * Where a key that may have taken over lies beside it, the one before it vouches for nothing: it
 * may have handed over before that. (A crash in the middle of a rotation; all is read.)
 */
static struct status
signer_of(struct span file, const struct log_keys *keys, const struct sign_key **ret)
{
	if (file.len < MAGIC.len + LEN_LEN + ED25519_SIG_LEN || !span_starts(file, MAGIC))
		return fail(E_PROTO);
	*ret = keys->next != NULL ? keys->next : keys->key;
	return is_signed_by(file, *ret) ? OK : fail(E_CRYPTO);
}

static struct status
take_head(struct log *l, const struct state_head *h, uint64_t signed_size)
{
	if (!span_eq_str(h->origin, l->name.name) || h->size == 0 || h->size > signed_size ||
	    h->key_version == 0 || h->edge.len % SHA256_LEN != 0 ||
	    h->edge.len / SHA256_LEN != (size_t)__builtin_popcountll(h->size))
		return fail(E_CORRUPT);
	l->now.size = l->now.tree.size = h->size;
	l->now.ts_ns = h->ts_ns;
	memcpy(l->now.leaf, h->leaf, SHA256_LEN);
	l->now.tree.depth = h->edge.len / SHA256_LEN;
	memcpy(l->now.tree.stack, h->edge.ptr, h->edge.len);
	l->key_version = h->key_version;
	l->key_since_ns = h->key_since_ns;
	for (uint32_t i = 0; i < h->senders.count; i++) {
		const struct sender_row *row = (const struct sender_row *)h->senders.items + i;

		log_sender_seen(&l->senders_now, row->name, row->id, row->seq);
	}
	return OK;
}

static struct status
take_intents(struct log *l, struct span in, uint32_t count, struct arena *arena)
{
	if (in.len != (size_t)count * INTENT_LEN)
		return fail(E_PROTO);
	TRY(intents_reserve(&l->intents, count));
	for (; in.len > 0; in = span_from(in, INTENT_LEN)) {
		struct intent i = { 0 };

		TRY(wire_decode(&intent_table, span_of(in.ptr, INTENT_LEN), arena, &i));
		if (i.seq == 0 || i.seq > l->now.size || intents_find(&l->intents, i.seq) != NULL)
			return fail(E_CORRUPT);
		i.cause = AUDIT_RECOVERY;
		intents_add(&l->intents, &i);
	}
	return OK;
}

/* The last record before `off` is the one that the state says. */
static struct status
check_last(const struct log *l, int fd, uint64_t off)
{
	size_t want = off < AUDITLOG_LINE_MAX + 2 ? (size_t)off : AUDITLOG_LINE_MAX + 2;
	auto_free uint8_t *tail = malloc(want);
	uint8_t leaf[SHA256_LEN];
	const uint8_t *line;
	size_t end = want - 1;

	if (tail == NULL)
		return fail(E_NOMEM);
	if (pread(fd, tail, want, (off_t)(off - want)) != (ssize_t)want || tail[end] != '\n')
		return fail(E_CORRUPT);
	line = memrchr(tail, '\n', end);
	line = line != NULL ? line + 1 : tail;
	TRY(merkle_leaf_hash(span_of(line, (size_t)(tail + end - line)), leaf));
	return memcmp(leaf, l->now.leaf, SHA256_LEN) == 0 ? OK : fail(E_CORRUPT);
}

/* As many bytes as there were lie before the place where the next record begins. */
static struct status
check_place(const struct log *l, const struct state_head *h)
{
	char name[AUDITLOG_SEGMENT_NAME_LEN + 1];
	auto_fd int fd = -1;
	uint64_t before;

	if (h->segment < AUDITLOG_SEGMENT_FIRST || h->off > INT64_MAX)
		return fail(E_CORRUPT);
	TRY(log_bytes_before(l, h->segment, &before));
	if (before != h->before)
		return fail(E_CORRUPT);
	auditlog_segment_name(h->segment, name);
	fd = openat(l->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? fail(E_CORRUPT) : fail_errno();
	return h->off > 0 ? check_last(l, fd, h->off) : OK;
}

static struct status
take(struct log *l, const struct log_keys *keys, uint64_t signed_size, struct span file,
    struct state_place *ret, struct arena *arena)
{
	struct span rest = span_from(file, MAGIC.len + LEN_LEN);
	struct state_head h = { 0 };
	size_t len = 0;

	TRY(signer_of(file, keys, &ret->key));
	for (size_t i = 0; i < LEN_LEN; i++)
		len = len << 8 | file.ptr[MAGIC.len + i];
	if (len > rest.len - ED25519_SIG_LEN)
		return fail(E_PROTO);
	TRY(wire_decode(&head_table, span_of(rest.ptr, len), arena, &h));
	TRY(take_head(l, &h, signed_size));
	TRY(take_intents(
	    l, span_of(rest.ptr + len, rest.len - len - ED25519_SIG_LEN), h.intents, arena));
	TRY(check_place(l, &h));
	l->state.size = h.size;
	l->state.end = h.before + h.off;
	l->state.key_version = h.key_version;
	l->state.since_ns = clock_mono_ns();
	ret->segment = h.segment;
	ret->off = h.off;
	return OK;
}

struct status
state_take(
    struct log *l, const struct log_keys *keys, uint64_t signed_size, struct state_place *ret)
{
	auto_buf struct buf file = BUF_INIT(STATE_FILE_MAX);
	auto_arena struct arena arena = ARENA_INIT(SENDERS_ARENA_MAX);
	struct status st = io_read_file(l->dirfd, "state", &file);

	if (st.code == E_SYS && st.err == ENOENT)
		return fail(E_NOTFOUND);
	TRY(st);
	return take(l, keys, signed_size, buf_span(&file), ret, &arena);
}
