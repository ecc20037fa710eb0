/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

/*
 * One worker: what all its connections and requests share.
 */
#include <base/rand.h>
#include <daemon/daemon.h>
#include <json/json.h>
#include <json/schema.h>
#include <tls/tls.h>
#include <uv.h>
#include <wire/gateway_authority.h>

#include "bounds.h"
#include "budget.h"
#include "source.h"
#include "timeout.h"
#include "tool_def.h"
#include "tool_set.h"

#define ROUTES_MAX 64
#define MODELS_MAX 1024

struct conn;
struct request;

/* A model's alias, in model_arena, and the endpoints that some provider of it speaks. */
struct model_name {
	struct span alias;
	uint32_t endpoints; /* bits 1 << enum ga_endpoint */
	uint32_t strict;    /* the same: an entry that speaks it refuses fields we do not know */
};

struct gateway {
	struct daemon *d;
	uv_loop_t *loop;
	struct link *authority, *broker, *executor, *store; /* NULL: away */

	/* accept.c */
	int listen_fd;
	uv_poll_t listen_poll;
	uv_timer_t accept_again;
	bool accepting;
	long cores;
	size_t fds_max; /* descriptors that this process may have */
	size_t connections_max;
	struct sources sources;
	bool failures_pending; /* some source has failures to report */

	/* conn.c */
	TAILQ_HEAD(conn_list, conn) conns;
	TAILQ_HEAD(conn_dirty, conn) dirty; /* to be written, or fed with input that was kept */
	size_t nconns;
	struct tls_ctx *tls;
	uint32_t tls_generation; /* of tls: which has judged a certificate */
	enum tls_name peer_name; /* by which a client's certificate names it */
	uint64_t body_len_max;
	uint32_t h2_streams_max; /* of one connection */
	struct budget bodies;

	/* request.c */
	struct rand_pool random;                    /* for ids of requests */
	TAILQ_HEAD(request_active, request) active; /* admission asked for, or running */
	TAILQ_HEAD(request_spare, request) spare;
	size_t nspare;
	struct json_doc doc;        /* clients' bodies; used within one call only */
	struct json_doc answer_doc; /* providers' texts; the same */
	struct arena schema_arena;
	const struct schema *schemas[ROUTES_MAX];
	struct arena model_arena;
	struct model_name models[MODELS_MAX];
	size_t nmodels;
	struct buf login; /* JSON: by whom people sign in, see login.c */
	bool login_is_public;
	uint64_t turn_output_max; /* bytes */
	struct tool_defs tool_defs;
	struct tool_sets tool_sets;

	/* loop hooks */
	uv_prepare_t prepare;
	uv_check_t check;
	uv_timer_t timer;
	uint64_t timer_at_ms; /* UINT64_MAX: not set */
	struct timeouts timeouts;
	uint8_t scratch[READ_LEN];
};

static inline uint64_t
gateway_now(const struct gateway *g)
{
	return uv_now(g->loop);
}

/* main.c: limits and models from the configuration. */
void gateway_configure(struct gateway *g);
/* main.c: write and go on with what waits; at the end of each turn of the loop. */
void gateway_settle(struct gateway *g);
/* ERROR_NONE: the model is there and speaks it; ERROR_MODEL_NOT_FOUND, ERROR_DIALECT. */
enum error gateway_model(const struct gateway *g, struct span alias, enum ga_endpoint endpoint);
/* Does a provider of the model refuse fields that our schema of the endpoint does not name? */
bool gateway_model_is_strict(const struct gateway *g, struct span alias, enum ga_endpoint endpoint);
/* How long a run may take; `timeout_ms` 0: as long as its language's sandboxes allow. */
uint64_t gateway_run_ms(const struct gateway *g, struct span language, uint32_t timeout_ms);

/* links.c */
void links_peer(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd);

/* accept.c */
MUST_USE struct status accept_start(struct gateway *g);
void accept_stop(struct gateway *g);
void accept_resume(struct gateway *g); /* after a connection ended */
void accept_failures_report(struct gateway *g);

/* login.c */
void login_configure(struct gateway *g);

/* drain.c */
void drain_start(struct daemon *d);
void drain_check(struct gateway *g); /* after a connection ended */

#endif
