/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_SECRETS_H
#define AUTHORITY_SECRETS_H

/*
 * What the broker says about the secrets that it reads, kept for `status`, and
 * those of the store on their way to it. No value ever comes here in plain.
 */
#include <conf/conf.h>
#include <wire/authority_broker.h>

#define SECRET_STATES_MAX 256 /* references; beyond, the one not heard of for longest goes */

struct secret_state {
	char reference[SECRET_REF_MAX + 1];
	char version[SECRET_VERSION_MAX + 1];
	enum secret_fault fault; /* of the last access */
	uint64_t held_until_ms;  /* a value may be used until then; 0: there is none */
	uint64_t heard_ms;
};

struct secret_states {
	struct secret_state items[SECRET_STATES_MAX];
	size_t n;
};

struct authority;
struct link;
struct json_writer;

/* How a reading of it ended. */
void secrets_note(struct authority *a, const char *reference, const struct ab_secret_ended *m);
void secrets_on_get(struct link *l, uint64_t id, const void *msg, void *ctx);
/* The store has another version of it, or none any more: the broker is told. */
void secrets_changed(struct authority *a, struct span name);
/* With the broker goes what it held. */
void secrets_on_broker_gone(struct authority *a);
/* "credentials": [{provider, reference, state, version, fault}], "credentials_unavailable":
 * [provider] */
void secrets_put_status(const struct authority *a, struct json_writer *w);

#endif
