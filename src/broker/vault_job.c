/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_job.c: the work on Vault's secrets: read, look for a new version, renew a lease. Work
 * on keys (vault_transit.c) goes the same way.
 *
 * Runs in: broker. Trusts: Vault, for what it answers over verified TLS.
 * Owns: what is known of the mounts behind the references.
 * Invariants: a token that stops being good is told from a policy that says no: only then we log
 * in again, once a work; a lease is renewed by the token that it came by, or not at all.
 * See: session.h, vault_internal.h; Vault's HTTP API: kv/v2, sys/leases, sys/internal/ui/mounts.
 */
#include "vault_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <http/write.h>
#include <json/write.h>

#define TARGET_MAX 768
#define RENEW_S 3600 /* the most that we ask for */

static LIST_HEAD(, vault_place) places = LIST_HEAD_INITIALIZER(places);

static struct vault *
vault_of(const struct vault_work *w)
{
	return (struct vault *)w->work.s;
}

/* ---- requests ---- */
static const char *
rest_of(const struct vault_place *p)
{
	return p->text + strlen(p->mount.path);
}

static struct status
target_mount(const struct vault_work *w, struct buf *out)
{
	return buf_printf(out, "/v1/sys/internal/ui/mounts/%s", w->place->text);
}

static struct status
target_check(const struct vault_work *w, struct buf *out)
{
	(void)w;
	return buf_put_str(out, "/v1/auth/token/lookup-self");
}

static struct status
target_read(const struct vault_work *w, struct buf *out)
{
	const struct vault_place *p = w->place;

	if (p->mount.kv2)
		return buf_printf(out, "/v1/%sdata/%s", p->mount.path, rest_of(p));
	return buf_printf(out, "/v1/%s", p->text);
}

static struct status
target_previous(const struct vault_work *w, struct buf *out)
{
	const struct vault_place *p = w->place;
	uint64_t n;

	if (!p->mount.kv2 || !is_ok(span_u64(span_str(w->work.job->version), UINT32_MAX, &n)) ||
	    n < 2)
		return fail(E_NOTFOUND);
	return buf_printf(out, "/v1/%sdata/%s?version=%llu", p->mount.path, rest_of(p),
	    (unsigned long long)n - 1);
}

static struct status
target_poll(const struct vault_work *w, struct buf *out)
{
	const struct vault_place *p = w->place;

	if (!p->mount.kv2)
		return fail(E_NOTFOUND); /* no versions there: it is read again instead */
	return buf_printf(out, "/v1/%smetadata/%s", p->mount.path, rest_of(p));
}

static struct status
target_renew(const struct vault_work *w, struct buf *out)
{
	if (w->place->generation != vault_of(w)->generation)
		return fail(E_NOTFOUND); /* it ends with the token that it came by */
	return buf_put_str(out, "/v1/sys/leases/renew");
}

static struct status
target_revoke(const struct vault_work *w, struct buf *out)
{
	(void)w;
	return buf_put_str(out, "/v1/sys/leases/revoke");
}

static struct status
put_revoke(const struct vault_work *w, struct buf *out)
{
	struct json_writer j = json_writer(out);

	json_put_object(&j);
	json_put_key(&j, "lease_id");
	json_put_text(&j, w->work.job->lease);
	json_put_end(&j);
	return json_writer_finish(&j);
}

static struct status
put_renew(const struct vault_work *w, struct buf *out)
{
	struct json_writer j = json_writer(out);

	json_put_object(&j);
	json_put_key(&j, "lease_id");
	json_put_text(&j, w->work.job->lease);
	json_put_key(&j, "increment");
	json_put_u64(&j, RENEW_S);
	json_put_end(&j);
	return json_writer_finish(&j);
}

/* ---- answers ---- */
static struct status
take_mount(struct vault_work *w, const struct fetch_answer *a)
{
	struct vault_place *p = w->place;

	TRY(vault_mount_parse(a->body, &p->mount));
	if (strncmp(p->text, p->mount.path, strlen(p->mount.path)) != 0 || *rest_of(p) == '\0')
		return fail(E_SYNTAX);
	p->known = true;
	return OK;
}

/* A lease's own part: its path says nothing that the reference does not. */
static const char *
lease_name(const char *lease)
{
	const char *slash = strrchr(lease, '/');

	return slash == NULL ? lease : slash + 1;
}

static uint64_t
leased_for(const struct vault_work *w)
{
	const struct session *s = w->work.s;
	uint64_t now = session_now(s), end = s->end_ms, ms = w->value.lease_s * 1000;
	uint64_t left = end > now ? end - now : 0;

	/* It does not outlive our token; and 0 would say that it has no end. */
	if (ms > left)
		ms = left;
	return ms > 0 ? ms : 1;
}

static struct status
take_value(struct vault_work *w, const struct fetch_answer *a)
{
	struct vault_value *val = &w->value;
	struct lifetime_reading *r = &w->work.result.reading;

	struct status st = vault_value_parse(
	    a->body, w->place->mount.kv2, w->work.job->ref.field, val);

	*r = (struct lifetime_reading){ .version = w->work.version, .lease = val->lease };
	w->work.result.login = w->generation;
	w->work.result.lent_ms = val->lease_s * 1000;
	TRY(st);
	w->work.result.value = secret_take(&val->value);
	if (w->place->mount.kv2) {
		(void)snprintf(w->work.version, sizeof(w->work.version), "%llu",
		    (unsigned long long)val->version);
	} else if (val->lease[0] != '\0') {
		w->place->generation = w->generation;
		(void)snprintf(
		    w->work.version, sizeof(w->work.version), "%.64s", lease_name(val->lease));
		r->lease_ms = leased_for(w);
		r->renewable = val->renewable && strlen(val->lease) <= SECRET_LEASE_MAX;
	}
	return OK;
}

static struct status
take_poll(struct vault_work *w, const struct fetch_answer *a)
{
	uint64_t version;

	TRY(vault_metadata_parse(a->body, &version));
	(void)snprintf(
	    w->work.version, sizeof(w->work.version), "%llu", (unsigned long long)version);
	w->work.result.reading = (struct lifetime_reading){ .version = w->work.version,
		.lease = "" };
	return OK;
}

static struct status
take_renew(struct vault_work *w, const struct fetch_answer *a)
{
	struct lifetime_reading *r = &w->work.result.reading;

	TRY(vault_lease_parse(a->body, &w->value.lease_s, &r->renewable));
	r->lease_ms = leased_for(w);
	w->work.result.lent_ms = w->value.lease_s * 1000;
	return OK;
}

static struct status
take_revoke(struct vault_work *w, const struct fetch_answer *a)
{
	(void)w, (void)a;
	return OK;
}

static const struct vault_row read_row = { "GET", target_read, NULL, take_value, 0, true };
static const struct vault_row previous_row = { "GET", target_previous, NULL, take_value, 0, true };
static const struct vault_row poll_row = { "GET", target_poll, NULL, take_poll, 0, true };
static const struct vault_row renew_row = { "PUT", target_renew, put_renew, take_renew, TARGET_MAX,
	true };
static const struct vault_row revoke_row = { "PUT", target_revoke, put_revoke, take_revoke,
	TARGET_MAX, false };

/* By enum lifetime_op. */
static const struct vault_row *const rows[] = {
	[LIFETIME_READ] = &read_row,
	[LIFETIME_PREVIOUS] = &previous_row,
	[LIFETIME_POLL] = &poll_row,
	[LIFETIME_RENEW] = &renew_row,
	[LIFETIME_REVOKE] = &revoke_row,
	[LIFETIME_WRAP] = &vault_wrap,
	[LIFETIME_UNWRAP] = &vault_unwrap,
	[LIFETIME_REWRAP] = &vault_rewrap,
};

static const struct vault_row *
row_of(const struct vault_work *w)
{
	return rows[w->work.job->op];
}

/* ---- the work ---- */
static struct status
send_request(struct vault_work *w, struct span target)
{
	struct vault *v = vault_of(w);
	bool body = w->step == WORK_MAIN && row_of(w)->put != NULL;
	const char *method = w->step == WORK_MAIN ? row_of(w)->method : "GET";
	struct fetch_request r = FETCH_REQUEST_NONE;
	struct status st = vault_request(v, method, target, &v->token, &r);

	if (is_ok(st) && body) {
		st = http_put_field_str(&r.head, "content-type", "application/json");
		if (is_ok(st))
			st = fetch_request_body(&r, row_of(w)->body_max);
		if (is_ok(st))
			st = row_of(w)->put(w, &r.body);
	}
	if (!is_ok(st)) {
		fetch_request_done(&r);
		return st;
	}
	w->generation = v->generation;
	return work_fetch(&w->work, v->upstreams[v->at], &r);
}

static bool
needs_mount(const struct vault_work *w)
{
	return row_of(w)->mounted && !w->place->known;
}

static struct status
send_step(struct work *work)
{
	struct vault_work *w = (struct vault_work *)work;
	auto_buf struct buf target = BUF_INIT(TARGET_MAX);

	if (w->step == WORK_CHECK)
		TRY(target_check(w, &target));
	else if (needs_mount(w))
		TRY(target_mount(w, &target));
	else
		TRY(row_of(w)->target(w, &target));
	if (w->step != WORK_CHECK)
		w->step = needs_mount(w) ? WORK_MOUNT : WORK_MAIN;
	return send_request(w, buf_span(&target));
}

void
vault_jobs_forget(void)
{
	struct vault_place *p;

	LIST_FOREACH(p, &places, entry)
	p->known = false;
}

/* 403: the token may be gone, or it may not do this. It is asked about itself. */
static void
on_denied(struct vault_work *w)
{
	if (w->step == WORK_CHECK) {
		w->relogged = true;
		w->step = WORK_MAIN;
		vault_token_lost(vault_of(w), w->generation);
	} else if (w->relogged) {
		work_finish(&w->work, SECRET_DENIED, true, 0);
		return;
	} else {
		w->step = WORK_CHECK;
	}
	work_go_on(&w->work);
}

static void
on_good(struct vault_work *w, const struct fetch_answer *a)
{
	struct status st;

	assert(a != NULL);           /* no fault: there is an answer */
	if (w->step == WORK_CHECK) { /* the token is good: it was the policy */
		work_finish(&w->work, SECRET_DENIED, true, 0);
		return;
	}
	st = w->step == WORK_MOUNT ? take_mount(w, a) : row_of(w)->take(w, a);
	if (!is_ok(st))
		work_finish_status(&w->work, st);
	else if (w->step == WORK_MOUNT)
		work_go_on(&w->work);
	else
		work_finish(&w->work, SECRET_FAULT_NONE, false, 0);
}

static void
on_answer(struct work *work, struct status st, const struct fetch_answer *a)
{
	struct vault_work *w = (struct vault_work *)work;
	struct vault *v = vault_of(w);
	bool refused;
	enum secret_fault fault = vault_fault(st, a, &refused);

	vault_note_index(v, a);
	if (!is_ok(st))
		v->at = 0;
	if (a != NULL && a->status == 307 && !w->redirected && vault_redirect(v, a)) {
		w->redirected = true;
		work_go_on(work);
	} else if (a != NULL && a->status == 403) {
		on_denied(w);
	} else if (fault != SECRET_FAULT_NONE) {
		if (fault == SECRET_NOT_FOUND && row_of(w)->mounted)
			w->place->known = false;
		if (fault == SECRET_INVALID) /* a renewal that is not possible ends in a reading */
			refused = work->job->op >= LIFETIME_RENEW;
		work_finish(work, fault, refused, a == NULL ? 0 : a->retry_after_ms);
	} else {
		on_good(w, a);
	}
}

/* ---- as a source ---- */
/* One that is sealed or says no does work. */
static bool
works(uint16_t status)
{
	return status < 500 || status == 503;
}

static struct status
take(struct work *w)
{
	struct vault_place **ret = &((struct vault_work *)w)->place, *p;
	struct span text = w->job->ref.place;

	LIST_FOREACH(p, &places, entry)
	{
		if (span_eq(span_str(p->text), text)) {
			*ret = p;
			return OK;
		}
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return fail(E_NOMEM);
	if (!is_ok(span_to_cstr(text, p->text, sizeof(p->text)))) {
		free(p);
		return fail(E_RANGE);
	}
	LIST_INSERT_HEAD(&places, p, entry);
	*ret = p;
	return OK;
}

const struct session_ops vault_session_ops = { .name = "vault",
	.verb = "login by",
	.work_size = sizeof(struct vault_work),
	.done = vault_done,
	.prepare = vault_prepare,
	.login = vault_login,
	.take = take,
	.send = send_step,
	.answer = on_answer,
	.works = works };

/* What came by a login whose token is gone went with it; what another Vault lent, with that. */
static bool
lends(const void *source, uint32_t login)
{
	const struct vault *v = source;

	return v->first != 0 && login >= v->first && login > v->lost;
}

const struct source_ops vault_ops = { work_start, work_cancel, lends };
