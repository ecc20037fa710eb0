/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LINK_TRANSPORT_H
#define LINK_TRANSPORT_H

/*
 * What carries a link's bytes. Today a socketpair; between hosts the same
 * frames will go over mutual TLS, as another row of operations.
 */
#include <link/link.h>

#define TRANSPORT_READ_LEN 65536

struct transport;

struct transport_ops {
	/* Append what is there to `in`; descriptors to fds[*nfds…]. E_AGAIN, E_EOF, E_SYS, E_PROTO.
	 */
	struct status (*read)(
	    struct transport *t, struct buf *in, int *fds, size_t fds_max, size_t *nfds);
	/* Write part of `out`, with descriptors that belong to its first byte. E_AGAIN, E_SYS. */
	struct status (*write)(
	    struct transport *t, struct span out, const int *fds, size_t nfds, size_t *ret_written);
	void (*close)(struct transport *t);
};

struct transport {
	const struct transport_ops *ops;
	int fd;
};

/* Takes fd; makes it non-blocking. */
MUST_USE struct status transport_socketpair(int fd, struct transport *ret);

#endif
