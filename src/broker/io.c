/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.c: the two streams of bytes that a connection goes over: a socket, and TLS on one.
 *
 * Runs in: broker. Trusts: nothing. Owns: the socket and the TLS connection.
 * Invariants: nothing blocks; what is written goes out from where it lies, and a copy that TLS
 * needs is wiped.
 * See: conn.h, tls/tls.h.
 */
#include "io.h"

#include <assert.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- a plain socket ---- */
static struct status
socket_error(void)
{
	if (errno == EAGAIN || errno == EINTR)
		return fail(E_AGAIN);
	if (errno == EPIPE || errno == ECONNRESET)
		return fail(E_CLOSED);
	return fail_errno();
}

static struct status
socket_read(struct io *io, void *out, size_t size, size_t *ret_len)
{
	ssize_t n = recv(io->fd, out, size, MSG_DONTWAIT);

	if (n < 0)
		return socket_error();
	*ret_len = (size_t)n;
	return n == 0 ? fail(E_EOF) : OK;
}

static struct status
socket_write(struct io *io, const struct span *v, size_t count, size_t *ret_len)
{
	struct iovec iov[CONN_PARTS];
	struct msghdr msg = { .msg_iov = iov };
	ssize_t n;

	assert(count <= CONN_PARTS);
	for (size_t i = 0; i < count; i++)
		iov[msg.msg_iovlen++] = (struct iovec){ (void *)(uintptr_t)v[i].ptr, v[i].len };
	n = sendmsg(io->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return socket_error();
	*ret_len = (size_t)n;
	return OK;
}

static int
socket_wants(const struct io *io, int usual)
{
	(void)io;
	return usual;
}

static bool
socket_pending(const struct io *io)
{
	(void)io;
	return false;
}

static void
socket_close(struct io *io)
{
	(void)close(io->fd);
	io->fd = -1;
}

static const struct io_ops socket_ops = { socket_read, socket_write, socket_wants, socket_pending,
	socket_close };

struct io
io_socket(int fd)
{
	return (struct io){ .ops = &socket_ops, .fd = fd };
}

/* ---- TLS ---- */
static struct status
secure_read(struct io *io, void *out, size_t size, size_t *ret_len)
{
	return tls_read(io->ctx, out, size, ret_len);
}

static struct status
secure_write(struct io *io, const struct span *v, size_t count, size_t *ret_len)
{
	return tls_writev(io->ctx, v, count, ret_len);
}

static int
secure_wants(const struct io *io, int usual)
{
	static const int events[] = {
		[TLS_WANT_READ] = UV_READABLE, [TLS_WANT_WRITE] = UV_WRITABLE
	};
	enum tls_want want = tls_want(io->ctx);

	return want == TLS_WANT_NONE ? usual : events[want];
}

static bool
secure_pending(const struct io *io)
{
	return tls_pending(io->ctx);
}

static void
secure_close(struct io *io)
{
	(void)is_ok(tls_shutdown(io->ctx)); /* a farewell, not more */
	tls_conn_free(io->ctx);
	io->ctx = NULL;
	socket_close(io);
}

static const struct io_ops secure_ops = { secure_read, secure_write, secure_wants, secure_pending,
	secure_close };

struct io
io_secure(int fd, struct tls_conn *tls)
{
	return (struct io){
		.ops = &secure_ops, .ctx = tls, .fd = fd, .h2 = span_eq_str(tls_alpn(tls), "h2")
	};
}
