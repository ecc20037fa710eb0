/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_BROKER_DEMO_H
#define WIRE_BROKER_DEMO_H

/*
 * Broker (A) "connects" to the demo stand-in (B) by sending one end of a fresh
 * socketpair; HTTP/1.1 is spoken on it. No address, nothing to attack.
 */
#include <link/wire.h>

enum bd_type { BD_CONNECT = 1 };

static const struct wire_msg bd_msgs[] = {
	[BD_CONNECT] = { "connect", WIRE_A_TO_B, WIRE_TABLE_NONE },
};
static const struct wire_edge bd_edge = WIRE_EDGE("broker-demo", bd_msgs, false);

#endif
