/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.c: names to addresses, by c-ares on our loop.
 *
 * Runs in: broker. Trusts: the texts of resolv.conf and hosts, which the supervisor gives; not
 * the answers: whoever connects checks each address (upstream.c).
 * Owns: the channel of c-ares, its sockets' poll handles, what waits.
 * Invariants: no file is opened after resolver_new(), no thread is made; every name that waits
 * ends, at RESOLVE_MS at the latest; a search list is not used: a configured host is whole.
 * See: resolve.h; ares_init_options(3), ares_getaddrinfo(3); RFC 6761 §6.3 for localhost.
 */
#include "resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <base/cleanup.h>
#include <conf/conf.h>

#define SERVERS_MAX 3
#define SERVER_PORT 53
#define ASK_MS 1500 /* of one server, first round */
#define ASK_TRIES 2
#define TICK_MS 250
#define HOST_MAX 253

struct sock { /* one of c-ares */
	LIST_ENTRY(sock) entry;
	uv_poll_t poll;
	struct resolver *r;
	ares_socket_t fd;
	int events;
};

struct resolve_wait {
	LIST_ENTRY(resolve_wait) entry;
	struct resolver *r;
	resolve_done *done; /* NULL: cancelled, or told already */
	void *ctx;
	uint64_t due_ms;
	bool inside;                   /* resolve_name() has not returned yet */
	struct status st;              /* if it ended meanwhile */
	struct resolve_answer *answer; /* where it goes then */
};

struct resolver {
	ares_channel channel;
	uv_loop_t *loop; /* NULL before resolver_configure() */
	uv_timer_t *timer;
	struct buf hosts;
	LIST_HEAD(, sock) socks;
	LIST_HEAD(, resolve_wait) waits;
	size_t nwaits;
};

static void on_sock_state(void *ctx, ares_socket_t fd, int readable, int writable);
static void on_sock(uv_poll_t *p, int status, int events);
static void on_tick(uv_timer_t *t);
static void on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info);

/* Everything that c-ares would look up in a file is given, so that it looks nowhere. */
struct status
resolver_new(struct resolver **ret)
{
	struct ares_options o = { .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = ASK_MS,
		.tries = ASK_TRIES,
		.ndots = 1,
		.nservers = 1,
		.ndomains = 0,
		.nsort = 0,
		.sock_state_cb = on_sock_state };
	struct in_addr none = { .s_addr = htonl(INADDR_LOOPBACK) };
	char lookups[] = "b";
	struct resolver *r = calloc(1, sizeof(*r));
	int rc;

	if (r == NULL)
		return fail(E_NOMEM);
	LIST_INIT(&r->socks);
	LIST_INIT(&r->waits);
	o.servers = &none;
	o.lookups = lookups;
	o.sock_state_cb_data = r;
	rc = ares_library_init(ARES_LIB_INIT_ALL);
	if (rc == ARES_SUCCESS)
		rc = ares_init_options(&r->channel, &o,
		    ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
			ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SORTLIST |
			ARES_OPT_SOCK_STATE_CB);
	if (rc != ARES_SUCCESS) {
		free(r);
		return fail(rc == ARES_ENOMEM ? E_NOMEM : E_SYS);
	}
	*ret = r;
	return OK;
}

static void
on_timer_closed(uv_handle_t *h)
{
	free(h);
}

void
resolver_free(struct resolver *r)
{
	struct resolve_wait *w;

	if (r == NULL)
		return;
	LIST_FOREACH(w, &r->waits, entry)
	w->done = NULL;
	ares_destroy(r->channel); /* all waits end now, and all sockets */
	assert(LIST_EMPTY(&r->waits) && LIST_EMPTY(&r->socks));
	if (r->timer != NULL)
		uv_close((uv_handle_t *)r->timer, on_timer_closed);
	buf_done(&r->hosts);
	free(r);
}

/* ---- configuration ---- */
static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line; false at its end or at a comment. */
static bool
next_word(struct span *line, struct span *word)
{
	size_t n = 0;

	while (line->len > 0 && is_blank(line->ptr[0]))
		*line = span_from(*line, 1);
	while (
	    n < line->len && !is_blank(line->ptr[n]) && line->ptr[n] != '#' && line->ptr[n] != ';')
		n++;
	*word = span_of(line->ptr, n);
	*line = span_from(*line, n);
	return n > 0;
}

static bool
next_line(struct span *text, struct span *line)
{
	const uint8_t *end;
	size_t n;

	if (text->len == 0)
		return false;
	end = memchr(text->ptr, '\n', text->len);
	n = end == NULL ? text->len : (size_t)(end - text->ptr);
	*line = span_of(text->ptr, n);
	*text = span_from(*text, n + 1);
	return true;
}

/* ADDRESS, or as an extension ADDRESS:PORT and [ADDRESS]:PORT. */
static bool
server_parse(struct span word, struct ares_addr_port_node *ret)
{
	char text[INET6_ADDRSTRLEN];
	struct sockaddr_storage ss;
	socklen_t len;

	*ret = (struct ares_addr_port_node){
		.family = AF_INET, .udp_port = SERVER_PORT, .tcp_port = SERVER_PORT
	};
	if (is_ok(span_to_cstr(word, text, sizeof(text)))) {
		if (inet_pton(AF_INET, text, &ret->addr.addr4) == 1)
			return true;
		ret->family = AF_INET6;
		if (inet_pton(AF_INET6, text, &ret->addr.addr6) == 1)
			return true;
	}
	if (!is_ok(conf_address(word, &ss, &len)))
		return false;
	ret->family = ss.ss_family;
	if (ss.ss_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, &ss, sizeof(in));
		ret->addr.addr4 = in.sin_addr;
		ret->udp_port = ret->tcp_port = ntohs(in.sin_port);
	} else {
		struct sockaddr_in6 in6;

		memcpy(&in6, &ss, sizeof(in6));
		memcpy(&ret->addr.addr6, &in6.sin6_addr, sizeof(in6.sin6_addr));
		ret->udp_port = ret->tcp_port = ntohs(in6.sin6_port);
	}
	return true;
}

static struct status
set_servers(struct resolver *r, struct span text)
{
	struct ares_addr_port_node nodes[SERVERS_MAX];
	struct span line, word;
	size_t n = 0;

	while (n < SERVERS_MAX && next_line(&text, &line)) {
		if (!next_word(&line, &word) || !span_eq_str(word, "nameserver") ||
		    !next_word(&line, &word) || !server_parse(word, &nodes[n]))
			continue;
		if (n > 0)
			nodes[n - 1].next = &nodes[n];
		n++;
	}
	if (n == 0 && !server_parse(SPAN_LIT("127.0.0.1"), &nodes[0])) /* resolv.conf(5) */
		return fail(E_SYS);
	ares_cancel(r->channel); /* servers cannot change under a question */
	switch (ares_set_servers_ports(r->channel, nodes)) {
	case ARES_SUCCESS:
		return OK;
	case ARES_ENOMEM:
		return fail(E_NOMEM);
	default:
		return fail(E_SYS);
	}
}

struct status
resolver_configure(struct resolver *r, uv_loop_t *loop, struct span resolv_conf, struct span hosts)
{
	if (r->timer == NULL) {
		r->timer = malloc(sizeof(*r->timer));
		if (r->timer == NULL)
			return fail(E_NOMEM);
		(void)uv_timer_init(loop, r->timer);
		r->timer->data = r;
		r->loop = loop;
	}
	buf_done(&r->hosts);
	r->hosts = BUF_INIT(RESOLVE_TEXT_MAX);
	TRY(buf_put_span(&r->hosts, hosts));
	return set_servers(r, resolv_conf);
}

/* ---- answers without a question ---- */
static bool
add_address(struct resolve_answer *a, int family, const void *bytes)
{
	union resolve_address *at = &a->addresses[a->count];

	if (a->count == RESOLVE_ADDRESSES_MAX)
		return false;
	memset(at, 0, sizeof(*at));
	if (family == AF_INET) {
		at->in.sin_family = AF_INET;
		memcpy(&at->in.sin_addr, bytes, sizeof(at->in.sin_addr));
	} else {
		at->in6.sin6_family = AF_INET6;
		memcpy(&at->in6.sin6_addr, bytes, sizeof(at->in6.sin6_addr));
	}
	a->count++;
	return true;
}

static bool
add_text(struct resolve_answer *a, const char *text)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		return add_address(a, AF_INET, bytes);
	return inet_pton(AF_INET6, text, bytes) == 1 && add_address(a, AF_INET6, bytes);
}

static void
look_in_hosts(const struct resolver *r, const char *host, struct resolve_answer *a)
{
	struct span text = buf_span(&r->hosts), line, word;
	char address[INET6_ADDRSTRLEN];

	while (next_line(&text, &line)) {
		if (!next_word(&line, &word) ||
		    !is_ok(span_to_cstr(word, address, sizeof(address))))
			continue;
		while (next_word(&line, &word)) {
			if (span_eq_nocase(word, span_str(host)))
				(void)add_text(a, address);
		}
	}
}

static bool
is_localhost(const char *host)
{
	return span_eq_nocase(span_str(host), SPAN_LIT("localhost"));
}

static void
answer_at_hand(const struct resolver *r, const char *host, struct resolve_answer *a)
{
	a->count = 0;
	a->ttl_ms = RESOLVE_TTL_MAX_MS;
	if (add_text(a, host))
		return;
	if (is_localhost(host)) {
		(void)add_text(a, "127.0.0.1");
		(void)add_text(a, "::1");
		return;
	}
	look_in_hosts(r, host, a);
}

static bool
host_ok(const char *host)
{
	size_t len = strlen(host);

	if (len == 0 || len > HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool ok = (host[i] >= '0' && host[i] <= '9') ||
			  (host[i] >= 'a' && host[i] <= 'z') ||
			  (host[i] >= 'A' && host[i] <= 'Z') || strchr("-._", host[i]) != NULL;

		if (!ok)
			return false;
	}
	return true;
}

/* ---- a question ---- */
static void
tick_on(struct resolver *r)
{
	if (!uv_is_active((uv_handle_t *)r->timer))
		(void)uv_timer_start(r->timer, on_tick, TICK_MS, TICK_MS);
}

struct status
resolve_name(struct resolver *r, const char *host, resolve_done *done, void *ctx,
    struct resolve_wait **ret_wait, struct resolve_answer *ret_answer)
{
	static const struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM
	};
	struct resolve_wait *w;
	struct status st;

	answer_at_hand(r, host, ret_answer);
	if (ret_answer->count > 0)
		return OK;
	if (!host_ok(host))
		return fail(E_SYNTAX);
	if (r->nwaits == RESOLVE_PENDING_MAX)
		return fail(E_FULL);
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return fail(E_NOMEM);
	*w = (struct resolve_wait){ .r = r,
		.done = done,
		.ctx = ctx,
		.due_ms = uv_now(r->loop) + RESOLVE_MS,
		.inside = true,
		.st = fail(E_AGAIN),
		.answer = ret_answer };
	LIST_INSERT_HEAD(&r->waits, w, entry);
	r->nwaits++;
	ares_getaddrinfo(r->channel, host, NULL, &hints, on_answer, w);
	w->inside = false;
	st = w->st;
	if (st.code != E_AGAIN) { /* it ended at once */
		free(w);
		return st;
	}
	w->answer = NULL;
	tick_on(r);
	*ret_wait = w;
	return st;
}

void
resolve_cancel(struct resolve_wait *w)
{
	w->done = NULL; /* freed when c-ares is done with it */
}

static uint32_t
ttl_ms(const struct ares_addrinfo *info)
{
	uint32_t least = RESOLVE_TTL_MAX_MS;

	for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next) {
		uint32_t ms = n->ai_ttl <= 0                          ? 0
			      : n->ai_ttl > RESOLVE_TTL_MAX_MS / 1000 ? RESOLVE_TTL_MAX_MS
								      : (uint32_t)n->ai_ttl * 1000;

		if (ms < least)
			least = ms;
	}
	return least < RESOLVE_TTL_MIN_MS ? RESOLVE_TTL_MIN_MS : least;
}

static void
take_addresses(const struct ares_addrinfo *info, struct resolve_answer *a)
{
	*a = (struct resolve_answer){ .ttl_ms = ttl_ms(info) };
	for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next) {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;

		if (n->ai_family == AF_INET) {
			memcpy(&in, n->ai_addr, sizeof(in));
			(void)add_address(a, AF_INET, &in.sin_addr);
		} else if (n->ai_family == AF_INET6) {
			memcpy(&in6, n->ai_addr, sizeof(in6));
			(void)add_address(a, AF_INET6, &in6.sin6_addr);
		}
	}
}

static struct status
status_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return OK;
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
	case ARES_EBADNAME:
		return fail(E_NOTFOUND);
	case ARES_ETIMEOUT:
		return fail(E_TIMEOUT);
	case ARES_ENOMEM:
		return fail(E_NOMEM);
	default:
		return fail(E_CLOSED);
	}
}

static void
on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
	struct resolve_wait *w = ctx;
	struct resolve_answer mine, *a = w->inside ? w->answer : &mine;
	resolve_done *done = w->done;
	void *done_ctx = w->ctx;

	(void)timeouts;
	w->st = status_of(status);
	if (info != NULL) {
		take_addresses(info, a);
		ares_freeaddrinfo(info);
	}
	if (is_ok(w->st) && (info == NULL || a->count == 0))
		w->st = fail(E_NOTFOUND);
	LIST_REMOVE(w, entry);
	w->r->nwaits--;
	if (w->inside)
		return; /* its caller is told by resolve_name() */
	if (done != NULL)
		done(done_ctx, w->st, is_ok(w->st) ? a : NULL);
	free(w);
}

/* ---- the loop ---- */
static void
on_tick(uv_timer_t *t)
{
	struct resolver *r = t->data;
	uint64_t now = uv_now(r->loop);
	struct resolve_wait *w, *next;

	for (w = LIST_FIRST(&r->waits); w != NULL; w = next) {
		resolve_done *done = w->done;

		next = LIST_NEXT(w, entry);
		if (done == NULL || w->due_ms > now)
			continue;
		w->done = NULL;
		done(w->ctx, fail(E_TIMEOUT), NULL);
		next = LIST_FIRST(&r->waits); /* the callback may have changed the list */
	}
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	if (LIST_EMPTY(&r->waits))
		(void)uv_timer_stop(t);
}

static void
on_sock(uv_poll_t *p, int status, int events)
{
	struct sock *s = p->data;
	bool in = status < 0 || (events & UV_READABLE) != 0;
	bool out = status < 0 || (events & UV_WRITABLE) != 0;

	if (status < 0) /* libuv stopped watching; the error is for c-ares to read */
		(void)uv_poll_start(p, s->events, on_sock);
	ares_process_fd(s->r->channel, in ? s->fd : ARES_SOCKET_BAD, out ? s->fd : ARES_SOCKET_BAD);
}

static void
on_sock_closed(uv_handle_t *h)
{
	free(h->data);
}

static struct sock *
sock_of(struct resolver *r, ares_socket_t fd)
{
	struct sock *s;

	LIST_FOREACH(s, &r->socks, entry)
	{
		if (s->fd == fd)
			return s;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL || uv_poll_init(r->loop, &s->poll, fd) != 0) {
		free(s);
		return NULL; /* the question times out */
	}
	s->poll.data = s;
	s->r = r;
	s->fd = fd;
	LIST_INSERT_HEAD(&r->socks, s, entry);
	return s;
}

/* c-ares is about to close the socket when it wants neither. */
static void
on_sock_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = ctx;
	struct sock *s = sock_of(r, fd);
	int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);

	if (s == NULL)
		return;
	s->events = events;
	if (events != 0) {
		(void)uv_poll_start(&s->poll, events, on_sock);
		return;
	}
	(void)uv_poll_stop(&s->poll);
	LIST_REMOVE(s, entry);
	uv_close((uv_handle_t *)&s->poll, on_sock_closed);
}
