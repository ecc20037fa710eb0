/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.c: is it ready, and what is it? For operators, over the management
 * socket.
 *
 * Runs in: authority. Trusts: the configuration slice. Owns: nothing.
 * Invariants: ready means that a request of somebody known could be served and recorded now.
 * See: management.c.
 */
#include "authority.h"

#include <json/write.h>

#ifndef SALLYPORT_VERSION
#define SALLYPORT_VERSION "unknown"
#endif

static size_t
missing(const struct authority *a, const char *out[8])
{
	size_t n = 0;

	if (!a->loaded || unfit_stops(a) || grace_phase(a) == GRACE_OVER)
		out[n++] = "store";
	if (!audit_is_writable(a))
		out[n++] = "audit";
	if (a->broker.link == NULL)
		out[n++] = "broker";
	if (a->executor.link == NULL)
		out[n++] = "executor";
	else if (!procs_pools_ready(a))
		out[n++] = "pools";
	if (!gateways_any(a))
		out[n++] = "gateway";
	if (a->policies.n == 0)
		out[n++] = "policy";
	if (a->d->draining)
		out[n++] = "draining";
	return n;
}

/* What is away while all who are known are served on: ready, and not whole. */
static void
put_degraded(const struct authority *a, struct json_writer *w)
{
	json_put_key(w, "degraded");
	json_put_array(w);
	if (grace_phase(a) == GRACE_RUNS)
		json_put_text(w, "store");
	if (a->grace.full)
		json_put_text(w, "store_full");
	json_put_end(w);
}

/* Null: the database is open. */
static void
put_store_key(const struct authority *a, struct json_writer *w)
{
	const char *waits = procs_store_waits(a);

	json_put_key(w, "store_key");
	if (waits == NULL)
		json_put_null(w);
	else
		json_put_text(w, waits);
}

/* Rows that were changed behind the store's back: which. */
static void
put_unfit(const struct authority *a, struct json_writer *w)
{
	json_put_key(w, "store_unfit");
	json_put_array(w);
	for (unsigned sum = 0; sum < SUM_COUNT; sum++) {
		if ((a->unfit.sums & 1U << sum) != 0)
			json_put_text(w, as_sum_names[sum]);
	}
	json_put_end(w);
}

static bool
put_ready(const struct authority *a, struct json_writer *w)
{
	const char *what[8];
	size_t n = missing(a, what);

	json_put_key(w, "ready");
	json_put_bool(w, n == 0);
	json_put_key(w, "missing");
	json_put_array(w);
	for (size_t i = 0; i < n; i++)
		json_put_text(w, what[i]);
	json_put_end(w);
	put_degraded(a, w);
	put_store_key(a, w);
	put_unfit(a, w);
	return n == 0;
}

bool
status_put_ready(const struct authority *a, struct buf *out, struct status *st)
{
	struct json_writer w = json_writer(out);
	bool ready;

	json_put_object(&w);
	ready = put_ready(a, &w);
	json_put_end(&w);
	*st = json_writer_finish(&w);
	return ready;
}

/* Null: it is there. */
static void
put_store_away(const struct authority *a, struct json_writer *w)
{
	json_put_key(w, "store_away");
	if (!a->grace.away) {
		json_put_null(w);
		return;
	}
	json_put_object(w);
	json_put_key(w, "since_s");
	json_put_u64(w, a->grace.since_s);
	json_put_key(w, "grace_left_s");
	json_put_u64(w, grace_left_s(a));
	json_put_end(w);
}

static bool
has_no_credential(const struct conf *c, struct span name)
{
	const char *credential = conf_strf(c, "providers.%.*s.credential", SPAN_FMT(name));

	return credential == NULL || strcmp(credential, "none") == 0;
}

static void
put_name(void *ctx, struct span name)
{
	json_put_str(ctx, name);
}

static void
put_connections(const struct conf *c, struct json_writer *w)
{
	struct span name;

	json_put_key(w, "providers_without_credential");
	json_put_array(w);
	for (size_t iter = 0; conf_each(c, "providers", &iter, &name);) {
		if (has_no_credential(c, name))
			json_put_str(w, name);
	}
	json_put_end(w);
	json_put_key(w, "unencrypted");
	json_put_array(w);
	conf_each_weak(c, put_name, w);
	json_put_end(w);
	json_put_key(w, "weaker_controls");
	json_put_array(w);
	conf_each_weaker(NULL, c, put_name, w);
	json_put_end(w);
}

static void
put_engines(const struct conf *c, struct json_writer *w)
{
	static const char *const keys[] = { "runsc", "image", "manifest" };

	json_put_key(w, "engines");
	json_put_object(w);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *value = conf_strf(c, "engines.%s", keys[i]);

		json_put_key(w, keys[i]);
		if (value == NULL)
			json_put_null(w);
		else
			json_put_text(w, value);
	}
	json_put_end(w);
}

/* An older database was put back; until an operator removes DIR/store.rollback. */
static void
put_rolled_back(const struct authority *a, struct json_writer *w)
{
	const struct ctl_rolled_back *r = &a->rolled_back;

	json_put_key(w, "store_rolled_back");
	if (r->noticed_s == 0) {
		json_put_null(w);
		return;
	}
	json_put_object(w);
	json_put_key(w, "noticed_s");
	json_put_u64(w, r->noticed_s);
	json_put_key(w, "generation");
	json_put_u64(w, r->generation);
	json_put_key(w, "expected");
	if (r->expected > 0)
		json_put_u64(w, r->expected);
	else
		json_put_null(w);
	json_put_end(w);
}

static void
put_text_or_null(struct json_writer *w, const char *key, const char *text)
{
	json_put_key(w, key);
	if (text[0] != '\0')
		json_put_text(w, text);
	else
		json_put_null(w);
}

/* Lists of revoked client certificates: null where there are none. */
static void
put_revocations(const struct authority *a, struct json_writer *w)
{
	const struct revocations *r = &a->revocations;
	uint64_t now_s = now_real_s();

	json_put_key(w, "client_certificate_lists");
	if (r->until_s == 0) {
		json_put_null(w);
		return;
	}
	json_put_object(w);
	json_put_key(w, "state");
	json_put_text(w, now_s >= r->until_s ? "expired" : now_s < r->from_s ? "early" : "good");
	json_put_key(w, "from_s");
	json_put_u64(w, r->from_s);
	json_put_key(w, "until_s");
	json_put_u64(w, r->until_s);
	put_text_or_null(w, "fault", r->fault);
	put_text_or_null(w, "authority", r->authority);
	json_put_end(w);
}

struct status
status_put(const struct authority *a, struct buf *out)
{
	const struct conf *c = a->d->conf;
	const char *listen = conf_str(c, "listen");
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "version");
	json_put_text(&w, SALLYPORT_VERSION);
	json_put_key(&w, "generation");
	json_put_u64(&w, a->d->generation);
	json_put_key(&w, "instance");
	json_put_text(&w, a->d->instance);
	(void)put_ready(a, &w);
	put_store_away(a, &w);
	put_rolled_back(a, &w);
	put_revocations(a, &w);
	json_put_key(&w, "listening");
	json_put_text(&w, listen != NULL ? listen : "");
	json_put_key(&w, "uptime_s");
	json_put_u64(&w, (now_ms(a) - a->started_ms) / 1000);
	json_put_key(&w, "turns_open");
	json_put_u64(&w, a->turns.n);
	json_put_key(&w, "keys");
	json_put_u64(&w, a->keys.nkeys);
	json_put_key(&w, "wasm_workers");
	procs_put_workers(a, &w);
	json_put_key(&w, "processes");
	procs_put_status(a, &w);
	put_connections(c, &w);
	secrets_put_status(a, &w);
	oidc_put_status(a, &w);
	put_engines(c, &w);
	json_put_end(&w);
	return json_writer_finish(&w);
}
