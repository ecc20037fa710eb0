/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c: operations on what is kept for users: which are asked for where, and how
 * the store's part in them ends.
 *
 * Runs in: authority. Trusts: the store about what it did; the gateway about nothing. Owns:
 * nothing. Invariants: an operation is granted after the receipt of its intent, to the user of the
 * key alone; whose an object is, the store finds out from the grant. See: turn.h, wire/content.h,
 * wire/gateway_store.h.
 */
#include "authority.h"

#include <stdio.h>

#include <base/encode.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>

#define OP(op) (1U << CONTENT_##op)

/* Operations by endpoint and kind. */
static const uint16_t due[ENDPOINT_COUNT][CONTENT_KIND_COUNT] = {
	[ENDPOINT_RESPONSES] = {
	    [CONTENT_CONVERSATION] = OP(LOAD),
	    [CONTENT_RESPONSE] = OP(LOAD),
	},
	[ENDPOINT_CONVERSATIONS] = {
	    [CONTENT_CONVERSATION] = OP(CREATE) | OP(READ) | OP(UPDATE) | OP(DELETE),
	    [CONTENT_ITEM] = OP(CREATE) | OP(READ) | OP(LIST) | OP(DELETE),
	},
	[ENDPOINT_STORED_RESPONSES] = {
	    [CONTENT_RESPONSE] = OP(READ) | OP(LIST) | OP(DELETE),
	},
	[ENDPOINT_FILES] = {
	    [CONTENT_FILE] = OP(CREATE) | OP(READ) | OP(LIST) | OP(DELETE) | OP(BODY),
	},
};

static bool
is_of_content(uint8_t endpoint)
{
	return endpoint == ENDPOINT_CONVERSATIONS || endpoint == ENDPOINT_STORED_RESPONSES ||
	       endpoint == ENDPOINT_FILES;
}

/* A list of items, and new ones, name their conversation or response. */
static bool
names_object(const struct ga_admit *m)
{
	return m->content_op != CONTENT_LIST || m->content_kind != CONTENT_FILE;
}

bool
content_is_due(const struct ga_admit *m)
{
	if (m->refused != ERROR_NONE)
		return true; /* nothing will be done */
	if (m->content_op == 0)
		return !is_of_content(m->endpoint);
	if ((due[m->endpoint][m->content_kind] & 1U << m->content_op) == 0)
		return false;
	return m->content_id.len > 0 || !names_object(m);
}

bool
content_id_ok(struct span id)
{
	for (size_t i = 0; i < id.len; i++) {
		uint8_t c = id.ptr[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '_' && c != '-')
			return false;
	}
	return id.len <= CONTENT_ID_MAX;
}

/* As the gateway makes them (keep_new_id()), of those that it alone makes. */
static bool
is_random(uint8_t kind, struct span id)
{
	static const char *const heads[CONTENT_KIND_COUNT] = { [CONTENT_CONVERSATION] = "conv_",
		[CONTENT_RESPONSE] = "resp_",
		[CONTENT_FILE] = "file-" };
	size_t head = heads[kind] == NULL ? 0 : strlen(heads[kind]);

	if (head == 0 || id.len != head + CONTENT_ID_RANDOM ||
	    !span_starts(id, span_of(heads[kind], head)))
		return false;
	for (size_t i = head; i < id.len; i++) {
		if (!(id.ptr[i] >= '0' && id.ptr[i] <= '9') &&
		    !(id.ptr[i] >= 'a' && id.ptr[i] <= 'f'))
			return false;
	}
	return true;
}

static struct status
keyed_hash(const struct user *u, struct span id, uint8_t mac[SHA256_LEN])
{
	const struct span parts[] = { SPAN_LIT("content"), id };
	struct hmac_key *h = NULL;
	struct status st;

	TRY(hmac_key_new(span_of(u->subject_key, AS_SECRET_LEN), &h));
	st = hmac_sha256_parts(h, parts, sizeof(parts) / sizeof(parts[0]), mac);
	hmac_key_free(h);
	return st;
}

/*
 * What the log calls it. A client may choose ids of items, and ask for any: their words stand there
 * under a key of their user, which goes with the user.
 */
static void
name_for_log(struct run *r, const struct user *u, struct span id)
{
	uint8_t mac[SHA256_LEN] = { 0 };
	char hash[CONTENT_ID_RANDOM + 1] = "";

	if (id.len > 0 && !is_random(r->content_kind, id)) {
		if (is_ok(keyed_hash(u, id, mac)))
			hex_encode(span_of(mac, CONTENT_ID_RANDOM / 2), hash);
		(void)snprintf(r->content_name, sizeof(r->content_name), "~%s", hash);
		return;
	}
	(void)snprintf(r->content_name, sizeof(r->content_name), "%.*s",
	    SPAN_FMT(id.len > 0 ? id : SPAN_LIT("*")));
}

void
turn_run_of_content(struct run *r, const struct user *u, uint8_t op, uint8_t kind, struct span id,
    uint32_t body_len)
{
	r->kind = RUN_OF_CONTENT;
	r->content_op = op;
	r->content_kind = kind;
	r->size_bytes = body_len;
	(void)snprintf(r->content_id, sizeof(r->content_id), "%.*s", SPAN_FMT(id));
	name_for_log(r, u, id);
}

struct span
content_resource(const struct run *r)
{
	return span_str(r->content_name);
}

/* ---- what the store reports ---- */

static bool
is_at_work(const struct run *r)
{
	return r->kind == RUN_OF_CONTENT && r->open && r->granted && !r->done;
}

void
content_on_done(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *peer = ctx;
	const struct as_content_done *m = msg;
	struct turn *t = turn_find(peer->a, m->turn);
	struct run *r = t == NULL ? NULL : &t->run;

	(void)l, (void)id;
	if (r == NULL || !is_at_work(r) ||
	    !crypto_eq(span_of(r->grant, GRANT_LEN), span_of(m->grant, GRANT_LEN)))
		return;
	r->done = true;
	r->error = (enum error)m->error;
	r->content_size = m->size_bytes;
	r->content_items = m->items;
	(void)turn_event(t, TURN_EV_RUN_DONE, NULL);
}

/* With the store went its operations; whether they were done is not known. */
void
content_on_store_gone(struct authority *a)
{
	struct turn *t, *next;

	for (t = TAILQ_FIRST(&a->turns.in_use); t != NULL; t = next) {
		next = TAILQ_NEXT(t, in_use);
		if (!is_at_work(&t->run))
			continue;
		t->run.done = t->run.unknown = true;
		t->run.cause = AUDIT_PROCESS_DIED;
		(void)turn_event(t, TURN_EV_RUN_DONE, NULL);
	}
}
