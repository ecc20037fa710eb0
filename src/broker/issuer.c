/* SPDX-License-Identifier: Apache-2.0 */
/*
 * issuer.c: discovery documents and keys of identity providers, fetched for the authority.
 *
 * Runs in: broker. Trusts: the configuration; not the URL of keys, which a document named; nothing
 * in an answer, which it does not read.
 * Owns: the connections to identity providers, and the errands of the authority.
 * Invariants: a document comes from the issuer's own origin or, over https, from a host that its
 * entry names; the URL of the discovery document is made of the configuration alone; no redirect is
 * followed, nothing that the broker knows is sent along.
 * See: issuer.h, wire/authority_broker.h (FETCH), fetch.h; OpenID Connect Discovery 1.0, section 4.
 */
#include "broker.h"
#include "fetch.h"
#include "issuer.h"
#include "origin.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <http/write.h>

#define WELL_KNOWN "/.well-known/openid-configuration"
#define CA_MAX PROVIDER_FILE_MAX

struct issuer {
	LIST_ENTRY(issuer) entry;
	unsigned index; /* in the configuration */
	char url[ISSUER_MAX + 1];
	struct origin origin;
	struct {
		struct origin origin;
		struct upstream *upstream; /* NULL: not asked yet */
	} hosts[1 + ISSUER_HOSTS_MAX];     /* its own first */
	unsigned nhosts;
};

/* One document on its way. */
struct errand {
	LIST_ENTRY(errand) entry;
	struct broker *b;
	uint64_t id; /* of the authority's call */
	struct fetch *fetch;
};

/* ---- where a document is ---- */
static bool
url_byte_ok(uint8_t c)
{
	return c > ' ' && c < 0x7f && memchr("\"#<>\\^`{|}", c, 10) == NULL;
}

struct status
issuer_url_split(struct span url, char origin[ISSUER_TARGET_MAX], char target[ISSUER_TARGET_MAX])
{
	static const struct span scheme = SPAN_LIT("://");
	const uint8_t *at = url.len == 0 ? NULL : memmem(url.ptr, url.len, scheme.ptr, scheme.len);
	size_t end;
	int n;

	for (size_t i = 0; i < url.len; i++) {
		if (!url_byte_ok(url.ptr[i]))
			return fail(E_SYNTAX);
	}
	if (at == NULL)
		return fail(E_SYNTAX);
	end = (size_t)(at - url.ptr) + scheme.len;
	while (end < url.len && url.ptr[end] != '/' && url.ptr[end] != '?') {
		if (url.ptr[end] == '@')
			return fail(E_SYNTAX);
		end++;
	}
	TRY(span_to_cstr(span_of(url.ptr, end), origin, ISSUER_TARGET_MAX));
	n = snprintf(target, ISSUER_TARGET_MAX, "%s%.*s",
	    end < url.len && url.ptr[end] == '/' ? "" : "/", SPAN_FMT(span_from(url, end)));
	return n > 0 && n < ISSUER_TARGET_MAX ? OK : fail(E_RANGE);
}

static bool
same_origin(const struct origin *a, const struct origin *b)
{
	return a->tls == b->tls && strcmp(a->authority, b->authority) == 0;
}

/* The host that the issuer's entry allows for this URL. E_DENIED: none. */
static struct status
find_host(const struct issuer *is, struct span url, char target[ISSUER_TARGET_MAX], unsigned *ret)
{
	char text[ISSUER_TARGET_MAX];
	struct origin o;

	TRY(issuer_url_split(url, text, target));
	TRY(origin_parse(text, &o));
	for (unsigned i = 0; i < is->nhosts; i++) {
		if (same_origin(&is->hosts[i].origin, &o)) {
			*ret = i;
			return OK;
		}
	}
	return fail(E_DENIED);
}

static struct status
find_place(const struct issuer *is, const struct ab_fetch *m, char target[ISSUER_TARGET_MAX],
    unsigned *ret)
{
	int n;

	if (m->kind == FETCH_KEYS)
		return find_host(is, m->url, target, ret);
	n = snprintf(target, ISSUER_TARGET_MAX, "%s" WELL_KNOWN, is->origin.base);
	*ret = 0;
	return n > 0 && n < ISSUER_TARGET_MAX ? OK : fail(E_RANGE);
}

/* ---- connections ---- */
static struct status
read_ca(struct broker *b, unsigned index, struct buf *out)
{
	int fd = daemon_filef(b->d, "oidc.%u.ca_file", index);

	return fd < 0 ? buf_put_span(out, buf_span(&b->system_ca)) : daemon_read_file(fd, out);
}

/* Made when it is asked for the first time. */
static struct status
connect_host(struct broker *b, struct issuer *is, unsigned host, struct upstream **ret)
{
	auto_buf struct buf ca = BUF_INIT(CA_MAX);
	const struct conf *c = b->d->conf;
	const struct origin *o = &is->hosts[host].origin;
	char url[ORIGIN_AUTHORITY_MAX + 16];
	struct upstream_opts opts = { .loop = b->d->loop,
		.resolver = b->resolver,
		.url = url,
		.plain = conf_boolf(c, "oidc.%u.allow_plain_loopback", is->index),
		.allow_tls12 = strcmp(conf_strf(c, "oidc.%u.tls_min", is->index), "1.2") == 0,
		.http = UPSTREAM_HTTP_1,
		.limits = { FETCH_TOTAL_MS, FETCH_TOTAL_MS, FETCH_TOTAL_MS } };

	if (is->hosts[host].upstream == NULL) {
		TRY(read_ca(b, is->index, &ca));
		opts.ca_pem = buf_span(&ca);
		if (conf_boolf(c, "oidc.%u.allow_private", is->index))
			opts.allow = ADDRESS_BIT(ADDRESS_PRIVATE);
		(void)snprintf(url, sizeof(url), "http%s://%s", o->tls ? "s" : "", o->authority);
		TRY(upstream_new(&opts, &is->hosts[host].upstream));
	}
	*ret = is->hosts[host].upstream;
	return OK;
}

/* ---- errands ---- */
static void
answer(struct broker *b, uint64_t id, const struct ab_fetched *m)
{
	if (b->authority != NULL && !is_ok(link_send(b->authority, id, AB_FETCHED, m)))
		diag(DIAG_WARN, "a document could not be sent to the authority");
}

static void
errand_over(struct errand *e)
{
	LIST_REMOVE(e, entry);
	e->b->issuers.nerrands--;
	free(e);
}

static void
on_fetched(void *ctx, struct status st, const struct fetch_answer *a)
{
	struct errand *e = ctx;
	struct ab_fetched m = { .code = st.code };

	if (is_ok(st)) {
		m.http_status = a->status;
		m.code = a->status == 200 ? E_OK : E_PROTO;
	}
	if (m.code == E_OK)
		m.body = a->body;
	answer(e->b, e->id, &m);
	errand_over(e);
}

static struct status
put_request(struct upstream *u, struct span target, struct fetch_request *r)
{
	TRY(fetch_request_init(r, u, "GET", target));
	return http_put_field(&r->head, SPAN_LIT("accept"), SPAN_LIT("application/json"));
}

static struct status
send_errand(struct broker *b, struct upstream *u, struct span target, uint64_t id)
{
	struct fetch_request r = FETCH_REQUEST_NONE;
	struct errand *e;
	struct status st;

	if (b->issuers.nerrands == ISSUER_ERRANDS_MAX)
		return fail(E_FULL);
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return fail(E_NOMEM);
	*e = (struct errand){ .b = b, .id = id };
	st = put_request(u, target, &r);
	if (is_ok(st))
		st = fetch_start(b->d->loop, u, &r, on_fetched, e, &e->fetch);
	else
		fetch_request_done(&r);
	if (!is_ok(st)) {
		free(e);
		return st;
	}
	LIST_INSERT_HEAD(&b->issuers.errands, e, entry);
	b->issuers.nerrands++;
	return OK;
}

static struct issuer *
find(struct broker *b, struct span url)
{
	struct issuer *is;

	LIST_FOREACH(is, &b->issuers.items, entry)
	{
		if (span_eq_str(url, is->url))
			return is;
	}
	return NULL;
}

static struct status
begin(struct broker *b, uint64_t id, const struct ab_fetch *m)
{
	struct issuer *is = find(b, m->issuer);
	char target[ISSUER_TARGET_MAX];
	struct upstream *u;
	unsigned host;

	if (is == NULL)
		return fail(E_NOTFOUND);
	TRY(find_place(is, m, target, &host));
	TRY(connect_host(b, is, host, &u));
	return send_errand(b, u, span_str(target), id);
}

void
issuers_on_fetch(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct broker *b = ctx;
	const struct ab_fetch *m = msg;
	/* By a configuration that has not come here: who knows where its issuers' documents are. */
	struct status st = m->generation > b->d->generation ? fail(E_AGAIN) : begin(b, id, m);
	const struct ab_fetched none = { .code = st.code };

	(void)l;
	if (!is_ok(st))
		answer(b, id, &none);
}

void
issuers_forget(struct broker *b)
{
	while (!LIST_EMPTY(&b->issuers.errands)) {
		struct errand *e = LIST_FIRST(&b->issuers.errands);

		fetch_cancel(e->fetch);
		errand_over(e);
	}
}

/* ---- the configuration ---- */
static struct status
add_hosts(struct issuer *is, const char *list)
{
	char url[ORIGIN_AUTHORITY_MAX + 16];
	struct span host;

	is->hosts[is->nhosts++].origin = is->origin;
	for (size_t i = 0; conf_list_next(list, &i, &host);) {
		if (is->nhosts == 1 + ISSUER_HOSTS_MAX)
			return fail(E_RANGE);
		(void)snprintf(url, sizeof(url), "https://%.*s", SPAN_FMT(host));
		TRY(origin_parse(url, &is->hosts[is->nhosts].origin));
		is->nhosts++;
	}
	return OK;
}

static void
destroy(struct issuer *is)
{
	for (unsigned i = 0; i < is->nhosts; i++)
		upstream_free(is->hosts[i].upstream);
	free(is);
}

static struct status
load_one(struct broker *b, unsigned index, const char *url)
{
	struct issuer *is = calloc(1, sizeof(*is));
	struct status st;

	if (is == NULL)
		return fail(E_NOMEM);
	is->index = index;
	st = span_to_cstr(span_str(url), is->url, sizeof(is->url));
	if (is_ok(st))
		st = origin_parse(url, &is->origin);
	if (is_ok(st))
		st = add_hosts(is, conf_strf(b->d->conf, "oidc.%u.jwks_hosts", index));
	if (!is_ok(st)) {
		destroy(is);
		return st;
	}
	LIST_INSERT_HEAD(&b->issuers.items, is, entry);
	return OK;
}

static void
tell_again(struct broker *b)
{
	static const struct ab_fetched again = { .code = E_AGAIN };
	struct errand *e;

	LIST_FOREACH(e, &b->issuers.errands, entry)
	answer(b, e->id, &again);
	issuers_forget(b);
}

struct status
issuers_load(struct broker *b)
{
	struct status first = OK;
	const char *url;

	tell_again(b);
	issuers_free(b);
	for (unsigned i = 0; (url = conf_strf(b->d->conf, "oidc.%u.issuer", i)) != NULL; i++) {
		struct status st = load_one(b, i, url);

		if (is_ok(st))
			continue;
		diag(DIAG_ERROR, "oidc.%u: %s", i, status_text(st));
		if (is_ok(first))
			first = st;
	}
	return first;
}

void
issuers_free(struct broker *b)
{
	issuers_forget(b);
	while (!LIST_EMPTY(&b->issuers.items)) {
		struct issuer *is = LIST_FIRST(&b->issuers.items);

		LIST_REMOVE(is, entry);
		destroy(is);
	}
}
