/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_RESOLVE_H
#define BROKER_RESOLVE_H

/*
 * Names to addresses: hosts file, then DNS by c-ares. No threads and no files:
 * what resolv.conf and hosts say comes as text. Answers are not cached here but
 * come with the time for which they are good (see upstream.c).
 */
#include <netinet/in.h>
#include <uv.h>

#include <base/span.h>

#define RESOLVE_MS 5000          /* for one name */
#define RESOLVE_ADDRESSES_MAX 16 /* of one name; more are dropped */
#define RESOLVE_TTL_MIN_MS 1000
#define RESOLVE_TTL_MAX_MS 300000
#define RESOLVE_TEXT_MAX (256U << 10) /* of each file */
#define RESOLVE_PENDING_MAX 256       /* names at once */

struct resolver;
struct resolve_wait;

union resolve_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct resolve_answer {
	union resolve_address addresses[RESOLVE_ADDRESSES_MAX]; /* port 0 */
	size_t count;
	uint32_t ttl_ms;
};

/* `a` is NULL unless OK. E_NOTFOUND (no such name, or no address), E_TIMEOUT, E_CLOSED. */
typedef void resolve_done(void *ctx, struct status st, const struct resolve_answer *a);

/* State: before the jail (c-ares seeds itself from a file). E_NOMEM, E_SYS. */
MUST_USE struct status resolver_new(struct resolver **ret);
void resolver_free(struct resolver *r); /* NULL is fine; no callback follows */
/* Before the first name, and again when the files changed. E_NOMEM, E_SYS. */
MUST_USE struct status resolver_configure(
    struct resolver *r, uv_loop_t *loop, struct span resolv_conf, struct span hosts);

/*
 * OK: *ret_answer is filled (a literal address, localhost, the hosts file). E_AGAIN: `done` comes
 * once, from the loop, unless *ret_wait is cancelled. E_SYNTAX (no name), E_FULL, E_NOMEM.
 */
MUST_USE struct status resolve_name(struct resolver *r, const char *host, resolve_done *done,
    void *ctx, struct resolve_wait **ret_wait, struct resolve_answer *ret_answer);
void resolve_cancel(struct resolve_wait *w);

#endif
