/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_VAULT_INTERNAL_H
#define BROKER_VAULT_INTERNAL_H

/* Shared by vault.c (parts and sending), vault_login.c (the login), vault_job.c (the work). */
#include "secret_file.h"
#include "session.h"
#include "vault.h"
#include "vault_answer.h"

#define VAULT_BEHIND_MAX                                                         \
	4 /* then the index is forgotten: it may be of a state that was restored \
	   */
#define VAULT_LOGIN_BODY_MAX (SECRET_FILE_LEN_MAX + 1024)

struct vault_method;

/* What the login's exchange is for. */
enum vault_step {
	VAULT_LOOKUP, /* wrapped secret id: who wrapped it? */
	VAULT_UNWRAP, /* … unwrap */
	VAULT_LOGIN,
};

struct vault {
	struct session session; /* the first member */
	/* From the configuration. */
	char address[1025], namespace[257], mount[129], role[257];
	bool plain, tls12, wrapped;
	const struct vault_method *method;
	struct secret cert, cert_key; /* method cert */
	char redirect_hosts[VAULT_REDIRECTS_MAX][262];
	size_t nredirects;
	/* The address, then the hosts that a redirect may lead to; `at` is in use. */
	struct upstream *upstreams[1 + VAULT_REDIRECTS_MAX];
	size_t at;
	bool redirected; /* the login that is under way: once is enough */
	/* What a node must have heard of to know what we wrote (a login); "": nothing. */
	char index[FETCH_INDEX_MAX + 1];
	unsigned behind; /* nodes in a row that had not */
	/* The token. */
	enum vault_step step;
	uint64_t begun_ms;
	struct secret token;
	uint64_t login_ms;
	bool renewable;
	uint32_t generation;  /* of logins: leases end with the token they came by */
	uint32_t first, lost; /* the first login; the last whose token is known to be gone */
	struct secret wrapping, secret_id; /* unwrapped by us: the token, and what was in it */
	void (*stopped)(void *ctx);
	void *stopped_ctx;
};

/* vault.c */
void vault_done(struct session *s); /* as in session_ops */
/* A request to PATH (with "/v1/"), with token and namespace where there are any. */
MUST_USE struct status vault_request(const struct vault *v, const char *method, struct span target,
    const struct secret *token, struct fetch_request *ret);
/* Where a 307 leads, if it may: the next request goes there. */
bool vault_redirect(struct vault *v, const struct fetch_answer *a);
/* Of every answer: what it tells of the cluster's state. NULL is fine. */
void vault_note_index(struct vault *v, const struct fetch_answer *a);
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
/* As in session_ops. */
enum session_login vault_prepare(struct session *s);
void vault_login(struct session *s);
/* This token was refused: it is forgotten, if it is still ours. */
void vault_token_lost(struct vault *v, uint32_t generation);

/* vault_job.c */
/* What is behind MOUNT/PATH of a reference; they are few, and kept. */
struct vault_place {
	LIST_ENTRY(vault_place) entry;
	char text[REFERENCE_LEN_MAX + 1];
	bool known;
	struct vault_mount mount;
	uint32_t generation; /* of the login under which its lease came */
};

enum vault_work_step {
	WORK_MOUNT, /* which engine is there? */
	WORK_MAIN,
	WORK_CHECK, /* 403: is it the token? */
};

struct vault_work {
	struct work work; /* the first member */
	struct vault_place *place;
	enum vault_work_step step;
	uint32_t generation;
	bool relogged, redirected;
	struct vault_value value; /* the texts that the result borrows */
};

/* What a job is at Vault. */
struct vault_row {
	const char *method;
	struct status (*target)(const struct vault_work *w, struct buf *out);
	struct status (*put)(const struct vault_work *w, struct buf *out); /* its body; or NULL */
	struct status (*take)(struct vault_work *w, const struct fetch_answer *a);
	size_t body_max;
	bool mounted; /* in an engine that is asked for first */
};

/* vault_transit.c: keys under the keys of a transit engine. */
extern const struct vault_row vault_wrap, vault_unwrap, vault_rewrap;

extern const struct session_ops vault_session_ops;
void vault_jobs_forget(void); /* what is known of mounts: it is another Vault */

#endif
