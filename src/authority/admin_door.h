/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_ADMIN_DOOR_H
#define AUTHORITY_ADMIN_DOOR_H

/* The door of persons: GA_ADMIN, by way of a gateway. */
#include <link/link.h>

struct gateway;

void admin_door_on_admin(struct link *l, uint64_t id, const void *msg, void *ctx);
/* The gateway is gone: nobody there is told any more; acts go on. */
void admin_door_gateway_gone(struct gateway *gw);

#endif
