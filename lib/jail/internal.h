/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JAIL_INTERNAL_H
#define JAIL_INTERNAL_H

#include <jail/jail.h>

/* filter.c: the system-call filter; loads it for good. */
MUST_USE struct status filter_load(const struct jail *j, const char **ret_what);
/* landlock.c: files, TCP and signals. */
MUST_USE struct status landlock_enter(
    const struct jail *j, const struct jail_path *paths, size_t npaths, const char **ret_what);
int landlock_abi(void);

/* bound.c: the supervisor's allow-list. */
extern const int bound_calls[];
extern const size_t bound_calls_count;

#endif
