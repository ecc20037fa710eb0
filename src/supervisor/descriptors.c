/* SPDX-License-Identifier: Apache-2.0 */
/*
 * descriptors.c: are there enough descriptors?
 *
 * Runs in: supervisor, at its start and before a reload. Trusts: the configuration.
 * Owns: nothing. Invariants: the hard limit is never raised; what cannot run under it
 * is refused with the figure, not found out by a sandbox that does not start.
 * See: src/executor/main.c, which has as many slots as the limit allows.
 */
#include "supervisor.h"

#include <sys/resource.h>

#include <wire/executor_spawner.h>

/* runsc does not start its sentry with 250 and does with 256 (2 cores); the rest is for more. */
#define FILES_MIN 512
#define FILES_OWN 4096 /* the supervisor's own, and what its children begin with */

static uint64_t
sandboxes_wanted(const struct conf *conf)
{
	struct span name;
	uint64_t n = 0;

	for (size_t iter = 0; conf_each(conf, "sandboxes", &iter, &name);)
		n += conf_u64f(conf, "sandboxes.%.*s.pool", SPAN_FMT(name)) +
		     conf_u64f(conf, "sandboxes.%.*s.pool_data", SPAN_FMT(name));
	return n;
}

struct status
descriptors_check(const struct conf *conf, char error[CONF_ERROR_MAX])
{
	uint64_t pools = sandboxes_wanted(conf);
	uint64_t need = EXECUTOR_FDS_RESERVED + EXECUTOR_FDS_PER_SLOT * pools;
	struct rlimit rl;

	need = need > FILES_MIN ? need : FILES_MIN;
	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return fail_errno();
	if (rl.rlim_max < need) {
		(void)snprintf(error, CONF_ERROR_MAX,
		    "the hard limit of open files is %llu, and %llu are needed for %llu warm "
		    "sandboxes (ulimit -Hn, LimitNOFILE)",
		    (unsigned long long)rl.rlim_max, (unsigned long long)need,
		    (unsigned long long)pools);
		return fail(E_FULL);
	}
	if (rl.rlim_cur >= need)
		return OK;
	rl.rlim_cur = rl.rlim_max < FILES_OWN ? rl.rlim_max : FILES_OWN;
	return setrlimit(RLIMIT_NOFILE, &rl) == 0 ? OK : fail_errno();
}
