/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream.c: a provider of models that costs next to nothing: fixed answers over TLS 1.3
 *keep-alive.
 *
 *	upstream --cert FILE --key FILE [--events N] [--gap-ms MS]
 *
 * Runs in:    a shell, bench/service.py. Prints its port, serves until standard input ends.
 * Trusts:     its clients to send HTTP/1.1 requests with a Content-Length.
 * Owns:       its connections.
 * Invariants: a request whose body holds "stream":true is answered by N events, each a chunk and a
 *             write of its own, the first at once, the others MS apart; any other by one JSON
 *object. What the socket does not take is sent when it does; a peer that leaves frees its slot.
 * See:        load.c, its other end; rows.py.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define REQUEST_MAX (1 << 20)
#define READ_MAX 16384
#define OUT_MAX 8192
#define NS_PER_MS 1000000ULL
#define CHUNK(json) "data: " json "\n\n"
#define BASE                                                                                  \
	"{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1760000000," \
	"\"model\":\"bench\",\"choices\":"

static const char whole_body[] =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":"
    "\"bench\","
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Good morning. I "
    "am a model "
    "that says the same thing every time, and quickly.\",\"refusal\":null},\"logprobs\":null,"
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":15,"
    "\"total_tokens\":27}}";
static const char stream_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n";
static const char first_event[] = CHUNK(BASE "[{\"index\":0,\"delta\":{\"role\":\"assistant\","
					     "\"content\":\"Good\"},\"finish_reason\":null}]}");
static const char next_event[] = CHUNK(
    BASE "[{\"index\":0,\"delta\":{\"content\":\" morning\"},\"finish_reason\":null}]}");
static const char last_events[] = CHUNK(
    BASE "[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}")
    CHUNK(BASE "[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":15,\"total_tokens\":"
	       "27}}") "data: [DONE]\n\n";

struct conn {
	TAILQ_ENTRY(conn) wait; /* in the order in which their next events are due */
	int fd;
	SSL *ssl;
	bool shaken, waiting, writable_wanted;
	char *in;
	size_t in_len, head_len, want; /* want: head and body; 0: not known yet */
	char out[OUT_MAX];
	size_t out_len, out_done;
	size_t events_left;
	uint64_t due_ns;
};

TAILQ_HEAD(conns, conn);

static struct {
	SSL_CTX *tls;
	int epoll, listener;
	size_t events;
	uint64_t gap_ns;
	char whole[sizeof(whole_body) + 256];
	size_t whole_len;
	struct conns waiting;
} up;

static void options_read(int argc, char **argv);
static void listen_any(void);
static void conn_accept(void);
static bool conn_ready(struct conn *c);
static void conn_close(struct conn *c);
static void events_due(void);
static int wait_ms(void);

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "upstream: %s: %s\n", what, errno != 0 ? strerror(errno) : "failed");
	ERR_print_errors_fp(stderr);
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 * NS_PER_MS + (uint64_t)ts.tv_nsec;
}

int
main(int argc, char **argv)
{
	struct epoll_event evs[64], ev = { .events = EPOLLIN };

	TAILQ_INIT(&up.waiting);
	options_read(argc, argv);
	prctl(PR_SET_TIMERSLACK, 1UL);
	up.whole_len = (size_t)snprintf(up.whole, sizeof(up.whole),
	    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
	    sizeof(whole_body) - 1, whole_body);
	up.epoll = epoll_create1(EPOLL_CLOEXEC);
	ev.data.ptr = &up.epoll; /* stands for standard input: its end is ours */
	if (epoll_ctl(up.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &ev) != 0)
		die("standard input");
	listen_any();
	for (;;) {
		int n = epoll_wait(up.epoll, evs, 64, wait_ms());

		for (int i = 0; i < n; i++) {
			if (evs[i].data.ptr == &up.epoll)
				return 0;
			if (evs[i].data.ptr == NULL)
				conn_accept();
			else if (!conn_ready(evs[i].data.ptr))
				conn_close(evs[i].data.ptr);
		}
		events_due();
	}
}

static void
options_read(int argc, char **argv)
{
	static const struct option rows[] = {
		{ "cert", required_argument, NULL, 'c' },
		{ "key", required_argument, NULL, 'k' },
		{ "events", required_argument, NULL, 'n' },
		{ "gap-ms", required_argument, NULL, 'g' },
		{ NULL, 0, NULL, 0 },
	};
	const char *cert = NULL, *key = NULL;
	int c;

	up.events = 16;
	while ((c = getopt_long(argc, argv, "", rows, NULL)) != -1) {
		switch (c) { /* clang-format off */
		case 'c': cert = optarg; break;
		case 'k': key = optarg; break;
		case 'n': up.events = strtoul(optarg, NULL, 10); break;
		case 'g': up.gap_ns = strtoul(optarg, NULL, 10) * NS_PER_MS; break;
		default: exit(2);
		} /* clang-format on */
	}
	up.tls = SSL_CTX_new(TLS_server_method());
	if (up.tls == NULL || cert == NULL || key == NULL || up.events == 0 ||
	    SSL_CTX_set_min_proto_version(up.tls, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_use_certificate_chain_file(up.tls, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(up.tls, key, SSL_FILETYPE_PEM) != 1)
		die("usage: upstream --cert FILE --key FILE …");
	SSL_CTX_set_mode(up.tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
				     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				     SSL_MODE_RELEASE_BUFFERS);
}

static void
listen_any(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event ev = { .events = EPOLLIN };
	socklen_t len = sizeof(at);

	up.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (up.listener < 0 || bind(up.listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(up.listener, 4096) != 0 ||
	    getsockname(up.listener, (struct sockaddr *)&at, &len) != 0 ||
	    epoll_ctl(up.epoll, EPOLL_CTL_ADD, up.listener, &ev) != 0)
		die("listen");
	printf("%u\n", ntohs(at.sin_port));
	fflush(stdout);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void
conn_accept(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct conn *c;
	int one = 1, fd = accept4(up.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		die("memory");
	c->fd = fd;
	c->ssl = SSL_new(up.tls);
	ev.data.ptr = c;
	if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1 ||
	    epoll_ctl(up.epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
		die("accept");
}

static void
conn_close(struct conn *c)
{
	if (c->waiting)
		TAILQ_REMOVE(&up.waiting, c, wait);
	SSL_free(c->ssl);
	close(c->fd);
	free(c->in);
	free(c);
}

static void
want_writable(struct conn *c, bool wanted)
{
	struct epoll_event ev = { .events = EPOLLIN | (wanted ? (uint32_t)EPOLLOUT : 0),
		.data.ptr = c };

	if (wanted != c->writable_wanted)
		epoll_ctl(up.epoll, EPOLL_CTL_MOD, c->fd, &ev);
	c->writable_wanted = wanted;
}

/* false: the peer is gone */
static bool
conn_flush(struct conn *c)
{
	while (c->out_done < c->out_len) {
		int n = SSL_write(c->ssl, c->out + c->out_done, (int)(c->out_len - c->out_done));

		if (n <= 0) {
			want_writable(c, true);
			return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_WRITE;
		}
		c->out_done += (size_t)n;
	}
	c->out_len = c->out_done = 0;
	want_writable(c, false);
	return true;
}

static void
put(struct conn *c, const char *bytes, size_t n)
{
	if (n > OUT_MAX - c->out_len)
		die("a client does not read");
	memcpy(c->out + c->out_len, bytes, n);
	c->out_len += n;
}

static bool
put_chunk(struct conn *c, const char *text, size_t n)
{
	char size[16];

	put(c, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", n));
	put(c, text, n);
	put(c, "\r\n", 2);
	return conn_flush(c);
}

/* The next event of a stream, or with no gap all of them. */
static bool
stream_go_on(struct conn *c)
{
	do {
		bool first = c->events_left == up.events;
		bool good = first ? put_chunk(c, first_event, sizeof(first_event) - 1)
				  : put_chunk(c, next_event, sizeof(next_event) - 1);

		if (!good)
			return false;
		c->events_left--;
	} while (c->events_left > 0 && up.gap_ns == 0);
	if (c->events_left > 0) {
		c->due_ns = now_ns() + up.gap_ns;
		c->waiting = true;
		TAILQ_INSERT_TAIL(&up.waiting, c, wait);
		return true;
	}
	if (!put_chunk(c, last_events, sizeof(last_events) - 1))
		return false;
	put(c, "0\r\n\r\n", 5);
	return conn_flush(c);
}

static void
events_due(void)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&up.waiting)) != NULL && c->due_ns <= now_ns()) {
		TAILQ_REMOVE(&up.waiting, c, wait);
		c->waiting = false;
		if (!stream_go_on(c))
			conn_close(c);
	}
}

static int
wait_ms(void)
{
	const struct conn *c = TAILQ_FIRST(&up.waiting);
	uint64_t now = now_ns();

	if (c == NULL)
		return -1;
	return c->due_ns <= now ? 0 : (int)((c->due_ns - now + NS_PER_MS - 1) / NS_PER_MS);
}

/* ---- requests -------------------------------------------------------------------------------- */

static bool
head_read(struct conn *c)
{
	const char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4), *length;

	if (end == NULL)
		return true;
	length = memmem(c->in, (size_t)(end - c->in), "ontent-", 7);
	while (length != NULL && strncasecmp(length, "ontent-length:", 14) != 0)
		length = memmem(length + 1, (size_t)(end - length - 1), "ontent-", 7);
	if (length == NULL)
		return false;
	c->head_len = (size_t)(end - c->in) + 4;
	c->want = c->head_len + strtoul(length + 14, NULL, 10);
	return c->want <= REQUEST_MAX;
}

static bool
request_answer(struct conn *c)
{
	const char *body = c->in + c->head_len;
	size_t len = c->want - c->head_len;
	bool stream = memmem(body, len, "\"stream\":true", 13) != NULL ||
		      memmem(body, len, "\"stream\": true", 14) != NULL;

	memmove(c->in, c->in + c->want, c->in_len - c->want);
	c->in_len -= c->want;
	c->want = 0;
	if (!stream) {
		put(c, up.whole, up.whole_len);
		return conn_flush(c);
	}
	put(c, stream_head, sizeof(stream_head) - 1);
	c->events_left = up.events;
	return stream_go_on(c);
}

static bool
conn_read(struct conn *c)
{
	int n;

	for (;;) {
		if (c->in == NULL && (c->in = malloc(REQUEST_MAX + READ_MAX)) == NULL)
			die("memory");
		n = SSL_read(c->ssl, c->in + c->in_len, READ_MAX);
		if (n <= 0)
			return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
		c->in_len += (size_t)n;
		if (c->want == 0 && !head_read(c))
			return false;
		if (c->in_len > REQUEST_MAX)
			return false;
		if (c->want > 0 && c->in_len >= c->want && !request_answer(c))
			return false;
	}
}

/* false: it is over */
static bool
conn_ready(struct conn *c)
{
	ERR_clear_error();
	if (!c->shaken) {
		int n = SSL_accept(c->ssl);

		if (n != 1)
			return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
		c->shaken = true;
	}
	if (c->out_len > 0 && !conn_flush(c))
		return false;
	return conn_read(c);
}
