/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifetime.c: the times of one credential.
 *
 * Runs in: broker. Trusts: its caller's clock. Owns: nothing.
 * Invariants: nothing is used for an hour after it was asked for, nor past its lease; at most
 * one request to the source at a time; a source that fails is asked again later and later, with
 * full jitter; a version that a provider refused is read again once a minute, no more.
 * See: lifetime.h; credential.c, which acts on it.
 */
#include "lifetime.h"

#include <assert.h>
#include <stdio.h>

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Between `span` less a quarter and `span`. */
static uint64_t
jittered(uint64_t span, uint32_t roll)
{
	return span - (span / 4) * (roll % 1024) / 1024;
}

void
lifetime_init(struct lifetime *l, const struct lifetime_opts *opts)
{
	*l = (struct lifetime){ .opts = *opts,
		.want_read = true,
		.why = SECRET_START,
		.refresh_ms = LIFETIME_NEVER,
		.poll_ms = LIFETIME_NEVER,
		.renew_ms = LIFETIME_NEVER };
}

enum lifetime_op
lifetime_next(const struct lifetime *l, uint64_t now_ms, uint64_t *ret_wake_ms)
{
	*ret_wake_ms = LIFETIME_NEVER;
	if (l->flight != LIFETIME_IDLE)
		return LIFETIME_IDLE;
	*ret_wake_ms = l->not_before_ms;
	if (now_ms < l->not_before_ms)
		return LIFETIME_IDLE;
	if (l->want_read || now_ms >= l->refresh_ms)
		return LIFETIME_READ;
	if (l->want_previous)
		return LIFETIME_PREVIOUS;
	if (now_ms >= l->renew_ms)
		return LIFETIME_RENEW;
	if (now_ms >= l->poll_ms)
		return l->opts.polls && !l->poll_reads ? LIFETIME_POLL : LIFETIME_READ;
	*ret_wake_ms = earlier(l->refresh_ms, earlier(l->renew_ms, l->poll_ms));
	return LIFETIME_IDLE;
}

void
lifetime_begin(struct lifetime *l, enum lifetime_op op, uint64_t now_ms)
{
	assert(l->flight == LIFETIME_IDLE && op != LIFETIME_IDLE);
	if (op == LIFETIME_READ && !l->want_read)
		l->why = now_ms >= l->refresh_ms ? SECRET_EXPIRING : SECRET_ROTATED;
	l->flight = op;
	l->flight_ms = now_ms;
	l->again = false;
}

uint64_t
lifetime_end(uint64_t read_ms, uint64_t lease_ms)
{
	if (lease_ms == 0 || lease_ms > LIFETIME_AGE_MAX_MS)
		lease_ms = LIFETIME_AGE_MAX_MS;
	return read_ms + lease_ms;
}

/* Its times, from an answer to the flight that began at l->flight_ms. */
static void
schedule(struct lifetime *l, uint64_t lease_ms, bool renewable, uint64_t now_ms, uint32_t roll)
{
	uint64_t lease_end = lifetime_end(l->flight_ms, lease_ms), two_thirds;

	l->end_ms = earlier(lease_end, l->read_ms + LIFETIME_AGE_MAX_MS);
	two_thirds = (l->end_ms - l->flight_ms) / 3 * 2;
	/* A lease that is short beside the hour is renewed; the hour itself ends in a read. */
	l->refresh_ms = l->flight_ms + jittered(two_thirds, roll);
	l->renew_ms = LIFETIME_NEVER;
	if (renewable && lease_ms > 0 && l->end_ms < l->read_ms + LIFETIME_AGE_MAX_MS) {
		l->renew_ms = l->refresh_ms;
		l->refresh_ms = l->end_ms - (l->end_ms - l->flight_ms) / 6;
	}
	/* What is lent to us alone has no other version. */
	l->poll_ms = l->opts.poll_ms == 0 || l->lease[0] != '\0'
			 ? LIFETIME_NEVER
			 : now_ms + jittered(l->opts.poll_ms, roll);
}

static void
landed(struct lifetime *l)
{
	l->flight = LIFETIME_IDLE;
	l->failures = 0;
	l->not_before_ms = 0;
}

/* What was told while a read was under way. */
static void
read_again(struct lifetime *l)
{
	if (l->again)
		lifetime_changed(l, l->again_why);
	l->again = false;
}

void
lifetime_read(struct lifetime *l, const struct lifetime_reading *r, uint64_t now_ms, uint32_t roll)
{
	assert(l->flight == LIFETIME_READ);
	landed(l);
	l->held = true;
	l->want_read = false;
	read_again(l);
	l->read_ms = l->flight_ms;
	(void)snprintf(l->version, sizeof(l->version), "%s", r->version);
	(void)snprintf(l->lease, sizeof(l->lease), "%s", r->lease);
	schedule(l, r->lease_ms, r->renewable, now_ms, roll);
}

void
lifetime_read_previous(struct lifetime *l)
{
	assert(l->flight == LIFETIME_PREVIOUS);
	landed(l);
	l->want_previous = false;
}

void
lifetime_polled(struct lifetime *l, const char *version, uint64_t now_ms, uint32_t roll)
{
	assert(l->flight == LIFETIME_POLL);
	landed(l);
	l->poll_ms = now_ms + jittered(l->opts.poll_ms, roll);
	if (strcmp(version, l->version) != 0)
		lifetime_changed(l, SECRET_ROTATED);
}

void
lifetime_renewed(
    struct lifetime *l, uint64_t lease_ms, bool renewable, uint64_t now_ms, uint32_t roll)
{
	uint64_t before = l->end_ms;

	assert(l->flight == LIFETIME_RENEW);
	landed(l);
	schedule(l, lease_ms, renewable, now_ms, roll);
	if (l->end_ms <= before + 1000) { /* its maximum is reached: only a new one helps */
		l->renew_ms = LIFETIME_NEVER;
		l->want_read = true;
		l->why = SECRET_EXPIRING;
	}
}

static uint64_t
backoff(unsigned failures, uint32_t roll)
{
	uint64_t cap = LIFETIME_BACKOFF_MIN_MS;

	for (unsigned i = 1; i < failures && cap < LIFETIME_BACKOFF_MAX_MS; i++)
		cap *= 2;
	if (cap > LIFETIME_BACKOFF_MAX_MS)
		cap = LIFETIME_BACKOFF_MAX_MS;
	return LIFETIME_BACKOFF_MIN_MS / 2 + roll % cap;
}

/* What a source that refuses does to what is held depends on what it was asked. */
static void
refused(struct lifetime *l, enum lifetime_op op, uint64_t now_ms)
{
	if (op == LIFETIME_POLL) {
		l->poll_reads = true; /* perhaps only the look at versions is denied */
		l->poll_ms = now_ms;
	} else if (op == LIFETIME_RENEW) {
		l->renew_ms = LIFETIME_NEVER;
		lifetime_changed(l, SECRET_EXPIRING);
	} else if (op == LIFETIME_PREVIOUS) {
		l->want_previous = false;
	} else {
		l->held = false;
		l->want_read = true;
		l->refresh_ms = l->poll_ms = l->renew_ms = LIFETIME_NEVER;
		l->not_before_ms = now_ms + LIFETIME_REFUSED_MS;
	}
}

void
lifetime_failed(struct lifetime *l, enum lifetime_failure f, uint32_t retry_after_ms,
    uint64_t now_ms, uint32_t roll)
{
	enum lifetime_op op = l->flight;

	assert(op != LIFETIME_IDLE);
	l->flight = LIFETIME_IDLE;
	l->failures++;
	read_again(l);
	if (f == LIFETIME_REFUSED) {
		refused(l, op, now_ms);
		return;
	}
	if (retry_after_ms > LIFETIME_RETRY_AFTER_MAX_MS)
		retry_after_ms = LIFETIME_RETRY_AFTER_MAX_MS;
	l->not_before_ms = now_ms + retry_after_ms + backoff(l->failures, roll);
	if (op == LIFETIME_PREVIOUS)
		l->want_previous = false;
}

bool
lifetime_usable(const struct lifetime *l, uint64_t now_ms)
{
	return l->held && now_ms < l->end_ms;
}

void
lifetime_changed(struct lifetime *l, enum secret_why why)
{
	if (l->flight == LIFETIME_READ) {
		l->again = true;
		l->again_why = why;
	} else if (!l->want_read) {
		l->want_read = true;
		l->why = why;
	}
}

/* A new refusal: of another version, or long after the last. */
static void
remember_refusal(struct lifetime *l, const char *version, uint64_t now_ms)
{
	if (strcmp(l->rejected, version) == 0 && now_ms < l->rejected_ms + LIFETIME_REJECTED_MS)
		return;
	(void)snprintf(l->rejected, sizeof(l->rejected), "%s", version);
	l->rejected_ms = now_ms;
	l->refetched = l->previous_tried = false;
}

bool
lifetime_rejected(struct lifetime *l, const char *version, uint64_t now_ms)
{
	if (!l->held || strcmp(l->version, version) != 0)
		return l->flight == LIFETIME_READ;
	remember_refusal(l, version, now_ms);
	if (!l->refetched) {
		l->refetched = true;
		if (l->flight != LIFETIME_READ)
			lifetime_changed(l, SECRET_REJECTED);
		return true;
	}
	return l->flight == LIFETIME_READ || (l->want_read && now_ms >= l->not_before_ms);
}

bool
lifetime_want_previous(struct lifetime *l)
{
	if (!l->opts.previous)
		return false;
	if (!l->previous_tried) {
		l->previous_tried = true;
		l->want_previous = true;
	}
	return l->want_previous;
}
