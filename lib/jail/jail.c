/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail.c: from root to as little as possible, in one go.
 *
 * Runs in: every process, once, single-threaded, before its first request.
 * Trusts: its own tables. Owns: nothing.
 * Invariants: each step that fails ends the attempt; at the end what was asked
 * for is read back from the kernel.
 * See: jail/jail.h; capabilities(7), credentials(7).
 */
#include "internal.h"

#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct status
limit(__rlimit_resource_t resource, rlim_t value)
{
	struct rlimit rl;

	if (getrlimit(resource, &rl) < 0)
		return fail_errno();
	if (rl.rlim_max != RLIM_INFINITY && value > rl.rlim_max)
		value = rl.rlim_max; /* hard limits are never raised */
	rl.rlim_cur = rl.rlim_max = value;
	return setrlimit(resource, &rl) < 0 ? fail_errno() : OK;
}

static struct status
drop_bounding_set(uint64_t keep)
{
	for (unsigned long cap = 0; cap <= 63; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) < 0)
			return OK; /* beyond the kernel's last */
		if ((keep >> cap & 1) == 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return fail_errno();
	}
	return OK;
}

static struct status
set_caps(uint64_t keep)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return fail_errno();
	for (int i = 0; i < 2; i++) {
		/* What we were started without stays away; nothing is ever raised. */
		data[i].permitted &= (uint32_t)(keep >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, data) < 0)
		return fail_errno();
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ? fail_errno() : OK;
}

static struct status
become(uid_t uid, gid_t gid, uint64_t caps)
{
	if (caps != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return fail_errno();
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return fail_errno();
	return OK;
}

/* Read back: an identity that did not change is no jail. */
static struct status
verify(const struct jail *j, uid_t uid, gid_t gid)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return fail(E_DENIED);
	if (j->is_supervisor)
		return OK;
	if (getresuid(&r, &e, &s) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return fail_errno();
	if (r != uid || e != uid || s != uid || rg != gid || eg != gid || sg != gid)
		return fail(E_DENIED);
	return uid == 0 || setresuid(0, 0, 0) < 0 || j->caps != 0 ? OK : fail(E_DENIED);
}

struct status
jail_enter(const struct jail *j, uid_t uid, gid_t gid, const struct jail_path *paths, size_t npaths,
    const char **ret_what)
{
	*ret_what = "resource limits";
	TRY(limit(RLIMIT_CORE, 0));
	if (j->nofile != 0)
		TRY(limit(RLIMIT_NOFILE, j->nofile));
	*ret_what = "capability bounding set";
	TRY(drop_bounding_set(j->caps));
	*ret_what = "uid and gid";
	if (!j->is_supervisor)
		TRY(become(uid, gid, j->caps));
	*ret_what = "capabilities";
	TRY(set_caps(j->caps));
	*ret_what = "no_new_privs and dumpable";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return fail_errno();
	/* Changing identity cleared it; the spawner must live on to clean up. */
	if (!j->is_supervisor && j->caps == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return fail_errno();
	*ret_what = "verification of the jail";
	TRY(verify(j, uid, gid));
	if (!j->is_supervisor)
		TRY(landlock_enter(j, paths, npaths, ret_what));
	TRY(filter_load(j, ret_what));
	*ret_what = "";
	return OK;
}

struct status
jail_enter_slot(const struct jail *j, const char **ret_what)
{
	*ret_what = "resource limits";
	TRY(limit(RLIMIT_CORE, 0));
	TRY(limit(RLIMIT_NOFILE, j->nofile));
	*ret_what = "capabilities";
	TRY(set_caps(0));
	*ret_what = "no_new_privs and dumpable";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return fail_errno();
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return fail(E_DENIED);
	TRY(landlock_enter(j, NULL, 0, ret_what));
	TRY(filter_load(j, ret_what));
	*ret_what = "";
	return OK;
}

static bool
is_kept(int fd, const int *keep, size_t nkeep)
{
	for (size_t i = 0; i < nkeep; i++) {
		if (keep[i] == fd)
			return true;
	}
	return fd <= 2;
}

struct status
jail_close_others(const int *keep, size_t nkeep)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	if (dir == NULL)
		return fail_errno();
	while ((e = readdir(dir)) != NULL) {
		uint64_t fd;

		if (!is_ok(span_u64(span_str(e->d_name), INT32_MAX, &fd)))
			continue;
		if ((int)fd != dirfd(dir) && !is_kept((int)fd, keep, nkeep))
			(void)close((int)fd);
	}
	(void)closedir(dir);
	return OK;
}
