/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_FRAMING_H
#define HTTP_FRAMING_H

/* Inside lib/http only: the fields that say where a message ends and whose it is. */
#include "head.h"

struct framing {
	bool has_length, has_coding, has_host, has_expect;
	bool close; /* Connection: close */
	uint64_t length;
	struct span host, expect;
};

/*
 * Read the fields that speak about the connection, and take them out of the
 * list. Returns 0 or an HTTP status: 400 malformed, duplicate or contradictory.
 */
uint16_t http_framing_take(struct head *h, struct framing *ret);
/* True for names that a trailer must not carry. */
bool http_framing_name(struct span name);

#endif
