/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/2 client on a stream of bytes that comes in any pieces, with any room for bodies: each
 * of three exchanges ends once, however it does, and no byte comes that there was no room for. An
 * input is: whether SETTINGS come before it, whether one is given back in the middle, count of
 * cuts, the cuts, the bytes.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <h2_internal.h>

#define TURNS_MAX 20000
#define COUNT 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct user {
	struct exchange *x;
	unsigned heads, ends;
	uint64_t room;
};

static struct {
	struct span hello, in, cuts;
	size_t cut;
	struct user users[COUNT];
	unsigned gone;
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
	struct span *from = f.hello.len > 0 ? &f.hello : &f.in;
	size_t n = next_cut();

	(void)io;
	if (n == 0 && f.cut < 1000)
		return fail(E_AGAIN);
	if (from->len == 0)
		return fail(E_EOF);
	n = n == 0 ? 1 : n;
	n = n < size ? n : size;
	n = n < from->len ? n : from->len;
	memcpy(out, from->ptr, n);
	*from = span_from(*from, n);
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

/* ---- users ---- */
static size_t
room(void *ctx)
{
	struct user *u = ctx;

	u->room = next_cut();
	if (u->room == 0 && f.cut >= 1000)
		u->room = 1;
	return u->room;
}

static void
on_head(void *ctx, const struct http_response *head)
{
	struct user *u = ctx;

	check(head->status >= 200 && head->status <= 599);
	check(++u->heads == 1 && u->ends == 0);
}

static void
give_back(struct user *u)
{
	struct exchange *x = u->x;

	u->x = NULL;
	u->ends++;
	h2_exchange_free(x);
}

static void
on_body(void *ctx, uint8_t *body, size_t len)
{
	struct user *u = ctx;

	check(u->heads == 1 && u->ends == 0 && len > 0 && len <= u->room);
	u->room -= len;
	memset(body, '*', len);
	if (body[0] == '*' && next_cut() == 77)
		give_back(u);
}

static void
on_end(void *ctx)
{
	struct user *u = ctx;

	check(u->heads == 1 && u->ends == 0);
	give_back(u);
}

static void
on_failed(void *ctx, enum error why, enum exchange_fault fault)
{
	struct user *u = ctx;

	check(why == ERROR_UPSTREAM && u->ends == 0 && (fault != EXCHANGE_STALE || u->heads == 0));
	give_back(u);
}

static const struct exchange_ops ops = { room, on_head, on_body, on_end, on_failed };

static void
on_room(struct h2_conn *h, void *pool)
{
	(void)h, (void)pool;
}

static bool
on_http1(struct h2_conn *h, void *pool)
{
	(void)h, (void)pool;
	return true;
}

static void
on_gone(struct h2_conn *h, void *pool)
{
	(void)h, (void)pool;
	f.gone++;
}

static const struct h2_pool_ops pool_ops = { on_room, on_http1, on_gone };

static void
begin(struct h2_conn *h, struct user *u)
{
	const struct exchange_request r = { .target = SPAN_LIT("/"),
		.authority = SPAN_LIT("h"),
		.secret_name = SPAN_LIT("authorization"),
		.secret_prefix = SPAN_LIT("Bearer "),
		.secret = SPAN_LIT("secret"),
		.body = { SPAN_LIT("a"), SPAN_EMPTY, SPAN_LIT("b") } };

	check(is_ok(h2_conn_open(h, &u->x)));
	if (!is_ok(exchange_start(u->x, &r, &ops, u)))
		give_back(u);
}

static bool
all_over(void)
{
	for (size_t i = 0; i < COUNT; i++) {
		if (f.users[i].x != NULL)
			return false;
	}
	return true;
}

static void
talk(uv_loop_t *loop, bool leaves)
{
	for (int turn = 0; turn < TURNS_MAX && !all_over(); turn++) {
		(void)uv_run(loop, UV_RUN_NOWAIT);
		if (leaves && turn == 3 && f.users[1].x != NULL)
			give_back(&f.users[1]);
		for (size_t i = 0; i < COUNT; i++) {
			if (f.users[i].x != NULL)
				exchange_resume(f.users[i].x);
		}
	}
	for (size_t i = 0; i < COUNT; i++)
		check(f.users[i].x == NULL && f.users[i].ends == 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct exchange_limits usual;
	struct io io = { .ops = &io_ops };
	struct h2_conn *h = NULL;
	uv_loop_t loop;

	memset(&f, 0, sizeof(f));
	if (size < 1 || 1U + (data[0] & 15U) > size || uv_loop_init(&loop) != 0)
		return 0;
	if ((data[0] & 0x80) == 0)
		f.hello = SPAN_LIT("\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0");
	f.cuts = span_of(data + 1, data[0] & 15U);
	f.in = span_from(span_of(data, size), 1 + f.cuts.len);
	io.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	check(is_ok(h2_conn_new(&loop, &io, true, &usual, &pool_ops, NULL, &h)));
	for (size_t i = 0; i < COUNT; i++)
		begin(h, &f.users[i]);
	talk(&loop, (data[0] & 0x40) != 0);
	if (f.gone == 0)
		h2_conn_shut(h);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	check(f.gone == 1 && uv_loop_close(&loop) == 0);
	return 0;
}
