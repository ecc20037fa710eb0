/* SPDX-License-Identifier: Apache-2.0 */
/* src/gateway/keep.c, history.c: what is kept of a model's turn. */
#include "gateway_content_rig.h"

/* ---- a model's turn ---- */
#define OAI "\"model\":\"org/gpt-5.5\""
#define RESP_EVENT(type, rest) \
	"event: " type "\ndata: {\"type\":\"" type "\",\"sequence_number\":0," rest "}\n\n"
#define SAID                                                                        \
	"{\"type\":\"message\",\"id\":\"msg_2\",\"role\":\"assistant\",\"status\":" \
	"\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"42 " GH "\"}]}"
#define ANSWER                                                                         \
	"{\"id\":\"theirs\",\"store\":false,\"previous_response_id\":null,\"status\":" \
	"\"completed\",\"output\":[" SAID "],\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}"
static const struct model_script whole[] = { { 200, { ANSWER } }, { 200, { ANSWER } } };
static const struct model_script streamed[] = { { 200,
    { RESP_EVENT(
	  "response.created", "\"response\":{\"id\":\"theirs\",\"store\":false,\"output\":[]}"),
	RESP_EVENT("response.output_item.done", "\"output_index\":0,\"item\":" SAID),
	RESP_EVENT("response.completed", "\"response\":" ANSWER) } } };

static void
keeps_a_response(void **state)
{
	const struct content_item *items;
	struct client c;
	char want[200];

	(void)state;
	peers.models = whole;
	peers.may_store = true;
	client_open(&c);
	request(&c, "POST", "/v1/responses", key, "{" OAI ",\"input\":\"hi\"}");
	wait_for(&c, "\"output_tokens\":2}}");
	assert_int_equal(peers.admit.store, STORE_DEFAULT);
	assert_int_equal(peers.steps_content, 1);
	assert_int_equal(peers.content_step.content_op, CONTENT_SAVE);
	assert_int_equal(peers.content_step.content_kind, CONTENT_RESPONSE);
	assert_int_equal(strlen(peers.content_id), 5 + 48);
	(void)snprintf(want, sizeof(want), "{\"id\":\"%s\",\"store\":true,", peers.content_id);
	assert_true(has(&c, want));
	assert_false(has(&c, "theirs"));
	look();
	assert_true(span_starts(seen.meta, span_str(want)));
	assert_true(holds(seen.meta, "\"output\":[]"));
	assert_int_equal(seen.items.count, 2);
	items = seen.items.items;
	assert_int_equal(items[0].output, 0);
	assert_true(holds(items[0].json, "{\"type\":\"input_text\",\"text\":\"hi\"}"));
	assert_int_equal(items[1].output, 1);
	assert_true(span_eq_str(items[1].json, SAID));
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "\"store\":false", 13));
	client_close(&c);
}

static void
keeps_nothing(void **state)
{
	struct client c;

	(void)state;
	peers.models = whole;
	client_open(&c); /* the key may not */
	request(&c, "POST", "/v1/responses", key, "{" OAI ",\"input\":\"hi\"}");
	wait_for(&c, ANSWER); /* byte for byte */
	client_close(&c);
	peers.may_store = true;
	client_open(&c); /* the client does not want it */
	request(&c, "POST", "/v1/responses", key, "{" OAI ",\"input\":\"hi\",\"store\":false}");
	wait_for(&c, ANSWER);
	client_close(&c);
	assert_int_equal(peers.contents_done, 0);
	assert_int_equal(peers.steps_content, 0);
}

static void
streams_and_keeps(void **state)
{
	struct client c;
	char want[200];

	(void)state;
	peers.models = streamed;
	peers.may_store = peers.mask = true;
	peers.hold_content = true;
	client_open(&c);
	request(&c, "POST", "/v1/responses", key, "{" OAI ",\"input\":\"hi\",\"stream\":true}");
	wait_for(&c, "response.output_item.done");
	for (int i = 0; i < 1000 && peers.contents_done == 0; i++)
		turn_loop();
	assert_int_equal(peers.contents_done, 1);
	client_read(&c);
	/* Nothing of the end before it is kept. */
	assert_false(has(&c, "response.completed"));
	assert_int_equal(peers.settles, 0);
	(void)snprintf(want, sizeof(want),
	    "\"response\":{\"id\":\"%s\",\"store\":true,\"output\":[]}", peers.content_id);
	assert_true(has(&c, want));
	look();
	assert_true(holds(
	    ((const struct content_item *)seen.items.items)[1].json, "42 [removed: github token]"));
	assert_int_equal(stream_send(peers.content_stream, GS_FAILED,
			     &(struct gs_failed){ .error = ERROR_CONTENT_FULL })
			     .code,
	    E_OK);
	wait_for(&c, "storage_full");
	assert_false(has(&c, "response.completed"));
	assert_int_equal(peers.settle.error, ERROR_CONTENT_FULL);
	client_close(&c);

	peers.hold_content = false;
	peers.calls = 0;
	client_open(&c);
	request(&c, "POST", "/v1/responses", key, "{" OAI ",\"input\":\"hi\",\"stream\":true}");
	wait_for(&c, "event: response.completed");
	wait_for(&c, GH); /* the client is told what the model said */
	assert_false(has(&c, "theirs"));
	client_close(&c);
}

#define KEYS                                                                             \
	"{\"id\":\"theirs\",\"store\":false,\"previous_response_id\":null,\"status\":"   \
	"\"completed\",\"output\":[{\"type\":\"message\",\"id\":\"" GH "\",\"role\":"    \
	"\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\"," \
	"\"text\":\"" OPENAI " " GH "\"}]}],\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}"
static const struct model_script keys[] = { { 200, { KEYS } } };

/* A policy that keeps what is pasted: but for keys of providers of models, which no store takes. */
static void
keeps_no_key_of_a_provider(void **state)
{
	const struct content_item *items;
	struct client c;

	(void)state;
	peers.models = keys;
	peers.may_store = true;
	client_open(&c);
	request(&c, "POST", "/v1/responses", key, "{" OAI ",\"input\":\"hi\"}");
	wait_for(&c, OPENAI); /* the client is told what the model said */
	wait_for(&c, "\"output_tokens\":2}}");
	look();
	items = seen.items.items;
	assert_int_equal(seen.items.count, 2);
	assert_false(holds(items[1].json, OPENAI));
	/* A credential as an id is replaced by an id of ours. */
	assert_true(span_starts(items[1].id, SPAN_LIT("msg_")));
	assert_false(holds(items[1].json, GH));
	assert_true(holds(items[1].json, "\"text\":\"[removed: "));
	assert_false(holds(seen.meta, OPENAI));
	client_close(&c);
}

static const struct content_item before[] = {
	{ { (const uint8_t *)"msg_1", 5 }, 0,
	    { (const uint8_t
		      *)"{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"user\",\"content\":[]}",
		58 } },
	{ { (const uint8_t *)"msg_2", 5 }, 1,
	    { (const uint8_t *)"{\"id\":\"msg_2\",\"type\":\"message\",\"role\":\"assistant\"}",
		50 } },
};
static const struct content_answer loads[] = { { .items = { before, 2 } }, { .more = 0 } };

static void
goes_on_from_a_response(void **state)
{
	struct client c;

	(void)state;
	assert_int_equal(before[0].json.len, strlen((const char *)before[0].json.ptr));
	assert_int_equal(before[1].json.len, strlen((const char *)before[1].json.ptr));
	peers.models = whole;
	peers.may_store = true;
	peers.contents = loads;
	client_open(&c);
	request(&c, "POST", "/v1/responses", key,
	    "{" OAI ",\"previous_response_id\":\"" RESP "\",\"input\":\"hi\"}");
	wait_for(&c, "\"output_tokens\":2}}");
	assert_int_equal(peers.admit.content_op, CONTENT_LOAD);
	assert_int_equal(peers.admit.content_kind, CONTENT_RESPONSE);
	assert_int_equal(peers.steps_model, 1);
	assert_int_equal(peers.contents_done, 2);
	assert_non_null(memmem(peers.body.ptr, peers.body.len,
	    "\"input\":[{\"type\":\"message\",\"role\":\"user\",\"content\":[]},{\"id\":\"msg_2\"",
	    66));
	assert_null(memmem(peers.body.ptr, peers.body.len, "previous_response_id", 20));
	assert_true(has(&c, "\"previous_response_id\":\"" RESP "\""));
	look();
	assert_true(span_eq_str(seen.previous, RESP));
	assert_int_equal(seen.parent.len, 0);
	/* The id is taken in a conversation only, and here it is one of another response. */
	assert_int_equal(seen.items.count, 2);
	client_close(&c);
}

static void
goes_on_in_a_conversation(void **state)
{
	const struct content_item *items;
	struct client c;

	(void)state;
	peers.models = whole;
	peers.may_store = true;
	peers.contents = loads;
	client_open(&c);
	request(&c, "POST", "/v1/responses", key,
	    "{" OAI ",\"conversation\":\"" CONV
	    "\",\"input\":[{\"role\":\"user\",\"content\":\"a\"}]}");
	wait_for(&c, "\"output_tokens\":2}}");
	assert_int_equal(peers.admit.content_kind, CONTENT_CONVERSATION);
	assert_true(has(&c, "\"conversation\":{\"id\":\"" CONV "\"}"));
	look();
	assert_true(span_eq_str(seen.parent, CONV));
	items = seen.items.items;
	assert_int_equal(seen.items.count, 2);
	/* The conversation has a msg_2 already: a new one of that name gets another. */
	assert_false(span_eq_str(items[1].id, "msg_2"));
	assert_true(holds(items[1].json, "\"id\":\"msg_"));
	client_close(&c);

	/* Without being kept it cannot go on; with false it is told at once. */
	peers.may_store = false;
	peers.contents_done = 0;
	client_open(&c);
	request(&c, "POST", "/v1/responses", key,
	    "{" OAI ",\"conversation\":\"" CONV "\",\"input\":\"a\"}");
	wait_for(&c, "HTTP/1.1 403");
	assert_int_equal(peers.contents_done, 0);
	assert_int_equal(peers.settle.error, ERROR_DENIED);
	client_close(&c);
}

/* What was kept before it was refused where it comes in. */
static void
goes_on_from_no_reference(void **state)
{
	static const struct content_item items[] = { { SPAN_LIT("msg_1"), 0,
	    SPAN_LIT("{\"type\":\"item_reference\",\"id\":\"msg_1\"}") } };
	static const struct content_item file[] = { { SPAN_LIT("msg_1"), 0,
	    SPAN_LIT("{\"type\":\"message\",\"content\":[{\"file_id\":\"f\"}]}") } };
	static const struct content_answer answers[] = { { .items = { items, 1 } },
		{ .items = { file, 1 } } };
	static const struct {
		const char *member, *param;
	} rows[] = {
		{ "\"conversation\":\"" CONV "\"", "\"param\":\"/conversation\"" },
		{ "\"previous_response_id\":\"" RESP "\"", "\"param\":\"/previous_response_id\"" },
	};

	(void)state;
	peers.models = whole;
	peers.may_store = true;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;
		char body[256];

		peers.contents = &answers[i];
		peers.contents_done = 0;
		(void)snprintf(body, sizeof(body), "{" OAI ",%s,\"input\":\"a\"}", rows[i].member);
		client_open(&c);
		request(&c, "POST", "/v1/responses", key, body);
		wait_for(&c, "HTTP/1.1 400");
		wait_for(&c, rows[i].param);
		assert_int_equal(peers.calls, 0);
		assert_int_equal(peers.settle.error, ERROR_INVALID_FIELD);
		client_close(&c);
	}
}

static void
nothing_to_go_on_from(void **state)
{
	struct client c;

	(void)state;
	peers.models = whole;
	peers.may_store = true;
	peers.content_error = ERROR_CONTENT_NOT_FOUND;
	client_open(&c);
	request(&c, "POST", "/v1/responses", key,
	    "{" OAI ",\"previous_response_id\":\"" RESP "\",\"input\":\"hi\",\"stream\":true}");
	wait_for(&c, "HTTP/1.1 404");
	wait_for(&c, "\"not_found\"");
	assert_int_equal(peers.calls, 0);
	assert_int_equal(peers.steps_model, 0);
	client_close(&c);
}

/* ---- the door ---- */
static void
nothing_passes_the_door(void **state)
{
	char leaked[KEYTEXT_LEN + 1] = { 0 }, json[200];
	struct content_item item = { .id = SPAN_LIT("a"), .json = SPAN_LIT("{}") };
	struct content_request req = { .meta = SPAN_LIT("{}"), .items = { &item, 1 } };
	struct content c = { .ops = NULL };
	uint8_t digest[DIGEST_LEN];

	(void)state;
	assert_int_equal(keytext_create((uint8_t *)leaked).code, E_OK);
	(void)snprintf(json, sizeof(json), "{\"a\":\"\\u0073%s\"}", leaked + 1);
	assert_int_equal(content_prepare(&c, &req, true, digest).code, E_OK);
	item.json = span_str(json);
	assert_int_equal(content_prepare(&c, &req, false, digest).code, E_DENIED);
	item.json = SPAN_LIT("\"" GH "\"");
	assert_int_equal(content_prepare(&c, &req, true, digest).code, E_DENIED);
	assert_int_equal(content_prepare(&c, &req, false, digest).code, E_OK);
	item.json = SPAN_LIT("{}");
	req.meta = SPAN_LIT("\"" GH "\"");
	assert_int_equal(content_prepare(&c, &req, true, digest).code, E_DENIED);
	req.meta = SPAN_EMPTY;
	req.body = SPAN_LIT("x " GH);
	assert_int_equal(content_prepare(&c, &req, true, digest).code, E_DENIED);
	content_reset(&c);
}

/* A model that says a key of ours: it is told to its client, and not kept, whatever the policy. */
static void
a_model_says_a_key(void **state)
{
	static char answer[1024];
	static struct model_script script[1];
	char leaked[KEYTEXT_LEN + 1] = { 0 };
	struct client c;

	(void)state;
	assert_int_equal(keytext_create((uint8_t *)leaked).code, E_OK);
	(void)snprintf(answer, sizeof(answer),
	    "{\"id\":\"x\",\"status\":\"completed\",\"output\":[{\"type\":\"message\",\"ID\":\"m\","
	    "\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":\"output_"
	    "text\","
	    "\"text\":\"%s\"}]}]}",
	    leaked);
	script[0] = (struct model_script){ 200, { answer } };
	peers.models = script;
	peers.may_store = true;
	client_open(&c);
	request(&c, "POST", "/v1/responses", key, "{" OAI ",\"input\":\"hi\"}");
	wait_for(&c, leaked);
	assert_true(has(&c, "HTTP/1.1 200"));
	look();
	assert_true(holds(((const struct content_item *)seen.items.items)[1].json,
	    "\"text\":\"[removed: sallyport key]\""));
	/* What differs from its id in case alone would make it unreadable later. */
	assert_false(holds(((const struct content_item *)seen.items.items)[1].json, "\"ID\""));
	client_close(&c);
}

/* What it took lives as long as it is under way. */
static const struct content_answer has_response = {
	.objects = { &(const struct content_object){ .id = { (const uint8_t *)RESP, 21 },
			 .meta = { (const uint8_t *)"{\"id\":\"r\",\"output\":[ ],\"x\":1}", 29 } },
	    1 },
	.items = { two_items, 2 }
};

static void
reads_a_response(void **state)
{
	struct client c;

	(void)state;
	peers.contents = &has_response;
	client_open(&c);
	request(
	    &c, "GET", "/v1/responses/" RESP "?include%5B%5D=reasoning.encrypted_content", key, "");
	wait_for(&c, "{\"id\":\"r\",\"output\":[{\"id\":\"msg_1\"},{\"id\":\"msg_2\"} ],\"x\":1}");
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(keeps_a_response),
		FLOW(keeps_nothing),
		FLOW(streams_and_keeps),
		FLOW(keeps_no_key_of_a_provider),
		FLOW(goes_on_from_a_response),
		FLOW(goes_on_in_a_conversation),
		FLOW(goes_on_from_no_reference),
		FLOW(nothing_to_go_on_from),
		FLOW(reads_a_response),
		FLOW(nothing_passes_the_door),
		FLOW(a_model_says_a_key),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
