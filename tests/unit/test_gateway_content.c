/* SPDX-License-Identifier: Apache-2.0 */
/* src/gateway/content.c, conversations.c: what is kept, as endpoints. */
#include "gateway_content_rig.h"

/* ---- keys of ours in bodies ---- */
static void
keys_in_bodies_are_refused(void **state)
{
	static const char *const paths[] = { CHAT_PATH, "/v1/execute", "/v1/messages" };
	char body[400], leaked[KEYTEXT_LEN + 1] = { 0 };

	(void)state;
	assert_int_equal(keytext_create((uint8_t *)leaked).code, E_OK);
	for (size_t i = 0; i < COUNT(paths); i++) {
		struct client c;

		client_open(&c);
		(void)snprintf(body, sizeof(body), "{\"messages\":\"\\u0073%s\"}", leaked + 1);
		request(&c, "POST", paths[i], key, body);
		wait_for(&c, "key_in_body");
		assert_true(has(&c, "HTTP/1.1 400"));
		assert_false(has(&c, leaked + 1));
		assert_int_equal(peers.admit.refused, ERROR_LEAKED_KEY);
		assert_int_equal(peers.leaked_len, KEYTEXT_LEN);
		assert_memory_equal(peers.leaked, leaked, KEYTEXT_LEN);
		client_close(&c);
	}
	assert_int_equal(peers.calls, 0);
}

static void
reads_and_lists(void **state)
{
	static const struct {
		const char *method, *path, *body;
		const struct content_answer *answer;
		enum content_op op;
		enum content_kind kind;
		const char *id, *parent, *want;
	} rows[] = {
		{ "GET", "/v1/conversations/" CONV, "", &has_conv, CONTENT_READ,
		    CONTENT_CONVERSATION, CONV, "",
		    "{\"id\":\"" CONV "\",\"object\":\"conversation\",\"created_at\":7,"
		    "\"metadata\":{\"a\":\"b\"}}" },
		{ "POST", "/v1/conversations/" CONV, "{\"metadata\":{\"c\":\"d\"}}", &has_conv,
		    CONTENT_UPDATE, CONTENT_CONVERSATION, CONV, "", "\"metadata\":{\"a\":\"b\"}" },
		{ "DELETE", "/v1/conversations/" CONV, "", &has_conv, CONTENT_DELETE,
		    CONTENT_CONVERSATION, CONV, "",
		    "{\"id\":\"" CONV "\",\"object\":\"conversation.deleted\",\"deleted\":true}" },
		{ "GET", "/v1/conversations/" CONV "/items?limit=2&order=asc&after=msg_0", "",
		    &has_items, CONTENT_LIST, CONTENT_ITEM, CONV, CONV,
		    "{\"object\":\"list\",\"data\":[{\"id\":\"msg_1\"},{\"id\":\"msg_2\"}],"
		    "\"first_id\":\"msg_1\",\"last_id\":\"msg_2\",\"has_more\":true}" },
		{ "GET", "/v1/conversations/" CONV "/items/msg_1?include%5b%5d=a&include%5B%5D=b",
		    "", &has_one, CONTENT_READ, CONTENT_ITEM, "msg_1", CONV, "{\"id\":\"msg_1\"}" },
		{ "DELETE", "/v1/conversations/" CONV "/items/msg_1", "", &has_conv, CONTENT_DELETE,
		    CONTENT_ITEM, "msg_1", CONV, "\"object\":\"conversation\"" },
		{ "DELETE", "/v1/responses/" RESP, "", &has_conv, CONTENT_DELETE, CONTENT_RESPONSE,
		    RESP, "", "{\"id\":\"" RESP "\",\"object\":\"response\",\"deleted\":true}" },
		{ "GET", "/v1/responses/" RESP "/input_items", "", &has_items, CONTENT_LIST,
		    CONTENT_RESPONSE, RESP, RESP, "\"first_id\":\"msg_1\"" },
		{ "DELETE", "/v1/files/" FILE_ID, "", &has_conv, CONTENT_DELETE, CONTENT_FILE,
		    FILE_ID, "", "{\"id\":\"" FILE_ID "\",\"object\":\"file\",\"deleted\":true}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		peers.contents = rows[i].answer;
		peers.contents_done = 0;
		client_open(&c);
		request(&c, rows[i].method, rows[i].path, key, rows[i].body);
		wait_for(&c, rows[i].want);
		assert_true(has(&c, "HTTP/1.1 200"));
		assert_int_equal(peers.admit.content_op, rows[i].op);
		assert_int_equal(peers.admit.content_kind, rows[i].kind);
		assert_string_equal(peers.content_id, rows[i].id);
		look();
		assert_true(span_eq_str(seen.parent, rows[i].parent));
		client_close(&c);
	}
	assert_int_equal(peers.settles, (int)COUNT(rows));
	assert_int_equal(peers.settle.error, ERROR_NONE);
}

static void
pages(void **state)
{
	static const struct {
		const char *query;
		uint32_t limit;
		uint8_t descending;
		const char *after;
	} rows[] = {
		{ "", 20, 1, "" },
		{ "?order=asc", 20, 0, "" },
		{ "?limit=100&after=a_-b", 100, 1, "a_-b" },
		{ "?after=msg%5f1&order=desc&limit=1", 1, 1, "msg_1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;
		char path[200];

		(void)snprintf(
		    path, sizeof(path), "/v1/conversations/" CONV "/items%s", rows[i].query);
		client_open(&c);
		request(&c, "GET", path, key, "");
		wait_for(&c, "\"data\":[],\"first_id\":null,\"last_id\":null,\"has_more\":false}");
		look();
		assert_int_equal(seen.limit, rows[i].limit);
		assert_int_equal(seen.descending, rows[i].descending);
		assert_true(span_eq_str(seen.after, rows[i].after));
		client_close(&c);
	}
}

static void
bad_paths_and_queries(void **state)
{
	static const struct {
		const char *method, *path, *body, *want;
	} rows[] = {
		{ "GET", "/v1/conversations/conv_1/items?limit=0", "", "the query is not limit" },
		{ "GET", "/v1/conversations/conv_1/items?limit=101", "", "the query is not limit" },
		{ "GET", "/v1/conversations/conv_1/items?limit=1&limit=2", "", "each once" },
		{ "GET", "/v1/conversations/conv_1/items?order=up", "", "each once" },
		{ "GET", "/v1/conversations/conv_1/items?after=", "", "each once" },
		{ "GET", "/v1/conversations/conv_1/items?after=%2e%2", "", "\"bad_request\"" },
		{ "GET", "/v1/conversations/conv_1/items?after=a%00", "", "each once" },
		{ "GET", "/v1/conversations/conv_1/items?x=1", "", "each once" },
		{ "GET", "/v1/conversations/conv_1/items?&", "", "each once" },
		{ "GET", "/v1/conversations/conv_1/items?limit", "", "each once" },
		{ "GET", "/v1/responses/resp_1?stream=true", "", "the query is not include" },
		{ "GET", "/v1/files?limit=10001", "", "each once" },
		{ "GET", "/v1/files?purpose=%20", "", "each once" },
		{ "GET", "/v1/conversations/conv_1?limit=1", "", "takes no query" },
		{ "GET", "/v1/conversations/nix", "", "\"not_found\"" },
		{ "GET", "/v1/conversations/resp_1", "", "\"not_found\"" },
		{ "GET", "/v1/conversations/conv_%27", "", "\"not_found\"" },
		{ "GET", "/v1/conversations/conv_1/items/a'b", "", "\"not_found\"" },
		{ "GET", "/v1/conversations/conv_1/items/a/b", "", "\"not_found\"" },
		{ "GET", "/v1/conversations/conv_1/", "", "\"not_found\"" },
		{ "GET",
		    "/v1/conversations/conv_"
		    "012345678901234567890123456789012345678901234567890123456789",
		    "", "\"not_found\"" },
		{ "POST", "/v1/conversations/conv_1/items",
		    "{\"items\":[{\"role\":\"user\",\"id\":\"a\"},{\"role\":\"user\",\"id\":\"a\"}]"
		    "}",
		    "\"exists\"" },
		{ "GET", "/v1/conversations", "", "\"method_not_allowed\"" },
		{ "GET", "/v1/responses/x", "", "\"not_found\"" },
		{ "PUT", "/v1/responses/resp_1", "", "\"method_not_allowed\"" },
		{ "GET", "/v1/files/..", "", "\"bad_request\"" },
		{ "GET", "/v1/files/resp_1/content", "", "\"not_found\"" },
		{ "GET", "/v1/files/file-1", "x", "takes no body" },
		{ "POST", "/v1/files", "{}", "\"unsupported_media_type\"" },
		{ "POST", "/v1/conversations", "{\"x\":1}", "\"param\":\"/x\"" },
		{ "POST", "/v1/conversations", "{\"metadata\":{\"a\":1}}",
		    "\"param\":\"/metadata/a\"" },
		{ "POST", "/v1/conversations", "{\"items\":[{}]}", "\"param\":\"/items/0\"" },
		{ "POST", "/v1/conversations", "{\"items\":[{\"a\":1}]}",
		    "\"param\":\"/items/0\"" },
		{ "POST", "/v1/conversations", "[]", "\"invalid_field\"" },
		{ "POST", "/v1/conversations",
		    "{\"items\":[{\"role\":\"user\"},{\"type\":\"item_reference\",\"id\":\"m\"}]}",
		    "\"param\":\"/items/1\"" },
		{ "POST", "/v1/conversations",
		    "{\"items\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"file_"
		    "id\":"
		    "\"f\"}]}]}",
		    "\"param\":\"/items/0/content/0/file_id\"" },
		{ "POST", "/v1/conversations/conv_1/items",
		    "{\"items\":[{\"type\":\"item_reference\",\"id\":\"m\"}]}",
		    "\"param\":\"/items/0\"" },
		{ "POST", "/v1/conversations",
		    "{\"items\":[{\"role\":\"user\",\"content\":\"x\",\"ID\":\"q\"}]}",
		    "\"param\":\"/items/0/ID\"" },
		{ "POST", "/v1/conversations/conv_1/items",
		    "{\"items\":[{\"role\":\"user\"},{\"type\":\"x\",\"\\u0052ole\":1}]}",
		    "only in case" },
		{ "POST", "/v1/conversations/conv_1/items",
		    "{\"items\":[{\"type\":\"x\",\"Status\":1}]}", "only in case" },
		{ "POST", "/v1/conversations/conv_1", "{}", "\"invalid_field\"" },
		{ "POST", "/v1/conversations/conv_1/items", "{\"items\":[]}",
		    "\"param\":\"/items\"" },
		{ "POST", "/v1/responses",
		    "{\"model\":\"org/gpt-5.5\",\"input\":\"a\",\"conversation\":{\"id\":\"x\"}}",
		    "\"not_found\"" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		client_open(&c);
		request(&c, rows[i].method, rows[i].path, key, rows[i].body);
		wait_for(&c, rows[i].want);
		assert_true(has(&c, "HTTP/1.1 4"));
		assert_true(peers.admit.refused != 0);
		assert_int_equal(peers.admit.content_op, 0);
		client_close(&c);
	}
	assert_int_equal(peers.contents_done, 0);
}

static void
creates_with_items(void **state)
{
	const struct content_item *items;
	struct client c;

	(void)state;
	peers.contents = &has_conv;
	client_open(&c);
	request(&c, "POST", "/v1/conversations", key,
	    "{\"metadata\":{\"k\":\"v\"},\"items\":[{\"role\":\"user\",\"content\":\"h\\u00e9 "
	    "\\\"\"},"
	    "{\"role\":\"assistant\",\"content\":\"a\"},"
	    "{\"type\":\"function_call\",\"id\":\"fc_9\",\"call_id\":\"c\"},"
	    "{\"type\":\"message\",\"id\":\"no "
	    "good\",\"status\":\"x\",\"role\":\"user\",\"content\":[]}]}");
	wait_for(&c, "\"object\":\"conversation\"");
	look();
	assert_int_equal(strlen(peers.content_id), 5 + 48);
	assert_memory_equal(peers.content_id, "conv_", 5);
	assert_true(span_eq_str(seen.meta, "{\"k\":\"v\"}"));
	assert_int_equal(seen.items.count, 4);
	items = seen.items.items;
	assert_true(holds(items[0].json,
	    ",\"type\":\"message\",\"status\":\"completed\",\"role\":\"user\","
	    "\"content\":[{\"type\":\"input_text\",\"text\":\"h\\u00e9 \\\"\"}]}"));
	assert_true(span_starts(items[0].id, SPAN_LIT("msg_")));
	assert_true(holds(items[0].json, "{\"id\":\"msg_"));
	assert_true(
	    holds(items[1].json, "{\"type\":\"output_text\",\"text\":\"a\",\"annotations\":[]}"));
	assert_true(span_eq_str(items[2].id, "fc_9"));
	assert_true(span_eq_str(
	    items[2].json, "{\"type\":\"function_call\",\"id\":\"fc_9\",\"call_id\":\"c\"}"));
	assert_true(span_starts(items[3].id, SPAN_LIT("msg_")));
	assert_false(holds(items[3].json, "no good"));
	client_close(&c);
}

static void
masks_what_is_kept(void **state)
{
	const struct content_item *items;
	struct client c;

	(void)state;
	peers.mask_again = true;
	client_open(&c);
	request(&c, "POST", "/v1/conversations/" CONV "/items", key,
	    "{\"items\":[{\"role\":\"user\",\"content\":\"x\\n" GH "\"}]}");
	wait_for(&c, "[removed: github token]");
	assert_false(has(&c, GH));
	look();
	items = seen.items.items;
	assert_int_equal(seen.items.count, 1);
	assert_true(holds(items[0].json, "\"x\\n[removed: github token]\""));
	assert_int_equal(peers.admits, 2);
	assert_int_equal(peers.admit.credentials, CREDENTIALS_MASKED);
	client_close(&c);
}

/* It is kept beside the item: neither masked nor kept, whatever the policy says, however written.
 */
static void
a_credential_is_no_id(void **state)
{
	static const char *const rows[][2] = {
		{ "/v1/conversations", "items" },
		{ "/v1/conversations/" CONV "/items", "items" },
		{ "/v1/responses", "model\":\"org/gpt-5.5\",\"input" },
	};
	static const char *const ids[] = { GH, "\\u0067" GH_REST, ANTHROPIC, "x y " ANTHROPIC };

	(void)state;
	peers.may_store = true;
	for (size_t i = 0; i < COUNT(rows) * COUNT(ids) * 2; i++) {
		const char *const *row = rows[i / 2 / COUNT(ids)];
		char body[512];
		struct client c;

		peers.mask_again = i % 2 == 0;
		(void)snprintf(body, sizeof(body),
		    "{\"%s\":[{\"role\":\"user\",\"content\":\"a\"},"
		    "{\"type\":\"function_call\",\"id\":\"%s\"}]}",
		    row[1], ids[i / 2 % COUNT(ids)]);
		client_open(&c);
		request(&c, "POST", row[0], key, body);
		wait_for(&c, "credential_in_body");
		assert_true(has(&c, "HTTP/1.1 400"));
		assert_true(has(&c, "none is taken: the id of an item"));
		assert_int_equal(peers.admit.refused, ERROR_CREDENTIAL_IN_CONTENT);
		client_close(&c);
	}
	assert_int_equal(peers.contents_done + peers.calls, 0);
}

/* ---- failures ---- */
static void
store_fails(void **state)
{
	static const struct {
		enum error error;
		const char *want;
	} rows[] = {
		{ ERROR_CONTENT_NOT_FOUND, "HTTP/1.1 404" },
		{ ERROR_CONTENT_FULL, "HTTP/1.1 409" },
		{ ERROR_GRANT, "HTTP/1.1 503" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		peers.content_error = rows[i].error;
		client_open(&c);
		request(&c, "GET", "/v1/responses/" RESP, key, "");
		wait_for(&c, rows[i].want);
		wait_for(&c, "\r\n\r\n{");
		assert_int_equal(peers.settle.error, rows[i].error);
		client_close(&c);
	}
}

/* What it says it has sent is not what came: nothing of it is told. */
static void
store_cuts_an_answer(void **state)
{
	struct client c;

	(void)state;
	peers.contents = &has_conv;
	peers.content_cut = 1;
	client_open(&c);
	request(&c, "GET", "/v1/conversations/" CONV, key, "");
	wait_for(&c, "HTTP/1.1 503");
	assert_false(has(&c, "created_at"));
	assert_int_equal(peers.settle.error, ERROR_UNAVAILABLE);
	client_close(&c);
}

static void
store_is_away(void **state)
{
	struct client c;
	struct link *l = peers.store;

	(void)state;
	peers.hold_content = true;
	client_open(&c);
	request(&c, "GET", "/v1/responses/" RESP, key, "");
	for (int i = 0; i < 1000 && peers.contents_done == 0; i++)
		turn_loop();
	assert_int_equal(peers.contents_done, 1);
	link_free(l); /* it dies in the middle */
	peers.store = NULL;
	wait_for(&c, "\"unavailable\"");
	assert_true(has(&c, "HTTP/1.1 503"));
	assert_int_equal(peers.settle.error, ERROR_UNAVAILABLE);
	request(&c, "GET", "/v1/responses/" RESP, key, "");
	for (int i = 0; i < 1000 && peers.settles < 2; i++)
		turn_loop();
	assert_int_equal(peers.settles, 2);
	client_close(&c);
	peer_up(EDGE_GATEWAY_STORE);
	peers.hold_content = false;
	peers.contents = &has_conv;
	peers.contents_done = 0;
	client_open(&c);
	request(&c, "GET", "/v1/conversations/" CONV, key, "");
	wait_for(&c, "HTTP/1.1 200");
	wait_for(&c, "\"created_at\":7");
	client_close(&c);
}

static void
client_leaves(void **state)
{
	struct client c;

	(void)state;
	peers.hold_content = true;
	client_open(&c);
	request(&c, "GET", "/v1/responses/" RESP, key, "");
	for (int i = 0; i < 1000 && peers.contents_done == 0; i++)
		turn_loop();
	client_close(&c);
	spin(20);
	assert_int_equal(peers.contents_cancelled, 1);
	assert_int_equal(peers.settles, 1);
	assert_int_equal(peers.settle.error, ERROR_CANCELLED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(keys_in_bodies_are_refused),
		FLOW(reads_and_lists),
		FLOW(pages),
		FLOW(bad_paths_and_queries),
		FLOW(creates_with_items),
		FLOW(masks_what_is_kept),
		FLOW(a_credential_is_no_id),
		FLOW(store_fails),
		FLOW(store_cuts_an_answer),
		FLOW(store_is_away),
		FLOW(client_leaves),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
