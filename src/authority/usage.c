/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage.c: what requests have used, on its way to the store.
 *
 * Runs in: authority. Trusts: the gateway's counts of tokens no further than
 * TOKENS_MAX, of the turns that it was granted. Owns: the counts.
 * Invariants: bounded; a batch is sent again under its number until the store has
 * confirmed it, so that it counts once; provider's counts and our estimates are
 * never added up. See: usage.h, src/store/usage.c.
 */
#include "authority.h"

#include <stdlib.h>

#include <base/rand.h>

static void on_added(struct authority *a, void *ctx, enum code code, const void *answered);

struct status
usage_init(struct usage *u)
{
	u->pending = calloc(USAGE_PENDING_MAX, sizeof(u->pending[0]));
	u->flight = calloc(AS_USAGE_BATCH_MAX, sizeof(u->flight[0]));
	u->buckets = calloc(USAGE_BUCKETS, sizeof(u->buckets[0]));
	if (u->pending == NULL || u->flight == NULL || u->buckets == NULL)
		return fail(E_NOMEM);
	return rand_bytes(u->epoch, sizeof(u->epoch));
}

void
usage_done(struct usage *u)
{
	free(u->pending);
	free(u->flight);
	free(u->buckets);
	*u = (struct usage){ 0 };
}

/* ---- counting ---- */

static uint32_t *
bucket_of(struct usage *u, const uint8_t id[KEY_ID_LEN], const char *model)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < KEY_ID_LEN; i++)
		h = (h ^ id[i]) * 0x100000001b3ULL;
	for (; *model != '\0'; model++)
		h = (h ^ (uint8_t)*model) * 0x100000001b3ULL;
	return &u->buckets[(h >> 20) % USAGE_BUCKETS];
}

static struct usage_entry *
entry_of(struct usage *u, const uint8_t id[KEY_ID_LEN], const char *model, uint32_t day)
{
	uint32_t *bucket = bucket_of(u, id, model);
	struct usage_entry *e;

	for (uint32_t at = *bucket; at != 0; at = e->next) {
		e = &u->pending[at - 1];
		if (memcmp(e->item.id, id, KEY_ID_LEN) == 0 && strcmp(e->model, model) == 0 &&
		    e->item.day == day)
			return e;
	}
	if (u->n == USAGE_PENDING_MAX)
		return NULL;
	e = &u->pending[u->n++];
	*e = (struct usage_entry){ .item = { .day = day }, .next = *bucket };
	memcpy(e->item.id, id, KEY_ID_LEN);
	memcpy(e->model, model, strlen(model) + 1);
	*bucket = u->n;
	return e;
}

void
usage_note(struct turn *t)
{
	struct authority *a = t->a;
	enum error error = t->error != ERROR_NONE ? t->error : t->end_error;
	struct usage_entry *e;

	if (t->key == NULL || a->usage.pending == NULL)
		return;
	e = entry_of(&a->usage, key_root(t->key)->id, t->model, (uint32_t)(now_real_s() / 86400));
	if (e == NULL) {
		daemon_metric_add(METRIC_USAGE_DROPPED, 1);
		return;
	}
	e->item.requests++;
	e->item.errors += error != ERROR_NONE;
	if (t->tokens_estimated) {
		e->item.estimated++;
		e->item.estimated_in += t->tokens_in;
		e->item.estimated_out += t->tokens_out;
	} else {
		e->item.tokens_in += t->tokens_in;
		e->item.tokens_out += t->tokens_out;
		e->item.cached_in += t->tokens_cached;
		e->item.cache_written_in += t->tokens_cache_written;
		e->item.reasoning_out += t->tokens_reasoning;
	}
	daemon_metric_add(METRIC_TOKENS_IN, t->tokens_in);
	daemon_metric_add(METRIC_TOKENS_OUT, t->tokens_out);
}

/* ---- on its way ---- */

/* The last entry leaves its bucket and the table. */
static void
take_last(struct usage *u, struct usage_entry *to)
{
	struct usage_entry *e = &u->pending[u->n - 1];
	uint32_t *at = bucket_of(u, e->item.id, e->model);

	while (*at != u->n)
		at = &u->pending[*at - 1].next;
	*at = e->next;
	*to = *e;
	u->n--;
}

static void
take_batch(struct usage *u)
{
	while (u->n > 0 && u->nflight < AS_USAGE_BATCH_MAX)
		take_last(u, &u->flight[u->nflight++]);
	u->seq++;
}

static struct status
send_batch(struct authority *a)
{
	struct usage *u = &a->usage;
	struct as_usage_item items[AS_USAGE_BATCH_MAX];
	struct as_usage_add m = { .seq = u->seq, .items = { items, u->nflight } };

	memcpy(m.epoch, u->epoch, sizeof(m.epoch));
	for (uint32_t i = 0; i < u->nflight; i++) {
		items[i] = u->flight[i].item;
		items[i].model = span_str(u->flight[i].model);
	}
	return store_ask(a, AS_USAGE_ADD, &m, AS_DONE, on_added, NULL);
}

void
usage_flush(struct authority *a)
{
	struct usage *u = &a->usage;

	if (u->waiting || a->store.link == NULL || usage_is_idle(a))
		return;
	u->flushed_ms = now_ms(a);
	if (u->nflight == 0)
		take_batch(u);
	u->waiting = is_ok(send_batch(a));
}

static void
on_added(struct authority *a, void *ctx, enum code code, const void *answered)
{
	struct usage *u = &a->usage;

	(void)ctx, (void)answered;
	u->waiting = false;
	if (code == E_RANGE) /* it would never be taken */
		daemon_metric_add(METRIC_USAGE_DROPPED, u->nflight);
	else if (code != E_OK)
		return; /* once more, with the next tick */
	u->nflight = 0;
	if (u->n > AS_USAGE_BATCH_MAX || a->d->draining)
		usage_flush(a);
	authority_check_drained(a);
}

void
usage_tick(struct authority *a)
{
	if (now_ms(a) >= a->usage.flushed_ms + USAGE_FLUSH_MS)
		usage_flush(a);
}

bool
usage_is_idle(const struct authority *a)
{
	return a->usage.n == 0 && a->usage.nflight == 0;
}
