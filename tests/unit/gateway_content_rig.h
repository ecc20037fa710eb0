/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GATEWAY_CONTENT_RIG_H
#define TESTS_GATEWAY_CONTENT_RIG_H

/*
 * What is kept for users, at a gateway: what an authority and a store say.
 */
#include "unit.h"

#include <content.h>
#include <routes.h>

#include "gateway_rig.h"
#include "pasted_forms.h"

/* ---- endpoints ---- */
#define CONV "conv_0123456789abcdef"
#define RESP "resp_0123456789abcdef"
#define FILE_ID "file-0123456789abcdef"

static struct content_request seen; /* decoded from what the store got */
static struct arena seen_arena = ARENA_INIT(16UL << 20);

static inline void
look(void)
{
	arena_done(&seen_arena);
	assert_int_equal(
	    wire_decode(&content_request_table, buf_span(&peers.content), &seen_arena, &seen).code,
	    E_OK);
}

static inline bool
holds(struct span s, const char *text)
{
	return s.len > 0 && memmem(s.ptr, s.len, text, strlen(text)) != NULL;
}

static const struct content_object object_conv = { .id = { (const uint8_t *)CONV, 21 },
	.created_s = 7,
	.meta = { (const uint8_t *)"{\"a\":\"b\"}", 9 } };
static const struct content_item two_items[] = {
	{ { (const uint8_t *)"msg_1", 5 }, 0, { (const uint8_t *)"{\"id\":\"msg_1\"}", 14 } },
	{ { (const uint8_t *)"msg_2", 5 }, 1, { (const uint8_t *)"{\"id\":\"msg_2\"}", 14 } },
};
static const struct content_answer has_conv = { .objects = { &object_conv, 1 } };
static const struct content_answer has_items = { .items = { two_items, 2 }, .more = 1 };
static const struct content_answer has_one = { .items = { two_items, 1 } };

#endif
