/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: the store process.
 *
 * Runs in: store. See: store.c; daemon/daemon.h.
 */
#include "store.h"

int
main(int argc, char **argv)
{
	return daemon_main(argc, argv, &store_ops, NULL);
}
