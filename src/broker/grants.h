/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_GRANTS_H
#define BROKER_GRANTS_H

/*
 * Model calls that the authority allowed and nobody has made yet. Pure: the
 * caller brings the time (milliseconds of a monotonic clock).
 */
#include <wire/grant.h>

#define GRANTS_MAX 4096
#define GRANTS_BUCKETS 1024

struct held_grant {
	uint8_t id[GRANT_LEN];
	uint64_t turn;
	uint32_t gateway;
	uint8_t endpoint; /* enum ga_endpoint */
	uint32_t body_len, model_off;
	uint8_t digest[DIGEST_LEN];
	char target[MODEL_MAX + 1]; /* model alias */
	uint64_t expires_ms;
	uint32_t next; /* private: index + 1 in its bucket or the free list; 0: end */
};

struct grants {
	struct held_grant rows[GRANTS_MAX];
	uint32_t buckets[GRANTS_BUCKETS];
	uint32_t free;  /* index + 1 */
	uint32_t fresh; /* rows never used yet begin here */
	uint32_t count;
};

/* A zeroed struct is empty. Errors: E_EXISTS, E_FULL (of unexpired ones), E_RANGE. */
MUST_USE struct status grants_add(struct grants *g, const struct grant *m, uint64_t now_ms);
/*
 * Take it out, once. E_NOTFOUND: unknown. E_DENIED: another gateway's (it stays), or
 * expired or of another length (it is gone).
 */
MUST_USE struct status grants_use(struct grants *g, const uint8_t id[GRANT_LEN], uint32_t gateway,
    uint32_t body_len, uint64_t now_ms, struct held_grant *ret);
void grants_forget_turn(struct grants *g, uint64_t turn);
void grants_forget_all(struct grants *g);

#endif
