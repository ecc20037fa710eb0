/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_PROVIDER_H
#define BROKER_PROVIDER_H

/*
 * What a kind of provider is: how to reach it and where to post. The client,
 * its pool and its deadlines are the same for all.
 */
#include <link/link.h>

#include "conn.h"

#define PROVIDER_OPEN_MAX 1024 /* connections at once */
#define PROVIDER_KEPT_MAX 64   /* of them kept for the next exchange */

struct provider;

struct provider_ops {
	const char *kind;      /* as in the configuration */
	const char *authority; /* Host */
	const char *base;      /* path before those of wire/endpoint.h */
	enum error gone;       /* when it cannot be reached, or hung up without a byte */
	/* E_CLOSED: it is not there. E_SYS. */
	struct status (*connect)(struct provider *p, struct io *ret);
};

struct provider {
	const struct provider_ops *ops;
	uv_loop_t *loop;
	struct link *demo; /* kind demo: its process, NULL while it is away */
	struct conn *kept[PROVIDER_KEPT_MAX];
	size_t nkept;
	size_t nopen;
};

/* A connection for one exchange; `fresh` refuses kept ones. E_CLOSED, E_FULL, E_SYS, E_NOMEM. */
MUST_USE struct status provider_acquire(struct provider *p, bool fresh, struct conn **ret);
/* After an exchange: kept if it may be, else closed. */
void provider_release(struct provider *p, struct conn *c);
void provider_discard(struct provider *p, struct conn *c);
/* Its far end is gone: kept connections are of no use. */
void provider_drop_kept(struct provider *p);

extern const struct provider_ops provider_demo;

#endif
