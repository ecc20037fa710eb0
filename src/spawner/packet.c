/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.c: one struct and a few descriptors in one packet.
 *
 * Runs in: spawner and launcher. Trusts: the other end is the same binary, but
 * sizes and numbers of descriptors are checked all the same.
 * Owns: received descriptors pass to the caller, close-on-exec.
 */
#include "launcher.h"

#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX LAUNCH_STDIO

union control {
	char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	struct cmsghdr align;
};

struct status
packet_send(int fd, const void *data, size_t len, const int *fds, size_t nfds)
{
	union control control = { .space = { 0 } };
	/* sendmsg() does not write to the data. */
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (nfds > FDS_MAX)
		return fail(E_RANGE);
	if (nfds > 0) {
		struct cmsghdr *c;

		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return fail(E_AGAIN);
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		return fail(E_CLOSED);
	return n == (ssize_t)len ? OK : fail_errno();
}

static size_t
take_fds(struct msghdr *msg, int *fds, size_t max)
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (count < max)
				fds[count++] = fd;
			else
				(void)close(fd);
		}
	}
	return count;
}

struct status
packet_recv(int fd, void *data, size_t len, int *fds, size_t nfds)
{
	union control control = { .space = { 0 } };
	struct iovec iov = { data, len };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space) };
	ssize_t n;

	for (size_t i = 0; i < nfds; i++)
		fds[i] = -1;
	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return fail(E_AGAIN);
	if (n < 0 && errno != ECONNRESET)
		return fail_errno();
	if (n <= 0)
		return fail(E_EOF);
	(void)take_fds(&msg, fds, nfds);
	return n == (ssize_t)len && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 ? OK
										    : fail(E_PROTO);
}
