/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport.c: frames over a Unix stream socket, with descriptors beside them.
 *
 * Runs in: every process. Trusts: nothing that the peer sends; surplus
 * descriptors are closed and the peer is dropped.
 * Owns: the socket. Invariants: received descriptors are close-on-exec.
 * See: unix(7) on SCM_RIGHTS; link/link.h.
 */
#include "transport.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(LINK_FDS_MAX * sizeof(int))];
};

static void
close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)close(fds[i]);
}

static struct status
take_fds(struct msghdr *mh, int *fds, size_t fds_max, size_t *nfds)
{
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm != NULL; cm = CMSG_NXTHDR(mh, cm)) {
		int got[LINK_FDS_MAX];
		size_t n;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (n > LINK_FDS_MAX)
			return fail(E_PROTO);
		memcpy(got, CMSG_DATA(cm), n * sizeof(int));
		if (n > fds_max - *nfds) {
			close_all(got, n);
			return fail(E_PROTO);
		}
		memcpy(fds + *nfds, got, n * sizeof(int));
		*nfds += n;
	}
	return (mh->msg_flags & MSG_CTRUNC) != 0 ? fail(E_PROTO) : OK;
}

static struct status
socket_read(struct transport *t, struct buf *in, int *fds, size_t fds_max, size_t *nfds)
{
	union control control;
	struct iovec iov;
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n;

	TRY(buf_reserve(in, TRANSPORT_READ_LEN));
	iov = (struct iovec){ in->ptr + in->len, TRANSPORT_READ_LEN };
	do {
		n = recvmsg(t->fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? fail(E_AGAIN) : fail_errno();
	TRY(take_fds(&mh, fds, fds_max, nfds));
	if (n == 0)
		return fail(E_EOF);
	in->len += (size_t)n;
	return OK;
}

static struct status
socket_write(struct transport *t, struct span out, const int *fds, size_t nfds, size_t *ret_written)
{
	union control control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)out.ptr, out.len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (nfds > 0) {
		struct cmsghdr *cm;

		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
	}
	do {
		n = sendmsg(t->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? fail(E_AGAIN) : fail_errno();
	*ret_written = (size_t)n;
	return OK;
}

static void
socket_close(struct transport *t)
{
	if (t->fd >= 0)
		(void)close(t->fd);
	t->fd = -1;
}

static const struct transport_ops socket_ops = { socket_read, socket_write, socket_close };

struct status
transport_socketpair(int fd, struct transport *ret)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return fail_errno();
	*ret = (struct transport){ &socket_ops, fd };
	return OK;
}
