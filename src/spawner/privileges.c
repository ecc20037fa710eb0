/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privileges.c: what of root the launcher keeps.
 *
 * Runs in: the launcher, once, before its first command.
 * Invariants: CAP_SETUID and CAP_SETGID write id maps of user namespaces,
 * CAP_DAC_OVERRIDE removes a group from a controller's root (mode 0555); no other
 * capability is left, and none can be gained.
 * See: launcher.c; capabilities(7).
 */
#include "launcher.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct status
launcher_drop_privileges(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = 0 } };
	const uint32_t keep = 1U << CAP_SETUID | 1U << CAP_SETGID | 1U << CAP_DAC_OVERRIDE;

	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		bool kept = cap < 32 && (keep >> cap & 1) != 0;

		if (!kept && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			return fail_errno();
	}
	data[0].effective = keep;
	data[0].permitted = keep;
	if (syscall(SYS_capset, &head, data) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail_errno();
	return OK;
}
