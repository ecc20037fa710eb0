/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secrets.c: which secrets the broker reads; those of the store on their way to it.
 *
 * Runs in: authority. Trusts: the broker about what it read; the store.
 * Owns: what was last heard of each reference.
 * Invariants: values pass through sealed, and are kept nowhere.
 * See: accesses.c; wire/authority_broker.h, crypto/file_secret.h.
 */
#include "authority.h"

#include <stdio.h>
#include <stdlib.h>

#include <json/write.h>

/* A call of the broker that waits for the store. */
struct waiting {
	uint32_t broker; /* peer id */
	uint64_t id;
};

static struct status
waiting_new(const struct authority *a, uint64_t id, struct waiting **ret)
{
	struct waiting *w = malloc(sizeof(*w));

	if (w == NULL)
		return fail(E_NOMEM);
	*w = (struct waiting){ a->broker.peer_id, id };
	*ret = w;
	return OK;
}

/* Only to the broker that asked; another one has asked nothing. */
static void
answer(struct authority *a, const struct waiting *w, uint16_t type, const void *msg)
{
	if (a->broker.link == NULL || a->broker.peer_id != w->broker)
		return;
	if (!is_ok(link_send(a->broker.link, w->id, type, msg)))
		diag(DIAG_WARN, "broker: an answer about a secret could not be sent");
	link_flush(a->broker.link);
}

/* ---- what was heard ---- */

static struct secret_state *
state_for(struct secret_states *s, struct span reference)
{
	struct secret_state *oldest = &s->items[0];

	for (size_t i = 0; i < s->n; i++) {
		if (span_eq_str(reference, s->items[i].reference))
			return &s->items[i];
		if (s->items[i].heard_ms < oldest->heard_ms)
			oldest = &s->items[i];
	}
	return s->n < SECRET_STATES_MAX ? &s->items[s->n++] : oldest;
}

void
secrets_note(struct authority *a, const char *reference, const struct ab_secret_ended *m)
{
	struct secret_state *s = state_for(&a->secrets, span_str(reference));
	bool same = strcmp(reference, s->reference) == 0;

	if (m->fault == SECRET_FAULT_NONE || !same)
		(void)snprintf(s->version, sizeof(s->version), "%.*s", SPAN_FMT(m->version));
	(void)snprintf(s->reference, sizeof(s->reference), "%s", reference);
	s->fault = (enum secret_fault)m->fault;
	s->heard_ms = now_ms(a);
	s->held_until_ms = m->valid_s == 0 ? 0 : now_ms(a) + m->valid_s * 1000ULL;
}

/* ---- secrets of the store ---- */

static struct span
version_text(uint64_t version, char out[24])
{
	int n = snprintf(out, 24, "%llu", (unsigned long long)version);

	return version == 0 ? SPAN_EMPTY : span_of(out, (size_t)n);
}

static void
on_secret(struct authority *a, void *ctx, enum code code, const void *answered)
{
	const struct as_secret *s = answered;
	struct waiting *w = ctx;
	struct ab_secret_sealed m = { .code = (uint16_t)code };
	char version[24], previous[24];

	if (s != NULL) {
		m.sealed = s->sealed;
		m.previous = s->previous;
		m.version = version_text(s->version, version);
		m.previous_version = version_text(s->previous_version, previous);
	}
	answer(a, w, AB_SECRET_SEALED, &m);
	free(w);
}

void
secrets_on_get(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *peer = ctx;
	const struct ab_secret_name *m = msg;
	const struct as_secret_name ask = { .name = m->name };
	struct waiting *w = NULL;
	struct status st = waiting_new(peer->a, id, &w);

	if (is_ok(st))
		st = store_ask(peer->a, AS_SECRET_GET, &ask, AS_SECRET, on_secret, w);
	if (!is_ok(st)) {
		const struct ab_secret_sealed none = { .code = st.code };

		free(w);
		if (!is_ok(link_send(l, id, AB_SECRET_SEALED, &none)))
			diag(DIAG_WARN, "broker: an answer about a secret could not be sent");
	}
}

void
secrets_changed(struct authority *a, struct span name)
{
	const struct ab_secret_name m = { .name = name };

	if (a->broker.link != NULL && !is_ok(link_send(a->broker.link, 0, AB_SECRET_CHANGED, &m)))
		diag(DIAG_WARN, "broker: a changed secret could not be told");
}

/* ---- for operators ---- */

void
secrets_on_broker_gone(struct authority *a)
{
	a->secrets.n = 0;
}

static const struct secret_state *
state_of(const struct secret_states *s, const char *reference)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->items[i].reference, reference) == 0)
			return &s->items[i];
	}
	return NULL;
}

/* The provider's reference; NULL: it needs none. */
static const char *
credential_of(const struct conf *c, struct span provider)
{
	const char *reference = conf_strf(c, "providers.%.*s.credential", SPAN_FMT(provider));

	return reference == NULL || strcmp(reference, "none") == 0 ? NULL : reference;
}

static bool
is_unavailable(const struct authority *a, const struct secret_state *s)
{
	return s != NULL && s->fault != SECRET_FAULT_NONE && now_ms(a) >= s->held_until_ms;
}

static void
put_credential(
    const struct authority *a, struct json_writer *w, struct span provider, const char *reference)
{
	const struct secret_state *s = state_of(&a->secrets, reference);

	json_put_object(w);
	json_put_key(w, "provider");
	json_put_str(w, provider);
	json_put_key(w, "reference");
	json_put_text(w, reference);
	json_put_key(w, "state");
	if (s == NULL)
		json_put_text(w, "not read yet");
	else
		json_put_text(w, is_unavailable(a, s) ? "unavailable" : "held");
	if (s != NULL && s->version[0] != '\0') {
		json_put_key(w, "version");
		json_put_text(w, s->version);
	}
	if (s != NULL && s->fault != SECRET_FAULT_NONE) {
		json_put_key(w, "fault");
		json_put_text(w, secret_fault_names[s->fault]);
	}
	json_put_end(w);
}

void
secrets_put_status(const struct authority *a, struct json_writer *w)
{
	const struct conf *c = a->d->conf;
	const char *reference;
	struct span name;

	json_put_key(w, "credentials");
	json_put_array(w);
	for (size_t iter = 0; conf_each(c, "providers", &iter, &name);) {
		reference = credential_of(c, name);
		if (reference != NULL)
			put_credential(a, w, name, reference);
	}
	json_put_end(w);
	json_put_key(w, "credentials_unavailable");
	json_put_array(w);
	for (size_t iter = 0; conf_each(c, "providers", &iter, &name);) {
		reference = credential_of(c, name);
		if (reference != NULL && is_unavailable(a, state_of(&a->secrets, reference)))
			json_put_str(w, name);
	}
	json_put_end(w);
}
