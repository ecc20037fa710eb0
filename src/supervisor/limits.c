/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.c: do the resource limits of this process leave enough for all that descend from it?
 *
 * Runs in: supervisor, at its start and before a reload. Trusts: the configuration.
 * Owns: nothing. Invariants: a hard limit is never raised; what cannot run under it is
 * refused with the figure, not found out by a sandbox that does not start. Soft limits
 * are raised as far as that.
 * See: src/executor/main.c, which has as many slots as the limit of files allows.
 */
#include "supervisor.h"

#include <sys/resource.h>

#include <wire/executor_spawner.h>

/* runsc does not start its sentry with 250 files and does with 256 (2 cores); the rest is for more.
 */
#define FILES_MIN 512
/* The authority's first slab of keys does not fit into 64 KiB. */
#define LOCKED_MIN (256U << 10)

static const struct {
	__rlimit_resource_t resource;
	rlim_t min;
	const char *what;
} rows[] = {
	{ RLIMIT_NOFILE, FILES_MIN, "open files (ulimit -n, LimitNOFILE)" },
	{ RLIMIT_MEMLOCK, LOCKED_MIN, "bytes of locked memory (ulimit -l, LimitMEMLOCK)" },
	/* Go reserves far more address space than it uses; a log has no largest size. */
	{ RLIMIT_AS, RLIM_INFINITY, "bytes of address space (ulimit -v, LimitAS)" },
	{ RLIMIT_DATA, RLIM_INFINITY, "bytes of data (ulimit -d, LimitDATA)" },
	{ RLIMIT_FSIZE, RLIM_INFINITY, "bytes of a file (ulimit -f, LimitFSIZE)" },
	{ RLIMIT_CPU, RLIM_INFINITY, "seconds of CPU time (ulimit -t, LimitCPU)" },
};

static rlim_t
files_needed(const struct conf *conf)
{
	struct span name;
	uint64_t n = EXECUTOR_FDS_RESERVED;

	for (size_t iter = 0; conf_each(conf, "sandboxes", &iter, &name);)
		n += EXECUTOR_FDS_PER_SLOT *
		     (conf_u64f(conf, "sandboxes.%.*s.pool", SPAN_FMT(name)) +
			 conf_u64f(conf, "sandboxes.%.*s.pool_data", SPAN_FMT(name)));
	return n > FILES_MIN ? n : FILES_MIN;
}

static struct status
check(size_t row, rlim_t need, char error[CONF_ERROR_MAX])
{
	char want[32] = "no limit";
	struct rlimit rl;

	if (getrlimit(rows[row].resource, &rl) != 0)
		return fail_errno();
	if (need != RLIM_INFINITY)
		(void)snprintf(want, sizeof(want), "%llu", (unsigned long long)need);
	if (rl.rlim_max < need) {
		(void)snprintf(error, CONF_ERROR_MAX,
		    "the hard limit of %s is %llu, and this configuration needs %s", rows[row].what,
		    (unsigned long long)rl.rlim_max, want);
		return fail(E_FULL);
	}
	if (rl.rlim_cur >= need)
		return OK;
	rl.rlim_cur = rl.rlim_max;
	return setrlimit(rows[row].resource, &rl) == 0 ? OK : fail_errno();
}

struct status
limits_check(const struct conf *conf, char error[CONF_ERROR_MAX])
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool files = rows[i].resource == RLIMIT_NOFILE;

		TRY(check(i, files ? files_needed(conf) : rows[i].min, error));
	}
	return OK;
}
