/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP client on a stream of bytes that comes in any pieces, with any room for them: each
 * exchange ends once, however it does, and no byte comes that there was no room for. An input is:
 * how it ends, count of cuts, the cuts, the bytes.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <conn.h>

#define TURNS_MAX 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct span in, cuts;
	size_t cut;
	bool closed_hard;
	unsigned heads, ends;
	uint64_t body, room;
} f;

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static uint8_t
next_cut(void)
{
	return f.cuts.len == 0 ? 255 : f.cuts.ptr[f.cut++ % f.cuts.len];
}

static struct status
fake_read(struct io *io, void *out, size_t size, size_t *ret_len)
{
	size_t n = next_cut();

	(void)io;
	if (n == 0 && f.cut < 1000)
		return fail(E_AGAIN);
	if (f.in.len == 0)
		return fail(f.closed_hard ? E_CLOSED : E_EOF);
	n = n == 0 ? 1 : n;
	n = n < size ? n : size;
	n = n < f.in.len ? n : f.in.len;
	memcpy(out, f.in.ptr, n);
	f.in = span_from(f.in, n);
	*ret_len = n;
	return OK;
}

static struct status
fake_write(struct io *io, const struct span *v, size_t n, size_t *ret_len)
{
	size_t part = next_cut();

	(void)io;
	check(n > 0 && v[0].len > 0);
	if (part == 0 && f.cut < 1000)
		return fail(E_AGAIN);
	if (part == 1 && f.closed_hard)
		return fail(E_CLOSED);
	*ret_len = part == 0 || part > v[0].len ? v[0].len : part;
	return OK;
}

static int
fake_wants(const struct io *io, int usual)
{
	(void)io;
	return usual;
}

static bool
fake_pending(const struct io *io)
{
	(void)io;
	return (f.cut & 3) == 0 && f.in.len > 0;
}

static void
fake_close(struct io *io)
{
	(void)close(io->fd);
}

static const struct io_ops io_ops = { fake_read, fake_write, fake_wants, fake_pending, fake_close };

static size_t
room(void *ctx)
{
	(void)ctx;
	f.room = next_cut();
	if (f.room == 0 && f.cut >= 1000)
		f.room = 1;
	return f.room;
}

static void
on_head(void *ctx, const struct http_response *head)
{
	(void)ctx;
	check(head->status >= 200 && head->status <= 599);
	check(++f.heads == 1);
}

static void
on_body(void *ctx, uint8_t *body, size_t len)
{
	(void)ctx;
	check(f.heads == 1 && f.ends == 0 && len <= f.room);
	f.room -= len;
	memset(body, '*', len);
}

static void
on_end(void *ctx)
{
	(void)ctx;
	check(f.heads == 1);
	f.ends++;
}

static void
on_failed(void *ctx, enum error why, enum exchange_fault fault)
{
	(void)ctx, (void)fault;
	check(why == ERROR_UPSTREAM);
	f.ends++;
}

static void
on_idle_closed(struct conn *c, void *pool)
{
	(void)c, (void)pool;
}

static const struct exchange_ops ops = { room, on_head, on_body, on_end, on_failed };

static void
exchange(uv_loop_t *loop, struct conn *c)
{
	const struct conn_request r = { .head = SPAN_LIT("POST / HTTP/1.1\r\nx: "),
		.secret = SPAN_LIT("secret"),
		.body = { SPAN_LIT("a"), SPAN_EMPTY, SPAN_LIT("b") } };

	f.heads = f.ends = 0;
	if (!is_ok(conn_start(c, &r, &ops, NULL)))
		return;
	for (int i = 0; i < TURNS_MAX && f.ends == 0; i++) {
		(void)uv_run(loop, UV_RUN_NOWAIT);
		if (f.ends == 0)
			exchange_resume(conn_exchange(c));
	}
	check(f.ends == 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct exchange_limits usual;
	struct io io = { .ops = &io_ops };
	struct conn *c = NULL;
	uv_loop_t loop;

	memset(&f, 0, sizeof(f));
	if (size < 1 || 1U + (data[0] & 15U) > size || uv_loop_init(&loop) != 0)
		return 0;
	f.closed_hard = data[0] >> 7;
	f.cuts = span_of(data + 1, data[0] & 15U);
	f.in = span_from(span_of(data, size), 1 + f.cuts.len);
	io.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	check(is_ok(conn_new(&loop, &io, &usual, on_idle_closed, NULL, &c)));
	exchange(&loop, c);
	if (conn_reusable(c))
		exchange(&loop, c);
	conn_free(c);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	check(uv_loop_close(&loop) == 0);
	return 0;
}
