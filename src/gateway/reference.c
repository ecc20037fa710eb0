/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference.c: names of what a provider may have, in what would go to it.
 *
 * Runs in: gateway. Trusts: nothing but that it is JSON.
 * Owns: nothing. Invariants: an item that OpenAI would take for a reference is one here, but for
 * reasoning without its seal, which is left out of what goes there (responses_input.c); what people
 * and models say is not looked at.
 * See: docs/api.md, "Responses" and "Files"; who asks: responses.c, conversations.c,
 * responses_history.c, chat.c, messages.c.
 */
#include "reference.h"

#define WHY_ITEM                                                            \
	"names an item that only OpenAI has: send the item, or go on from " \
	"previous_response_id or a conversation"

#define WHY_PICTURE                                                      \
	"names a picture that only OpenAI has: send the picture itself " \
	"(an input_image, or its result)"

#define WHY_AUDIO                                                             \
	"names a spoken answer that only a provider has: send what was said " \
	"as content"

#define WHY_FILE                                                               \
	"names a file that only a provider may have: send the content itself " \
	"(file_data, or a source of base64)"

/*
 * Where parts lie, in what the dialects call messages, items, blocks and parts; what a call says
 * (input, arguments) is not among them, nor what a provider's own run left (an object as content).
 */
static const struct {
	const char *name;
	enum json_type type;
} within[] = {
	{ "content", JSON_ARRAY },
	{ "output", JSON_ARRAY },
	{ "output", JSON_OBJECT },
	{ "source", JSON_OBJECT },
	{ "file", JSON_OBJECT },
};

static uint32_t file_in(const struct json_doc *d, uint32_t tok);

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

/* OpenAI's way to go on from a picture that it made: the call alone, without what it led to. */
static bool
is_picture(const struct json_doc *d, uint32_t item)
{
	return json_str_eq_str(d, json_get_str(d, item, "type"), "image_generation_call") &&
	       has_text(d, item, "id") && !has_text(d, item, "result");
}

uint32_t
reference_in_item(const struct json_doc *d, uint32_t item, const char **ret_why)
{
	if (is_reference(d, item))
		*ret_why = WHY_ITEM;
	else if (is_picture(d, item))
		*ret_why = WHY_PICTURE;
	else
		return reference_to_file(d, item, ret_why);
	return item;
}

static bool
is_there(const struct json_doc *d, uint32_t tok)
{
	return json_type(d, tok) != JSON_ABSENT && json_type(d, tok) != JSON_NULL;
}

uint32_t
reference_in_chat(const struct json_doc *d, uint32_t messages, const char **ret_why)
{
	struct json_iter it = json_iter(d, messages);

	*ret_why = WHY_AUDIO;
	while (json_next(&it)) {
		uint32_t id = json_get_str(d, json_get_str(d, it.val, "audio"), "id");

		if (is_there(d, id))
			return id;
	}
	return reference_to_file(d, messages, ret_why);
}

uint32_t
reference_to_file(const struct json_doc *d, uint32_t tok, const char **ret_why)
{
	*ret_why = WHY_FILE;
	return file_in(d, tok);
}

/* An object's own id of a file, or one of its parts'. */
static uint32_t
file_in_object(const struct json_doc *d, uint32_t obj)
{
	uint32_t id = json_get_str(d, obj, "file_id"), source = json_get_str(d, obj, "source");

	if (is_there(d, id))
		return id;
	for (size_t i = 0; i < sizeof(within) / sizeof(within[0]); i++) {
		uint32_t tok = json_get_str(d, obj, within[i].name), found = JSON_NONE;

		if (json_type(d, tok) == within[i].type)
			found = file_in(d, tok);
		if (found != JSON_NONE)
			return found;
	}
	return json_str_eq_str(d, json_get_str(d, source, "type"), "file") ? source : JSON_NONE;
}

/* As deep as the document, which is bounded. */
static uint32_t
file_in(const struct json_doc *d, uint32_t tok)
{
	struct json_iter it = json_iter(d, tok);
	uint32_t found = JSON_NONE;

	if (json_type(d, tok) == JSON_OBJECT)
		return file_in_object(d, tok);
	while (found == JSON_NONE && json_next(&it))
		found = file_in(d, it.val);
	return found;
}
