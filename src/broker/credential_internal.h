/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_CREDENTIAL_INTERNAL_H
#define BROKER_CREDENTIAL_INTERNAL_H

/* Shared by credential.c (its life) and credential_wait.c (who asks for it). */
#include "access.h"
#include "broker.h"
#include "credentials.h"

struct credential_wait {
	TAILQ_ENTRY(credential_wait) entry;
	struct credential *c;
	struct credential_tried tried; /* referenced */
	uint64_t until_ms;
	credential_done *done;
	void *ctx;
	bool decided; /* with what follows; the callback comes */
	struct status end;
	struct credential_version *version;
};

TAILQ_HEAD(waits, credential_wait);

struct credential {
	LIST_ENTRY(credential) entry;
	uv_timer_t timer; /* freed with it */
	unsigned refs;
	struct broker *b;
	char spec[REFERENCE_LEN_MAX + 1];
	const struct source_ops *ops; /* NULL: `none` */
	void *source;
	struct lifetime life;
	/* The flight: its record is begun, then the job works, then its end is recorded. */
	struct access *access; /* NULL: nothing to be recorded */
	struct source_job job;
	bool working;
	struct credential_version *now, *before;
	/* Read, its end not yet on record. */
	struct credential_version *fresh;
	struct lifetime_reading reading;
	char version[SECRET_VERSION_MAX + 1];
	char lease[SECRET_LEASE_MAX + 1];
	unsigned readings; /* names versions that their source does not name */
	enum secret_fault fault;
	struct waits waits, decided;
	size_t nwaits;
};

/* credential.c */
/* Do what its times ask for, if anything. */
void credential_act(struct credential *c);

/* credential_wait.c */
bool credential_usable(const struct credential *c, const struct credential_version *v);
/* Who has its answer now, or whose time is over, is told. */
void credential_serve(struct credential *c);
/* All of them: there will be no version. */
void credential_refuse(struct credential *c);

static inline uint64_t
credential_now(const struct credential *c)
{
	return uv_now(c->b->d->loop);
}

#endif
