/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference.c: names of what a provider may have, in what would go to it.
 *
 * Runs in: gateway. Trusts: nothing but that it is JSON.
 * Owns: nothing. Invariants: an item that OpenAI would take for a reference is one here; what
 * people and models say is not looked at.
 * See: docs/api.md, "Responses"; responses.c, conversations.c and responses_history.c, which ask.
 */
#include "reference.h"

#define WHY_ITEM                                                            \
	"names an item that only OpenAI has: send the item, or go on from " \
	"previous_response_id or a conversation"

static bool
has_text(const struct json_doc *d, uint32_t obj, const char *name)
{
	uint32_t tok = json_get_str(d, obj, name);

	return json_type(d, tok) == JSON_STRING && !json_str_eq_str(d, tok, "");
}

/* The type of a reference may be left out, or be null. */
static bool
is_reference(const struct json_doc *d, uint32_t item)
{
	if (has_text(d, item, "type"))
		return json_str_eq_str(d, json_get_str(d, item, "type"), "item_reference");
	return !has_text(d, item, "role") && has_text(d, item, "id");
}

uint32_t
reference_in_item(const struct json_doc *d, uint32_t item, const char **ret_why)
{
	if (!is_reference(d, item))
		return JSON_NONE;
	*ret_why = WHY_ITEM;
	return item;
}
