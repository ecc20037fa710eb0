/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_ROLE_H
#define WIRE_ROLE_H

/*
 * What people and machines are to their tenant. A user may have several; what
 * each may do is one table (src/authority/roles.c), and all else is denied.
 */
#include <base/span.h>

enum role {
	ROLE_USER = 1,          /* uses the API; owns what is kept for it */
	ROLE_SERVICE = 2,       /* the same, for a machine */
	ROLE_AUDITOR = 4,       /* reads audit, and nothing else */
	ROLE_ADMINISTRATOR = 8, /* runs users, keys, limits of its tenant; reads nobody's content */
	ROLE_OWNER = 16,        /* the administrators' administrator */
};
#define ROLE_COUNT 5
#define ROLES_ALL 31

static const char *const role_names[ROLE_COUNT] = { "user", "service", "auditor", "administrator",
	"owner" };

/* The bit of that name; 0: there is none. */
static inline uint8_t
role_of_name(struct span name)
{
	for (unsigned n = 0; n < ROLE_COUNT; n++) {
		if (span_eq_str(name, role_names[n]))
			return (uint8_t)(1U << n);
	}
	return 0;
}

#endif
