/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_GRANTS_H
#define DAEMON_GRANTS_H

/*
 * What the authority allowed this process to do and nobody has done yet; and who
 * came for a grant that is still on its way. Times are milliseconds of uv_now().
 */
#include <sys/queue.h>

#include <uv.h>

#include <link/link.h>
#include <wire/grant.h>

#define GRANTS_MAX 4096
#define GRANTS_BUCKETS 1024
#define GRANT_WAITS_MAX 4096
#define GRANT_WAIT_MS 1000 /* for a grant that is on its way */

/* What a gateway says of the grant that it wants to use. */
struct grant_claim {
	uint8_t id[GRANT_LEN];
	uint32_t gateway;
	uint32_t body_len;
};

struct held_grant {
	uint8_t kind; /* enum grant_kind */
	uint8_t id[GRANT_LEN];
	uint64_t turn;
	uint32_t gateway;
	char tenant[TENANT_MAX + 1];
	char user[USER_MAX + 1];
	char target[MODEL_MAX + 1]; /* model alias, language, tool */
	uint8_t endpoint;           /* enum ga_endpoint */
	bool keep;
	uint32_t body_len, model_off;
	uint8_t digest[DIGEST_LEN];
	uint64_t expires_ms;
	struct tool_use tool;
	uint8_t content_op, content_kind, masked;
	uint32_t next; /* private: index + 1 in its bucket or the free list; 0: end */
};

struct grant_wait;

struct grants {
	struct held_grant rows[GRANTS_MAX];
	uint32_t buckets[GRANTS_BUCKETS];
	uint32_t free;  /* index + 1 */
	uint32_t fresh; /* rows never used yet begin here */
	uint32_t count;
	LIST_HEAD(, grant_wait) waits;
	uint32_t nwaits;
};

/*
 * A zeroed struct is empty. Who waits for this one has it at once: its callback runs.
 * Errors: E_EXISTS, E_FULL (of unexpired ones), E_RANGE (a text is too long).
 */
MUST_USE struct status grants_add(struct grants *g, const struct grant *m, uint64_t now_ms);
/*
 * Take it out, once. E_NOTFOUND: unknown. E_DENIED: another gateway's; it stays. E_RANGE: expired
 * or of another length; it is gone, and *ret says whose it was.
 */
MUST_USE struct status grants_use(
    struct grants *g, const struct grant_claim *c, uint64_t now_ms, struct held_grant *ret);
/* The same, after what `authority` (NULL is fine) has already written was read. */
MUST_USE struct status grants_claim(struct grants *g, struct link *authority, uv_loop_t *loop,
    const struct grant_claim *c, struct held_grant *ret);
void grants_forget_turn(struct grants *g, uint64_t turn);
void grants_forget_all(struct grants *g);

/* As grants_use() says; E_NOTFOUND: it did not come in time. `grant` is set with OK and E_RANGE. */
typedef void grant_came(void *ctx, struct status st, const struct held_grant *grant);

/*
 * The authority wrote the grant before it told the gateway; but when it writes more at once than
 * the link's socket takes, what the gateway sends may overtake it: wait for it, GRANT_WAIT_MS.
 * OK: `came` runs once, later, unless *ret is cancelled first. E_FULL, E_NOMEM.
 */
MUST_USE struct status grants_await(struct grants *g, uv_loop_t *loop, const struct grant_claim *c,
    grant_came *came, void *ctx, struct grant_wait **ret);
/* NULL is fine. */
void grant_wait_cancel(struct grant_wait *w);

#endif
