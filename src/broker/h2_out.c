/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_out.c: frames that wait to be written, with gaps where secrets go.
 *
 * Runs in: broker. Trusts: its own process. Owns: the bytes; not the secrets.
 * Invariants: a secret is never copied here: it is written from where it lies, between what comes
 * before and after it; when its owner leaves, as many bytes of zero go out in its place, so that
 * the frame stays whole.
 * See: h2_session.c, where the gaps are made; io.h, which gathers and wipes.
 */
#include "h2_internal.h"

#include <assert.h>

static const uint8_t blank[H2_SECRET_LEN_MAX];

struct span
h2_blank(size_t len)
{
	assert(len <= sizeof(blank));
	return span_of(blank, len);
}

void
h2_out_init(struct h2_out *o)
{
	*o = (struct h2_out){ .bytes = BUF_INIT(H2_OUT_MAX) };
}

void
h2_out_done(struct h2_out *o)
{
	buf_done(&o->bytes);
	h2_out_init(o);
}

bool
h2_out_full(const struct h2_out *o)
{
	return o->bytes.len - o->off >= H2_OUT_SOFT_MAX || o->count == H2_SECRETS_MAX;
}

bool
h2_out_empty(const struct h2_out *o)
{
	return o->bytes.len == o->off && o->first == o->count;
}

/* What was written makes place; positions move with the bytes. */
static void
compact(struct h2_out *o)
{
	for (size_t i = o->first; i < o->count; i++) {
		o->secrets[i - o->first] = o->secrets[i];
		o->secrets[i - o->first].at -= o->off;
	}
	o->count -= o->first;
	o->first = 0;
	buf_shift(&o->bytes, o->off);
	o->off = 0;
}

struct status
h2_out_put(struct h2_out *o, struct span s)
{
	if (o->off > 0)
		compact(o);
	return buf_put_span(&o->bytes, s);
}

void
h2_out_put_secret(struct h2_out *o, struct span value, const void *owner)
{
	assert(o->count < H2_SECRETS_MAX);
	o->secrets[o->count++] = (struct h2_secret){ o->bytes.len, value, owner };
}

void
h2_out_forget(struct h2_out *o, const void *owner)
{
	for (size_t i = o->first; i < o->count; i++) {
		if (o->secrets[i].owner != owner)
			continue;
		o->secrets[i].value = h2_blank(o->secrets[i].value.len);
		o->secrets[i].owner = NULL;
	}
}

size_t
h2_out_parts(const struct h2_out *o, struct span parts[CONN_PARTS])
{
	size_t n = 0, at = o->off, i = o->first;

	while (n + 1 < CONN_PARTS && i < o->count) {
		const struct h2_secret *s = &o->secrets[i++];

		if (s->at > at)
			parts[n++] = span_of(o->bytes.ptr + at, s->at - at);
		parts[n++] = s->value;
		at = s->at;
	}
	if (n < CONN_PARTS && i == o->count && o->bytes.len > at)
		parts[n++] = span_of(o->bytes.ptr + at, o->bytes.len - at);
	return n;
}

void
h2_out_advance(struct h2_out *o, size_t n)
{
	while (n > 0) {
		struct h2_secret *s = o->first < o->count ? &o->secrets[o->first] : NULL;
		size_t most = (s == NULL ? o->bytes.len : s->at) - o->off;
		size_t part = n < most ? n : most;

		o->off += part;
		n -= part;
		if (s == NULL || n == 0) {
			assert(n == 0);
			break;
		}
		part = n < s->value.len ? n : s->value.len;
		s->value = span_from(s->value, part);
		n -= part;
		o->first += s->value.len == 0;
	}
	if (h2_out_empty(o)) {
		buf_clear(&o->bytes);
		o->off = o->first = o->count = 0;
	}
}
