/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of an HTTP/2 client into a connection's protocol, with a worker around it: an
 * authority that takes every question; keys are found good, admissions never come.
 * The first byte says in pieces of what size the rest comes, and whether the
 * client's preface is put before it.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <h2.h>
#include <wire/gateway_authority.h>
#include <worker.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uv_loop_t loop;
static struct gateway g;
static struct daemon d;
static struct source source;

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

static void
start(void)
{
	static const char text[] = "policies: { default: { endpoints: \"*\", models: \"*\" } }\n"
				   "providers: { p: { kind: demo, credential: none } }\n"
				   "models: { demo: [ { provider: p, model: up-demo } ] }\n";
	char error[CONF_ERROR_MAX];
	struct conf *conf = NULL;

	expect(uv_loop_init(&loop) == 0 && is_ok(conf_parse(span_str(text), &conf, error)));
	d.loop = &loop;
	d.ctx = &g;
	d.conf = conf;
	g.fds_max = 1024;
	expect(is_ok(worker_prepare(&d)));
	worker_hook(&d);
	source.all = &g.sources;
}

/* What the authority would say; its link is never written to. */
static void
answer_checks(struct h2 *h)
{
	struct h2_stream *s, *next;

	for (s = TAILQ_FIRST(&h->streams); s != NULL; s = next) {
		struct request *r = s->req;

		next = TAILQ_NEXT(s, next);
		if (s->state != H2_CHECK || r->call == 0)
			continue;
		link_call_cancel(g.authority, r->call);
		r->call = 0;
		TAILQ_REMOVE(&g.active, r, next);
		r->active = false;
		r->reply->go_on(r);
	}
}

static bool
settle(struct conn *c)
{
	c->protocol->settle(c);
	expect(conn_unsent(c) < OUT_SOFT_MAX + 2 * READ_LEN);
	expect(h2_of(c)->nstreams <= g.h2_streams_max);
	buf_clear(&c->out);
	if (c->close_after)
		return false;
	c->protocol->sent(c, false);
	return true;
}

static void
talk(struct conn *c, struct span in, size_t piece)
{
	while (in.len > 0) {
		size_t n = in.len < piece ? in.len : piece;

		expect(c->protocol->take(c, span_of(in.ptr, n)));
		if (!settle(c))
			return;
		answer_checks(h2_of(c));
		if (!settle(c))
			return;
		in = span_from(in, n);
	}
}

static void
end(struct conn *c)
{
	c->protocol->left(c);
	requests_unavailable(&g);
	expect(TAILQ_EMPTY(&g.active));
	expect(g.bodies.used[POOL_SMALL] + g.bodies.used[POOL_LARGE] == 0);
	conn_disarm(c);
	if (c->dirty)
		TAILQ_REMOVE(&g.dirty, c, next_dirty);
	c->protocol->free(c);
	buf_done(&c->out);
	link_free(g.authority);
	g.authority = NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct link_ops ops = { NULL, 0, NULL };
	struct conn c = { .g = &g, .state = CONN_OPEN, .protocol = &protocol_h2 };
	const struct span hello = SPAN_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0");
	int fds[2];

	if (g.loop == NULL)
		start();
	if (size == 0)
		return 0;
	expect(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	expect(is_ok(link_new(&loop, fds[0], &ga_edge, true, &ops, &g, &g.authority)));
	c.out.max = OUT_MAX;
	c.source = &source;
	expect(is_ok(c.protocol->start(&c)));
	if ((data[0] & 0x80) == 0)
		talk(&c, hello, hello.len);
	if (!c.close_after)
		talk(&c, span_of(data + 1, size - 1), (size_t)(data[0] & 0x7f) * 64 + 1);
	end(&c);
	(void)close(fds[1]);
	(void)uv_run(&loop, UV_RUN_NOWAIT); /* the link's handle closes */
	return 0;
}
