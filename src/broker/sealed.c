/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed.c: secrets that the command line sealed, by way of the authority.
 *
 * Runs in: broker. Trusts: the authority for which blob is the current one; nothing in a blob.
 * Owns: the key of file secrets.
 * Invariants: a blob is opened under the name that was asked for, or not at all.
 * See: source.h; wire/authority_broker.h (SECRET_GET); crypto/file_secret.h.
 */
#include "sealed.h"

#include <stdio.h>
#include <stdlib.h>

#include <crypto/file_secret.h>

#include "broker.h"

struct sealed {
	struct broker *b;
	struct secret key;
};

struct sealed_work {
	struct sealed *s;
	struct source_job *job;
	struct link *link;
	uint64_t id;
	char version[SECRET_VERSION_MAX + 1];
};

static void
end(struct sealed_work *w, struct source_result *r)
{
	struct source_job *job = w->job;

	job->work = NULL;
	job->done(job, r);
	secret_done(&r->value);
	free(w);
}

static enum secret_fault
fault_of(struct status st, bool *refused)
{
	*refused = st.code == E_CRYPTO || st.code == E_SYNTAX || st.code == E_RANGE ||
		   st.code == E_NOTFOUND;
	if (st.code == E_NOTFOUND)
		return SECRET_NOT_FOUND;
	if (*refused)
		return SECRET_TAMPERED;
	return st.code == E_CLOSED || st.code == E_TIMEOUT ? SECRET_UNREACHABLE : SECRET_FAILED;
}

static struct status
take(struct sealed_work *w, const struct ab_secret_sealed *m, struct source_result *r)
{
	bool previous = w->job->op == LIFETIME_PREVIOUS;
	struct span version = previous ? m->previous_version : m->version;
	struct span blob = previous ? m->previous : m->sealed;

	if (m->code != E_OK)
		return fail((enum code)m->code);
	if (blob.len == 0)
		return fail(E_NOTFOUND);
	TRY(span_to_cstr(version, w->version, sizeof(w->version)));
	TRY(file_secret_open(&w->s->key, w->job->ref.place, blob, &r->value));
	r->reading = (struct lifetime_reading){ .version = w->version, .lease = "" };
	return OK;
}

static void
on_sealed(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct sealed_work *w = ctx;
	struct source_result r = { .value = SECRET_NONE };

	(void)l;
	if (is_ok(st))
		st = type == AB_SECRET_SEALED ? take(w, msg, &r) : fail(E_PROTO);
	if (!is_ok(st))
		r.fault = fault_of(st, &r.refused);
	end(w, &r);
}

static struct status
start(void *source, struct source_job *job)
{
	struct sealed *s = source;
	const struct ab_secret_name m = { .name = job->ref.place };
	struct sealed_work *w;
	struct status st;

	if (s->b->authority == NULL)
		return fail(E_CLOSED);
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return fail(E_NOMEM);
	*w = (struct sealed_work){ .s = s, .job = job, .link = s->b->authority };
	st = link_call(w->link, AB_SECRET_GET, &m, SEALED_CALL_MS, on_sealed, w, &w->id);
	if (!is_ok(st)) {
		free(w);
		return st;
	}
	job->work = w;
	return OK;
}

static void
cancel(struct source_job *job)
{
	struct sealed_work *w = job->work;

	job->work = NULL;
	if (w == NULL)
		return;
	link_call_cancel(w->link, w->id); /* a link tells its calls before it goes: it is there */
	free(w);
}

const struct source_ops sealed_ops = { start, cancel, NULL };

struct status
sealed_new(struct broker *b, struct secret *key, struct sealed **ret)
{
	struct sealed *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return fail(E_NOMEM);
	s->b = b;
	s->key = secret_take(key);
	*ret = s;
	return OK;
}
