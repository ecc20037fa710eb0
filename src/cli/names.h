/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

/*
 * Who the pseudonyms of the audit log stand for, as the running service knows; looking is on
 * record. Those who were erased are nobody.
 */
#include "cli.h"

#define NAMES_MAX (1U << 20)
#define NAMES_WHO_MAX 130 /* "tenant/user" with its NUL */

/* Ask for all of them. False after a message. */
bool names_load(const struct invocation *inv, const struct state *s);
/* Borrowed; NULL: nobody's. */
const char *names_find(struct span subject);

#endif
