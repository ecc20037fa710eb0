/* SPDX-License-Identifier: Apache-2.0 */
/*
 * issuers.c: identity providers of the configuration, and how their keys come and go.
 *
 * Runs in: authority. Trusts: the configuration; the broker for where a document came from, nobody
 * for what is in it.
 * Owns: the issuers, their keys, and who waits for them.
 * Invariants: one fetch of an issuer at a time; new keys take the place of all old ones or of none;
 * a fetch that failed changes nothing but the time of the next; one that a reload ended is begun
 * anew, and who waits waits on; no key is used that was not seen for a day.
 * See: issuers.h, discovery.c; src/broker/issuer.c, which fetches.
 */
#include "authority.h"

#include <stdlib.h>

#include <base/cleanup.h>

static void begin(struct issuer *i, enum fetch_kind kind);
static void on_reply(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void over(struct issuer *i);

/* ---- keys ---- */

static void
set_keys(struct issuer *i, struct jwks *keys)
{
	jwks_free(i->keys);
	i->keys = keys;
	i->epoch = ++i->a->oidc->issuers.epochs;
}

/* The same document again changes nothing: what was verified by it stays verified. */
static struct status
take_keys(struct issuer *i, struct span body)
{
	struct jwks *keys = NULL;
	uint8_t print[SHA256_LEN];

	TRY(sha256(body, print));
	if (i->keys != NULL && memcmp(print, i->keys_print, sizeof(print)) == 0)
		return OK;
	TRY(jwks_parse(body, &keys));
	if (jwks_count(keys) == 0) {
		jwks_free(keys);
		return fail(E_UNSUPPORTED);
	}
	if (jwks_skipped(keys) > 0)
		diag(DIAG_INFO, "oidc.%u: %zu keys, %zu entries that are none for us", i->index,
		    jwks_count(keys), jwks_skipped(keys));
	set_keys(i, keys);
	memcpy(i->keys_print, print, sizeof(print));
	return OK;
}

/* ---- the fetch ---- */

static void
failed(struct issuer *i, const char *what, struct status st)
{
	uint64_t pause = ISSUER_BACKOFF_MIN_MS;

	for (unsigned n = 0; n < i->failures && pause < ISSUER_AGAIN_MS; n++)
		pause *= 2;
	pause = pause > ISSUER_AGAIN_MS ? ISSUER_AGAIN_MS : pause;
	i->next_ms = i->refresh_ms = now_ms(i->a) + pause;
	i->keys_url[0] = '\0'; /* next time from the beginning */
	i->why = what;
	if (i->failures++ == 0)
		diag(DIAG_WARN, "oidc.%u: %s: %s", i->index, what, status_text(st));
	over(i);
}

static void
succeeded(struct issuer *i)
{
	uint64_t now = now_ms(i->a);

	if (i->failures > 0)
		diag(DIAG_INFO, "oidc.%u: its keys are there again", i->index);
	i->failures = 0;
	i->why = NULL;
	i->keys_ms = now;
	i->next_ms = i->for_token ? now + ISSUER_AGAIN_MS : now;
	i->refresh_ms = now + ISSUER_REFRESH_MS;
	over(i);
}

static void
over(struct issuer *i)
{
	i->flying = i->again = false;
	i->call = 0;
	waiters_wake(&i->waiters);
}

static void
begin(struct issuer *i, enum fetch_kind kind)
{
	struct link *l = i->a->broker.link;
	const struct ab_fetch m = { .kind = (uint8_t)kind,
		.issuer = span_str(i->url),
		.url = span_str(kind == FETCH_KEYS ? i->keys_url : ""),
		.generation = i->a->d->generation };
	struct status st = fail(E_CLOSED);

	i->stage = kind;
	if (l != NULL)
		st = link_call(l, AB_FETCH, &m, ISSUER_FETCH_MS, on_reply, i, &i->call);
	if (!is_ok(st))
		failed(i, "the broker could not be asked", st);
}

static void
on_reply(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	static const char *const what[FETCH_KIND_COUNT] = {
		"its discovery document could not be fetched", "its keys could not be fetched"
	};
	const struct ab_fetched *m = msg;
	struct issuer *i = ctx;

	(void)l;
	i->call = 0;
	if (is_ok(st) && type != AB_FETCHED)
		st = fail(E_PROTO);
	if (is_ok(st) && m->code != E_OK)
		st = fail((enum code)m->code);
	i->again = st.code == E_AGAIN && now_ms(i->a) < i->began_ms + OIDC_WAIT_MS;
	if (i->again)
		return; /* who waits goes on waiting */
	if (!is_ok(st)) {
		failed(i, what[i->stage], st);
		return;
	}
	if (i->stage == FETCH_DISCOVERY) {
		st = discovery_parse(m->body, span_str(i->url), i->keys_url);
		if (is_ok(st))
			begin(i, FETCH_KEYS);
		else
			failed(i, "its discovery document is not one of its own", st);
		return;
	}
	st = take_keys(i, m->body);
	if (is_ok(st))
		succeeded(i);
	else
		failed(i, "its keys cannot be used", st);
}

/* From the beginning where it is not known where the keys are, or not for sure any more. */
static void
start(struct issuer *i, bool refresh)
{
	i->flying = true;
	i->for_token = !refresh && i->keys != NULL;
	i->began_ms = now_ms(i->a);
	begin(i, refresh || i->keys_url[0] == '\0' ? FETCH_DISCOVERY : FETCH_KEYS);
}

bool
issuer_fetch(struct issuer *i)
{
	uint64_t now = now_ms(i->a);

	if (!i->flying && now >= i->next_ms && i->a->broker.link != NULL)
		start(i, false);
	return i->flying && now < i->began_ms + OIDC_WAIT_MS;
}

static void
tick(struct issuer *i)
{
	uint64_t now = now_ms(i->a);

	if (i->again) {
		i->again = false;
		begin(i, FETCH_DISCOVERY); /* its places may be others */
	}
	if (i->flying && now >= i->began_ms + OIDC_WAIT_MS)
		waiters_wake(&i->waiters);
	if (i->keys != NULL && now >= i->keys_ms + ISSUER_KEYS_AGE_MAX_MS) {
		diag(DIAG_ERROR, "oidc.%u: its keys were not seen for a day: dropped", i->index);
		set_keys(i, NULL);
	}
	if (!i->flying && now >= i->refresh_ms && i->a->broker.link != NULL)
		start(i, true);
}

void
issuers_tick(struct issuers *is)
{
	for (size_t n = 0; n < is->count; n++)
		tick(is->items[n]);
}

/* ---- the configuration ---- */

struct issuer *
issuers_find(const struct issuers *is, struct span url)
{
	for (size_t n = 0; n < is->count; n++) {
		if (span_eq_str(url, is->items[n]->url))
			return is->items[n];
	}
	return NULL;
}

static void
destroy(struct issuer *i)
{
	if (i->call != 0 && i->a->broker.link != NULL)
		link_call_cancel(i->a->broker.link, i->call);
	i->flying = false;
	jwks_free(i->keys);
	free(i);
}

static struct status
fingerprint(const struct conf *c, unsigned index, uint8_t out[SHA256_LEN])
{
	static const char *const keys[] = { "issuer", "jwks_hosts", "ca_file",
		"allow_plain_loopback", "allow_private", "tls_min" };
	auto_buf struct buf all = BUF_INIT((size_t)4 * CONF_VALUE_MAX);

	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		const char *v = conf_strf(c, "oidc.%u.%s", index, keys[k]);

		TRY(buf_put_str(&all, v == NULL ? "" : v));
		TRY(buf_put_u8(&all, '\0'));
	}
	return sha256(buf_span(&all), out);
}

static uint32_t
algs_of(const char *list)
{
	uint32_t algs = 0;
	struct span name;
	enum jwt_alg alg;

	for (size_t at = 0; conf_list_next(list, &at, &name);) {
		if (is_ok(jwt_alg_find(name, &alg)))
			algs |= JWT_ALG_BIT(alg);
		else /* "*" */
			algs |= JWT_ALG_BIT(JWT_ALG_COUNT) - 1;
	}
	return algs;
}

static enum jwt_typ
typ_of(const char *name)
{
	if (strcmp(name, "jwt") == 0)
		return JWT_TYP_JWT;
	return strcmp(name, "at+jwt") == 0 ? JWT_TYP_ACCESS : JWT_TYP_ANY;
}

/* What a token of it must be. */
static struct status
read_policy(struct issuer *i, const struct conf *c, unsigned index)
{
	char map[64];
	struct span one;
	size_t at = 0;

	(void)snprintf(map, sizeof(map), "oidc.%u.roles_map", index);
	i->index = index;
	i->links = conf_boolf(c, "oidc.%u.link_local", index);
	i->mapped = conf_each(c, map, &at, &one);
	TRY(span_to_cstr(
	    span_str(conf_strf(c, "oidc.%u.audience", index)), i->audience, sizeof(i->audience)));
	i->policy = (struct jwt_policy){
		.issuer = span_str(i->url),
		.audience = span_str(i->audience),
		.algs = algs_of(conf_strf(c, "oidc.%u.algorithms", index)),
		.typ = typ_of(conf_strf(c, "oidc.%u.typ", index)),
		.skew_s = (uint32_t)conf_u64f(c, "oidc.%u.skew_s", index),
		.age_s_max = conf_u64f(c, "oidc.%u.max_age_s", index),
	};
	return OK;
}

static struct status
add(struct authority *a, struct issuers *is, const char *url, const uint8_t print[SHA256_LEN],
    struct issuer **ret)
{
	struct issuer *i;

	if (is->count == sizeof(is->items) / sizeof(is->items[0]))
		return fail(E_RANGE);
	i = calloc(1, sizeof(*i));
	if (i == NULL)
		return fail(E_NOMEM);
	i->a = a;
	waiters_init(&i->waiters);
	memcpy(i->print, print, sizeof(i->print));
	is->items[is->count++] = i;
	*ret = i;
	return span_to_cstr(span_str(url), i->url, sizeof(i->url));
}

static struct status
load_one(struct authority *a, struct issuers *is, unsigned index, const char *url)
{
	uint8_t print[SHA256_LEN];
	struct issuer *i = issuers_find(is, span_str(url));

	TRY(fingerprint(a->d->conf, index, print));
	if (i != NULL && memcmp(i->print, print, sizeof(print)) != 0)
		i = NULL; /* its keys come from elsewhere now: the old one goes */
	if (i == NULL)
		TRY(add(a, is, url, print, &i));
	i->found = true;
	return read_policy(i, a->d->conf, index);
}

/* Who waited for one of those is told when they are gone: another may be in its place. */
static void
drop_others(struct issuers *is)
{
	size_t kept = 0, count = is->count;
	struct waiters waiters;

	waiters_init(&waiters);
	for (size_t n = 0; n < count; n++) {
		if (is->items[n]->found) {
			is->items[kept++] = is->items[n];
			continue;
		}
		waiters_move(&is->items[n]->waiters, &waiters);
		destroy(is->items[n]);
	}
	is->count = kept;
	waiters_wake(&waiters);
}

struct status
issuers_load(struct authority *a, struct issuers *is)
{
	struct status st = OK;
	const char *url;

	for (size_t n = 0; n < is->count; n++)
		is->items[n]->found = false;
	for (unsigned i = 0; is_ok(st); i++) {
		url = conf_strf(a->d->conf, "oidc.%u.issuer", i);
		if (url == NULL)
			break;
		st = load_one(a, is, i, url);
	}
	drop_others(is);
	if (!is_ok(st))
		issuers_done(is);
	return st;
}

void
issuers_done(struct issuers *is)
{
	for (size_t n = 0; n < is->count; n++)
		is->items[n]->found = false;
	drop_others(is);
}
