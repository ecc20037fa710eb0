/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_STORED_H
#define GATEWAY_STORED_H

/*
 * What the answers about kept things have in common.
 */
#include <json/write.h>
#include <wire/gateway_store.h>

struct request;

/* What the query says of the page; `limit` without a word of it. Newest first unless asked. */
void stored_take_page(const struct request *r, uint32_t limit, struct content_request *req);
/* 200 with what was written, or an error. */
void stored_answer(struct request *r, const struct json_writer *w);
/* {"id": the path's parameter, "object", "deleted": true} */
void stored_answer_deleted(struct request *r, const char *object);
void stored_answer_items(
    struct request *r, const struct content_item *items, uint32_t count, bool more);

#endif
