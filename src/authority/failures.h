/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_FAILURES_H
#define AUTHORITY_FAILURES_H

/*
 * Failed authentications per source. Below the limit each is a record of its
 * own; above it they are counted, one record a second and source. Sources are
 * whole IPv4 addresses and IPv6 networks of 64 bits, in a bounded table whose
 * oldest entry makes room; its count goes into one record for "others".
 */
#include <sys/queue.h>

#include <base/span.h>
#include <wire/limits.h>

#define FAILURE_SOURCES_MAX 16384
#define FAILURE_BUCKETS 16384
#define FAILURE_SINGLES_PER_S_MAX 2000 /* single records, all sources together */
#define FAILURE_COUNTED_PER_S_MAX 1024 /* counted records; the rest is "others" */
#define FAILURE_IDLE_S 60

struct failure_source {
	LIST_ENTRY(failure_source) in_bucket;
	TAILQ_ENTRY(failure_source) by_age; /* head: seen longest ago */
	uint8_t source[SOURCE_LEN];
	uint64_t second;  /* of `singles` */
	uint64_t seen_s;  /* last */
	uint32_t singles; /* recorded one by one in `second` */
	uint64_t counted; /* since the last flush */
};

struct failures {
	struct failure_source *pool;
	LIST_HEAD(failure_list, failure_source) buckets[FAILURE_BUCKETS];
	TAILQ_HEAD(failure_queue, failure_source) by_age, unused;
	uint64_t seed;
	uint64_t second; /* of `singles` */
	uint32_t singles;
	uint64_t others; /* counted failures whose source is gone from the table */
	uint64_t flushed_ms;
};

MUST_USE struct status failures_init(struct failures *f);
void failures_done(struct failures *f);
/* Note `count` failures. True: write one single record now (count is 1). */
bool failures_note(struct failures *f, const uint8_t source[SOURCE_LEN], uint64_t count,
    uint32_t per_s_max, uint64_t now_s);
/* Has the source had all the single failures of this second? Then nothing is to be spent on it. */
bool failures_over(
    struct failures *f, const uint8_t source[SOURCE_LEN], uint32_t per_s_max, uint64_t now_s);
/* Count without a single record: for one that could not be written. */
void failures_count(
    struct failures *f, const uint8_t source[SOURCE_LEN], uint64_t count, uint64_t now_s);
/*
 * Each second: `emit` for every source with counted failures, then once with a
 * NULL source for the others. When emit fails, what it was given is kept.
 */
void failures_flush(struct failures *f, uint64_t now_ms,
    bool (*emit)(void *ctx, const uint8_t *source, uint64_t count, uint64_t window_ms), void *ctx);

#endif
