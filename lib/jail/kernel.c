/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.c: does this kernel have what the jails need?
 *
 * Runs in: `sallyport serve` and the supervisor, before anything starts.
 * Trusts: the kernel's own answers. Owns: nothing.
 * Invariants: a feature that is missing is named, never worked around.
 * See: jail/jail.h.
 */
#include "internal.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool
has_seccomp(void)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static bool
has_landlock(void)
{
	return landlock_abi() >= JAIL_LANDLOCK_ABI_MIN;
}

static bool
has_user_namespaces(void)
{
	return access("/proc/self/ns/user", F_OK) == 0;
}

static bool
has_cgroups(void)
{
	return access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0 ||
	       (access("/sys/fs/cgroup/memory", F_OK) == 0 &&
		   access("/sys/fs/cgroup/pids", F_OK) == 0);
}

static bool
has_no_new_privs(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) >= 0;
}

static const struct {
	const char *what;
	bool (*present)(void);
} features[] = {
	{ "no_new_privs", has_no_new_privs },
	{ "seccomp filters with SECCOMP_RET_KILL_PROCESS", has_seccomp },
	{ "Landlock (ABI 2 or newer)", has_landlock },
	{ "user namespaces", has_user_namespaces },
	{ "cgroups (version 2, or version 1 with memory and pids)", has_cgroups },
};

struct status
jail_check_kernel(const char **ret_what)
{
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if (features[i].present())
			continue;
		*ret_what = features[i].what;
		return fail(E_UNSUPPORTED);
	}
	return OK;
}
