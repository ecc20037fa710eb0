/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXECUTOR_GRANTS_H
#define EXECUTOR_GRANTS_H

/* Grants of the authority that wait to be used: each once, and not for long. */
#include <wire/grant.h>

#define GRANTS_MAX 1024

struct held_grant {
	bool held;
	uint8_t id[GRANT_LEN];
	uint64_t turn;
	uint32_t gateway;
	char tenant[TENANT_MAX + 1];
	char user[USER_MAX + 1];
	char language[LANGUAGE_MAX + 1];
	bool keep;
	uint32_t body_len;
	uint8_t digest[DIGEST_LEN];
	uint64_t expires_ns; /* monotonic */
};

struct grants {
	struct held_grant rows[GRANTS_MAX];
	size_t count;
};

/* E_FULL; E_RANGE (a text is too long); E_EXISTS. */
MUST_USE struct status grants_add(struct grants *g, const struct grant *msg, uint64_t now_ns);
/*
 * Take a grant out. E_NOTFOUND: unknown. E_DENIED: expired, another gateway's, or
 * another length; it is gone all the same, and *ret says whose it was.
 */
MUST_USE struct status grants_use(struct grants *g, const uint8_t id[GRANT_LEN], uint32_t gateway,
    uint32_t body_len, uint64_t now_ns, struct held_grant *ret);
void grants_forget_turn(struct grants *g, uint64_t turn);
void grants_forget_all(struct grants *g);

#endif
