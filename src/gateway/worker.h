/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_WORKER_H
#define GATEWAY_WORKER_H

/*
 * The callbacks that the skeleton of all processes calls. d->ctx is the worker.
 */
#include "gateway.h"

extern const struct jail worker_jail;

struct status worker_init(struct daemon *d);
/* All of worker_init() but the listening socket. */
struct status worker_prepare(struct daemon *d);
struct status worker_start(struct daemon *d);
/* All of worker_start() but accepting. */
void worker_hook(struct daemon *d);
void worker_config(struct daemon *d);
void worker_cert(struct daemon *d, const struct ctl_cert *cert);

#endif
