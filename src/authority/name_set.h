/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_NAME_SET_H
#define AUTHORITY_NAME_SET_H

/* A list of names of the configuration: exactly those, or "*" for all. */
#include <base/span.h>

struct name_set {
	bool all;
	size_t n;
	struct span *names; /* within `text` */
	uint8_t *text;
};

bool name_set_has(const struct name_set *s, struct span name);
/* Items joined by single spaces; "*" alone means all; absent or empty: none. E_NOMEM. */
MUST_USE struct status name_set_parse(const char *text, struct name_set *ret);
void name_set_done(struct name_set *s);

#endif
