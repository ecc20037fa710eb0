/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c: a small load client: HTTP/1.1 keep-alive over TLS 1.3, one thread, epoll.
 *
 *	load --port P --request FILE [--ca FILE] [--connections C] [--rate R]
 *	    [--seconds S] [--warmup S] [--count N] [--first TEXT] [--step]
 *
 * Runs in:    a shell, bench/run.py. Prints one JSON object.
 * Trusts:     the service it measures to frame its answers; it does not check more
 *             than status, length and TEXT.
 * Owns:       its connections and samples.
 * Invariants: with --rate, request k is due at start + k/R whatever the service does,
 *             and its latency counts from there (no coordinated omission); what is due
 *             and finds no idle connection waits, and that wait is in its latency.
 *             Without --rate every connection sends as soon as it was answered.
 *             Anything but a whole answer with status 200 (and TEXT in it) is a failure;
 *             failures are counted and are not among the latencies; of the first one
 *             the report says what it was.
 *             A p99 is printed from 2,000 samples on, else null.
 * See:        load_http.c, which reads the answers; run.py.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "load_http.h"

#define CONNECTIONS_MAX 4096
#define SAMPLES_MAX 4000000
#define REQUEST_MAX (1 << 20)
#define P99_SAMPLES_MIN 2000
#define DRAIN_NS (30 * NS_PER_S)
#define READ_MAX 16384
#define NS_PER_S 1000000000ULL

struct options {
	const char *host, *ca, *request_file, *first;
	uint16_t port;
	size_t connections, count;
	double rate, seconds, warmup;
	bool step;
};

struct conn {
	int fd;
	SSL *ssl;
	bool busy, unsent; /* unsent: SSL_write wants the socket to be writable */
	uint64_t due_ns, sent_ns, first_ns;
	struct answer answer;
};

struct samples {
	uint64_t *first, *end, *lag;
	size_t n;
};

struct load {
	struct options o;
	SSL_CTX *tls;
	char *request;
	size_t request_len;
	int epoll;
	struct conn *conns;
	struct conn **idle; /* a ring: each has its turn, so that none is idle for long */
	size_t idle_first, idle_count, issued, busy;
	uint64_t start_ns, warm_ns, end_ns, last_ns;
	struct samples samples;
	size_t done_in_window, failures, not_200, no_text, broken, reconnects;
	struct conn first_failed; /* as it was */
	uint64_t first_failed_ns;
};

static void options_read(int argc, char **argv, struct options *o);
static void request_read(struct load *l);
static void conn_open(struct load *l, struct conn *c);
static void run(struct load *l);
static void step(struct load *l);
static void report(const struct load *l);

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, errno != 0 ? strerror(errno) : "failed");
	ERR_print_errors_fp(stderr);
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void *
memory(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		die("memory");
	return p;
}

static void
idle_put(struct load *l, struct conn *c)
{
	l->idle[(l->idle_first + l->idle_count++) % l->o.connections] = c;
}

static struct conn *
idle_take(struct load *l)
{
	struct conn *c = l->idle[l->idle_first];

	l->idle_first = (l->idle_first + 1) % l->o.connections;
	l->idle_count--;
	return c;
}

int
main(int argc, char **argv)
{
	struct load l = { .epoll = -1 };

	options_read(argc, argv, &l.o);
	request_read(&l);
	prctl(PR_SET_TIMERSLACK, 1UL); /* else epoll wakes 50 µs late */
	l.tls = SSL_CTX_new(TLS_client_method());
	if (l.tls == NULL || SSL_CTX_set_min_proto_version(l.tls, TLS1_3_VERSION) != 1)
		die("TLS");
	if (l.o.ca != NULL) {
		if (SSL_CTX_load_verify_locations(l.tls, l.o.ca, NULL) != 1)
			die(l.o.ca);
		SSL_CTX_set_verify(l.tls, SSL_VERIFY_PEER, NULL);
	}
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	l.conns = memory(l.o.connections, sizeof(*l.conns));
	l.idle = memory(l.o.connections, sizeof(struct conn *));
	l.samples.first = memory(SAMPLES_MAX, sizeof(uint64_t));
	l.samples.end = memory(SAMPLES_MAX, sizeof(uint64_t));
	l.samples.lag = memory(SAMPLES_MAX, sizeof(uint64_t));
	for (size_t i = 0; i < l.o.connections; i++) {
		conn_open(&l, &l.conns[i]);
		idle_put(&l, &l.conns[i]);
	}
	if (l.o.step) {
		step(&l);
		return 0;
	}
	run(&l);
	report(&l);
	return 0;
}

/* ---- options --------------------------------------------------------------------------------- */

static double
number(const char *text, double lo, double hi)
{
	char *end;
	double d = strtod(text, &end);

	if (end == text || *end != '\0' || !(d >= lo && d <= hi)) {
		errno = EINVAL;
		die(text);
	}
	return d;
}

static void
options_read(int argc, char **argv, struct options *o)
{
	static const struct option rows[] = {
		{ "host", required_argument, NULL, 'h' },
		{ "port", required_argument, NULL, 'p' },
		{ "ca", required_argument, NULL, 'a' },
		{ "request", required_argument, NULL, 'q' },
		{ "first", required_argument, NULL, 'f' },
		{ "connections", required_argument, NULL, 'c' },
		{ "rate", required_argument, NULL, 'r' },
		{ "seconds", required_argument, NULL, 's' },
		{ "warmup", required_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'n' },
		{ "step", no_argument, NULL, 'i' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){
		.host = "127.0.0.1", .connections = 1, .seconds = 600, .count = SAMPLES_MAX
	};
	while ((c = getopt_long(argc, argv, "", rows, NULL)) != -1) {
		switch (c) { /* clang-format off */
		case 'h': o->host = optarg; break;
		case 'p': o->port = (uint16_t)number(optarg, 1, 65535); break;
		case 'a': o->ca = optarg; break;
		case 'q': o->request_file = optarg; break;
		case 'f': o->first = optarg; break;
		case 'c': o->connections = (size_t)number(optarg, 1, CONNECTIONS_MAX); break;
		case 'r': o->rate = number(optarg, 0.01, 1e6); break;
		case 's': o->seconds = number(optarg, 0.1, 600); break;
		case 'w': o->warmup = number(optarg, 0, 600); break;
		case 'n': o->count = (size_t)number(optarg, 1, SAMPLES_MAX); break;
		case 'i': o->step = true; break;
		default: exit(2);
		} /* clang-format on */
	}
	if (o->port == 0 || o->request_file == NULL || optind != argc) {
		fprintf(stderr, "usage: load --port P --request FILE … (see load.c)\n");
		exit(2);
	}
}

static void
request_read(struct load *l)
{
	FILE *f = fopen(l->o.request_file, "re");

	if (f == NULL)
		die(l->o.request_file);
	l->request = memory(REQUEST_MAX, 1);
	l->request_len = fread(l->request, 1, REQUEST_MAX, f);
	fclose(f);
	if (l->request_len == 0 || l->request_len == REQUEST_MAX)
		die("request: empty or too large");
}

/* ---- connections ----------------------------------------------------------------------------- */

/* Connect and shake hands, blocking: never inside a measured request. */
static void
conn_open(struct load *l, struct conn *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(l->o.port) };
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	if (inet_pton(AF_INET, l->o.host, &to.sin_addr) != 1)
		die(l->o.host);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->ssl = SSL_new(l->tls);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		die("TLS");
	SSL_set_tlsext_host_name(c->ssl, "localhost");
	if (l->o.ca != NULL && SSL_set1_host(c->ssl, "localhost") != 1)
		die("TLS");
	if (SSL_connect(c->ssl) != 1)
		die("handshake");
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
	    epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
		die("epoll");
}

static void
conn_reopen(struct load *l, struct conn *c)
{
	SSL_free(c->ssl);
	close(c->fd);
	*c = (struct conn){ .fd = -1 };
	l->reconnects++;
	conn_open(l, c);
}

static void
sample_add(struct load *l, const struct conn *c, uint64_t now)
{
	struct samples *s = &l->samples;

	if (c->due_ns < l->warm_ns || s->n == SAMPLES_MAX)
		return;
	s->first[s->n] = c->first_ns - c->due_ns;
	s->end[s->n] = now - c->due_ns;
	s->lag[s->n] = c->sent_ns - c->due_ns;
	s->n++;
}

static void
failed(struct load *l, const struct conn *c, uint64_t now)
{
	if (l->failures++ > 0)
		return;
	l->first_failed = *c;
	l->first_failed_ns = now;
}

/* The request on c is over, well or not. */
static void
conn_done(struct load *l, struct conn *c, uint64_t now)
{
	bool whole = c->answer.state == ANSWER_DONE;
	bool good = whole && c->answer.status == 200 && c->first_ns != 0;

	if (!whole)
		l->broken++;
	else if (c->answer.status != 200)
		l->not_200++;
	else if (c->first_ns == 0)
		l->no_text++;
	if (good) {
		sample_add(l, c, now);
		l->done_in_window += now >= l->warm_ns && now <= l->end_ns;
	} else {
		failed(l, c, now);
	}
	l->last_ns = now;
	l->busy--;
	c->busy = false;
	if (!whole || c->answer.close)
		conn_reopen(l, c);
	idle_put(l, c);
}

static void
conn_write(struct load *l, struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int n = SSL_write(c->ssl, l->request, (int)l->request_len);
	bool unsent = n <= 0 && SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_WRITE;

	if (unsent != c->unsent) {
		ev.events |= unsent ? (uint32_t)EPOLLOUT : 0;
		epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &ev);
		c->unsent = unsent;
	}
	if (n <= 0 && !unsent)
		conn_done(l, c, now_ns());
}

static void
conn_send(struct load *l, uint64_t due_ns)
{
	struct conn *c = idle_take(l);

	answer_init(&c->answer, l->o.first);
	c->busy = true;
	c->due_ns = due_ns;
	c->sent_ns = now_ns();
	c->first_ns = 0;
	l->busy++;
	l->issued++;
	ERR_clear_error();
	conn_write(l, c);
}

static void
conn_read(struct load *l, struct conn *c)
{
	char buf[READ_MAX];
	uint64_t now;
	int n;

	for (;;) {
		ERR_clear_error();
		n = SSL_read(c->ssl, buf, sizeof(buf));
		if (n <= 0)
			break;
		now = now_ns();
		answer_feed(&c->answer, buf, (size_t)n);
		if (c->answer.found && c->first_ns == 0)
			c->first_ns = now;
		if (c->answer.state == ANSWER_DONE && c->busy) {
			conn_done(l, c, now);
			return;
		}
		if (c->answer.state == ANSWER_BAD)
			break;
	}
	if (c->answer.state != ANSWER_BAD && SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ)
		return;
	if (c->busy)
		conn_done(l, c, now_ns());
	else
		conn_reopen(l, c);
}

/* ---- the two ways to load -------------------------------------------------------------------- */

static uint64_t
due_of(const struct load *l, size_t k)
{
	return l->start_ns + (uint64_t)((double)k * 1e9 / l->o.rate);
}

/* Is another request to be sent by now; when was or is it due? */
static bool
next_due(const struct load *l, uint64_t now, uint64_t *ret)
{
	if (l->issued >= l->o.count)
		return false;
	*ret = l->o.rate > 0 ? due_of(l, l->issued) : now;
	return *ret < l->end_ns;
}

static void
wait_events(struct load *l, uint64_t until_ns)
{
	struct epoll_event evs[64];
	uint64_t now = now_ns(), left = until_ns > now ? until_ns - now : 0;
	struct timespec ts = { (time_t)(left / NS_PER_S), (long)(left % NS_PER_S) };
	int n = epoll_pwait2(l->epoll, evs, 64, &ts, NULL);

	for (int i = 0; i < n; i++) {
		struct conn *c = evs[i].data.ptr;

		if (c->unsent && (evs[i].events & EPOLLOUT) != 0)
			conn_write(l, c);
		conn_read(l, c);
	}
}

static void
run(struct load *l)
{
	uint64_t now, due = 0;

	l->start_ns = now_ns();
	l->warm_ns = l->start_ns + (uint64_t)(l->o.warmup * 1e9);
	l->end_ns = l->warm_ns + (uint64_t)(l->o.seconds * 1e9);
	for (;;) {
		now = now_ns();
		while (l->idle_count > 0 && next_due(l, now, &due) && due <= now) {
			conn_send(l, due);
			now = now_ns();
		}
		if (!next_due(l, now, &due) && l->busy == 0)
			return;
		if (now > l->end_ns + DRAIN_NS)
			break;
		if (l->idle_count == 0 || !next_due(l, now, &due))
			due = now + NS_PER_S / 10;
		wait_events(l, due);
	}
	/* What never got an answer, or never even a connection, failed. */
	while (next_due(l, l->end_ns - 1, &due)) {
		l->issued++;
		l->broken++;
		l->failures++;
		if (l->o.rate <= 0)
			break;
	}
	for (size_t i = 0; i < l->o.connections; i++) {
		if (!l->conns[i].busy)
			continue;
		l->broken++;
		failed(l, &l->conns[i], now);
	}
}

/* One request for each line of input; one line of output for each. */
static void
step(struct load *l)
{
	char line[64];

	l->end_ns = UINT64_MAX;
	while (fgets(line, sizeof(line), stdin) != NULL) {
		size_t failures = l->failures;
		uint64_t deadline;

		l->samples.n = 0;
		conn_send(l, now_ns());
		deadline = now_ns() + DRAIN_NS;
		while (l->busy > 0 && now_ns() < deadline)
			wait_events(l, now_ns() + NS_PER_S / 10);
		if (l->busy > 0)
			die("no answer");
		if (l->failures > failures)
			printf("{\"failures\":1}\n");
		else
			printf("{\"failures\":0,\"first_us\":%.1f,\"end_us\":%.1f}\n",
			    (double)l->samples.first[0] / 1e3, (double)l->samples.end[0] / 1e3);
		fflush(stdout);
	}
}

/* ---- report ---------------------------------------------------------------------------------- */

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
quantiles(const char *name, uint64_t *v, size_t n)
{
	static const struct {
		const char *name;
		double part;
		size_t samples_min;
	} rows[] = { { "p50", 0.5, 1 }, { "p90", 0.9, 10 }, { "p99", 0.99, P99_SAMPLES_MIN },
		{ "max", 1.0, 1 } };

	qsort(v, n, sizeof(*v), by_value);
	printf(",\"%s_us\":{", name);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t at = (size_t)(rows[i].part * (double)n);

		printf("%s\"%s\":", i > 0 ? "," : "", rows[i].name);
		if (n < rows[i].samples_min)
			printf("null");
		else
			printf("%.1f", (double)v[at < n ? at : n - 1] / 1e3);
	}
	printf("}");
}

static void
first_failure(const struct load *l)
{
	const struct conn *c = &l->first_failed;

	if (l->first_failed_ns == 0)
		return;
	printf("\"first_failure\":{\"status\":%d,\"whole\":%s,\"due_s\":%.3f,\"waited_s\":%.3f,"
	       "\"body\":\"%s\"},",
	    c->answer.status, c->answer.state == ANSWER_DONE ? "true" : "false",
	    (double)(c->due_ns - l->start_ns) / 1e9, (double)(l->first_failed_ns - c->due_ns) / 1e9,
	    c->answer.begin);
}

static void
report(const struct load *l)
{
	uint64_t until = l->last_ns < l->end_ns ? l->last_ns : l->end_ns;
	double window_s = until > l->warm_ns ? (double)(until - l->warm_ns) / 1e9 : 0;
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	printf("{");
	first_failure(l);
	printf("\"mode\":\"%s\",\"connections\":%zu,\"issued\":%zu,\"n\":%zu,\"failures\":%zu,"
	       "\"not_200\":%zu,\"without_text\":%zu,\"broken\":%zu,\"reconnects\":%zu,"
	       "\"window_s\":%.3f,\"rate\":%.1f,\"client_cpu_s\":%.3f,\"cipher\":\"%s\"",
	    l->o.rate > 0 ? "open" : "closed", l->o.connections, l->issued, l->samples.n,
	    l->failures, l->not_200, l->no_text, l->broken, l->reconnects, window_s,
	    window_s > 0 ? (double)l->done_in_window / window_s : 0,
	    (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
		(double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6,
	    SSL_get_cipher_name(l->conns[0].ssl));
	quantiles("first", l->samples.first, l->samples.n);
	quantiles("end", l->samples.end, l->samples.n);
	quantiles("lag", l->samples.lag, l->samples.n);
	printf("}\n");
}
