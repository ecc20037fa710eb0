/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_ORIGIN_SERVER_H
#define TESTS_ORIGIN_SERVER_H

/*
 * A server on a loopback socket, in clear or with TLS by OpenSSL itself, that plays one reply a
 * request, as bad as it is told to; and a DNS server that says what it is told to.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <crypto/cert.h>

#include "unit.h"

#define ORIGIN_CONNS_MAX 256
#define ORIGIN_REPLIES_MAX 16
#define ORIGIN_SEEN_MAX (8U << 20)

enum after { AFTER_KEEP, AFTER_CLOSE, AFTER_RESET, AFTER_HALF };

struct reply {
	const char *text; /* NULL: nothing, ever */
	size_t len;       /* of it; 0: up to its NUL */
	size_t piece;     /* bytes a write; 0: all */
	uint64_t flood;   /* bytes of 'x' after it */
	bool early;       /* as soon as the head came; the rest is not read */
	bool cut;         /* without close_notify */
	enum after after;
};

struct origin_conn {
	struct origin_server *s;
	uv_poll_t poll;
	int fd;
	SSL *ssl;
	bool open, up, deaf;
	struct buf in;
	const struct reply *reply;
	size_t sent;
	uint64_t flooded;
};

struct origin_server {
	uv_loop_t *loop;
	uv_poll_t poll;
	int fd;
	uint16_t port;
	SSL_CTX *ctx; /* NULL: in clear */
	struct origin_conn conns[ORIGIN_CONNS_MAX];
	size_t nconns;
	struct reply replies[ORIGIN_REPLIES_MAX]; /* the last one again and again */
	size_t nreplies;
	unsigned requests, closed;
	bool mute;       /* connections are taken, and that is all */
	struct buf seen; /* the last request */
};

static void origin_step(struct origin_conn *c);

static inline void
origin_close(struct origin_conn *c)
{
	if (!c->open)
		return;
	c->open = false;
	c->s->closed++;
	(void)uv_poll_stop(&c->poll);
	uv_close((uv_handle_t *)&c->poll, NULL);
	SSL_free(c->ssl);
	(void)close(c->fd);
	buf_done(&c->in);
}

static inline ssize_t
origin_read(struct origin_conn *c, void *p, size_t len)
{
	int n;

	if (c->ssl == NULL)
		return recv(c->fd, p, len, MSG_DONTWAIT);
	n = SSL_read(c->ssl, p, (int)len);
	if (n > 0)
		return n;
	errno = SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
	return SSL_get_error(c->ssl, n) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static inline ssize_t
origin_write(struct origin_conn *c, const void *p, size_t len)
{
	int n;

	if (c->ssl == NULL)
		return send(c->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	n = SSL_write(c->ssl, p, (int)len);
	if (n > 0)
		return n;
	errno = SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
	return -1;
}

/* All of a request with content-length is there. */
static inline bool
origin_whole(const struct origin_conn *c, bool head_is_enough)
{
	const uint8_t *end = memmem(c->in.ptr, c->in.len, "\r\n\r\n", 4);
	const char *at;
	size_t head, len = 0;

	if (end == NULL)
		return false;
	head = (size_t)(end - c->in.ptr) + 4;
	at = memmem(c->in.ptr, head, "content-length: ", 16);
	if (at != NULL)
		len = strtoul(at + 16, NULL, 10);
	return head_is_enough || c->in.len >= head + len;
}

static inline void
origin_after(struct origin_conn *c)
{
	const struct linger hard = { .l_onoff = 1 };

	switch (c->reply->after) {
	case AFTER_CLOSE:
		if (c->ssl != NULL && !c->reply->cut)
			(void)SSL_shutdown(c->ssl);
		origin_close(c);
		break;
	case AFTER_RESET:
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		origin_close(c);
		break;
	case AFTER_HALF:
		if (c->ssl != NULL)
			(void)SSL_shutdown(c->ssl);
		(void)shutdown(c->fd, SHUT_WR);
		break;
	case AFTER_KEEP:
	default:
		break;
	}
	c->reply = NULL;
}

/* False: the socket is full. */
static inline bool
origin_send(struct origin_conn *c)
{
	static uint8_t flood[16384];
	size_t len = c->reply->len > 0 ? c->reply->len : strlen(c->reply->text);

	while (c->sent < len) {
		size_t part = len - c->sent;
		ssize_t n;

		if (c->reply->piece > 0 && part > c->reply->piece)
			part = c->reply->piece;
		n = origin_write(c, c->reply->text + c->sent, part);
		if (n < 0)
			return false;
		c->sent += (size_t)n;
	}
	memset(flood, 'x', sizeof(flood));
	while (c->flooded < c->reply->flood) {
		uint64_t left = c->reply->flood - c->flooded;
		ssize_t n = origin_write(
		    c, flood, left < sizeof(flood) ? (size_t)left : sizeof(flood));

		if (n < 0)
			return false;
		c->flooded += (uint64_t)n;
	}
	return true;
}

static inline void
origin_take(struct origin_conn *c)
{
	struct origin_server *s = c->s;
	size_t at = s->requests < s->nreplies ? s->requests : s->nreplies - 1;

	if (c->reply != NULL || !origin_whole(c, s->replies[at].early))
		return;
	s->requests++;
	buf_clear(&s->seen);
	assert_true(is_ok(buf_put_span(&s->seen, buf_span(&c->in))));
	buf_clear(&c->in);
	if (s->replies[at].text == NULL)
		return;
	c->reply = &s->replies[at];
	c->deaf = c->reply->early;
	c->sent = 0;
	c->flooded = 0;
}

static void
origin_step(struct origin_conn *c)
{
	char part[16384];
	ssize_t n = 1;

	if (!c->up && c->ssl != NULL) {
		int rc = SSL_accept(c->ssl);

		if (rc != 1) {
			if (SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_READ)
				origin_close(c);
			return;
		}
	}
	c->up = true;
	while (!c->deaf && (n = origin_read(c, part, sizeof(part))) > 0) {
		assert_true(is_ok(buf_put(&c->in, part, (size_t)n)));
		origin_take(c);
	}
	if (!c->deaf && (n == 0 || (n < 0 && errno != EAGAIN))) {
		origin_close(c);
		return;
	}
	if (c->reply == NULL)
		return;
	if (origin_send(c)) {
		origin_after(c);
		if (c->open)
			(void)uv_poll_start(&c->poll, UV_READABLE, c->poll.poll_cb);
	} else if (errno != EAGAIN) {
		origin_close(c);
	} else {
		(void)uv_poll_start(&c->poll, UV_READABLE | UV_WRITABLE, c->poll.poll_cb);
	}
}

static void
on_origin_conn(uv_poll_t *p, int status, int events)
{
	struct origin_conn *c = p->data;

	(void)status, (void)events;
	if (c->s->mute)
		(void)uv_poll_stop(p);
	else
		origin_step(c);
}

static void
on_origin_accept(uv_poll_t *p, int status, int events)
{
	struct origin_server *s = p->data;
	struct origin_conn *c = &s->conns[s->nconns];
	int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)status, (void)events;
	if (fd < 0)
		return;
	assert_true(s->nconns < ORIGIN_CONNS_MAX);
	s->nconns++;
	*c =
	    (struct origin_conn){ .s = s, .fd = fd, .open = true, .in = BUF_INIT(ORIGIN_SEEN_MAX) };
	if (s->ctx != NULL) {
		c->ssl = SSL_new(s->ctx);
		assert_int_equal(SSL_set_fd(c->ssl, fd), 1);
	}
	assert_int_equal(uv_poll_init(s->loop, &c->poll, fd), 0);
	c->poll.data = c;
	(void)uv_poll_start(&c->poll, UV_READABLE, on_origin_conn);
}

static inline int
bind_loopback(int type, uint16_t *ret_port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

static inline void
origin_start(struct origin_server *s, uv_loop_t *loop, SSL_CTX *ctx)
{
	memset(s, 0, sizeof(*s));
	(void)signal(SIGPIPE, SIG_IGN);
	s->loop = loop;
	s->ctx = ctx;
	s->seen = BUF_INIT(ORIGIN_SEEN_MAX);
	s->fd = bind_loopback(SOCK_STREAM, &s->port);
	assert_int_equal(listen(s->fd, 2 * ORIGIN_CONNS_MAX), 0);
	assert_int_equal(uv_poll_init(loop, &s->poll, s->fd), 0);
	s->poll.data = s;
	(void)uv_poll_start(&s->poll, UV_READABLE, on_origin_accept);
}

static inline void
origin_stop(struct origin_server *s)
{
	for (size_t i = 0; i < s->nconns; i++)
		origin_close(&s->conns[i]);
	(void)uv_poll_stop(&s->poll);
	uv_close((uv_handle_t *)&s->poll, NULL);
	(void)close(s->fd);
	buf_done(&s->seen);
}

static inline void
origin_plays(struct origin_server *s, const struct reply *replies, size_t n)
{
	memcpy(s->replies, replies, n * sizeof(replies[0]));
	s->nreplies = n;
	s->requests = 0;
}
#define PLAY(s, ...)                                           \
	origin_plays(s, (const struct reply[]){ __VA_ARGS__ }, \
	    sizeof((const struct reply[]){ __VA_ARGS__ }) / sizeof(struct reply))

/* ---- certificates ---- */
static inline SSL_CTX *
origin_tls(struct span cert_pem, const struct secret *key_pem, int version_max)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	BIO *cert = BIO_new_mem_buf(cert_pem.ptr, (int)cert_pem.len);
	BIO *key = BIO_new_mem_buf(key_pem->ptr, (int)key_pem->len);
	X509 *x = PEM_read_bio_X509(cert, NULL, NULL, NULL);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);

	assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, k), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version_max), 1);
	X509_free(x);
	EVP_PKEY_free(k);
	BIO_free(cert);
	BIO_free(key);
	return ctx;
}

/* ---- DNS: each question for an A record takes the next row, the last one again and again ---- */
#define DNS_ROWS_MAX 8

struct dns_server {
	uv_poll_t poll;
	int fd;
	uint16_t port;
	const char *rows[DNS_ROWS_MAX]; /* an IPv4 address; NULL: no such name; "": silence */
	const char *six;                /* for AAAA; NULL: none */
	uint32_t ttl_s;
	size_t nrows;
	unsigned questions; /* for A records */
};

static inline void
dns_put(uint8_t *out, size_t *at, const void *p, size_t n)
{
	memcpy(out + *at, p, n);
	*at += n;
}

static inline void
dns_put_record(
    uint8_t *out, size_t *at, uint16_t type, uint32_t ttl_s, const uint8_t *data, uint16_t len)
{
	const uint8_t head[12] = { 0xc0, 12, (uint8_t)(type >> 8), (uint8_t)type, 0, 1,
		(uint8_t)(ttl_s >> 24), (uint8_t)(ttl_s >> 16), (uint8_t)(ttl_s >> 8),
		(uint8_t)ttl_s, 0, (uint8_t)len };

	dns_put(out, at, head, sizeof(head));
	dns_put(out, at, data, len);
}

static void
on_dns(uv_poll_t *p, int status, int events)
{
	struct dns_server *s = p->data;
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	uint8_t q[512], out[1024], data[16];
	ssize_t n = recvfrom(s->fd, q, sizeof(q), 0, (struct sockaddr *)&from, &from_len);
	size_t at = 0, name = 12, end;
	const char *row = NULL;
	uint16_t type;
	bool found = false;

	(void)status, (void)events;
	if (n < 17)
		return;
	while (name < (size_t)n && q[name] != 0)
		name += (size_t)q[name] + 1;
	end = name + 5;
	type = (uint16_t)(q[name + 1] << 8 | q[name + 2]);
	if (type == 1)
		row = s->rows[s->questions < s->nrows ? s->questions : s->nrows - 1];
	else if (type == 28)
		row = s->six == NULL ? "none" : s->six;
	s->questions += type == 1;
	if (row != NULL && row[0] == '\0')
		return;
	dns_put(out, &at, q, end);
	out[2] = 0x81;
	out[3] = row == NULL ? 0x83 : 0x80;
	memset(out + 6, 0, 6);
	if (row != NULL)
		found = inet_pton(type == 1 ? AF_INET : AF_INET6, row, data) == 1;
	out[7] = found;
	if (found)
		dns_put_record(out, &at, type, s->ttl_s, data, type == 1 ? 4 : 16);
	(void)sendto(s->fd, out, at, 0, (struct sockaddr *)&from, from_len);
}

static inline void
dns_start(struct dns_server *s, uv_loop_t *loop)
{
	memset(s, 0, sizeof(*s));
	s->ttl_s = 60;
	s->fd = bind_loopback(SOCK_DGRAM, &s->port);
	assert_int_equal(uv_poll_init(loop, &s->poll, s->fd), 0);
	s->poll.data = s;
	(void)uv_poll_start(&s->poll, UV_READABLE, on_dns);
}

static inline void
dns_stop(struct dns_server *s)
{
	(void)uv_poll_stop(&s->poll);
	uv_close((uv_handle_t *)&s->poll, NULL);
	(void)close(s->fd);
}

#endif
