/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_client.c: one blocking HTTP/1.1 exchange, in clear or over TLS 1.3.
 *
 * Runs in: CLI. Trusts: nothing that a server sends.
 * Owns: the socket and the TLS connection.
 * Invariants: every wait has a deadline; an answer is bounded or streamed; the key is wiped from
 * the request's buffer after it was sent.
 * See: http/response.h, tls/tls.h.
 */
#include "http_client.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <crypto/secret.h>
#include <http/response.h>
#include <http/write.h>
#include <tls/tls.h>

#define HEAD_MAX 4096
#define READ_LEN 16384
#define HOST_MAX 256

/* ---- connecting ---- */
struct status
channel_unix(const char *path, int timeout_ms, struct channel *ret)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	auto_fd int fd = -1;

	TRY(span_to_cstr(span_str(path), sun.sun_path, sizeof(sun.sun_path)));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return fail_errno();
	*ret = (struct channel){ .fd = fd_take(&fd), .timeout_ms = timeout_ms };
	return OK;
}

void
channel_close(struct channel *c)
{
	if (c->tls != NULL)
		(void)is_ok(tls_shutdown(c->tls));
	tls_conn_free(c->tls);
	if (c->ctx != NULL)
		tls_ctx_free(c->ctx);
	if (c->fd >= 0)
		(void)close(c->fd);
	*c = CHANNEL_NONE;
}

/* Host and port of https://HOST[:PORT][/]; an IPv6 address without its brackets. */
static bool
url_split(const char *url, char host[HOST_MAX], char port[8])
{
	struct span rest = span_str(url), part;
	const uint8_t *end;
	size_t skip = 0;

	if (!span_starts(rest, SPAN_LIT("https://")))
		return false;
	rest = span_from(rest, 8);
	if (rest.len > 0 && rest.ptr[rest.len - 1] == '/')
		rest.len--;
	if (rest.len == 0 || memchr(rest.ptr, '/', rest.len) != NULL)
		return false;
	skip = rest.ptr[0] == '[';
	end = memchr(rest.ptr, skip == 1 ? ']' : ':', rest.len);
	if (skip == 1 && end == NULL)
		return false;
	part = end == NULL ? rest : span_of(rest.ptr + skip, (size_t)(end - rest.ptr) - skip);
	if (part.len == 0 || !is_ok(span_to_cstr(part, host, HOST_MAX)))
		return false;
	rest = end == NULL ? SPAN_EMPTY : span_from(rest, (size_t)(end - rest.ptr) + skip);
	if (rest.len == 0)
		return is_ok(span_to_cstr(SPAN_LIT("443"), port, 8));
	return rest.ptr[0] == ':' && is_ok(span_to_cstr(span_from(rest, 1), port, 8));
}

bool
url_authority(const char *url, char *ret, size_t size)
{
	char host[HOST_MAX], port[8];

	if (!url_split(url, host, port))
		return false;
	return snprintf(ret, size, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port) <
	       (int)size;
}

static struct status
dial(const char *host, const char *port, int *ret)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	struct status st = fail(E_NOTFOUND);

	if (getaddrinfo(host, port, &hints, &list) != 0)
		return st;
	for (struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
		auto_fd int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd >= 0 && connect(fd, ai->ai_addr, ai->ai_addrlen) == 0) {
			*ret = fd_take(&fd);
			st = OK;
			break;
		}
		st = fail_errno();
	}
	freeaddrinfo(list);
	return st;
}

/* What is left of the time for all of it, at most that for one byte. */
static int
patience_ms(const struct channel *c)
{
	uint64_t now_ns = clock_mono_ns(), left_ms;

	if (c->until_ns == 0)
		return c->timeout_ms;
	left_ms = now_ns < c->until_ns ? (c->until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0;
	return left_ms < (uint64_t)c->timeout_ms ? (int)left_ms : c->timeout_ms;
}

/* Wait until the socket can do what TLS (or the caller) wants. */
static struct status
wait_for(const struct channel *c, bool writing)
{
	bool write = c->tls != NULL ? tls_want(c->tls) == TLS_WANT_WRITE : writing;
	struct pollfd p = { .fd = c->fd, .events = write ? POLLOUT : POLLIN };
	int n;

	do {
		n = poll(&p, 1, patience_ms(c));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail_errno();
	return n == 0 ? fail(E_TIMEOUT) : OK;
}

static struct status
handshake(struct channel *c)
{
	struct status st;

	for (;;) {
		st = tls_handshake(c->tls);
		if (st.code != E_AGAIN)
			return st;
		TRY(wait_for(c, false));
	}
}

static const char *
failure_why(const struct tls_conn *tls)
{
	static const char *const whys[TLS_FAIL_COUNT] = {
		[TLS_FAIL_NONE] = "the TLS handshake failed",
		[TLS_FAIL_OLD_VERSION] = "the server offers no TLS 1.3",
		[TLS_FAIL_CERT] =
		    ("its certificate is of no authority that is trusted here (SALLYPORT_CA_FILE, "
		     "SALLYPORT_ISSUER_CA_FILE), or not for this name"),
		[TLS_FAIL_CLOSED] = "the server hung up in the TLS handshake",
	};
	const char *why = whys[tls_failure(tls)];

	return why != NULL ? why : tls_failure_text(tls_failure(tls));
}

struct status
channel_tls(
    const char *url, struct span ca_pem, int timeout_ms, struct channel *ret, const char **ret_why)
{
	auto_channel struct channel c = CHANNEL_NONE;
	char host[HOST_MAX], port[8];
	struct status st;

	*ret_why = "expects https://HOST[:PORT]";
	if (!url_split(url, host, port))
		return fail(E_SYNTAX);
	c.timeout_ms = timeout_ms;
	*ret_why = "TLS cannot be set up with these certificate authorities";
	TRY(tls_init());
	TRY(tls_client_ctx_new(&(struct tls_client_opts){ .ca_pem = ca_pem }, &c.ctx));
	*ret_why = "cannot be reached";
	TRY(dial(host, port, &c.fd));
	if (fcntl(c.fd, F_SETFL, O_NONBLOCK) < 0)
		return fail_errno();
	TRY(tls_connect_new(c.ctx, c.fd, span_str(host), &c.tls));
	c.until_ns = clock_mono_ns() + (unsigned long long)timeout_ms * NS_PER_MS;
	st = handshake(&c);
	c.until_ns = 0;
	if (!is_ok(st)) {
		*ret_why = failure_why(c.tls);
		return st;
	}
	*ret = c;
	c = CHANNEL_NONE;
	return OK;
}

/* ---- bytes ---- */
static struct status
read_once(struct channel *c, void *out, size_t size, size_t *ret_len)
{
	ssize_t n;

	if (c->tls != NULL)
		return tls_read(c->tls, out, size, ret_len);
	n = recv(c->fd, out, size, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? fail(E_AGAIN) : fail_errno();
	*ret_len = (size_t)n;
	return n == 0 ? fail(E_EOF) : OK;
}

static struct status
write_once(struct channel *c, struct span s, size_t *ret_len)
{
	ssize_t n;

	if (c->tls != NULL)
		return tls_write(c->tls, s, ret_len);
	n = send(c->fd, s.ptr, s.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? fail(E_AGAIN) : fail_errno();
	*ret_len = (size_t)n;
	return OK;
}

static struct status
write_all(struct channel *c, struct span s)
{
	while (s.len > 0) {
		size_t n = 0;
		struct status st = write_once(c, s, &n);

		if (st.code == E_AGAIN)
			TRY(wait_for(c, true));
		else
			TRY(st);
		s = span_from(s, n);
	}
	return OK;
}

static struct status
read_some(struct channel *c, void *out, size_t size, size_t *ret_len)
{
	for (;;) {
		struct status st = read_once(c, out, size, ret_len);

		if (st.code != E_AGAIN)
			return st;
		TRY(wait_for(c, false));
	}
}

/* ---- the exchange ---- */

/* A token that came from elsewhere must not begin a field, or a request, of its own. */
static struct status
check_bearer(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
			return fail(E_SYNTAX);
	}
	return OK;
}

static struct status
put_head(const struct exchange *x, struct buf *out)
{
	TRY(http_put_request(
	    out, span_str(x->method), span_str(x->target), span_str(x->authority)));
	TRY(http_put_field_str(out, "accept", "application/json, text/event-stream"));
	if (x->body.len > 0)
		TRY(http_put_field_str(
		    out, "content-type", x->type != NULL ? x->type : "application/json"));
	if (x->body.len > 0 || strcmp(x->method, "POST") == 0)
		TRY(http_put_length(out, x->body.len));
	if (x->bearer.len == 0)
		return http_put_end(out);
	TRY(http_put_secret_open(out, SPAN_LIT("authorization"), SPAN_LIT("Bearer ")));
	TRY(buf_put_span(out, x->bearer));
	return buf_put_span(out, HTTP_SECRET_TAIL);
}

static struct status
send_request(struct channel *c, const struct exchange *x)
{
	auto_buf struct buf head = BUF_INIT(HEAD_MAX);
	struct status st;

	TRY(buf_reserve(&head, HEAD_MAX)); /* so that growing leaves no copy of the key */
	st = put_head(x, &head);
	if (is_ok(st))
		st = write_all(c, buf_span(&head));
	secret_wipe(head.ptr, head.cap);
	TRY(st);
	return write_all(c, x->body);
}

static void
take_head(struct exchange *x, const struct http_response *head)
{
	struct span type;

	x->status = head->status;
	x->sse = is_ok(http_field_one(head->fields, head->field_count, "content-type", &type)) &&
		 span_starts(type, SPAN_LIT("text/event-stream"));
}

static struct status
take_body(struct exchange *x, struct span body)
{
	if (x->sse && x->on_stream != NULL)
		return x->on_stream(x->ctx, body) ? OK : fail(E_CLOSED);
	return buf_put_span(&x->answer, body);
}

/* E_EOF: the answer is whole. */
static struct status
take_input(struct http_response_parser *p, struct exchange *x, struct span in)
{
	for (;;) {
		struct http_step s = http_response_feed(p, in);

		in = span_from(in, s.used);
		if (s.event == HTTP_EV_HEAD)
			take_head(x, http_response_get(p));
		else if (s.event == HTTP_EV_BODY)
			TRY(take_body(x, s.body));
		else if (s.event == HTTP_EV_END)
			return fail(E_EOF);
		else if (s.event == HTTP_EV_ERROR)
			return fail(E_PROTO);
		else
			return OK;
	}
}

static struct status
read_answer(struct channel *c, struct http_response_parser *p, struct exchange *x)
{
	uint8_t in[READ_LEN];

	for (;;) {
		size_t n = 0;
		struct status st = patience_ms(c) == 0 ? fail(E_TIMEOUT)
						       : read_some(c, in, sizeof(in), &n);

		if (st.code == E_EOF || st.code == E_CLOSED)
			return http_response_eof(p).event == HTTP_EV_END ? OK : fail(E_EOF);
		TRY(st);
		st = take_input(p, x, span_of(in, n));
		if (st.code == E_EOF)
			return OK;
		TRY(st);
	}
}

struct status
exchange_run(struct channel *c, struct exchange *x)
{
	struct http_limits limits = http_limits_default;
	struct http_response_parser *p = NULL;
	struct status st;

	x->answer = BUF_INIT(x->answer_max != 0 ? x->answer_max : EXCHANGE_BODY_MAX);
	TRY(check_bearer(x->bearer));
	limits.body_len_max = UINT64_MAX;
	TRY(http_response_parser_new(&limits, &p));
	http_response_next(p, false);
	st = send_request(c, x);
	/* Whoever refuses a request early says why before it hangs up. */
	if (is_ok(st) || st.code == E_CLOSED || st.code == E_SYS)
		st = read_answer(c, p, x);
	http_response_parser_free(p);
	return st;
}

void
exchange_done(struct exchange *x)
{
	if (x->answer.ptr != NULL)
		secret_wipe(x->answer.ptr, x->answer.cap);
	buf_done(&x->answer);
}
