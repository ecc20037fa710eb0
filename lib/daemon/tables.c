/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables.c: one number over all message tables that this build knows.
 *
 * Runs in: every process, at start. Trusts: nothing. Owns: nothing.
 * Invariants: two binaries whose tables differ in a row do not talk.
 * See: CTL_HELLO in wire/control.h.
 */
#include <daemon/tables.h>

#include <wire/authority_audit.h>
#include <wire/authority_broker.h>
#include <wire/authority_executor.h>
#include <wire/authority_store.h>
#include <wire/broker_demo.h>
#include <wire/control.h>
#include <wire/executor_spawner.h>
#include <wire/gateway_authority.h>
#include <wire/gateway_broker.h>
#include <wire/gateway_executor.h>
#include <wire/gateway_store.h>
#include <wire/store_broker.h>

const struct wire_edge *const daemon_edges[EDGE_COUNT] = {
	[EDGE_CONTROL] = &ctl_edge,
	[EDGE_GATEWAY_AUTHORITY] = &ga_edge,
	[EDGE_GATEWAY_BROKER] = &gb_edge,
	[EDGE_GATEWAY_EXECUTOR] = &ge_edge,
	[EDGE_GATEWAY_STORE] = &gs_edge,
	[EDGE_AUTHORITY_BROKER] = &ab_edge,
	[EDGE_AUTHORITY_EXECUTOR] = &ae_edge,
	[EDGE_AUTHORITY_AUDIT] = &aa_edge,
	[EDGE_AUTHORITY_STORE] = &as_edge,
	[EDGE_EXECUTOR_SPAWNER] = &es_edge,
	[EDGE_BROKER_DEMO] = &bd_edge,
	[EDGE_STORE_BROKER] = &sb_edge,
};

uint64_t
daemon_tables_hash(void)
{
	uint64_t h = CTL_VERSION;

	for (int i = 0; i < EDGE_COUNT; i++)
		h = wire_edge_hash(daemon_edges[i], h);
	return h;
}
