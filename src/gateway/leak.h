/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_LEAK_H
#define GATEWAY_LEAK_H

/*
 * A key of ours in a request's body: who sends it there shows it to a model, a tool or a file.
 */
#include <base/span.h>
#include <keytext/keytext.h>

/*
 * The first text with the form and the checksum of a key. JSON escapes of letters, digits and
 * '_' (\u0073p_) are seen through; base64, compression and texts in pieces are not.
 * Errors: E_NOMEM (only where there are such escapes).
 */
MUST_USE struct status leak_find(struct span body, uint8_t ret_key[KEYTEXT_LEN], bool *ret_found);

#endif
