/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_ACCESSES_H
#define AUTHORITY_ACCESSES_H

/*
 * What the broker does with secrets and their sources, on record: an intent
 * before it does it, an outcome afterwards, from here where it dies in between.
 */
#include <wire/authority_broker.h>

#define ACCESSES_MAX 512       /* open at one time */
#define ACCESSES_PER_S_MAX 100 /* begun; a broker gone wrong does not fill the log */

struct access {
	enum { ACCESS_FREE, ACCESS_BEGINNING, ACCESS_OPEN, ACCESS_ORPHAN, ACCESS_ENDING } state;
	uint64_t seq;    /* of its intent */
	uint32_t epoch;  /* of the audit process that has it */
	uint32_t broker; /* peer id of who does it */
	uint64_t call;   /* of the broker, to be answered */
	bool ends_ours;  /* ENDING: nobody asked for it */
	enum secret_act act;
	enum secret_why why;
	char reference[SECRET_REF_MAX + 1];
	char method[SECRET_METHOD_MAX + 1];
	char lease[SECRET_LEASE_MAX + 1];
};

struct accesses {
	struct access items[ACCESSES_MAX];
	uint64_t second; /* the one that `begun` is of */
	uint32_t begun;
	uint32_t orphans;
};

struct authority;
struct link;

void accesses_on_begin(struct link *l, uint64_t id, const void *msg, void *ctx);
void accesses_on_ended(struct link *l, uint64_t id, const void *msg, void *ctx);
/* What it left open ends with outcome unknown. */
void accesses_on_broker_gone(struct authority *a);
/* Ends that could not be recorded are tried again. */
void accesses_tick(struct authority *a);

#endif
