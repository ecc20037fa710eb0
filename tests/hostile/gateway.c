/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway.c: a gateway that lies, replays and omits, put in the real one's place
 * by tests/system/test_hostile_gateway.py.
 *
 * Runs in: a test's instance, jailed as the real gateway is. On its listening
 * socket it reads an API key and a newline in clear, then tries each row of
 * `tricks` against authority, broker and executor, and writes one line for each:
 * "name result", where result is the error's code, "closed", "refused" or "ok".
 * Omits: it never settles a turn that it was granted.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <base/rand.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>
#include <daemon/daemon.h>
#include <wire/gateway_authority.h>
#include <wire/gateway_broker.h>
#include <wire/gateway_executor.h>
#include <wire/gateway_store.h>

#define BODY "{\"model\":\"demo\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"
#define OTHER "{\"model\":\"demo\",\"messages\":[{\"role\":\"user\",\"content\":\"h4cks\"}]}"
#define TRICK_MS 5000

struct trick {
	const char *name;
	void (*start)(void);
};

static struct {
	struct daemon *d;
	struct link *authority, *broker, *executor, *store;
	uv_poll_t listen_poll;
	uv_timer_t timer;
	int client;
	char key[CREDENTIAL_MAX + 1];
	size_t next;
	bool answered;
	bool silent; /* the stream is not what the trick is about */
	struct stream *stream;
	const char *body;   /* what follows OPEN */
	struct buf content; /* the same for the store */
	struct ga_admitted admitted;
	struct ga_granted granted;
	uint64_t turns[2];
} g = { .client = -1 };

static void on_next(uv_timer_t *t);
static void next_trick(void);

static void
tell(const char *result)
{
	char line[160];
	int n;

	if (g.answered)
		return;
	g.answered = true;
	n = snprintf(line, sizeof(line), "%s\n", result);
	if (n < 0 || write(g.client, line, (size_t)n) != n)
		_exit(3);
	(void)uv_timer_start(&g.timer, on_next, 1, 0);
}

static const char *
error_name(uint16_t error)
{
	return error == ERROR_NONE ? "ok" : error_rows[error].code;
}

/* ---- streams to broker and executor ---- */

static void
on_s_msg(struct stream *s, uint16_t type, const void *msg, void *ctx)
{
	(void)s;
	if (g.silent)
		return;
	if (ctx == g.store)
		tell(type == GS_RESULT ? "ok" : error_name(((const struct gs_failed *)msg)->error));
	else if (ctx == g.broker)
		tell(type == GB_HEAD ? "ok" : error_name(((const struct gb_failed *)msg)->error));
	else
		tell(type != GE_FAILED ? "ok" : error_name(((const struct ge_failed *)msg)->error));
}

static void
on_s_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	(void)channel, (void)ctx;
	stream_consumed(s, data.len);
}

static void
on_s_closed(struct stream *s, struct status why, void *ctx)
{
	(void)s, (void)why, (void)ctx;
	g.stream = NULL;
	if (!g.silent)
		tell("closed");
}

static const struct stream_ops stream_ops = {
	.on_msg = on_s_msg, .on_data = on_s_data, .on_closed = on_s_closed
};

static void
open_broker(const uint8_t grant[GRANT_LEN], const char *body)
{
	struct gb_open m = { .body_len = (uint32_t)strlen(body) };
	size_t taken;

	memcpy(m.grant, grant, GRANT_LEN);
	if (!is_ok(stream_open(g.broker, GB_OPEN, &m, &stream_ops, g.broker, &g.stream)) ||
	    !is_ok(stream_write(g.stream, 0, span_str(body), &taken))) {
		tell("closed");
		return;
	}
	stream_end(g.stream);
}

static void
open_executor(const uint8_t grant[GRANT_LEN])
{
	struct ge_open m = { .body_len = strlen(BODY) };
	size_t taken;

	memcpy(m.grant, grant, GRANT_LEN);
	if (!is_ok(stream_open(g.executor, GE_OPEN, &m, &stream_ops, g.executor, &g.stream)) ||
	    !is_ok(stream_write(g.stream, 0, SPAN_LIT(BODY), &taken))) {
		tell("closed");
		return;
	}
	stream_end(g.stream);
}

/* ---- calls to the authority ---- */

static struct ga_admit
admit_of(const char *credential)
{
	struct ga_admit m = { .credential = span_str(credential),
		.endpoint = ENDPOINT_CHAT,
		.model = SPAN_LIT("demo"),
		.model_off = 9,
		.tokens_in = 1,
		.size_bytes = strlen(BODY),
		.body_len = strlen(BODY) };

	m.source[15] = 9;
	assert(is_ok(rand_bytes(m.request_id, sizeof(m.request_id))));
	assert(is_ok(sha256(SPAN_LIT(BODY), m.digest)));
	return m;
}

static void
call(uint16_t type, const void *m, link_reply *cb)
{
	if (g.authority == NULL ||
	    !is_ok(link_call(g.authority, type, m, TRICK_MS, cb, NULL, NULL)))
		tell("closed");
}

static void
on_admitted_tell(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	(void)l, (void)type, (void)ctx;
	tell(is_ok(st) ? error_name(((const struct ga_admitted *)msg)->error) : "closed");
}

static bool
keep_admitted(struct status st, const void *msg)
{
	if (!is_ok(st)) {
		tell("closed");
		return false;
	}
	g.admitted = *(const struct ga_admitted *)msg;
	g.turns[1] = g.turns[0];
	g.turns[0] = g.admitted.turn;
	if (g.admitted.error != ERROR_NONE)
		tell(error_name(g.admitted.error));
	return g.admitted.error == ERROR_NONE;
}

static void
on_admitted_other_body(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	(void)l, (void)type, (void)ctx;
	if (keep_admitted(st, msg))
		open_broker(g.admitted.grant, OTHER);
}

static void
on_admitted_true(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	(void)l, (void)type, (void)ctx;
	if (keep_admitted(st, msg))
		open_broker(g.admitted.grant, BODY);
}

static void
on_admitted_executor(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	(void)l, (void)type, (void)ctx;
	if (keep_admitted(st, msg))
		open_executor(g.admitted.grant);
}

static void
on_granted_tell(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	(void)l, (void)type, (void)ctx;
	tell(is_ok(st) ? error_name(((const struct ga_granted *)msg)->error) : "closed");
}

static void
on_settled_tell(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	(void)l, (void)type, (void)ctx;
	tell(is_ok(st) ? error_name(((const struct ga_settled *)msg)->error) : "closed");
}

#include "kept_tricks.h"

/* ---- the tricks ---- */

static const uint8_t invented[GRANT_LEN] = { 1, 2, 3 };

static void
invented_to_broker(void)
{
	open_broker(invented, BODY);
}

static void
invented_to_executor(void)
{
	open_executor(invented);
}

static void
bad_key(void)
{
	struct ga_admit m = admit_of(
	    "sp_000000000000_0000000000000000000000000000000000000000000000000");

	call(GA_ADMIT, &m, on_admitted_tell);
}

static void
no_key(void)
{
	struct ga_admit m = admit_of("");

	call(GA_ADMIT, &m, on_admitted_tell);
}

static void
other_body(void)
{
	struct ga_admit m = admit_of(g.key);

	call(GA_ADMIT, &m, on_admitted_other_body);
}

static void
true_body_after_other(void)
{
	open_broker(g.admitted.grant, BODY);
}

static void
true_call(void)
{
	struct ga_admit m = admit_of(g.key);

	call(GA_ADMIT, &m, on_admitted_true);
}

static void
replay(void)
{
	open_broker(g.admitted.grant, BODY);
}

static void
broker_grant_to_executor(void)
{
	struct ga_admit m = admit_of(g.key);

	call(GA_ADMIT, &m, on_admitted_executor);
}

static void
unknown_model(void)
{
	struct ga_admit m = admit_of(g.key);

	m.model = SPAN_LIT("no-such-model");
	call(GA_ADMIT, &m, on_admitted_tell);
}

/* ---- users' tools ---- */

static struct ga_admit
tool_of(uint8_t endpoint, const char *name)
{
	struct ga_admit m = admit_of(g.key);

	m.endpoint = endpoint;
	m.model = SPAN_EMPTY;
	m.model_off = 0;
	m.tool_name = span_str(name);
	m.tool_parts = TOOL_HAS_NATIVE;
	return m;
}

static void
tool_not_there(void)
{
	struct ga_admit m = tool_of(ENDPOINT_TOOL_CALL, "never-pushed");

	m.catalog = 7; /* invented, too */
	call(GA_ADMIT, &m, on_admitted_tell);
}

static void
tool_removed_not_there(void)
{
	struct ga_admit m = tool_of(ENDPOINT_TOOL_REMOVE, "never-pushed");

	call(GA_ADMIT, &m, on_admitted_tell);
}

static void
tool_named_as_code(void)
{
	struct ga_admit m = tool_of(ENDPOINT_TOOL_PUSH, "python");

	call(GA_ADMIT, &m, on_admitted_tell);
}

/* Granted for the digest of one body, used with another. */
static void
tool_other_upload(void)
{
	struct ga_admit m = tool_of(ENDPOINT_TOOL_PUSH, "mine");

	assert(is_ok(sha256(SPAN_LIT(OTHER), m.digest)));
	call(GA_ADMIT, &m, on_admitted_executor);
}

static void
tool_grant_again(void)
{
	open_executor(g.admitted.grant);
}

/* A grant to build, shown to the broker. */
static void
tool_grant_to_broker(void)
{
	struct ga_admit m = tool_of(ENDPOINT_TOOL_PUSH, "mine");

	call(GA_ADMIT, &m, on_admitted_true);
}

static void
on_admitted_step_tool(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct ga_step m = { .kind = STEP_TOOL,
		.tool_name = SPAN_LIT("never-pushed"),
		.tool_version = 1,
		.body_len = 3 };

	(void)l, (void)type, (void)ctx;
	if (!keep_admitted(st, msg))
		return;
	m.turn = g.admitted.turn;
	g.silent = true;
	open_broker(g.admitted.grant, BODY); /* the model is asked, as it should be */
	call(GA_STEP, &m, on_granted_tell);
}

/* Within a turn of a model that was offered nothing. */
static void
tool_not_offered(void)
{
	struct ga_admit m = admit_of(g.key);

	call(GA_ADMIT, &m, on_admitted_step_tool);
}

static void
settle_twice(void)
{
	struct ga_settle m = { .turn = g.turns[0] };

	if (is_ok(link_send(g.authority, 0, GA_SETTLE, &m)))
		call(GA_SETTLE, &m, on_settled_tell);
	else
		tell("closed");
}

/* Last: whoever uses a turn that is not his own may lose his link. */
static void
foreign_turn(void)
{
	struct ga_step m = { .turn = 0x7777777777ULL, .kind = STEP_MODEL, .body_len = 3 };

	call(GA_STEP, &m, on_granted_tell);
}

static const struct trick tricks[] = {
	{ "invented-grant-broker", invented_to_broker },
	{ "invented-grant-executor", invented_to_executor },
	{ "no-key", no_key },
	{ "bad-key", bad_key },
	{ "unknown-model", unknown_model },
	{ "other-body", other_body },
	{ "true-body-after-other", true_body_after_other },
	{ "true-call", true_call },
	{ "replay", replay },
	{ "broker-grant-to-executor", broker_grant_to_executor },
	{ "tool-not-there", tool_not_there },
	{ "tool-removed-not-there", tool_removed_not_there },
	{ "tool-named-as-code", tool_named_as_code },
	{ "tool-other-upload", tool_other_upload },
	{ "tool-grant-again", tool_grant_again },
	{ "tool-grant-to-broker", tool_grant_to_broker },
	{ "tool-not-offered", tool_not_offered },
	{ "keep-a-text", keep_a_text },
	{ "keep-a-credential", keep_a_credential },
	{ "keep-a-provider-key", keep_a_provider_key },
	{ "settle-twice", settle_twice },
	{ "foreign-turn", foreign_turn },
};

static void
on_trick_timeout(uv_timer_t *t)
{
	(void)t;
	tell("timeout");
}

static void
on_next(uv_timer_t *t)
{
	(void)t;
	next_trick();
}

static void
next_trick(void)
{
	char name[64];
	int n;

	if (g.stream != NULL) {
		stream_cancel(g.stream, 0);
		g.stream = NULL;
	}
	if (g.next == sizeof(tricks) / sizeof(tricks[0])) {
		(void)close(g.client);
		g.client = -1;
		return;
	}
	n = snprintf(name, sizeof(name), "%s ", tricks[g.next].name);
	if (n < 0 || write(g.client, name, (size_t)n) != n)
		_exit(3);
	g.answered = g.silent = false;
	(void)uv_timer_start(&g.timer, on_trick_timeout, TRICK_MS + 1000, 0);
	tricks[g.next++].start();
}

/* ---- the process ---- */

static void
on_listen(uv_poll_t *p, int status, int events)
{
	size_t n = 0;

	(void)p, (void)status, (void)events;
	if (g.client >= 0)
		return;
	g.client = accept4(daemon_fd(g.d, "listen"), NULL, NULL, SOCK_CLOEXEC);
	if (g.client < 0)
		return;
	while (n < CREDENTIAL_MAX && read(g.client, g.key + n, 1) == 1 && g.key[n] != '\n')
		n++;
	g.key[n] = '\0';
	g.next = 0;
	next_trick();
}

static void
on_link_closed(struct link *l, struct status why, void *ctx)
{
	struct link **slot = ctx;

	(void)why;
	*slot = NULL;
	link_free(l);
	tell("closed");
}

/* The authority may end our turns; a liar does not care. */
static void
on_revoke(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct wire_none none = { 0 };

	(void)msg, (void)ctx;
	if (!is_ok(link_send(l, id, GA_REVOKED, &none)))
		tell("closed");
}

static const struct link_rule rules[] = { { GA_REVOKE, 0, on_revoke } };
static const struct link_ops link_ops = { rules, 1, on_link_closed };

static void
on_peer(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd)
{
	const struct {
		enum edge edge;
		const struct wire_edge *table;
		struct link **slot;
	} rows[] = {
		{ EDGE_GATEWAY_AUTHORITY, &ga_edge, &g.authority },
		{ EDGE_GATEWAY_BROKER, &gb_edge, &g.broker },
		{ EDGE_GATEWAY_EXECUTOR, &ge_edge, &g.executor },
		{ EDGE_GATEWAY_STORE, &gs_edge, &g.store },
	};

	(void)peer_id, (void)index;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].edge == edge)
			assert(is_ok(link_new(d->loop, fd, rows[i].table, true, &link_ops,
			    rows[i].slot, rows[i].slot)));
	}
}

static void
on_cert(struct daemon *d, const struct ctl_cert *cert)
{
	(void)d, (void)cert;
}

static struct status
on_init(struct daemon *d)
{
	(void)d;
	return crypto_init();
}

static struct status
on_start(struct daemon *d)
{
	g.d = d;
	(void)uv_timer_init(d->loop, &g.timer);
	(void)uv_poll_init(d->loop, &g.listen_poll, daemon_fd(d, "listen"));
	(void)uv_poll_start(&g.listen_poll, UV_READABLE, on_listen);
	return OK;
}

static const int calls[] = { SYS_accept4, -1 };
static const struct jail jail = { .name = "gateway", .syscalls = calls };
static const struct daemon_ops ops = { .proc = PROC_GATEWAY,
	.jail = &jail,
	.init = on_init,
	.start = on_start,
	.peer = on_peer,
	.cert = on_cert };

int
main(int argc, char **argv)
{
	return daemon_main(argc, argv, &ops, NULL);
}
