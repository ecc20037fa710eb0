/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_REQUESTS_H
#define STORE_REQUESTS_H

/*
 * What the authority asks about secrets of providers, usage and tools; store.c
 * has the rest. Handlers of the link's rules.
 */
#include <link/link.h>

#include "db.h"

/* State: before the first message. `db` is borrowed. */
void requests_init(struct db *db);
void requests_on_secret_put(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_secret_get(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_secret_remove(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_secret_list(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_usage_add(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_usage_list(struct link *l, uint64_t id, const void *msg, void *ctx);
/* tool_requests.c */
void tool_requests_init(struct db *db);
void requests_on_tool_put(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_tool_get(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_tool_rebuilt(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_tool_mark(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_tool_remove(struct link *l, uint64_t id, const void *msg, void *ctx);
/* session_requests.c */
void session_requests_init(struct db *db);
void requests_on_session_put(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_session_end(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_key_rehash(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_keyset_rotate(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_keyset_status(struct link *l, uint64_t id, const void *msg, void *ctx);
/* backup_requests.c */
struct daemon;
MUST_USE struct status backup_requests_init(struct daemon *d, struct db *db);
void requests_on_backup(struct link *l, uint64_t id, const void *msg, void *ctx);
void requests_on_backup_status(struct link *l, uint64_t id, const void *msg, void *ctx);
/* rotate_requests.c */
MUST_USE struct status rotate_requests_init(struct daemon *d, struct db *db);
void requests_on_kek_rotate(struct link *l, uint64_t id, const void *msg, void *ctx);
/* What it asked for goes on, and nobody hears of it. */
void rotate_requests_closed(const struct link *l);
void requests_on_kek_status(struct link *l, uint64_t id, const void *msg, void *ctx);
/*
 * sum_requests.c: before a load, again and again while there is *ret_more to look at: some ms a
 * call. What was changed in rows that it has passed already is found by the next one. E_CORRUPT:
 * there is to be no load.
 */
void sum_requests_init(struct db *db);
MUST_USE struct status sums_before_load(struct link *l, bool *ret_more);
void requests_on_accept(struct link *l, uint64_t id, const void *msg, void *ctx);
/* generation_tell.c */
MUST_USE struct status generation_start(struct daemon *d, struct db *db);
void generation_tell(void); /* State: after generation_start() */

#endif
