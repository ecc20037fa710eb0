/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

/*
 * What a source of credentials on the network needs, whichever it is: a session
 * (a token of Vault's, keys for AWS) that is had by one login at a time, kept
 * alive and had anew; and works, the jobs of source.h, which wait for it. Its
 * owner brings the steps (struct session_ops) and embeds both as first members.
 */
#include <sys/queue.h>

#include "access.h"
#include "breaker.h"
#include "broker.h"
#include "fetch.h"
#include "source.h"

#define SESSION_WORKS_MAX 256
#define SESSION_BACKOFF_MIN_MS 500 /* between logins that failed … */
#define SESSION_BACKOFF_MAX_MS 30000
#define SESSION_REFUSED_MS 15000 /* … and this more where we were refused */
#define SESSION_CA_MAX (1U << 20)

struct session;
struct work;

enum session_login {
	SESSION_LOGIN,
	SESSION_LOGIN_FILES, /* the files of our identity are to be opened anew for it */
	SESSION_RENEW,       /* of what is held */
};

struct session_ops {
	const char *name;                /* for diagnostics */
	const char *verb;                /* … "login by", "credentials by" */
	size_t work_size;                /* of what embeds a struct work */
	void (*done)(struct session *s); /* free what the owner added */
	/* A login begins now: of which kind? */
	enum session_login (*prepare)(struct session *s);
	/* Its first step, once it is on record. It ends in session_open() or session_failed(), and
	 * may run for a while.
	 */
	void (*login)(struct session *s);
	/* Of a work, before it is queued: may it be done at all? */
	struct status (*take)(struct work *w);
	/* State: the session is ready. Ends in work_fetch(). */
	struct status (*send)(struct work *w);
	/* Ends in work_finish(), or in work_go_on(). `a` is NULL unless st is OK. */
	void (*answer)(struct work *w, struct status st, const struct fetch_answer *a);
	/* A source that answers with this status works, whatever it says. */
	bool (*works)(uint16_t status);
};

struct session {
	const struct session_ops *ops;
	struct broker *b;
	const char *method; /* of the login */
	enum session_login login;
	struct access *access;                 /* of the login: NULL: none is under way */
	char accessor[SECRET_VERSION_MAX + 1]; /* names what is held, on record */
	bool held;                             /* there is a token, there are keys … */
	uint64_t end_ms;                       /* … used until then */
	struct fetch *fetch; /* of the login; while it runs, what is held goes on */
	bool opening;        /* the files of our identity are being opened once more */
	bool closing;        /* freed when that is over */
	bool stopped;        /* nothing begins any more */
	unsigned failures;
	uint64_t not_before_ms;
	enum secret_fault fault; /* why the last login failed */
	bool refused;
	uv_timer_t timer;
	struct breaker breaker;  /* of the works; the session backs off by itself */
	LIST_HEAD(, work) works; /* all; those that wait for the session have no fetch */
	size_t nworks;
};

struct work {
	LIST_ENTRY(work) entry;
	uv_timer_t timer;
	struct session *s;
	struct source_job *job;
	struct fetch *fetch;
	struct source_result result;
	char version[SECRET_VERSION_MAX + 1]; /* the result borrows it */
};

/* ---- session.c ---- */
void session_init(struct session *s, const struct session_ops *ops, struct broker *b);
/* State: no work is left. Frees what embeds it; it may go on for a moment. NULL is fine. */
void session_free(struct session *s);
/* No login and no work begins any more; a login that runs is given up. */
void session_stop(struct session *s);
uint64_t session_now(const struct session *s);
uv_loop_t *session_loop(const struct session *s);
uint32_t session_roll(void); /* for jitter */
/* Certificates of *key* in `own`, or else `system_ca`. E_SYS, E_RANGE. */
MUST_USE struct status session_ca(const struct session *s, const char *key, struct span system_ca,
    struct buf *own, struct span *ret);
/* With the loop and the limits that are the same for all. */
MUST_USE struct status session_connect(
    const struct session *s, struct upstream_opts *o, struct upstream **ret);

bool session_ready(const struct session *s);
/* A login is under way. */
bool session_busy(const struct session *s);
/* Log in, unless that is under way, or too early: then when it is time. */
void session_want(struct session *s);
/* The login that is under way, once more from its first step: it was sent elsewhere. */
void session_retry(struct session *s);
/* It is over, and another one may do: that begins now. */
void session_again(struct session *s, enum secret_fault fault);
/* On record, how what is under way ended; nobody waits for that. */
void session_record_end(struct session *s, enum secret_fault fault);
/* It is there, until `end_ms`; at `next_ms` it is had anew. What waits goes on. */
void session_open(struct session *s, uint64_t end_ms, uint64_t next_ms);
/* What waits is told, unless what is held is still good. */
void session_failed(
    struct session *s, enum secret_fault fault, bool refused, uint32_t retry_after_ms);
/* What is held is not good any more; the owner has wiped it. */
void session_lost(struct session *s);

/* ---- work.c ---- */
/* As start and cancel of source_ops; `source` is the session. */
struct status work_start(void *source, struct source_job *job);
void work_cancel(struct source_job *job);
/* With a session: send. Without: it is had, and then it goes on. */
void work_go_on(struct work *w);
/* Takes `r`, whatever comes of it. */
MUST_USE struct status work_fetch(struct work *w, struct upstream *u, struct fetch_request *r);
/* Its job hears of it, from the loop. */
void work_finish(struct work *w, enum secret_fault fault, bool refused, uint32_t retry_after_ms);
/* The same, for an answer that was not what was asked for. */
void work_finish_status(struct work *w, struct status st);
/* Those that wait go on, or hear why not. */
void works_go_on(struct session *s);

#endif
