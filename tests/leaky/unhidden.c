/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in the broker's place and becomes the broker (broker.real beside it) as it would be on a
 * kernel without memfd_secret(2): the call is unknown there. tests/system/test_canary.py.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <seccomp.h>

int
main(int argc, char **argv)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	char self[PATH_MAX] = "", real[PATH_MAX + 8];

	(void)argc;
	if (filter == NULL || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	/* The filter takes no privilege away that the jail will need. */
	if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) != 0 ||
	    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(memfd_secret), 0) != 0 ||
	    seccomp_load(filter) != 0)
		return 1;
	(void)snprintf(real, sizeof(real), "%s.real", self);
	(void)execv(real, argv);
	perror(real);
	return 1;
}
