/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_PROVIDER_H
#define BROKER_PROVIDER_H

/*
 * A provider of the configuration: its kind, its upstream, its credential, its
 * breakers. A table of kinds says what differs; client, pool and deadlines are
 * the same for all.
 */
#include <sys/queue.h>

#include <link/link.h>
#include <wire/endpoint.h>
#include <wire/errors.h>
#include <wire/gateway_broker.h>

#include "breakers.h"
#include "credential.h"
#include "upstream.h"

#define PROVIDER_TARGET_MAX (UPSTREAM_BASE_MAX + 64)
#define PROVIDER_FILE_MAX (1U << 20) /* ca_file */
#define PROVIDER_TRIES_MAX 4         /* of one call, over all entries of its alias */

struct broker;

struct provider_row {
	const char *kind;
	const char *base;     /* where the URL has no path */
	const char *base_end; /* appended to a path that does not end so; NULL: taken as it is */
	const char *secret_name;
	const char *secret_prefix;
	bool versioned;  /* anthropic-version, anthropic-beta */
	bool remote;     /* somebody else's: asked again, and left alone while it fails */
	enum error gone; /* when it cannot be reached, or hung up without a byte */
};

struct provider {
	LIST_ENTRY(provider) entry;
	unsigned refs; /* the table's, and one for each call */
	char name[PROVIDER_MAX + 1];
	const struct provider_row *row;
	char base[UPSTREAM_BASE_MAX + 8];
	struct upstream *upstream;
	struct credential *credential;
	struct breakers breakers;
	uint8_t print[32]; /* of all that it was made from */
	char spec[513];    /* of its credential */
	bool found;        /* in the configuration that is being taken */
};
LIST_HEAD(providers, provider);

/*
 * Take the providers of b->d->conf: those that did not change keep their connections, their
 * credential and their breakers. One that cannot be made is left out, with a diagnostic: its calls
 * fail. E_NOMEM, and the first error of one that was left out.
 */
MUST_USE struct status providers_load(struct broker *b);
void providers_free(struct broker *b);
/* NULL: none of that name. */
struct provider *provider_find(struct broker *b, const char *name);
void provider_ref(struct provider *p);
void provider_release(struct provider *p);

/*
 * The head of one request; its secret and body are the caller's to add. `open` says what the
 * gateway asked for. *ret borrows from all that is given. E_FULL, E_SYNTAX.
 */
MUST_USE struct status provider_request(const struct provider *p, const char *path,
    const struct gb_open *open, char target[PROVIDER_TARGET_MAX], struct exchange_request *ret);

/* What the provider calls the request, if that is an id; else empty. */
struct span provider_request_id(const struct http_response *head);

/* demo.c: the process `demo`, reached by a descriptor over its link. */
MUST_USE struct status demo_connect(void *ctx, struct io *ret);

#endif
