/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_TOPOLOGY_H
#define WIRE_TOPOLOGY_H

/*
 * Who there is, and who may speak to whom: the whole process graph.
 */
enum proc {
	PROC_SUPERVISOR,
	PROC_GATEWAY,
	PROC_AUTHORITY,
	PROC_BROKER,
	PROC_EXECUTOR,
	PROC_SPAWNER,
	PROC_AUDIT,
	PROC_STORE,
	PROC_DEMO,
	PROC_COUNT,
};

static const char *const proc_names[PROC_COUNT] = {
	[PROC_SUPERVISOR] = "supervisor",
	[PROC_GATEWAY] = "gateway",
	[PROC_AUTHORITY] = "authority",
	[PROC_BROKER] = "broker",
	[PROC_EXECUTOR] = "executor",
	[PROC_SPAWNER] = "spawner",
	[PROC_AUDIT] = "audit",
	[PROC_STORE] = "store",
	[PROC_DEMO] = "demo",
};

enum edge {
	EDGE_CONTROL,
	EDGE_GATEWAY_AUTHORITY,
	EDGE_GATEWAY_BROKER,
	EDGE_GATEWAY_EXECUTOR,
	EDGE_GATEWAY_STORE,
	EDGE_AUTHORITY_BROKER,
	EDGE_AUTHORITY_EXECUTOR,
	EDGE_AUTHORITY_AUDIT,
	EDGE_AUTHORITY_STORE,
	EDGE_EXECUTOR_SPAWNER,
	EDGE_BROKER_DEMO,
	EDGE_COUNT,
};

/* The A end first, as in the edge's name. Control: the supervisor is A of all. */
static const struct {
	enum proc a, b;
} edge_ends[EDGE_COUNT] = {
	[EDGE_CONTROL] = { PROC_SUPERVISOR, PROC_SUPERVISOR },
	[EDGE_GATEWAY_AUTHORITY] = { PROC_GATEWAY, PROC_AUTHORITY },
	[EDGE_GATEWAY_BROKER] = { PROC_GATEWAY, PROC_BROKER },
	[EDGE_GATEWAY_EXECUTOR] = { PROC_GATEWAY, PROC_EXECUTOR },
	[EDGE_GATEWAY_STORE] = { PROC_GATEWAY, PROC_STORE },
	[EDGE_AUTHORITY_BROKER] = { PROC_AUTHORITY, PROC_BROKER },
	[EDGE_AUTHORITY_EXECUTOR] = { PROC_AUTHORITY, PROC_EXECUTOR },
	[EDGE_AUTHORITY_AUDIT] = { PROC_AUTHORITY, PROC_AUDIT },
	[EDGE_AUTHORITY_STORE] = { PROC_AUTHORITY, PROC_STORE },
	[EDGE_EXECUTOR_SPAWNER] = { PROC_EXECUTOR, PROC_SPAWNER },
	[EDGE_BROKER_DEMO] = { PROC_BROKER, PROC_DEMO },
};

/* Uids of an instance: its uid_base plus these; sandboxes from UID_SANDBOX on, in pairs. */
#define UID_RANGE_LEN 4096
#define UID_OF(proc) (1 + (unsigned)(proc))
#define UID_SANDBOX 1024

#endif
