/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo: a stand-in for a model, so that the system runs without an account. No AI.
 *
 * Runs in: a process of its own, jailed like the others, with no file, socket or secret; started
 * only where a provider of kind demo is configured.
 * Trusts: the supervisor. What the broker forwards is a client's.
 * Owns: its connections.
 * See: server.c, ask.c, plan.c, tasks.c, reply.c; wire/broker_demo.h.
 */
#include <daemon/daemon.h>
#include <wire/broker_demo.h>

#include "server.h"

static const struct jail jail = { .name = "demo", .nofile = 2048 };

static struct server *server;
static struct link *broker;

static void
on_connect(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	int fd = link_take_fd(l);

	(void)id, (void)msg, (void)ctx;
	if (fd < 0)
		diag(DIAG_WARN, "a connection without a descriptor");
	else
		server_accept(server, fd);
}

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)why, (void)ctx;
	if (broker == l)
		broker = NULL;
	link_free(l);
}

static struct status
add_models(const struct conf *conf)
{
	struct span name;

	for (size_t i = 0; conf_each(conf, "models", &i, &name);) {
		const char *model = conf_strf(conf, "models.%.*s.0.model", SPAN_FMT(name));

		if (model != NULL)
			TRY(server_add_model(server, span_str(model)));
	}
	return OK;
}

static struct status
start(struct daemon *d)
{
	TRY(server_new(d->loop, &server));
	return add_models(d->conf);
}

static void
peer(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd)
{
	static const struct link_rule rules[] = { { BD_CONNECT, 0, on_connect } };
	static const struct link_ops ops = { rules, 1, on_closed };

	(void)index;
	if (edge != EDGE_BROKER_DEMO)
		diag_fatal("a link that is not the broker's");
	link_free(broker);
	broker = NULL;
	if (!is_ok(link_new(d->loop, fd, &bd_edge, false, &ops, d, &broker)))
		diag_fatal("link of the broker");
	link_set_peer(broker, peer_id);
}

int
main(int argc, char **argv)
{
	/* No drain: the broker goes first, and with it every connection. */
	static const struct daemon_ops ops = {
		.proc = PROC_DEMO, .jail = &jail, .start = start, .peer = peer
	};

	return daemon_main(argc, argv, &ops, NULL);
}
