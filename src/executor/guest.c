/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.c: read and write the frames of the guest protocol.
 *
 * Runs in: the executor. Trusts: nothing that it reads: user code can write
 * any byte to the control pipe.
 * Owns: the bytes of a run's files, up to the run's own limit.
 * Invariants: a frame is judged by type, length and state before it is used;
 * after the first lie nothing more is read; no byte is kept beyond files_max
 * and file_bytes_max.
 * See: guest/PROTOCOL.md; tests/fuzz/fuzz_guest.c.
 */
#include "guest.h"

#include <base/encode.h>

#include <assert.h>

#define FRAME_READY 'R'
#define FRAME_FILE 'F'
#define FRAME_DATA 'D'
#define FRAME_DONE 'E'
#define DONE_LEN 12

static struct status on_ready(struct guest *g, struct span p);
static struct status on_file(struct guest *g, struct span p);
static struct status on_data(struct guest *g, struct span p);
static struct status on_done(struct guest *g, struct span p);

static const struct frame_row {
	char type;
	enum guest_state state;
	uint32_t min, max;
	struct status (*fn)(struct guest *g, struct span p);
} frame_rows[] = {
	{ FRAME_READY, GUEST_STARTING, 2, 1 + GUEST_KIND_MAX, on_ready },
	{ FRAME_FILE, GUEST_RUNNING, 1, FILE_NAME_MAX, on_file },
	{ FRAME_DATA, GUEST_RUNNING, 1, GUEST_PAYLOAD_MAX, on_data },
	{ FRAME_DONE, GUEST_RUNNING, DONE_LEN, DONE_LEN, on_done },
};

static uint32_t
get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void
set_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * (3 - i));
}

void
guest_init(struct guest *g)
{
	*g = (struct guest){ .state = GUEST_STARTING };
	g->payload = BUF_INIT(GUEST_PAYLOAD_MAX);
	g->bytes = BUF_INIT(FILES_TOTAL_MAX + (size_t)FILES_MAX * FILE_NAME_MAX);
}

void
guest_done(struct guest *g)
{
	buf_done(&g->payload);
	buf_done(&g->bytes);
}

static const struct frame_row *
frame_row(const struct guest *g)
{
	for (size_t i = 0; i < sizeof(frame_rows) / sizeof(frame_rows[0]); i++) {
		const struct frame_row *row = &frame_rows[i];

		if ((uint8_t)row->type == g->head[0] && row->state == g->state &&
		    g->payload_len >= row->min && g->payload_len <= row->max)
			return row;
	}
	return NULL;
}

/* Move up to `want` bytes of *in; what was moved. */
static struct span
take(struct span *in, size_t want)
{
	struct span part = span_of(in->ptr, want < in->len ? want : in->len);

	*in = span_from(*in, part.len);
	return part;
}

static struct status
feed(struct guest *g, struct span in)
{
	while (in.len > 0) {
		const struct frame_row *row;
		struct span part;

		if (g->head_len < GUEST_HEAD_LEN) {
			part = take(&in, GUEST_HEAD_LEN - g->head_len);
			memcpy(g->head + g->head_len, part.ptr, part.len);
			g->head_len += part.len;
			if (g->head_len < GUEST_HEAD_LEN)
				return OK;
			g->payload_len = get_u32(g->head + 1);
		}
		row = frame_row(g);
		if (row == NULL)
			return fail(E_PROTO);
		TRY(buf_put_span(&g->payload, take(&in, g->payload_len - g->payload.len)));
		if (g->payload.len < g->payload_len)
			return OK;
		TRY(row->fn(g, buf_span(&g->payload)));
		g->head_len = 0;
		buf_clear(&g->payload);
	}
	return OK;
}

struct status
guest_feed(struct guest *g, struct span in)
{
	struct status st = g->state == GUEST_BROKEN ? fail(E_PROTO) : feed(g, in);

	if (!is_ok(st))
		g->state = GUEST_BROKEN;
	return st;
}

static struct status
on_ready(struct guest *g, struct span p)
{
	if (p.ptr[0] != GUEST_VERSION)
		return fail(E_PROTO);
	TRY(span_to_cstr(span_from(p, 1), g->kind, sizeof(g->kind)));
	g->state = GUEST_IDLE;
	return OK;
}

void
guest_begin(struct guest *g, uint32_t files_max, uint32_t file_bytes_max)
{
	assert(g->state == GUEST_IDLE);
	g->state = GUEST_RUNNING;
	g->step++;
	g->files_max = files_max < FILES_MAX ? files_max : FILES_MAX;
	g->file_bytes_max = file_bytes_max < FILES_TOTAL_MAX ? file_bytes_max : FILES_TOTAL_MAX;
	g->nfiles = g->content_total = g->left_out = g->exit_code = 0;
	g->skipping = g->file_open = g->done = false;
	buf_clear(&g->bytes);
}

static bool
seen(const struct guest *g, struct span name)
{
	for (uint32_t i = 0; i < g->nfiles; i++) {
		const struct guest_file *f = &g->files[i];

		if (span_eq(span_of(g->bytes.ptr + f->name_at, f->name_len), name))
			return true;
	}
	return false;
}

static struct status
on_file(struct guest *g, struct span p)
{
	struct guest_file *f = &g->files[g->nfiles];

	if (memchr(p.ptr, '/', p.len) != NULL || seen(g, p) ||
	    g->nfiles + g->left_out >= g->files_max)
		return fail(E_PROTO);
	g->file_open = true;
	g->skipping = !guest_name_ok(p);
	if (g->skipping) {
		g->left_out++;
		return OK;
	}
	*f = (struct guest_file){ .name_at = g->bytes.len, .name_len = p.len };
	TRY(buf_put_span(&g->bytes, p));
	f->content_at = g->bytes.len;
	g->nfiles++;
	return OK;
}

static struct status
on_data(struct guest *g, struct span p)
{
	if (!g->file_open || p.len > g->file_bytes_max - g->content_total)
		return fail(E_PROTO);
	g->content_total += (uint32_t)p.len;
	if (g->skipping)
		return OK;
	g->files[g->nfiles - 1].content_len += p.len;
	return buf_put_span(&g->bytes, p);
}

static bool
exit_code_ok(uint32_t code)
{
	return code <= GUEST_EXIT_MAX ||
	       (code > GUEST_EXIT_SIGNAL && code <= GUEST_EXIT_SIGNAL + GUEST_SIGNAL_MAX);
}

static struct status
on_done(struct guest *g, struct span p)
{
	uint32_t left_out = get_u32(p.ptr + 8);

	if (get_u32(p.ptr) != g->step || !exit_code_ok(get_u32(p.ptr + 4)))
		return fail(E_PROTO);
	g->exit_code = get_u32(p.ptr + 4);
	if (left_out > 0)
		g->left_out = left_out;
	g->done = true;
	g->state = GUEST_IDLE;
	return OK;
}

struct run_files
guest_files(const struct guest *g, struct run_file *items)
{
	for (uint32_t i = 0; i < g->nfiles; i++) {
		const struct guest_file *f = &g->files[i];

		items[i].name = span_of(g->bytes.ptr + f->name_at, f->name_len);
		items[i].content = span_of(g->bytes.ptr + f->content_at, f->content_len);
	}
	return (struct run_files){ { items, g->nfiles } };
}

bool
guest_name_ok(struct span name)
{
	if (name.len == 0 || name.len > FILE_NAME_MAX || span_eq_str(name, ".") ||
	    span_eq_str(name, "..") || utf8_valid_len(name) != name.len)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] < 0x20 || name.ptr[i] == 0x7f || name.ptr[i] == '/')
			return false;
	}
	return true;
}

static struct status
put_frame(struct buf *out, char type, struct span payload)
{
	uint8_t head[GUEST_HEAD_LEN] = { (uint8_t)type };

	assert(payload.len <= GUEST_PAYLOAD_MAX);
	set_u32(head + 1, (uint32_t)payload.len);
	TRY(buf_put(out, head, sizeof(head)));
	return buf_put_span(out, payload);
}

static struct status
put_bytes(struct buf *out, char type, struct span bytes)
{
	while (bytes.len > 0)
		TRY(put_frame(out, type, take(&bytes, GUEST_PAYLOAD_MAX)));
	return OK;
}

struct status
guest_put_run(const struct guest *g, const struct run_request *req, uint32_t flags, struct buf *out)
{
	const struct run_file *files = req->files.items;
	uint8_t run[16];

	for (uint32_t i = 0; i < req->files.count; i++) {
		if (!guest_name_ok(files[i].name))
			return fail(E_RANGE);
		TRY(put_frame(out, 'f', files[i].name));
		TRY(put_bytes(out, 'd', files[i].content));
	}
	TRY(put_bytes(out, 'c', req->code));
	TRY(put_bytes(out, 'i', req->input));
	set_u32(run, g->step);
	set_u32(run + 4, flags);
	set_u32(run + 8, g->files_max);
	set_u32(run + 12, g->file_bytes_max);
	return put_frame(out, 'r', span_of(run, sizeof(run)));
}
