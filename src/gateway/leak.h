/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_LEAK_H
#define GATEWAY_LEAK_H

/*
 * A key of ours in a request's body: who sends it there shows it to a model, a tool or a file.
 */
#include <base/span.h>
#include <keytext/keytext.h>
#include <wire/limits.h>

struct leaks {
	uint8_t texts[LEAKED_KEYS_MAX * KEYTEXT_LEN]; /* one behind the other */
	size_t n;
};

/*
 * The texts with the form and the checksum of a key, each once, as far as there is room: what is
 * written plainly comes first. JSON escapes of letters, digits and '_' (\u0073p_) are seen through;
 * base64, compression and texts in pieces are not.
 * Errors: E_NOMEM (only where there are such escapes).
 */
MUST_USE struct status leak_find(struct span body, struct leaks *ret);
/* One more, if it is not there yet and there is room. */
void leaks_add(struct leaks *l, struct span key);
static inline struct span
leaks_texts(const struct leaks *l)
{
	return span_of(l->texts, l->n * KEYTEXT_LEN);
}

#endif
