/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: the audit process.
 *
 * Runs in: audit. See: audit.c; daemon/daemon.h.
 */
#include "audit.h"

int
main(int argc, char **argv)
{
	return daemon_main(argc, argv, &audit_ops, NULL);
}
