/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_REQUEST_H
#define GATEWAY_REQUEST_H

/*
 * One request, from its head to the end of its answer. It does not know which
 * version of HTTP carried it: reply_ops does. A request outlives its connection
 * when the client leaves before the authority has settled it.
 */
#include <http/http.h>
#include <wire/gateway_authority.h>

#include "gateway.h"
#include "style.h"
#include "turn.h"

#define PARAM_MAX (SCHEMA_POINTER_MAX + 1)
#define REPLY_FIELDS_MAX 16
#define REPLY_TEXT_MAX 512
#define LOCATION_MAX 64

struct page;
struct route;

struct reply_head {
	uint16_t status;
	const char *type; /* media type */
	bool stream;      /* length unknown */
	size_t len;
};

struct reply_ops {
	void (*head)(struct request *r, const struct reply_head *h);
	void (*data)(struct request *r, struct span s);
	/* The answer is complete; `r` may be used for the next request afterwards. */
	void (*end)(struct request *r);
	bool (*room)(struct request *r);  /* false: the client is slow */
	void (*go_on)(struct request *r); /* the key is good: read the body */
	/* The last answer is given: the connection ends, and `r` is not its request any more. */
	void (*part)(struct request *r);
};

struct request {
	TAILQ_ENTRY(request) next; /* in g->active or g->spare */
	struct gateway *g;
	const struct reply_ops *reply; /* NULL: the client has left */
	void *conn;
	bool active;

	uint8_t id[REQUEST_ID_LEN];
	char id_text[37];
	uint64_t began_ns;
	uint8_t address[SOURCE_LEN];
	struct source *source;    /* not after the client has left */
	struct buf credential;    /* wiped after use */
	uint32_t tls_generation;  /* of the gateway, when a certificate among them was judged */
	bool key_ok;              /* a key's form and checksum, a token's form, or a certificate */
	struct http_request http; /* borrowed; not after the client has left */
	struct buf body;
	uint64_t room; /* for the body, charged to the budget, bytes */
	struct budget_charge charge;
	struct arena arena;
	uint64_t call; /* GA_CHECK under way; 0: none */

	const struct style *style; /* of its errors and heads */
	const struct route *route;
	struct span route_param; /* of the path, in the arena */
	struct span route_param2;
	const struct page *page; /* that the query names, in the arena; NULL: none */
	struct span query;       /* that its style reads, in the arena */
	uint32_t tool_version;   /* that the query names; 0: none */
	bool pasted;             /* credentials of others are in the body */
	struct span leaked;      /* texts of keys of ours that are, in the arena */
	uint8_t leaked_home;     /* so many, the last, only where a credential belongs */
	/* what is wrong with it */
	char param[PARAM_MAX];
	const char *detail;
	const char *token_error; /* RFC 6749's name of what is wrong with a form; NULL: nothing */
	struct buf upstream;     /* a provider's own words about a bad request */
	uint16_t status;         /* overrides the error's; 0: not */
	uint32_t retry_after_ms;
	char location[LOCATION_MAX]; /* empty: nowhere */
	/* what the authority said */
	bool have_rate;
	uint32_t rate_limit, rate_remaining, rate_reset_ms;

	bool head_sent;
	bool close; /* the connection ends with this answer */
	struct turn turn;
};

/* For a new connection; NULL: no memory. */
struct request *request_new(struct gateway *g);
/* Ready for the next one; everything of the last one is given back. */
void request_reset(struct request *r);
/* The head is there: id, source, credential. `certificate`: of its connection, or empty. */
void request_begin(struct request *r, const struct http_request *http, struct source *source,
    const uint8_t address[SOURCE_LEN], struct span certificate);
/* The body is not here yet: ask whether its sender has a key before it is read. */
void request_check(struct request *r);
/* One more piece of the body. E_FULL: the worker's budget, or a share of it. */
MUST_USE struct status request_body(struct request *r, struct span piece);
/* What is kept for it beside its body, against the same shares. E_FULL. */
MUST_USE struct status request_charge(struct request *r, uint64_t more);
/* The request is complete: answer it, now or later. */
void request_run(struct request *r);
/* The client has left; `r` belongs to nobody but the worker now. */
void request_left(struct request *r);
/* Answer with an error, and go on without the client. State: active. */
void request_give_up(struct request *r, enum error error);
/* The client can take more. */
void request_writable(struct request *r);
/* The authority is away: everything under way ends. */
void requests_unavailable(struct gateway *g);
/* The service ends: all that run fail with 503, settled like any other. */
void requests_end(struct gateway *g);
void requests_revoke(struct gateway *g, uint64_t turn, enum error error);
/* Everything was answered: the last call for a request. */
void request_over(struct request *r);

/* ---- login.c ---- */
/* Is it what anybody may ask? Then it is answered by this, now, and over. */
bool login_is_public(const struct request *r);
void login_answer(struct request *r);

/* ---- token.c ---- */
/* What is wrong with its form, in RFC 6749's shape. E_FULL, E_NOMEM. */
MUST_USE struct status token_put_error(const struct request *r, struct buf *out);

/* ---- validate.c ---- */
/* Its route, and whether the request is what that takes; what is wrong with it is for the answer.
 */
enum error request_validate(struct request *r);
/* The body, parsed into g->doc; what is wrong with it is for the answer. */
enum error request_check_json(struct request *r);
/* Why the request is bad, for its answer: a JSON pointer and a text of a fixed table. */
void request_blame(struct request *r, const struct json_doc *d, uint32_t tok, const char *detail);

/* ---- credential.c ---- */
/* Into r->credential: what a header says, or the connection's certificate if none says anything. */
void credential_take(struct request *r, struct span certificate);
void credential_forget(struct request *r);

/* ---- answers (respond.c, error.c) ---- */
void reply_json(struct request *r, uint16_t status, struct span body);
void reply_body(struct request *r, uint16_t status, const char *type, struct span body);
void reply_stream(struct request *r); /* the head of an event stream */
void reply_event(struct request *r, struct span name, struct span json);
void reply_end(struct request *r);
/* Before the head: the whole answer. Within a stream: an error event and the end. */
void reply_error(struct request *r, enum error error);
/* What every answer's head says beside its type and length. `text` holds the values. */
size_t reply_fields(const struct request *r, uint16_t status,
    struct http_field fields[REPLY_FIELDS_MAX], char text[REPLY_TEXT_MAX]);
/* The error object in the request's style. E_FULL, E_NOMEM. */
MUST_USE struct status error_put(const struct request *r, enum error error, struct buf *out);
/* The parts of an error object that all styles have: what a client may be told. */
void error_put_message(const struct request *r, enum error error, struct json_writer *w);
void error_put_param(const struct request *r, enum error error, struct json_writer *w);
uint16_t error_status(const struct request *r, enum error error);

#endif
