/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_STRIP_H
#define GATEWAY_STRIP_H

/*
 * What a person would not see must not speak to a model: terminal escapes, control
 * characters, marks of direction, invisible characters, tags.
 */
#include <base/span.h>

/* Append valid UTF-8 without all that; it is valid afterwards, too. E_FULL, E_NOMEM. */
MUST_USE struct status text_strip(struct span text, struct buf *out);

#endif
