/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.c: a fresh link for every edge between a process that came and those
 * that live, and everybody's counters to the authority.
 *
 * Runs in: supervisor. Trusts: wire/topology.h. Owns: nothing; both ends leave.
 * Invariants: an edge that the table does not name is never made. A draining
 * process gets no new links.
 * See: wire/topology.h.
 */
#include "supervisor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/cleanup.h>

static struct status
tell(struct child *to, enum edge edge, const struct child *about, int fd)
{
	const struct ctl_peer m = {
		.edge = (uint8_t)edge, .peer_id = about->peer_id, .index = about->index
	};

	return link_send_fds(to->control, 0, CTL_PEER, &m, &fd, 1);
}

static struct status
connect_pair(struct child *a, struct child *b, enum edge edge)
{
	auto_fd int a_fd = -1;
	auto_fd int b_fd = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return fail_errno();
	a_fd = pair[0];
	b_fd = pair[1];
	TRY(tell(a, edge, b, a_fd));
	return tell(b, edge, a, b_fd);
}

static bool
is_there(const struct child *c)
{
	return c->control != NULL && (c->state == CHILD_GREETED || c->state == CHILD_READY);
}

static struct status
connect_edge(struct child *c, struct child *other)
{
	for (int e = EDGE_CONTROL + 1; e < EDGE_COUNT; e++) {
		if (edge_ends[e].a == c->proc && edge_ends[e].b == other->proc)
			TRY(connect_pair(c, other, (enum edge)e));
		else if (edge_ends[e].b == c->proc && edge_ends[e].a == other->proc)
			TRY(connect_pair(other, c, (enum edge)e));
	}
	return OK;
}

/* A descriptor of the same page through which nothing can be written. */
static int
read_only(int fd)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static struct status
send_metrics(struct child *authority, const struct child *of)
{
	auto_fd int fd = read_only(of->metrics_fd);
	const struct ctl_metrics m = { .proc = (uint8_t)of->proc,
		.index = of->index,
		.peer_id = of->peer_id,
		.pid = (uint32_t)of->pid,
		.uid = of->sv->uid_base + UID_OF(of->proc) };

	if (fd < 0)
		return fail_errno();
	return link_send_fds(authority->control, 0, CTL_METRICS, &m, &fd, 1);
}

struct status
peers_connect(struct child *c)
{
	struct supervisor *sv = c->sv;
	struct child *authority = child_of(sv, PROC_AUTHORITY, false);

	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *other = &sv->children[i];

		if (other == c || !is_there(other))
			continue;
		TRY(connect_edge(c, other));
		if (c->proc == PROC_AUTHORITY)
			TRY(send_metrics(c, other));
	}
	if (c->proc == PROC_AUTHORITY) {
		TRY(rollback_tell(c));
		TRY(owed_tell(c));
		TRY(clients_tell(c));
	}
	return authority == NULL ? OK : send_metrics(authority, c);
}
