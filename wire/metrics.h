/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_METRICS_H
#define WIRE_METRICS_H

/*
 * Counters of all processes. Each process writes its own page of shared memory
 * (daemon_metric_add); the authority reads them all and serves /metrics.
 */
#include <stdint.h>

#include <wire/topology.h>

#define METRICS_PAGE_LEN 4096

enum metric {
	METRIC_LINK_DROPPED_PEERS,
	METRIC_CONNECTIONS,
	METRIC_CONNECTIONS_OPEN,
	METRIC_CONNECTIONS_REFUSED,
	METRIC_HANDSHAKES_FAILED,
	METRIC_HTTP2_CONNECTIONS,
	METRIC_HTTP2_RESETS_IN,
	METRIC_HTTP2_RESETS_OUT,
	METRIC_HTTP2_FLOODS,
	METRIC_REQUESTS,
	METRIC_RESPONSES_2XX,
	METRIC_RESPONSES_4XX,
	METRIC_RESPONSES_5XX,
	METRIC_AUTH_FAILURES,
	METRIC_BYTES_IN,
	METRIC_BYTES_OUT,
	METRIC_TURNS,
	METRIC_TURNS_OPEN,
	METRIC_GRANTS,
	METRIC_GRANTS_REFUSED,
	METRIC_RATE_LIMITED,
	METRIC_TOKENS_IN,
	METRIC_TOKENS_OUT,
	METRIC_USAGE_DROPPED,
	METRIC_MODEL_CALLS,
	METRIC_UPSTREAM_HTTP2_CONNECTIONS,
	METRIC_UPSTREAM_HTTP2_FLOODS,
	METRIC_MODEL_FAILURES,
	METRIC_MODEL_RETRIES,
	METRIC_BREAKERS_OPEN,
	METRIC_SECRETS_REDACTED,
	METRIC_RUNS,
	METRIC_RUNS_OPEN,
	METRIC_RUNS_QUEUED,
	METRIC_POOL_WARM,
	METRIC_POOL_TARGET,
	METRIC_POOLS_READY,
	METRIC_SANDBOXES_STARTED,
	METRIC_SANDBOXES_OPEN,
	METRIC_SANDBOXES_STUCK,
	METRIC_AUDIT_RECORDS,
	METRIC_AUDIT_SYNCS,
	METRIC_AUDIT_SIZE,
	METRIC_AUDIT_REFUSED,
	METRIC_STORE_CHANGES,
	METRIC_COUNT,
};

struct metrics_page {
	uint64_t values[METRIC_COUNT]; /* written with relaxed atomics */
};

#define OWNER(proc) (1U << PROC_##proc)
static const struct {
	const char *name;
	const char *type; /* Prometheus */
	const char *help;
	uint32_t owners; /* who writes it, 1 << enum proc: the others have no such row */
} metric_rows[METRIC_COUNT] = {
	[METRIC_LINK_DROPPED_PEERS] = { "link_dropped_peers_total", "counter",
	    "Peers dropped for breaking the protocol.",
	    OWNER(AUTHORITY) | OWNER(BROKER) | OWNER(EXECUTOR) | OWNER(AUDIT) | OWNER(STORE) },
	[METRIC_CONNECTIONS] = { "connections_total", "counter", "Accepted connections.",
	    OWNER(GATEWAY) },
	[METRIC_CONNECTIONS_OPEN] = { "connections_open", "gauge", "Open connections.",
	    OWNER(GATEWAY) },
	[METRIC_CONNECTIONS_REFUSED] = { "connections_refused_total", "counter",
	    "Connections refused by a limit per source.", OWNER(GATEWAY) },
	[METRIC_HANDSHAKES_FAILED] = { "tls_handshakes_failed_total", "counter",
	    "Failed TLS handshakes.", OWNER(GATEWAY) },
	[METRIC_HTTP2_CONNECTIONS] = { "http2_connections_total", "counter",
	    "Connections that speak HTTP/2.", OWNER(GATEWAY) },
	[METRIC_HTTP2_RESETS_IN] = { "http2_resets_received_total", "counter",
	    "Streams reset by clients.", OWNER(GATEWAY) },
	[METRIC_HTTP2_RESETS_OUT] = { "http2_resets_sent_total", "counter",
	    "Streams reset by the gateway.", OWNER(GATEWAY) },
	[METRIC_HTTP2_FLOODS] = { "http2_floods_total", "counter",
	    "HTTP/2 connections ended for a flood of frames.", OWNER(GATEWAY) },
	[METRIC_REQUESTS] = { "requests_total", "counter", "Requests parsed.", OWNER(GATEWAY) },
	[METRIC_RESPONSES_2XX] = { "responses_2xx_total", "counter", "Answers with status 2xx.",
	    OWNER(GATEWAY) },
	[METRIC_RESPONSES_4XX] = { "responses_4xx_total", "counter", "Answers with status 4xx.",
	    OWNER(GATEWAY) },
	[METRIC_RESPONSES_5XX] = { "responses_5xx_total", "counter", "Answers with status 5xx.",
	    OWNER(GATEWAY) },
	[METRIC_AUTH_FAILURES] = { "authentication_failures_total", "counter",
	    "Failed authentications.", OWNER(GATEWAY) | OWNER(AUTHORITY) },
	[METRIC_BYTES_IN] = { "bytes_in_total", "counter", "Bytes received.", OWNER(GATEWAY) },
	[METRIC_BYTES_OUT] = { "bytes_out_total", "counter", "Bytes sent.", OWNER(GATEWAY) },
	[METRIC_TURNS] = { "turns_total", "counter", "Turns admitted.", OWNER(AUTHORITY) },
	[METRIC_TURNS_OPEN] = { "turns_open", "gauge", "Turns running.", OWNER(AUTHORITY) },
	[METRIC_GRANTS] = { "grants_total", "counter", "Grants issued or used.",
	    OWNER(AUTHORITY) | OWNER(BROKER) | OWNER(EXECUTOR) },
	[METRIC_GRANTS_REFUSED] = { "grants_refused_total", "counter",
	    "Actions refused for lack of a grant.", OWNER(BROKER) | OWNER(EXECUTOR) },
	[METRIC_RATE_LIMITED] = { "rate_limited_total", "counter",
	    "Requests refused by a rate or concurrency limit.", OWNER(AUTHORITY) },
	[METRIC_TOKENS_IN] = { "tokens_in_total", "counter",
	    "Tokens of prompts, estimates included.", OWNER(AUTHORITY) },
	[METRIC_TOKENS_OUT] = { "tokens_out_total", "counter",
	    "Tokens of answers, estimates included.", OWNER(AUTHORITY) },
	[METRIC_USAGE_DROPPED] = { "usage_dropped_total", "counter",
	    "Counts of usage that the store did not get.", OWNER(AUTHORITY) },
	[METRIC_MODEL_CALLS] = { "model_calls_total", "counter", "Calls to model providers.",
	    OWNER(BROKER) },
	[METRIC_UPSTREAM_HTTP2_CONNECTIONS] = { "upstream_http2_connections_total", "counter",
	    "Connections with providers that speak HTTP/2.", OWNER(BROKER) },
	[METRIC_UPSTREAM_HTTP2_FLOODS] = { "upstream_http2_floods_total", "counter",
	    "HTTP/2 connections with providers ended for a flood of frames.", OWNER(BROKER) },
	[METRIC_MODEL_FAILURES] = { "model_failures_total", "counter",
	    "Failed calls to model providers.", OWNER(BROKER) },
	[METRIC_MODEL_RETRIES] = { "model_retries_total", "counter",
	    "Exchanges with a provider that were followed by another.", OWNER(BROKER) },
	[METRIC_BREAKERS_OPEN] = { "breakers_open", "gauge",
	    "Tenants that leave a provider alone for a while, because it failed.", OWNER(BROKER) },
	[METRIC_SECRETS_REDACTED] = { "secrets_redacted_total", "counter",
	    "Places in answers of providers where our credential was overwritten.", OWNER(BROKER) },
	[METRIC_RUNS] = { "runs_total", "counter", "Runs started.", OWNER(EXECUTOR) },
	[METRIC_RUNS_OPEN] = { "runs_open", "gauge", "Runs now.", OWNER(EXECUTOR) },
	[METRIC_RUNS_QUEUED] = { "runs_queued", "gauge", "Runs waiting for a sandbox.",
	    OWNER(EXECUTOR) },
	[METRIC_POOL_WARM] = { "pool_warm", "gauge", "Warm sandboxes.", OWNER(EXECUTOR) },
	[METRIC_POOL_TARGET] = { "pool_target", "gauge", "Warm sandboxes wanted.",
	    OWNER(EXECUTOR) },
	[METRIC_POOLS_READY] = { "pools_ready", "gauge",
	    "1 once every pool has had a warm sandbox.", OWNER(EXECUTOR) },
	[METRIC_SANDBOXES_STARTED] = { "sandboxes_started_total", "counter", "Sandboxes started.",
	    OWNER(SPAWNER) },
	[METRIC_SANDBOXES_OPEN] = { "sandboxes_open", "gauge", "Sandboxes that exist.",
	    OWNER(SPAWNER) },
	[METRIC_SANDBOXES_STUCK] = { "sandboxes_stuck_total", "counter",
	    "Ended sandboxes whose control group could not be removed.", OWNER(SPAWNER) },
	[METRIC_AUDIT_RECORDS] = { "audit_records_total", "counter", "Durable audit records.",
	    OWNER(AUDIT) },
	[METRIC_AUDIT_SYNCS] = { "audit_syncs_total", "counter", "fdatasync calls of the log.",
	    OWNER(AUDIT) },
	[METRIC_AUDIT_SIZE] = { "audit_size", "gauge", "Records in the log.", OWNER(AUDIT) },
	[METRIC_AUDIT_REFUSED] = { "audit_refused_total", "counter", "Appends refused.",
	    OWNER(AUDIT) },
	[METRIC_STORE_CHANGES] = { "store_changes_total", "counter", "Changes committed.",
	    OWNER(STORE) },
};
#undef OWNER

#endif
