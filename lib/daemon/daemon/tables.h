/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_TABLES_H
#define DAEMON_TABLES_H

#include <link/wire.h>
#include <wire/topology.h>

/* The message table of every edge; the fuzz target of wire edges walks it. */
extern const struct wire_edge *const daemon_edges[EDGE_COUNT];
/* A hash over all of them: supervisor and process compare it at start. */
uint64_t daemon_tables_hash(void);

#endif
