/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_CREDENTIAL_H
#define BROKER_CREDENTIAL_H

/*
 * A credential is one `credential:` of the configuration. Whoever makes a
 * request asks for its version of the moment, holds a reference while the
 * request is written, and gives it back. Where it comes from, how long it is
 * kept and how it rotates is behind this header.
 */
#include <crypto/secret.h>
#include <wire/limits.h>

#include "lease.h"
#include "redact.h"

#define CREDENTIAL_LEN_MIN 8 /* less could not be told from ordinary text when it is echoed */
#define CREDENTIAL_LEN_MAX SECRET_VALUE_MAX
#define CREDENTIAL_TRIES_MAX 3 /* the one in use, a fresh one, the one before */

struct broker;
struct credential;
struct credential_wait;

struct credential_version {
	unsigned refs;
	struct secret value; /* passed http_value_ok(); SECRET_NONE: `none`, nothing to send */
	char version[SECRET_VERSION_MAX + 1]; /* for audit: "7", an id of AWS, "none" */
	bool unfit_said;          /* that it is not looked for in what is kept: marks.c */
	uint64_t expires_ms;      /* of the loop's clock: not used from then on */
	struct redactor redactor; /* knows the value in all its forms */
	struct lease *lease;      /* given back with the last reference; NULL: none */
};

/* OK: `v` is the callee's reference. The errors of credential_get(). */
typedef void credential_done(void *ctx, struct status st, struct credential_version *v);

/* What the providers refused in this request (401). */
struct credential_tried {
	struct credential_version
	    *version[CREDENTIAL_TRIES_MAX]; /* with references of the caller */
	unsigned count;
};

/* `spec` as in the configuration. State: after the configuration was loaded. E_NOMEM, E_RANGE. */
MUST_USE struct status credential_new(struct broker *b, const char *spec, struct credential **ret);
/* Pending `done` get E_CLOSED; versions live as long as their references. NULL is fine. */
void credential_free(struct credential *c);

/*
 * A version that may be used now and is none of `tried`: the one at hand; when that was refused,
 * it is fetched anew once; when that brings nothing else, the one before.
 * OK: *ret is a reference. E_AGAIN: `done` comes once, from the loop, unless *ret_wait is
 * cancelled first. E_NOTFOUND: nothing is left to try, or the source has no such secret.
 * E_CLOSED: the source is away and nothing cached is good. E_DENIED: the source refuses us.
 * Owner: `tried` is read before the return and not kept.
 */
MUST_USE struct status credential_get(struct credential *c, const struct credential_tried *tried,
    credential_done *done, void *ctx, struct credential_wait **ret_wait,
    struct credential_version **ret);
void credential_cancel(struct credential_wait *w);
/*
 * The version that is held beside `v`, as after a rotation, with a reference; NULL: none. Not to
 * be sent: only to be known when a provider echoes it.
 */
struct credential_version *credential_other(
    const struct credential *c, const struct credential_version *v);

void credential_ref(struct credential_version *v);
void credential_release(struct credential_version *v); /* NULL is fine */

/*
 * For the sources: a version of one reference; takes `value`, which may be SECRET_NONE.
 * Errors: E_RANGE (length), E_SYNTAX (not fit for a header), E_NOMEM, E_SYS.
 */
MUST_USE struct status credential_version_new(struct secret *value, const char *version,
    uint64_t expires_ms, struct credential_version **ret);

#endif
