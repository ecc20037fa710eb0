/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include <daemon/daemon.h>

extern const struct daemon_ops audit_ops;

#endif
