/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failures.c: counts of failed authentications per source.
 *
 * Runs in: authority. Trusts: nothing; sources are as many as attackers have.
 * Owns: a pool of fixed size. Invariants: every failure is in exactly one
 * record, single or counted; the table never grows.
 * See: failures.h.
 */
#include "failures.h"

#include <stdlib.h>

#include <base/rand.h>

static struct failure_source *source_get(
    struct failures *f, const uint8_t source[SOURCE_LEN], uint64_t now_s);
static void source_free(struct failures *f, struct failure_source *s);

struct status
failures_init(struct failures *f)
{
	*f = (struct failures){ 0 };
	TAILQ_INIT(&f->by_age);
	TAILQ_INIT(&f->unused);
	TRY(rand_bytes(&f->seed, sizeof(f->seed)));
	f->pool = calloc(FAILURE_SOURCES_MAX, sizeof(f->pool[0]));
	if (f->pool == NULL)
		return fail(E_NOMEM);
	for (size_t i = 0; i < FAILURE_SOURCES_MAX; i++)
		TAILQ_INSERT_TAIL(&f->unused, &f->pool[i], by_age);
	return OK;
}

void
failures_done(struct failures *f)
{
	free(f->pool);
	f->pool = NULL;
}

bool
failures_note(struct failures *f, const uint8_t source[SOURCE_LEN], uint64_t count,
    uint32_t per_s_max, uint64_t now_s)
{
	struct failure_source *s = source_get(f, source, now_s);

	if (s->second != now_s) {
		s->second = now_s;
		s->singles = 0;
	}
	if (f->second != now_s) {
		f->second = now_s;
		f->singles = 0;
	}
	if (count == 1 && s->singles < per_s_max && f->singles < FAILURE_SINGLES_PER_S_MAX) {
		s->singles++;
		f->singles++;
		return true;
	}
	s->counted += count;
	return false;
}

void
failures_count(struct failures *f, const uint8_t source[SOURCE_LEN], uint64_t count, uint64_t now_s)
{
	source_get(f, source, now_s)->counted += count;
}

void
failures_flush(struct failures *f, uint64_t now_ms,
    bool (*emit)(void *ctx, const uint8_t *source, uint64_t count, uint64_t window_ms), void *ctx)
{
	uint64_t window_ms = f->flushed_ms == 0 ? 1000 : now_ms - f->flushed_ms;
	struct failure_source *s, *next;
	uint32_t emitted = 0;

	f->flushed_ms = now_ms;
	for (s = TAILQ_FIRST(&f->by_age); s != NULL; s = next) {
		next = TAILQ_NEXT(s, by_age);
		if (s->counted > 0 && emitted < FAILURE_COUNTED_PER_S_MAX) {
			emitted++;
			if (!emit(ctx, s->source, s->counted, window_ms))
				return;
			s->counted = 0;
		}
		if (s->counted > 0) {
			f->others += s->counted;
			s->counted = 0;
		}
		if (s->seen_s + FAILURE_IDLE_S < now_ms / 1000)
			source_free(f, s);
	}
	if (f->others > 0 && emit(ctx, NULL, f->others, window_ms))
		f->others = 0;
}

/* IPv4-mapped addresses whole; of others the network. */
static void
source_name(const uint8_t source[SOURCE_LEN], uint8_t out[SOURCE_LEN])
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	memcpy(out, source, SOURCE_LEN);
	if (memcmp(source, mapped, sizeof(mapped)) != 0)
		memset(out + SOURCE_LEN / 2, 0, SOURCE_LEN / 2);
}

static struct failure_list *
bucket_of(struct failures *f, const uint8_t name[SOURCE_LEN])
{
	uint64_t h = f->seed;

	for (size_t i = 0; i < SOURCE_LEN; i++) {
		h = (h ^ name[i]) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return &f->buckets[(h ^ h >> 32) % FAILURE_BUCKETS];
}

bool
failures_over(
    struct failures *f, const uint8_t source[SOURCE_LEN], uint32_t per_s_max, uint64_t now_s)
{
	uint8_t name[SOURCE_LEN];
	const struct failure_source *s;

	source_name(source, name);
	LIST_FOREACH(s, bucket_of(f, name), in_bucket)
	{
		if (memcmp(s->source, name, SOURCE_LEN) == 0)
			return s->second == now_s && s->singles >= per_s_max;
	}
	return false;
}

static struct failure_source *
source_get(struct failures *f, const uint8_t source[SOURCE_LEN], uint64_t now_s)
{
	uint8_t name[SOURCE_LEN];
	struct failure_list *bucket;
	struct failure_source *s;

	source_name(source, name);
	bucket = bucket_of(f, name);
	LIST_FOREACH(s, bucket, in_bucket)
	{
		if (memcmp(s->source, name, SOURCE_LEN) != 0)
			continue;
		TAILQ_REMOVE(&f->by_age, s, by_age);
		TAILQ_INSERT_TAIL(&f->by_age, s, by_age);
		s->seen_s = now_s;
		return s;
	}
	if (TAILQ_EMPTY(&f->unused))
		source_free(f, TAILQ_FIRST(&f->by_age));
	s = TAILQ_FIRST(&f->unused);
	TAILQ_REMOVE(&f->unused, s, by_age);
	*s = (struct failure_source){ .seen_s = now_s };
	memcpy(s->source, name, SOURCE_LEN);
	LIST_INSERT_HEAD(bucket, s, in_bucket);
	TAILQ_INSERT_TAIL(&f->by_age, s, by_age);
	return s;
}

static void
source_free(struct failures *f, struct failure_source *s)
{
	f->others += s->counted;
	LIST_REMOVE(s, in_bucket);
	TAILQ_REMOVE(&f->by_age, s, by_age);
	TAILQ_INSERT_TAIL(&f->unused, s, by_age);
}
