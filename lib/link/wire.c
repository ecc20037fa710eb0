/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.c: the one encoder and the one decoder of all messages.
 *
 * Runs in: every process. Trusts: its tables; never the bytes.
 * Owns: nothing; decoded lists live in the caller's arena, bytes in the frame.
 * Invariants: a message is decoded whole or not at all; every length is checked
 * against its row before it is used.
 * See: link/wire.h.
 */
#include <link/wire.h>

#include <assert.h>
#include <endian.h>

struct cursor {
	const uint8_t *at;
	size_t left;
};

static struct status encode_table(const struct wire_table *t, const void *msg, struct buf *out);
static struct status decode_table(
    const struct wire_table *t, struct cursor *c, struct arena *arena, void *msg);

static const size_t int_len[] = {
	[WIRE_KIND_U8] = 1,
	[WIRE_KIND_U16] = 2,
	[WIRE_KIND_U32] = 4,
	[WIRE_KIND_U64] = 8,
};

static bool
is_int(enum wire_kind kind)
{
	return kind >= WIRE_KIND_U8 && kind <= WIRE_KIND_U64;
}

/*
 * memcpy() of a length that the compiler knows: a move, not a call.
 * Little-endian hosts only, as the rest of the build assumes (x86-64, arm64).
 */
static void
copy_int(void *to, const void *from, enum wire_kind kind)
{
	if (kind == WIRE_KIND_U8)
		memcpy(to, from, 1);
	else if (kind == WIRE_KIND_U16)
		memcpy(to, from, 2);
	else if (kind == WIRE_KIND_U32)
		memcpy(to, from, 4);
	else
		memcpy(to, from, 8);
}

static uint64_t
member_get(const struct wire_field *f, const void *msg)
{
	uint64_t v = 0;

	assert(f->size == int_len[f->kind]);
	copy_int(&v, (const uint8_t *)msg + f->off, f->kind);
	return v;
}

/* All eight bytes are written, and the first `len` of them count: no loop, no call. */
static struct status
put_int(struct buf *out, uint64_t v, size_t len)
{
	uint64_t be = htobe64(v << 8 * (sizeof(v) - len));

	if (out->cap - out->len < sizeof(be))
		return buf_put(out, &be, len);
	memcpy(out->ptr + out->len, &be, sizeof(be));
	out->len += len;
	return OK;
}

static struct status
get_int(struct cursor *c, size_t len, uint64_t *ret)
{
	uint64_t be = 0;

	if (c->left < len)
		return fail(E_PROTO);
	if (c->left < sizeof(be)) /* near the end */
		memcpy(&be, c->at, len);
	else
		memcpy(&be, c->at, sizeof(be));
	*ret = be64toh(be) >> 8 * (sizeof(be) - len);
	c->at += len;
	c->left -= len;
	return OK;
}

static struct status
encode_bytes(const struct wire_field *f, const void *p, struct buf *out)
{
	const struct span *s = p;

	assert(f->size == sizeof(*s));
	if (s->len < f->min || s->len > f->max)
		return fail(E_RANGE);
	TRY(put_int(out, s->len, 4));
	return buf_put_span(out, *s);
}

static struct status
encode_list(const struct wire_field *f, const void *p, struct buf *out)
{
	const struct wire_list *list = p;

	assert(f->size == sizeof(*list) && f->sub != NULL);
	if (list->count < f->min || list->count > f->max || list->count > WIRE_LIST_MAX)
		return fail(E_RANGE);
	TRY(put_int(out, list->count, 4));
	for (uint32_t i = 0; i < list->count; i++)
		TRY(encode_table(
		    f->sub, (const uint8_t *)list->items + (size_t)i * f->sub->size, out));
	return OK;
}

static struct status
encode_field(const struct wire_field *f, const void *msg, struct buf *out)
{
	const uint8_t *p = (const uint8_t *)msg + f->off;

	if (is_int(f->kind)) {
		uint64_t v = member_get(f, msg);

		if (v < f->min || v > f->max)
			return fail(E_RANGE);
		return put_int(out, v, int_len[f->kind]);
	}
	if (f->kind == WIRE_KIND_FIXED)
		return buf_put(out, p, f->size);
	return f->kind == WIRE_KIND_BYTES ? encode_bytes(f, p, out) : encode_list(f, p, out);
}

static struct status
encode_table(const struct wire_table *t, const void *msg, struct buf *out)
{
	for (uint16_t i = 0; i < t->nfields; i++)
		TRY(encode_field(&t->fields[i], msg, out));
	return OK;
}

struct status
wire_encode(const struct wire_table *t, const void *msg, struct buf *out)
{
	size_t len_before = out->len;
	struct status st = encode_table(t, msg, out);

	if (!is_ok(st))
		out->len = len_before;
	return st;
}

static struct status
decode_bytes(const struct wire_field *f, struct cursor *c, struct span *ret)
{
	uint64_t len;

	TRY(get_int(c, 4, &len));
	if (len < f->min || len > f->max || len > c->left)
		return fail(E_PROTO);
	*ret = span_of(c->at, (size_t)len);
	c->at += len;
	c->left -= (size_t)len;
	return OK;
}

static struct status
decode_list(
    const struct wire_field *f, struct cursor *c, struct arena *arena, struct wire_list *ret)
{
	uint64_t count;
	uint8_t *items = NULL;

	TRY(get_int(c, 4, &count));
	if (count < f->min || count > f->max || count > WIRE_LIST_MAX)
		return fail(E_PROTO);
	if (count > 0) {
		items = arena_array(arena, (size_t)count, f->sub->size);
		if (items == NULL)
			return fail(E_NOMEM);
	}
	for (uint64_t i = 0; i < count; i++)
		TRY(decode_table(f->sub, c, arena, items + (size_t)i * f->sub->size));
	*ret = (struct wire_list){ items, (uint32_t)count };
	return OK;
}

static struct status
decode_int(const struct wire_field *f, struct cursor *c, uint8_t *p)
{
	uint64_t v;

	TRY(get_int(c, int_len[f->kind], &v));
	if (v < f->min || v > f->max)
		return fail(E_PROTO);
	assert(f->size == int_len[f->kind]);
	copy_int(p, &v, f->kind);
	return OK;
}

static struct status
decode_field(const struct wire_field *f, struct cursor *c, struct arena *arena, void *msg)
{
	void *p = (uint8_t *)msg + f->off;

	if (is_int(f->kind))
		return decode_int(f, c, p);
	if (f->kind == WIRE_KIND_BYTES)
		return decode_bytes(f, c, p);
	if (f->kind == WIRE_KIND_LIST)
		return decode_list(f, c, arena, p);
	if (c->left < f->size)
		return fail(E_PROTO);
	memcpy(p, c->at, f->size);
	c->at += f->size;
	c->left -= f->size;
	return OK;
}

static struct status
decode_table(const struct wire_table *t, struct cursor *c, struct arena *arena, void *msg)
{
	for (uint16_t i = 0; i < t->nfields; i++)
		TRY(decode_field(&t->fields[i], c, arena, msg));
	return OK;
}

struct status
wire_decode(const struct wire_table *t, struct span in, struct arena *arena, void *msg)
{
	struct cursor c = { in.ptr, in.len };

	memset(msg, 0, t->size);
	TRY(decode_table(t, &c, arena, msg));
	return c.left == 0 ? OK : fail(E_PROTO);
}

/* FNV-1a, 64 bits: a version check between our own binaries, not a defence. */
static uint64_t
hash_bytes(uint64_t h, const void *p, size_t len)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 0x100000001b3ULL;
	return h;
}

static uint64_t
hash_table(uint64_t h, const struct wire_table *t)
{
	for (uint16_t i = 0; i < t->nfields; i++) {
		const struct wire_field *f = &t->fields[i];
		uint64_t row[4] = { (uint64_t)f->kind, f->min, f->max,
			f->kind == WIRE_KIND_FIXED ? f->size : 0 };

		h = hash_bytes(h, f->name, strlen(f->name));
		h = hash_bytes(h, row, sizeof(row));
		if (f->sub != NULL)
			h = hash_table(h, f->sub);
	}
	return h;
}

uint64_t
wire_edge_hash(const struct wire_edge *edge, uint64_t seed)
{
	uint64_t h = hash_bytes(seed ^ 0xcbf29ce484222325ULL, edge->name, strlen(edge->name));

	for (uint16_t i = 0; i < edge->nmsgs; i++) {
		const struct wire_msg *m = &edge->msgs[i];

		if (m->name == NULL)
			continue;
		h = hash_bytes(h, &i, sizeof(i));
		h = hash_bytes(h, m->name, strlen(m->name));
		h = hash_table(h, &m->table);
	}
	return h;
}
