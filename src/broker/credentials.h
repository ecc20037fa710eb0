/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_CREDENTIALS_H
#define BROKER_CREDENTIALS_H

/* All credentials of the broker, and the sources behind them (credential.h shows one). */
#include <daemon/daemon.h>

#include "credential.h"
#include "source.h"

#define CREDENTIALS_MAX 256       /* different references */
#define CREDENTIAL_WAITS_MAX 1024 /* requests that wait for one of them */
#define CREDENTIAL_WAIT_MS 5000
#define CREDENTIAL_PREVIOUS_MS LIFETIME_AGE_MAX_MS
#define CREDENTIAL_LENT_BEFORE_MS                                       \
	20000 /* that long a lease that was replaced may be tried again \
	       */

struct sources {
	struct {
		const struct source_ops *ops; /* NULL: not configured */
		void *source;
		struct lifetime_opts lifetime;
	} by[REFERENCE_SOURCES];
};

/* State: in init(), as root. Derives the key of file secrets. E_NOTFOUND (descriptor), E_SYNTAX …
 */
MUST_USE struct status sources_init(struct daemon *d);
/* At the start and when the configuration changed, before credential_new(). *ret_what: the key that
 * is to blame. */
MUST_USE struct status sources_config(struct broker *b, const char **ret_what);
#define SOURCES_STOP_MS 700
/* No reading begins any more; leases and tokens are given back; then, or in time, `done`. */
void sources_stop(struct broker *b, void (*done)(void *ctx), void *ctx);

/* The source behind these is another, or none: what came from it is read again. */
void credentials_source_changed(struct broker *b, enum reference_source source);
/* The authority is there, or back: what waits for it goes on; secrets of the store are read anew.
 */
void credentials_authority(struct broker *b);
/* A secret of the store is another now. */
void credentials_changed(struct broker *b, struct span name);

#endif
