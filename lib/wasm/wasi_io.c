/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasi_io.c: the guest's reads and writes: standard streams and files of the scratch directory.
 *
 * Runs in: the run worker of one tenant, on behalf of its guests.
 * Trusts: nothing of the guest. A vector is checked whole and copied before the first byte
 * moves: what is read may overwrite the vector itself.
 * Invariants: where a call answers EFAULT, EINVAL or EBADF, neither the guest's memory nor a
 * file nor a position changed; a write that runs into the end of the scratch directory's room
 * keeps and tells what fitted.
 * See: wasi_guest.h, wasi_fd.c for what is not reading or writing.
 */
#include <wasi_guest.h>

struct transfer {
	uint64_t at;    /* position, of a file */
	uint64_t total; /* of the vectors */
	uint64_t done;
};

static uint32_t vectors_read(
    struct wasi_ctx *ctx, struct wasi_memory m, uint64_t at, uint64_t count, uint64_t *ret_total);
static uint32_t begin(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args,
    uint64_t rights, uint64_t result, struct wasi_fd **ret, struct transfer *t);
static uint32_t begin_at(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args,
    uint64_t rights, struct wasi_fd **ret, struct transfer *t);
static void read_vectors(struct wasi_ctx *ctx, struct wasi_memory m, const struct wasi_fd *f,
    uint64_t count, struct transfer *t);
static uint32_t write_vectors(struct wasi_ctx *ctx, struct wasi_memory m, const struct wasi_fd *f,
    uint64_t count, struct transfer *t);
static size_t read_some(
    struct wasi_ctx *ctx, const struct wasi_fd *f, uint64_t at, uint8_t *out, size_t len);
static uint32_t write_some(struct wasi_ctx *ctx, const struct wasi_fd *f, uint64_t at,
    const uint8_t *in, size_t len, size_t *ret_len);
static uint32_t put_out(struct wasi_ctx *ctx, struct span s);
static uint32_t put_err(struct wasi_ctx *ctx, struct span s);
static uint32_t leave(struct wasi_ctx *ctx, enum wasi_end end);

/* (fd, iovs, count, nread) */
uint32_t
wasi_fd_read(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct transfer t = { 0 };
	struct wasi_fd *f;
	uint32_t err = begin(ctx, m, args, WASI_R_READ, args[3], &f, &t);

	if (err != WASI_OK)
		return err;
	t.at = f->at;
	read_vectors(ctx, m, f, args[2], &t);
	f->at += f->kind == FD_FILE ? t.done : 0;
	guest_put_u32(guest_at(m, args[3], 4), (uint32_t)t.done);
	return WASI_OK;
}

/* (fd, iovs, count, offset, nread) */
uint32_t
wasi_fd_pread(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct transfer t = { 0 };
	struct wasi_fd *f;
	uint32_t err = begin_at(ctx, m, args, WASI_R_READ, &f, &t);

	if (err != WASI_OK)
		return err;
	read_vectors(ctx, m, f, args[2], &t);
	guest_put_u32(guest_at(m, args[4], 4), (uint32_t)t.done);
	return WASI_OK;
}

/* (fd, iovs, count, nwritten) */
uint32_t
wasi_fd_write(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct transfer t = { 0 };
	struct wasi_fd *f;
	uint32_t err = begin(ctx, m, args, WASI_R_WRITE, args[3], &f, &t);

	if (err != WASI_OK)
		return err;
	t.at = f->at;
	if (f->kind == FD_FILE && (f->flags & WASI_APPEND) != 0)
		t.at = ctx->scratch->nodes[f->node].len;
	err = write_vectors(ctx, m, f, args[2], &t);
	if (err != WASI_OK)
		return err;
	if (f->kind == FD_FILE && t.done > 0)
		f->at = t.at;
	guest_put_u32(guest_at(m, args[3], 4), (uint32_t)t.done);
	return WASI_OK;
}

/* (fd, iovs, count, offset, nwritten) */
uint32_t
wasi_fd_pwrite(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct transfer t = { 0 };
	struct wasi_fd *f;
	uint32_t err = begin_at(ctx, m, args, WASI_R_WRITE, &f, &t);

	if (err != WASI_OK)
		return err;
	err = write_vectors(ctx, m, f, args[2], &t);
	if (err != WASI_OK)
		return err;
	guest_put_u32(guest_at(m, args[4], 4), (uint32_t)t.done);
	return WASI_OK;
}

/* What all four check before anything moves. */
static uint32_t
begin(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args, uint64_t rights,
    uint64_t result, struct wasi_fd **ret, struct transfer *t)
{
	uint32_t err = wasi_fd_get(ctx, args[0], rights, ret);

	if (err != WASI_OK)
		return err;
	if (guest_at(m, result, 4) == NULL)
		return WASI_EFAULT;
	return vectors_read(ctx, m, args[1], args[2], &t->total);
}

static uint32_t
vectors_read(
    struct wasi_ctx *ctx, struct wasi_memory m, uint64_t at, uint64_t count, uint64_t *ret_total)
{
	const uint8_t *from;
	uint64_t total = 0;

	if (count > WASI_VECTORS_MAX)
		return WASI_EINVAL;
	from = guest_at(m, at, count * WASI_VECTOR_LEN);
	if (from == NULL)
		return WASI_EFAULT;
	for (uint64_t i = 0; i < count; i++) {
		struct wasi_vector *v = &ctx->vectors[i];

		v->at = guest_u32(from + i * WASI_VECTOR_LEN);
		v->len = guest_u32(from + i * WASI_VECTOR_LEN + 4);
		if (guest_at(m, v->at, v->len) == NULL)
			return WASI_EFAULT;
		total += v->len;
	}
	if (total > UINT32_MAX)
		return WASI_EINVAL;
	*ret_total = total;
	return WASI_OK;
}

/* The same at an offset of the guest's, which only files have. */
static uint32_t
begin_at(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args, uint64_t rights,
    struct wasi_fd **ret, struct transfer *t)
{
	uint32_t err = begin(ctx, m, args, rights, args[4], ret, t);

	if (err != WASI_OK)
		return err;
	if ((*ret)->kind != FD_FILE)
		return WASI_ESPIPE;
	if (args[3] > INT64_MAX)
		return WASI_EINVAL;
	t->at = args[3];
	return WASI_OK;
}

static void
read_vectors(struct wasi_ctx *ctx, struct wasi_memory m, const struct wasi_fd *f, uint64_t count,
    struct transfer *t)
{
	for (uint64_t i = 0; i < count; i++) {
		const struct wasi_vector *v = &ctx->vectors[i];
		size_t n = read_some(ctx, f, t->at, guest_at(m, v->at, v->len), v->len);

		t->done += n;
		t->at += n;
		if (n < v->len)
			return;
	}
}

static size_t
read_some(struct wasi_ctx *ctx, const struct wasi_fd *f, uint64_t at, uint8_t *out, size_t len)
{
	struct span rest;

	if (f->kind == FD_FILE)
		return scratch_read(ctx->scratch, f->node, at, out, len);
	rest = span_from(ctx->given.in, ctx->in_at);
	if (len > rest.len)
		len = rest.len;
	if (len > 0)
		memcpy(out, rest.ptr, len);
	ctx->in_at += len;
	return len;
}

static uint32_t
write_vectors(struct wasi_ctx *ctx, struct wasi_memory m, const struct wasi_fd *f, uint64_t count,
    struct transfer *t)
{
	for (uint64_t i = 0; i < count; i++) {
		const struct wasi_vector *v = &ctx->vectors[i];
		size_t n = 0;
		uint32_t err = write_some(ctx, f, t->at, guest_at(m, v->at, v->len), v->len, &n);

		t->done += n;
		t->at += n;
		/* An error after some bytes is told by the next call, as write(2) does. */
		if (err != WASI_OK)
			return t->done > 0 && err != WASI_LEAVE ? WASI_OK : err;
		if (n < v->len)
			return WASI_OK;
	}
	return WASI_OK;
}

static uint32_t
write_some(struct wasi_ctx *ctx, const struct wasi_fd *f, uint64_t at, const uint8_t *in,
    size_t len, size_t *ret_len)
{
	if (f->kind == FD_FILE)
		return scratch_write(ctx->scratch, f->node, at, in, len, ret_len);
	*ret_len = len;
	return f->kind == FD_OUT ? put_out(ctx, span_of(in, len)) : put_err(ctx, span_of(in, len));
}

/* Output that is too long is no output: the guest ends, with what fitted. */
static uint32_t
put_out(struct wasi_ctx *ctx, struct span s)
{
	size_t room = ctx->out.max - ctx->out.len;
	bool fits = s.len <= room;

	if (!is_ok(buf_put(&ctx->out, s.ptr, fits ? s.len : room)))
		return leave(ctx, WASI_NO_MEMORY);
	return fits ? WASI_OK : leave(ctx, WASI_OUTPUT_FULL);
}

/* A log that is too long is a log that was cut: the guest goes on. */
static uint32_t
put_err(struct wasi_ctx *ctx, struct span s)
{
	size_t room = ctx->err.max - ctx->err.len;
	bool fits = s.len <= room;

	if (!is_ok(buf_put(&ctx->err, s.ptr, fits ? s.len : room)))
		return leave(ctx, WASI_NO_MEMORY);
	ctx->err_cut = ctx->err_cut || !fits;
	return WASI_OK;
}

static uint32_t
leave(struct wasi_ctx *ctx, enum wasi_end end)
{
	ctx->end = end;
	return WASI_LEAVE;
}
