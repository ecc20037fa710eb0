/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_INTERNAL_H
#define DAEMON_INTERNAL_H

#include <daemon/daemon.h>

void diag_set_name(const char *name, uint32_t index);
/* Map the page that the supervisor gave; takes fd. */
MUST_USE struct status metric_map(int fd);

#endif
