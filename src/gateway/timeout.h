/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_TIMEOUT_H
#define GATEWAY_TIMEOUT_H

/*
 * Many timeouts on one timer. All timeouts of a queue have the same length when
 * they are set, so that a queue is in order and setting one is O(1).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum timeout_kind {
	TIMEOUT_HANDSHAKE,
	TIMEOUT_HEADER,
	TIMEOUT_BODY,
	TIMEOUT_IDLE,
	TIMEOUT_WRITE,
	TIMEOUT_LINGER,
	TIMEOUT_ADMIT, /* the authority's answer, before a client is told to try again */
	TIMEOUT_TURN,
	TIMEOUT_RUN, /* beside the run's own limit */
	TIMEOUT_KINDS,
};

struct timeout {
	TAILQ_ENTRY(timeout) next;
	uint64_t deadline_ms;
	enum timeout_kind kind;
	bool set;
	void (*fn)(struct timeout *t);
	void *owner;
};

struct timeouts {
	TAILQ_HEAD(timeout_queue, timeout) queues[TIMEOUT_KINDS];
	uint64_t len_ms[TIMEOUT_KINDS];
};

void timeouts_init(struct timeouts *all);
/* Set, or set anew. */
void timeout_set(struct timeouts *all, struct timeout *t, enum timeout_kind kind, uint64_t now_ms);
/* The same with `more_ms` on top; in the order of deadlines. */
void timeout_set_longer(struct timeouts *all, struct timeout *t, enum timeout_kind kind,
    uint64_t more_ms, uint64_t now_ms);
void timeout_clear(struct timeouts *all, struct timeout *t);
/* Run what is due. */
void timeouts_run(struct timeouts *all, uint64_t now_ms);
/* The earliest deadline; UINT64_MAX: none. */
uint64_t timeouts_next(const struct timeouts *all);

#endif
