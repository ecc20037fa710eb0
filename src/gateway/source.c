/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.c: what an address may do before it has shown a key.
 *
 * Runs in: gateway. Trusts: the kernel for the peer's address.
 * Owns: the table, at most limits.sources_max entries.
 * Invariants: an entry with connections is never forgotten; `idle` holds those
 * without, `waiting` those with failures to report.
 * See: source.h; accept.c.
 */
#include "source.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_MS 1000

void
sources_init(struct sources *s, uint64_t seed)
{
	for (size_t i = 0; i < SOURCE_BUCKETS; i++)
		LIST_INIT(&s->buckets[i]);
	TAILQ_INIT(&s->idle);
	TAILQ_INIT(&s->waiting);
	s->count = 0;
	s->seed = seed;
}

void
sources_free(struct sources *s)
{
	for (size_t i = 0; i < SOURCE_BUCKETS; i++) {
		struct source *src;

		while ((src = LIST_FIRST(&s->buckets[i])) != NULL) {
			LIST_REMOVE(src, in_bucket);
			free(src);
		}
	}
	TAILQ_INIT(&s->idle);
	TAILQ_INIT(&s->waiting);
	s->count = 0;
}

void
source_address(const struct sockaddr *sa, uint8_t out[SOURCE_LEN])
{
	memset(out, 0, SOURCE_LEN);
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		out[10] = out[11] = 0xff;
		memcpy(out + 12, &in->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		memcpy(out, &in6->sin6_addr, SOURCE_LEN);
	}
}

static void
key_of(const uint8_t address[SOURCE_LEN], uint8_t key[SOURCE_LEN])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(key, address, SOURCE_LEN);
	if (memcmp(address, mapped, sizeof(mapped)) != 0)
		memset(key + 8, 0, 8);
}

static size_t
bucket_of(const struct sources *s, const uint8_t key[SOURCE_LEN])
{
	uint64_t a, b;

	memcpy(&a, key, 8);
	memcpy(&b, key + 8, 8);
	a = (a ^ s->seed) * 0x9e3779b97f4a7c15ULL;
	a = (a ^ (a >> 29) ^ b) * 0xbf58476d1ce4e5b9ULL;
	return (a ^ (a >> 32)) % SOURCE_BUCKETS;
}

static bool
make_room(struct sources *s)
{
	struct source *src = TAILQ_FIRST(&s->idle);

	if (s->count < s->limits.sources_max)
		return true;
	if (src == NULL)
		return false;
	LIST_REMOVE(src, in_bucket);
	TAILQ_REMOVE(&s->idle, src, in_idle);
	if (src->failures > 0)
		TAILQ_REMOVE(&s->waiting, src, in_waiting);
	free(src);
	s->count--;
	return true;
}

static struct source *
find_or_make(struct sources *s, const uint8_t key[SOURCE_LEN])
{
	size_t bucket = bucket_of(s, key);
	struct source *src;

	LIST_FOREACH(src, &s->buckets[bucket], in_bucket)
	{
		if (memcmp(src->key, key, SOURCE_LEN) == 0) {
			if (src->connections == 0) {
				TAILQ_REMOVE(&s->idle, src, in_idle);
				TAILQ_INSERT_TAIL(&s->idle, src, in_idle);
			}
			return src;
		}
	}
	if (!make_room(s) || (src = calloc(1, sizeof(*src))) == NULL)
		return NULL;
	memcpy(src->key, key, SOURCE_LEN);
	LIST_INSERT_HEAD(&s->buckets[bucket], src, in_bucket);
	TAILQ_INSERT_TAIL(&s->idle, src, in_idle);
	src->all = s;
	s->count++;
	return src;
}

struct source *
source_enter(struct sources *s, const uint8_t address[SOURCE_LEN], uint64_t now_ms)
{
	uint8_t key[SOURCE_LEN];
	struct source *src;

	key_of(address, key);
	src = find_or_make(s, key);
	if (src == NULL || src->connections >= s->limits.connections)
		return NULL;
	if (now_ms - src->handshakes_since_ms >= WINDOW_MS) {
		src->handshakes_since_ms = now_ms;
		src->handshakes = 0;
	}
	if (src->handshakes >= s->limits.handshakes_per_s)
		return NULL;
	src->handshakes++;
	if (src->connections++ == 0)
		TAILQ_REMOVE(&s->idle, src, in_idle);
	return src;
}

void
source_leave(struct source *src)
{
	if (--src->connections == 0)
		TAILQ_INSERT_TAIL(&src->all->idle, src, in_idle);
}

bool
source_single(struct source *src, uint64_t now_ms)
{
	if (now_ms - src->singles_since_ms >= WINDOW_MS) {
		src->singles_since_ms = now_ms;
		src->singles = 0;
	}
	if (src->singles >= src->all->limits.auth_failures_per_s)
		return false;
	src->singles++;
	return true;
}

static bool
take_report(struct source *src, uint64_t now_ms, uint32_t *ret_count, uint32_t *ret_window_ms)
{
	uint64_t since = now_ms - src->reported_ms;

	if (src->failures == 0 || (src->reported_ms != 0 && since < WINDOW_MS))
		return false;
	*ret_count = src->failures;
	*ret_window_ms = src->reported_ms == 0 ? 0 : (uint32_t)(since > 60000 ? 60000 : since);
	TAILQ_REMOVE(&src->all->waiting, src, in_waiting);
	src->failures = 0;
	src->reported_ms = now_ms;
	return true;
}

bool
source_failure(struct source *src, const uint8_t address[SOURCE_LEN], uint64_t now_ms,
    uint32_t *ret_count, uint32_t *ret_window_ms)
{
	memcpy(src->address, address, SOURCE_LEN);
	if (src->failures == 0)
		TAILQ_INSERT_TAIL(&src->all->waiting, src, in_waiting);
	if (src->failures < UINT32_MAX)
		src->failures++;
	return take_report(src, now_ms, ret_count, ret_window_ms);
}

struct source *
sources_due(struct sources *s, struct source **iter, uint64_t now_ms, uint32_t *ret_count,
    uint32_t *ret_window_ms)
{
	struct source *next = *iter == NULL ? TAILQ_FIRST(&s->waiting) : *iter;

	while (next != NULL && next != &s->end) {
		struct source *src = next;

		next = TAILQ_NEXT(src, in_waiting);
		*iter = next == NULL ? &s->end : next;
		if (take_report(src, now_ms, ret_count, ret_window_ms))
			return src;
	}
	return NULL;
}

bool
sources_waiting(const struct sources *s)
{
	return !TAILQ_EMPTY(&s->waiting);
}
