/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_SOURCE_H
#define GATEWAY_SOURCE_H

/*
 * Source addresses and what they cost before anybody is authenticated. A
 * bounded table: the address that was idle longest is forgotten first. IPv6
 * addresses count as their /64.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <wire/limits.h>

#define SOURCE_BUCKETS 4096

struct source {
	LIST_ENTRY(source) in_bucket;
	TAILQ_ENTRY(source) in_idle;    /* without connections */
	TAILQ_ENTRY(source) in_waiting; /* with failures to report */
	struct sources *all;
	uint8_t key[SOURCE_LEN];
	uint32_t connections;
	uint64_t handshakes_since_ms; /* a window of one second */
	uint32_t handshakes;
	uint64_t singles_since_ms;   /* a window of one second */
	uint32_t singles;            /* failures in it that were recorded one by one */
	uint64_t reported_ms;        /* failures: last report; 0 never */
	uint32_t failures;           /* not yet reported */
	uint8_t address[SOURCE_LEN]; /* of the last failure, whole */
};

struct source_limits {
	uint32_t connections;
	uint32_t handshakes_per_s;
	size_t sources_max;
	uint32_t auth_failures_per_s; /* more are counted, not recorded one by one */
};

struct sources {
	LIST_HEAD(source_bucket, source) buckets[SOURCE_BUCKETS];
	TAILQ_HEAD(source_idle, source) idle; /* in the order of last use */
	TAILQ_HEAD(source_waiting, source) waiting;
	struct source end; /* of an iteration */
	size_t count;
	uint64_t seed;
	struct source_limits limits;
};

void sources_init(struct sources *s, uint64_t seed);
void sources_free(struct sources *s);
/* The address as IPv6, IPv4 mapped; all zero for others. */
void source_address(const struct sockaddr *sa, uint8_t out[SOURCE_LEN]);
/* One more connection. NULL: over a limit, or the table is full of busy ones. */
struct source *source_enter(struct sources *s, const uint8_t address[SOURCE_LEN], uint64_t now_ms);
void source_leave(struct source *src);
/* May this failed credential be recorded on its own? Above limits.auth_failures_per_s not. */
bool source_single(struct source *src, uint64_t now_ms);
/*
 * A credential failed its checksum. True: report *ret_count failures of the last
 * *ret_window_ms now (the first at once, then once a second).
 */
bool source_failure(struct source *src, const uint8_t address[SOURCE_LEN], uint64_t now_ms,
    uint32_t *ret_count, uint32_t *ret_window_ms);
/*
 * The next source with failures whose report is due; NULL: none. Start with
 * *iter = NULL; nothing else may happen to the table meanwhile.
 */
struct source *sources_due(struct sources *s, struct source **iter, uint64_t now_ms,
    uint32_t *ret_count, uint32_t *ret_window_ms);

/* Does any source have failures that are not yet reported? */
bool sources_waiting(const struct sources *s);

#endif
