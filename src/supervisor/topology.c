/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topology.c: what each process is given: its slice of the configuration and
 * its named descriptors. Who may speak to whom stands in wire/topology.h.
 *
 * Runs in: supervisor. Trusts: nothing. Owns: const tables.
 * See: DESIGN of processes in ARCHITECTURE.md.
 */
#include "supervisor.h"

#include <unistd.h>

static const char *const conf_gateway[] = { "listen", "limits", "models", "providers", "sandboxes",
	"workers", "client_certificates.ca_file", "client_certificates.crl_file",
	"client_certificates.identity", "oidc", NULL };
static const char *const conf_authority[] = { "listen", "management_socket", "limits", "policies",
	"models", "providers", "sandboxes", "engines", "workers", "vault.address", "vault.tls_min",
	"aws", "tools", "oidc", "client_certificates", "store", "keys", "sessions", "audit",
	"retention", NULL };
static const char *const conf_broker[] = { "providers", "models", "limits", "vault", "aws", "oidc",
	"store", NULL };
static const char *const conf_executor[] = { "sandboxes", "wasm", "limits", NULL };
static const char *const conf_spawner[] = { "sandboxes", "engines", NULL };
static const char *const conf_audit[] = { "audit", NULL };
static const char *const conf_store[] = { "store", "retention", NULL };
static const char *const conf_demo[] = { "models", NULL };

static const char *const fds_none[] = { NULL };
static const char *const fds_gateway[] = { "listen", NULL };
static const char *const fds_authority[] = { "management", NULL };
static const char *const fds_broker[] = { "master-key", "kept", NULL };
static const char *const fds_audit[] = { "audit-dir", "audit-key", "audit-seal", NULL };
static const char *const fds_store[] = { "store-dir", "master-key", NULL };

const struct proc_row proc_rows[PROC_COUNT] = {
	[PROC_GATEWAY] = { conf_gateway, fds_gateway, NULL },
	[PROC_AUTHORITY] = { conf_authority, fds_authority, NULL },
	[PROC_BROKER] = { conf_broker, fds_broker, NULL },
	[PROC_EXECUTOR] = { conf_executor, fds_none, NULL },
	[PROC_SPAWNER] = { conf_spawner, fds_none, NULL },
	[PROC_AUDIT] = { conf_audit, fds_audit, NULL },
	[PROC_STORE] = { conf_store, fds_store, NULL },
	[PROC_DEMO] = { conf_demo, fds_none, "demo" },
};

static bool
has_provider_of_kind(const struct conf *conf, const char *kind)
{
	struct span name;

	for (size_t iter = 0; conf_each(conf, "providers", &iter, &name);) {
		const char *is = conf_strf(conf, "providers.%.*s.kind", SPAN_FMT(name));

		if (is != NULL && strcmp(is, kind) == 0)
			return true;
	}
	return false;
}

bool
proc_wanted(const struct supervisor *sv, enum proc proc)
{
	const struct proc_row *row = &proc_rows[proc];

	if (row->config == NULL)
		return false;
	return row->only_if == NULL || has_provider_of_kind(sv->conf, row->only_if);
}

uint32_t
proc_count(const struct supervisor *sv, enum proc proc)
{
	return proc == PROC_GATEWAY ? sv->workers : 1;
}

uint32_t
worker_count(const struct conf *conf)
{
	uint64_t n = conf_u64(conf, "workers");
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (n == 0)
		n = cores > 0 ? (uint64_t)cores : 1;
	return n > WORKERS_MAX ? WORKERS_MAX : (uint32_t)n;
}
