/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock.c: which files stay reachable by name; no TCP, no signals outside.
 *
 * Runs in: every process but the supervisor, once. Trusts: nothing.
 * Owns: nothing afterwards. Invariants: everything that this kernel can forbid
 * is forbidden, then the listed paths are opened again.
 * See: jail/jail.h; landlock(7). Debian 12's headers know ABI 2 only, so newer
 * constants are given here.
 */
#include "internal.h"

#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <base/cleanup.h>

/* struct landlock_ruleset_attr as of ABI 6. */
struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

#define FS_TRUNCATE (1ULL << 14) /* ABI 3 */
#define NET_BIND_TCP 1ULL        /* ABI 4 */
#define NET_CONNECT_TCP 2ULL
#define FS_IOCTL_DEV (1ULL << 15)      /* ABI 5 */
#define SCOPE_ABSTRACT_AND_SIGNAL 3ULL /* ABI 6 */

#define FS_ABI1 ((1ULL << 13) - 1)
#define FS_REFER (1ULL << 13) /* ABI 2 */

/* What each bit of enum jail_access opens. */
static const struct {
	unsigned access;
	uint64_t fs;
} grants[] = {
	{ JAIL_READ, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR },
	{ JAIL_WRITE, LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
			  LANDLOCK_ACCESS_FS_REMOVE_FILE | FS_TRUNCATE },
	{ JAIL_EXEC, LANDLOCK_ACCESS_FS_EXECUTE },
	{ JAIL_MKDIR, LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR },
};

int
landlock_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static struct ruleset_attr
ruleset_of(const struct jail *j, int abi)
{
	struct ruleset_attr attr = { .handled_access_fs = FS_ABI1 | FS_REFER };

	if (abi >= 3)
		attr.handled_access_fs |= FS_TRUNCATE;
	if (abi >= 4)
		attr.handled_access_net = NET_BIND_TCP | (j->tcp_out ? 0 : NET_CONNECT_TCP);
	if (abi >= 5)
		attr.handled_access_fs |= FS_IOCTL_DEV;
	if (abi >= 6 && j->caps == 0)
		attr.scoped = SCOPE_ABSTRACT_AND_SIGNAL;
	return attr;
}

static size_t
attr_len(int abi)
{
	if (abi >= 6)
		return sizeof(struct ruleset_attr);
	return abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
}

static struct status
allow_path(int ruleset, const struct jail_path *p, uint64_t handled)
{
	struct landlock_path_beneath_attr beneath = { .parent_fd = p->fd };

	for (size_t i = 0; i < sizeof(grants) / sizeof(grants[0]); i++) {
		if ((p->access & grants[i].access) != 0)
			beneath.allowed_access |= grants[i].fs & handled;
	}
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
		return fail_errno();
	return OK;
}

struct status
landlock_enter(
    const struct jail *j, const struct jail_path *paths, size_t npaths, const char **ret_what)
{
	auto_fd int ruleset = -1;
	int abi = landlock_abi();
	struct ruleset_attr attr;

	*ret_what = "Landlock (ABI 2 or newer)";
	if (abi < JAIL_LANDLOCK_ABI_MIN)
		return fail(E_UNSUPPORTED);
	attr = ruleset_of(j, abi);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, attr_len(abi), 0);
	if (ruleset < 0)
		return fail_errno();
	for (size_t i = 0; i < npaths; i++)
		TRY(allow_path(ruleset, &paths[i], attr.handled_access_fs));
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return fail_errno();
	return OK;
}
