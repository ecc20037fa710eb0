/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept.c: takes connections, within the limits that need no authentication.
 *
 * Runs in: gateway. Trusts: the kernel for addresses.
 * Owns: the poll handle of the listening socket, which the supervisor owns.
 * Invariants: at most connections_max connections; a source over its limit is
 * closed before a byte of TLS is spoken, and counted; want of descriptors or memory
 * stops accepting for a while.
 * See: source.h; limits.* in docs/configuration.md.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <wire/gateway_authority.h>

#include "conn.h"

static void on_listen(uv_poll_t *handle, int status, int events);

struct status
accept_start(struct gateway *g)
{
	int rc = uv_poll_init(g->loop, &g->listen_poll, g->listen_fd);

	if (rc != 0) {
		errno = -rc;
		return fail_errno();
	}
	(void)uv_timer_init(g->loop, &g->accept_again);
	g->listen_poll.data = g->accept_again.data = g;
	accept_resume(g);
	return OK;
}

void
accept_stop(struct gateway *g)
{
	if (g->accepting)
		(void)uv_poll_stop(&g->listen_poll);
	g->accepting = false;
}

void
accept_resume(struct gateway *g)
{
	if (g->accepting || g->d->draining || g->tls == NULL || g->nconns >= g->connections_max)
		return;
	if (uv_poll_start(&g->listen_poll, UV_READABLE, on_listen) == 0)
		g->accepting = true;
}

static void
take(struct gateway *g, int fd, const struct sockaddr *sa)
{
	const int on = 1;
	uint8_t address[SOURCE_LEN];
	struct source *source;

	source_address(sa, address);
	source = source_enter(&g->sources, address, gateway_now(g));
	if (source == NULL) {
		daemon_metric_add(METRIC_CONNECTIONS_REFUSED, 1);
		(void)close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn_open(g, fd, source, address);
}

static bool
is_want(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

static void
on_accept_again(uv_timer_t *timer)
{
	accept_resume(timer->data);
}

/* The socket stays readable: polled on, it would spin. */
static void
pause_accepting(struct gateway *g)
{
	accept_stop(g);
	(void)uv_timer_start(&g->accept_again, on_accept_again, ACCEPT_AGAIN_MS, 0);
}

static void
on_listen(uv_poll_t *handle, int status, int events)
{
	struct gateway *g = handle->data;

	(void)status, (void)events;
	for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
		struct sockaddr_storage ss = { 0 };
		socklen_t len = sizeof(ss);
		int fd;

		if (g->nconns >= g->connections_max) {
			accept_stop(g); /* conn_close() resumes */
			return;
		}
		fd = accept4(
		    g->listen_fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (is_want(errno))
				pause_accepting(g);
			return;
		}
		take(g, fd, (const struct sockaddr *)&ss);
	}
}

void
accept_failures_report(struct gateway *g)
{
	struct ga_failures m;
	struct source *src, *iter = NULL;

	if (!g->failures_pending || g->authority == NULL)
		return;
	while ((src = sources_due(&g->sources, &iter, gateway_now(g), &m.count, &m.window_ms)) !=
	       NULL) {
		memcpy(m.source, src->address, SOURCE_LEN);
		if (!is_ok(link_send(g->authority, 0, GA_FAILURES, &m)))
			diag(DIAG_WARN, "failed credentials could not be reported");
	}
	g->failures_pending = sources_waiting(&g->sources);
}
