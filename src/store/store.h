/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <daemon/daemon.h>

extern const struct daemon_ops store_ops;

#endif
