/* SPDX-License-Identifier: Apache-2.0 */
/* A whole worker, over HTTP/2: the same answers, many at once, each slow on its own. */
#include "h2_peer.h"

#define EXECUTE "/v1/execute"
#define RUN_STREAM "{\"language\":\"python\",\"code\":\"x\",\"stream\":true}"
#define CHAT_STREAM "{\"model\":\"demo\",\"stream\":true," MESSAGES "}"

static const struct model_script answer_42[] = {
	{ 200, { WHOLE("{\"content\":\"42\"}", "stop") } },
	{ 200, { WHOLE("{\"content\":\"42\"}", "stop") } },
	{ 200, { WHOLE("{\"content\":\"42\"}", "stop") } },
};
static const struct model_script flooding[] = { { 200, { FLOOD_CHUNK } } };

static struct peer p;

static int
start_h2(void **state)
{
	static const char *const alpn[] = { "h2", NULL };
	struct tls_client_opts o = { .alpn = alpn };

	if (start(state) != 0)
		return -1;
	tls_ctx_free(client_ctx);
	client_ctx = NULL;
	o.ca_pem = buf_span(&ca);
	return is_ok(tls_client_ctx_new(&o, &client_ctx)) ? 0 : -1;
}

static void
same_answers(void **state)
{
	const struct h2_answer *a;

	(void)state;
	peers.models = answer_42;
	peers.out = "hello\n";
	peer_open(&p);
	a = asked(&p, ask(&p, "GET", "/v1/models", key, NULL));
	assert_int_equal(a->status, 200);
	assert_true(answer_has(a, "\"other\""));
	assert_non_null(strstr(a->fields, "x-ratelimit-remaining-requests: 9\n"));
	assert_non_null(strstr(a->fields, "content-type: application/json\n"));
	assert_non_null(strstr(a->fields, "content-length: "));
	assert_null(strstr(a->fields, "connection:"));
	a = asked(&p, ask(&p, "POST", CHAT_PATH, key, "{\"model\":\"demo\"," MESSAGES "}"));
	assert_int_equal(a->status, 200);
	assert_true(answer_has(a, "\"42\""));
	a = asked(&p, ask(&p, "POST", EXECUTE, key, RUN_STREAM));
	assert_int_equal(a->status, 200);
	assert_true(answer_has(a, "event: result\n"));
	assert_int_equal(a->error, NGHTTP2_NO_ERROR);
	a = asked(&p, ask(&p, "HEAD", "/v1/models", key, NULL));
	assert_int_equal(a->status, 405);
	assert_int_equal(a->body.len, 0);
	a = asked(&p, ask(&p, "GET", "/nowhere", "x", NULL));
	assert_int_equal(a->status, 404);  /* of this authority */
	assert_int_equal(peers.checks, 0); /* bodies came with their heads */
	peer_close(&p);
}

static void
many_at_once(void **state)
{
	int32_t ids[300];

	(void)state;
	peer_open(&p);
	for (size_t i = 0; i < COUNT(ids); i++)
		ids[i] = ask(&p, "GET", "/v1/models", key, NULL);
	for (size_t i = 0; i < COUNT(ids); i++)
		assert_int_equal(asked(&p, ids[i])->status, 200);
	assert_int_equal(peers.admits, COUNT(ids));
	assert_int_equal(p.goaways, 0);
	peer_close(&p);
}

/* More than limits.h2_streams are told to try again; those before them go on. */
static void
streams_are_bounded(void **state)
{
	uint32_t was = g.h2_streams_max;
	uint64_t first_id;
	int32_t first, second, third;

	(void)state;
	g.h2_streams_max = 2;
	peers.hold_admit = true;
	peer_open(&p);
	g.h2_streams_max = was;
	first = ask(&p, "GET", "/v1/models", key, NULL);
	PEER_UNTIL(&p, peers.admits == 1);
	first_id = peers.admit_id;
	second = ask(&p, "GET", "/v1/models", key, NULL);
	third = ask(&p, "GET", "/v1/models", key, NULL);
	peer_spin(&p, 20);
	assert_int_equal(peers.admits, 2); /* nghttp2's client obeys: the third waits */
	admit_now(peers.authority, peers.admit_id);
	PEER_UNTIL(&p, peers.admits == 3);
	admit_now(peers.authority, peers.admit_id);
	admit_now(peers.authority, first_id);
	assert_int_equal(asked(&p, first)->status, 200);
	assert_int_equal(asked(&p, second)->status, 200);
	assert_int_equal(asked(&p, third)->status, 200);
	peer_close(&p);
}

static void
bad_heads(void **state)
{
	const nghttp2_nv no_path[] = { nv(":method", "GET"), nv(":scheme", "https"),
		nv(":authority", "localhost") };
	const nghttp2_nv twice[] = { LINE("GET", "/"), nv(":path", "/") };
	const nghttp2_nv late[] = { nv(":method", "GET"), nv(":scheme", "https"), nv("a", "b"),
		nv(":path", "/"), nv(":authority", "localhost") };
	const nghttp2_nv hop[] = { LINE("GET", "/"), nv("connection", "close") };
	const nghttp2_nv empty[] = { LINE("GET", "/"), nv("", "x") };
	const nghttp2_nv coded[] = { LINE("GET", "/"), nv("transfer-encoding", "chunked") };
	const nghttp2_nv long_path[] = { LINE("GET", "/") };
	const struct {
		const nghttp2_nv *items;
		size_t count;
	} rows[] = { { no_path, COUNT(no_path) }, { twice, COUNT(twice) }, { late, COUNT(late) },
		{ hop, COUNT(hop) }, { empty, COUNT(empty) }, { coded, COUNT(coded) } };
	char *path = malloc(9001);
	nghttp2_nv big[4], many[110];

	(void)state;
	peer_open(&p);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct h2_answer *a = asked(
		    &p, ask_nv(&p, rows[i].items, rows[i].count, (struct h2_upload){ NULL }));

		assert_int_equal(a->status, 400);
		assert_true(answer_has(a, "\"bad_request\""));
		assert_int_equal(a->error, NGHTTP2_NO_ERROR);
	}
	memset(path, 'a', 9000);
	path[0] = '/';
	path[9000] = '\0';
	memcpy(big, long_path, sizeof(big));
	big[3] = nv(":path", path);
	assert_int_equal(asked(&p, ask_nv(&p, big, 4, (struct h2_upload){ NULL }))->status, 414);
	memcpy(many, long_path, sizeof(long_path));
	for (size_t i = 4; i < COUNT(many); i++)
		many[i] = nv("x", "y");
	assert_int_equal(
	    asked(&p, ask_nv(&p, many, COUNT(many), (struct h2_upload){ NULL }))->status, 431);
	assert_int_equal(peers.admits + peers.checks, 0);
	assert_int_equal(
	    asked(&p, ask(&p, "GET", "/v1/models", key, NULL))->status, 200); /* it lives on */
	free(path);
	peer_close(&p);
}

static void
bodies_wait_for_the_key(void **state)
{
	static char text[200000];
	const struct ga_checked good = { .error = ERROR_NONE };
	int32_t id;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "{\"model\":\"demo\"," MESSAGES "}", 60);
	text[sizeof(text) - 1] = '\0';
	for (size_t i = 0; i < 60; i++)
		text[i] = text[i] == '\0' ? ' ' : text[i];
	peers.models = answer_42;
	peers.hold_check = true;
	peer_open(&p);
	id = ask(&p, "POST", CHAT_PATH, key, text);
	peer_spin(&p, 50);
	assert_int_equal(peers.checks, 1);
	assert_int_equal(p.uploads[0].off, 65535); /* the first window, and no more */
	assert_int_equal(nghttp2_session_get_remote_window_size(p.session), 0);
	reply(peers.authority, peers.check_id, GA_CHECKED, &good);
	assert_int_equal(asked(&p, id)->status, 200);
	assert_int_equal(p.uploads[0].off, sizeof(text) - 1);
	/* An unknown key is told before its body comes; the connection goes on. */
	peers.hold_check = false;
	peers.check_error = ERROR_INVALID_KEY;
	id = ask(&p, "POST", CHAT_PATH, key, text);
	assert_int_equal(asked(&p, id)->status, 401);
	assert_int_equal(answer_of(&p, id)->error, NGHTTP2_NO_ERROR);
	assert_true(p.uploads[1].off < sizeof(text) - 1);
	peer_spin(&p, 20);
	/* What its body had of the connection's window is given back. */
	assert_true(nghttp2_session_get_remote_window_size(p.session) > 65535);
	assert_int_equal(p.goaways, 0);
	peer_close(&p);
}

static void
expects_100(void **state)
{
	nghttp2_nv items[] = { LINE("POST", CHAT_PATH), bearer(key),
		nv("content-type", "application/json"), nv("expect", "100-continue") };
	struct h2_answer *a;
	int32_t id;

	(void)state;
	peers.models = answer_42;
	peer_open(&p);
	id = ask_nv(&p, items, COUNT(items), (struct h2_upload){ "", 0, 0, true });
	a = answer_of(&p, id);
	PEER_UNTIL(&p, a->interim);
	p.uploads[0] = (struct h2_upload){ "{\"model\":\"demo\"," MESSAGES "}",
		strlen("{\"model\":\"demo\"," MESSAGES "}"), 0, false };
	assert_int_equal(nghttp2_session_resume_data(p.session, id), 0);
	assert_int_equal(asked(&p, id)->status, 200);
	peer_close(&p);
}

static void
lengths_must_match(void **state)
{
	static const struct {
		const char *length, *body;
		int status;
	} rows[] = { { "5", "12345678", 400 }, { "9", "1234", 400 }, { "x", "1", 400 },
		{ "99999999", "1", 413 }, { "0", "1", 400 } };

	(void)state;
	peer_open(&p);
	for (size_t i = 0; i < COUNT(rows); i++) {
		nghttp2_nv items[] = { LINE("POST", CHAT_PATH), bearer(key),
			nv("content-type", "application/json"),
			nv("content-length", rows[i].length) };
		const struct h2_upload u = { rows[i].body, strlen(rows[i].body), 0, false };

		assert_int_equal(
		    asked(&p, ask_nv(&p, items, COUNT(items), u))->status, rows[i].status);
	}
	peer_close(&p);
}

static void
resets_end_runs(void **state)
{
	int32_t id, other;

	(void)state;
	peers.hold_run = true;
	peer_open(&p);
	id = ask(&p, "POST", EXECUTE, key, RUN_STREAM);
	PEER_UNTIL(&p, answer_has(answer_of(&p, id), "event: started"));
	assert_int_equal(
	    nghttp2_submit_rst_stream(p.session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL), 0);
	PEER_UNTIL(&p, peers.runs_cancelled == 1);
	PEER_UNTIL(&p, peers.settles == 1);
	assert_int_equal(peers.settle.error, ERROR_CANCELLED);
	other = ask(&p, "GET", "/v1/models", key, NULL);
	assert_int_equal(asked(&p, other)->status, 200);
	/* And the whole connection. */
	(void)ask(&p, "POST", EXECUTE, key, RUN_STREAM);
	PEER_UNTIL(&p, peers.runs == 2);
	peer_close(&p);
	assert_int_equal(peers.runs_cancelled, 2);
	assert_int_equal(peers.settles, 2);
}

/* A stream that its client does not read slows its own model, and nobody else. */
static void
slow_streams_wait_alone(void **state)
{
	int32_t slow;
	size_t stalled;

	(void)state;
	peers.models = flooding;
	peers.flood = 8UL << 20;
	peer_open(&p);
	p.lazy = true;
	slow = ask(&p, "POST", CHAT_PATH, key, CHAT_STREAM);
	peer_spin(&p, 2000);
	assert_in_range(peers.flooded, 65535, 300000);
	assert_int_equal(answer_of(&p, slow)->body.len, 65535);
	stalled = peers.flooded;
	/* The connection's window is used up, too: others need some of it. */
	assert_int_equal(nghttp2_submit_window_update(p.session, NGHTTP2_FLAG_NONE, 0, 65535), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(asked(&p, ask(&p, "GET", "/v1/models", key, NULL))->status, 200);
	assert_int_equal(peers.flooded, stalled);
	/* It reads on: so does the model. */
	assert_int_equal(nghttp2_submit_window_update(p.session, NGHTTP2_FLAG_NONE, 0, 1 << 24), 0);
	assert_int_equal(
	    nghttp2_submit_window_update(p.session, NGHTTP2_FLAG_NONE, slow, 1 << 24), 0);
	PEER_UNTIL(&p, peers.flooded >= peers.flood);
	peer_close(&p);
	assert_int_equal(peers.calls_cancelled, 1);
}

/* A long answer that its client could take at once does not hold up a short one. */
static void
long_answers_take_turns(void **state)
{
	const nghttp2_settings_entry large = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 24 };
	auto_buf struct buf text = BUF_INIT(8UL << 20);
	struct model_script m = { .status = 200 };
	int32_t longer, shorter;

	(void)state;
	assert_int_equal(buf_put_str(&text, "{\"id\":\"a\",\"created\":7,\"model\":\"m\","
					    "\"choices\":[{\"index\":0,\"message\":{\"content\":\"")
			     .code,
	    E_OK);
	for (int i = 0; i < 400000; i++)
		assert_int_equal(buf_put_str(&text, "0123456789").code, E_OK);
	assert_int_equal(buf_put(&text, "\"},\"finish_reason\":\"stop\"}]}",
			     sizeof("\"},\"finish_reason\":\"stop\"}]}"))
			     .code,
	    E_OK);
	peers.long_text = span_of(text.ptr, text.len - 1);
	peers.models = &m;
	peer_open(&p);
	assert_int_equal(nghttp2_submit_settings(p.session, NGHTTP2_FLAG_NONE, &large, 1), 0);
	assert_int_equal(
	    nghttp2_session_set_local_window_size(p.session, NGHTTP2_FLAG_NONE, 0, 1 << 24), 0);
	longer = ask(&p, "POST", CHAT_PATH, key, "{\"model\":\"demo\"," MESSAGES "}");
	PEER_UNTIL(&p, answer_of(&p, longer)->body.len > 0);
	shorter = ask(&p, "GET", "/v1/models", key, NULL);
	assert_int_equal(asked(&p, shorter)->status, 200);
	assert_false(answer_of(&p, longer)->closed);
	assert_int_equal(asked(&p, longer)->status, 200);
	assert_true(answer_of(&p, longer)->body.len > 4000000);
	peer_close(&p);
}

static void
stalled_streams_time_out(void **state)
{
	uint64_t was = g.timeouts.len_ms[TIMEOUT_WRITE];
	int32_t id;

	(void)state;
	g.timeouts.len_ms[TIMEOUT_WRITE] = 100;
	peers.models = flooding;
	peers.flood = 1UL << 20;
	peer_open(&p);
	p.lazy = true;
	id = ask(&p, "POST", CHAT_PATH, key, CHAT_STREAM);
	assert_int_equal(asked(&p, id)->error, NGHTTP2_CANCEL);
	PEER_UNTIL(&p, peers.calls_cancelled == 1);
	PEER_UNTIL(&p, peers.settles == 1);
	assert_int_equal(p.goaways, 0);
	g.timeouts.len_ms[TIMEOUT_WRITE] = was;
	peer_close(&p);
}

static void
slow_bodies_time_out(void **state)
{
	uint64_t was = g.timeouts.len_ms[TIMEOUT_BODY];
	nghttp2_nv items[] = { LINE("POST", CHAT_PATH), bearer(key) };
	struct h2_answer *a;

	(void)state;
	g.timeouts.len_ms[TIMEOUT_BODY] = 50;
	peer_open(&p);
	a = asked(&p, ask_nv(&p, items, COUNT(items), (struct h2_upload){ "{", 1, 0, true }));
	assert_int_equal(a->status, 408);
	g.timeouts.len_ms[TIMEOUT_BODY] = was;
	peer_close(&p);
}

static int32_t
ask_of(const char *length, struct h2_upload u)
{
	nghttp2_nv items[] = { LINE("POST", CHAT_PATH), bearer(key),
		nv("content-type", "application/json"),
		nv("content-length", length == NULL ? "" : length) };

	return ask_nv(&p, items, COUNT(items) - (length == NULL), u);
}

static void
send_rest(int32_t id, const char *text, size_t len)
{
	p.uploads[(id - 1) / 2] = (struct h2_upload){ text, len, 0, false };
	assert_int_equal(nghttp2_session_resume_data(p.session, id), 0);
}

/* There are clients that take a reset for a failure, whatever they were answered. */
static void
small_rests_are_waited_for(void **state)
{
	static char text[80000];
	const struct h2_upload held = { "{", 1, 0, true };
	uint64_t linger = g.timeouts.len_ms[TIMEOUT_LINGER], body = g.timeouts.len_ms[TIMEOUT_BODY];
	struct h2_answer *a;
	int32_t id;

	(void)state;
	memset(text, ' ', sizeof(text));
	g.timeouts.len_ms[TIMEOUT_LINGER] = 10UL * WAIT_MS;
	peers.check_error = ERROR_INVALID_KEY;
	peer_open(&p);
	id = ask_of("42", held);
	a = answer_of(&p, id);
	PEER_UNTIL(&p, answer_has(a, "}"));
	peer_spin(&p, 20);
	assert_true(a->status == 401 && !a->closed && p.resets == 0);
	send_rest(id, text, 41);
	assert_true(asked(&p, id)->error == NGHTTP2_NO_ERROR && p.resets == 0);
	/* What is announced as more is not. */
	assert_int_equal(asked(&p, ask_of("65536", held))->status, 401);
	assert_int_equal(p.resets, 1);
	/* Nor is what comes as more; here with the windows of a good key. */
	peers.check_error = ERROR_NONE;
	g.timeouts.len_ms[TIMEOUT_BODY] = 50;
	id = ask_of(NULL, held);
	PEER_UNTIL(&p, answer_of(&p, id)->status == 408);
	send_rest(id, text, sizeof(text));
	p.uploads[(id - 1) / 2].no_end = true;
	assert_int_equal(asked(&p, id)->status, 408);
	assert_int_equal(p.resets, 2);
	/* What never comes is not waited for long. */
	g.timeouts.len_ms[TIMEOUT_LINGER] = 50;
	peers.check_error = ERROR_INVALID_KEY;
	assert_int_equal(asked(&p, ask_of("42", held))->status, 401);
	assert_int_equal(p.resets, 3);
	peer_close(&p);
	g.timeouts.len_ms[TIMEOUT_LINGER] = linger;
	g.timeouts.len_ms[TIMEOUT_BODY] = body;
}

static void
revocation_ends_streams(void **state)
{
	const struct ga_revoke m = { .turn = 7, .error = ERROR_REVOKED };
	int32_t id;

	(void)state;
	peers.hold_run = true;
	peer_open(&p);
	id = ask(&p, "POST", EXECUTE, key, RUN_STREAM);
	PEER_UNTIL(&p, answer_has(answer_of(&p, id), "event: started"));
	reply(peers.authority, 2, GA_REVOKE, &m);
	assert_true(answer_has(asked(&p, id), "key_revoked"));
	assert_int_equal(asked(&p, ask(&p, "GET", "/v1/models", key, NULL))->status, 200);
	peer_close(&p);
	assert_int_equal(peers.runs_cancelled, 1);
	assert_int_equal(peers.settles, 0);
}

static void
authority_dies(void **state)
{
	int32_t run, list;

	(void)state;
	peers.hold_run = true;
	peer_open(&p);
	run = ask(&p, "POST", EXECUTE, key, "{\"language\":\"python\",\"code\":\"x\"}");
	PEER_UNTIL(&p, peers.runs == 1);
	link_free(peers.authority);
	peers.authority = NULL;
	assert_int_equal(asked(&p, run)->status, 503);
	list = ask(&p, "GET", "/v1/models", key, NULL);
	assert_int_equal(asked(&p, list)->status, 503);
	peer_up(EDGE_GATEWAY_AUTHORITY);
	list = ask(&p, "GET", "/v1/models", key, NULL);
	assert_int_equal(asked(&p, list)->status, 200);
	peer_close(&p);
	assert_int_equal(peers.runs_cancelled, 1);
}

/* The admission that comes too late for its client: the stream ends, the rest goes on. */
static void
admission_comes_late(void **state)
{
	int32_t id;

	(void)state;
	g.timeouts.len_ms[TIMEOUT_ADMIT] = 50;
	peers.hold_admit = true;
	peer_open(&p);
	id = ask(&p, "POST", EXECUTE, key, "{\"language\":\"python\",\"code\":\"x\"}");
	assert_int_equal(asked(&p, id)->status, 503);
	admit_now(peers.authority, peers.admit_id);
	PEER_UNTIL(&p, peers.settles == 1);
	assert_int_equal(peers.settle.error, ERROR_CANCELLED);
	g.timeouts.len_ms[TIMEOUT_ADMIT] = CALL_TIMEOUT_MS;
	peers.hold_admit = false;
	assert_int_equal(asked(&p, ask(&p, "GET", "/v1/models", key, NULL))->status, 200);
	peer_close(&p);
}

static void
idle_connections_end(void **state)
{
	uint64_t head = g.timeouts.len_ms[TIMEOUT_HEADER], idle = g.timeouts.len_ms[TIMEOUT_IDLE];

	(void)state;
	g.timeouts.len_ms[TIMEOUT_HEADER] = 50;
	peer_open(&p);
	PEER_UNTIL(&p, p.c.eof); /* nothing at all was asked */
	assert_int_equal(p.goaway, NGHTTP2_NO_ERROR);
	peer_close(&p);
	g.timeouts.len_ms[TIMEOUT_HEADER] = head;
	g.timeouts.len_ms[TIMEOUT_IDLE] = 50;
	peer_open(&p);
	assert_int_equal(asked(&p, ask(&p, "GET", "/v1/models", key, NULL))->status, 200);
	PEER_UNTIL(&p, p.c.eof);
	assert_int_equal(p.goaway, NGHTTP2_NO_ERROR);
	assert_int_equal(p.goaways, 1);
	g.timeouts.len_ms[TIMEOUT_IDLE] = idle;
	peer_close(&p);
}

static void
end_run(void)
{
	const struct ge_result result = { .status = RUN_EXIT };

	assert_int_equal(stream_send(peers.run_stream, GE_RESULT, &result).code, E_OK);
	stream_end(peers.run_stream);
}

/* Last: the worker takes nothing new afterwards. */
static void
draining(void **state)
{
	static struct peer fresh_one, idle, silent;
	int32_t run, late;

	(void)state;
	peers.hold_run = true;
	peer_open(&silent);
	peer_open(&fresh_one);
	peer_open(&idle);
	assert_int_equal(asked(&idle, ask(&idle, "GET", "/v1/models", key, NULL))->status, 200);
	peer_open(&p);
	run = ask(&p, "POST", EXECUTE, key, "{\"language\":\"python\",\"code\":\"x\"}");
	PEER_UNTIL(&p, peers.runs == 1);
	d.draining = true;
	d.drain_grace_ms = 10000;
	drain_start(&d);
	PEER_UNTIL(&idle, idle.c.eof);
	assert_int_equal(idle.goaway, NGHTTP2_NO_ERROR);
	assert_int_equal(idle.last, 1); /* what comes after it was not looked at */
	peer_close(&idle);
	/* One that was made before it could know is answered, once. */
	late = ask(&fresh_one, "GET", "/v1/models", key, NULL);
	assert_int_equal(asked(&fresh_one, late)->status, 200);
	PEER_UNTIL(&fresh_one, fresh_one.c.eof);
	peer_close(&fresh_one);
	/* Nothing is said among requests, as long as the grace lasts. */
	late = ask(&p, "GET", "/v1/models", key, NULL);
	assert_int_equal(asked(&p, late)->status, 200);
	peer_spin(&p, 20);
	assert_int_equal(p.goaways, 0);
	d.drain_grace_ms = 0;
	drain_start(&d);
	PEER_UNTIL(&silent, silent.c.eof);
	assert_int_equal(g.nconns, 1);
	assert_int_equal(silent.goaway, NGHTTP2_NO_ERROR);
	peer_close(&silent);
	PEER_UNTIL(&p, p.goaways == 1);
	assert_int_equal(p.goaway, NGHTTP2_NO_ERROR);
	assert_int_equal(p.last, late);
	end_run();
	assert_int_equal(asked(&p, run)->status, 200);
	assert_true(answer_has(answer_of(&p, run), "\"status\":\"exit\""));
	PEER_UNTIL(&p, p.c.eof);
	peer_close(&p);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FLOW(same_answers),
		FLOW(many_at_once),
		FLOW(streams_are_bounded),
		FLOW(bad_heads),
		FLOW(bodies_wait_for_the_key),
		FLOW(expects_100),
		FLOW(lengths_must_match),
		FLOW(resets_end_runs),
		FLOW(slow_streams_wait_alone),
		FLOW(long_answers_take_turns),
		FLOW(stalled_streams_time_out),
		FLOW(slow_bodies_time_out),
		FLOW(small_rests_are_waited_for),
		FLOW(revocation_ends_streams),
		FLOW(authority_dies),
		FLOW(admission_comes_late),
		FLOW(idle_connections_end),
		FLOW(draining),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, start_h2, NULL);
}
