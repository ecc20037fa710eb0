/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_LATER_H
#define AUTHORITY_LATER_H

/*
 * A gateway's call that is answered later, because the keys of an identity provider are on their
 * way: kept, and then heard as if it came now.
 */
#include <stdbool.h>
#include <stdint.h>

#include <link/link.h>

struct gateway;

/*
 * State: oidc_check() was asked for this call and may have said LATER. True: it was that, the call
 * is kept, and `fn` is called with it again, once, unless the gateway is gone by then. False: it
 * was something else, or there is no room: answer now.
 */
bool later(struct gateway *gw, uint16_t type, uint64_t id, const void *msg, link_handler *fn);

#endif
