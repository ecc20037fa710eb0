/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_REFERENCE_H
#define GATEWAY_REFERENCE_H

/*
 * Names of what a provider may have: under the credential that all tenants share they would be
 * looked up for whoever sends them. Nobody here keeps anything at a provider, so none goes there.
 */
#include <json/json.h>

/*
 * The value to blame in an item of responses or of a conversation, and why; JSON_NONE: it names
 * nothing.
 */
uint32_t reference_in_item(const struct json_doc *d, uint32_t item, const char **ret_why);
/* The same in a chat's messages: a spoken answer by its id, or a file. */
uint32_t reference_in_chat(const struct json_doc *d, uint32_t messages, const char **ret_why);
/* The same of files alone, in a message, block or part, or a list of such, of any dialect. */
uint32_t reference_to_file(const struct json_doc *d, uint32_t tok, const char **ret_why);

#endif
