/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_VAULT_INTERNAL_H
#define BROKER_VAULT_INTERNAL_H

/* Shared by vault.c (parts and sending), vault_login.c (the session), vault_job.c (the work). */
#include <sys/queue.h>

#include <daemon/daemon.h>

#include "breaker.h"
#include "fetch.h"
#include "secret_file.h"
#include "vault.h"
#include "vault_answer.h"

#define VAULT_LOGIN_BODY_MAX (SECRET_FILE_LEN_MAX + 1024)

struct vault_method;
struct vault_work;

enum vault_session {
	VAULT_OUT,    /* no token */
	VAULT_LOOKUP, /* wrapped secret id: who wrapped it? */
	VAULT_UNWRAP, /* … unwrap */
	VAULT_LOGIN,
	VAULT_IN,
};

struct vault {
	uv_loop_t *loop;
	/* From the configuration. */
	char address[1025], namespace[257], mount[129], role[257];
	bool plain, tls12, wrapped;
	bool opening; /* the files of our identity are being opened once more */
	const struct vault_method *method;
	struct daemon *d;
	struct secret cert, cert_key; /* method cert */
	char redirect_hosts[VAULT_REDIRECTS_MAX][262];
	size_t nredirects;
	/* The address, then the hosts that a redirect may lead to; `at` is in use. */
	struct upstream *upstreams[1 + VAULT_REDIRECTS_MAX];
	size_t at;
	/* The session. While it is renewed or made anew, the token goes on. */
	enum vault_session step; /* what the fetch is for; OUT and IN: nothing */
	struct fetch *fetch;
	uint64_t begun_ms;
	struct secret token;
	uint64_t login_ms, token_end_ms, renew_ms;
	bool renewable, renewing;
	uint32_t generation;               /* of logins: leases end with the token they came by */
	struct secret wrapping, secret_id; /* unwrapped by us: the token, and what was in it */
	unsigned failures;
	uint64_t not_before_ms;
	enum secret_fault fault; /* why the last login failed */
	bool refused;
	uv_timer_t timer;
	struct breaker breaker;        /* of the work; the session backs off by itself */
	bool closing;                  /* freed when the files have been opened */
	LIST_HEAD(, vault_work) works; /* all; those that wait for a token have no fetch */
	size_t nworks;
	void (*stopped)(void *ctx);
	void *stopped_ctx;
};

/* vault.c */
uint64_t vault_now(const struct vault *v);
/* A request to PATH (with "/v1/"), with token and namespace where there are any. */
MUST_USE struct status vault_request(const struct vault *v, const char *method, struct span target,
    const struct secret *token, struct fetch_request *ret);
/* Where a 307 leads, if it may: the next request goes there. */
bool vault_redirect(struct vault *v, const struct fetch_answer *a);
/* What a failed exchange or a status means; NONE for 200 and 204. */
enum secret_fault vault_fault(struct status st, const struct fetch_answer *a, bool *ret_refused);

/* vault_login.c */
struct vault_method {
	const char *name;
	const char *first, *file; /* keys below vault.auth.NAME: role, file */
	/* Appends the body of the login. */
	struct status (*put)(const struct vault *v, const struct secret *identity, struct buf *out);
};
extern const struct vault_method vault_methods[];
extern const size_t vault_method_count;
/* There is a token that may be used now. */
bool vault_session_ready(const struct vault *v);
/* Log in, unless that is under way. The works hear of its end by vault_jobs_login(). */
void vault_session_want(struct vault *v);
/* This token was refused: if it is still ours, log in anew. */
void vault_session_lost(struct vault *v, uint32_t generation);
void vault_session_timer(uv_timer_t *t);

/* vault_job.c */
void vault_jobs_login(struct vault *v); /* the session is there, or is not */
void vault_jobs_forget(void);           /* what is known of mounts: it is another Vault */

#endif
