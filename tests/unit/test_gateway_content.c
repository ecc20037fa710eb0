/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept for users: endpoints, and turns that go on from it. */
#include "gateway_rig.h"

#include <content.h>
#include <routes.h>

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

/* ---- endpoints ---- */

#define CONV "conv_0123456789abcdef"
#define RESP "resp_0123456789abcdef"
#define FILE_ID "file-0123456789abcdef"

static struct content_request seen; /* decoded from what the store got */
static struct arena seen_arena = ARENA_INIT(16UL << 20);

static void
look(void)
{
	arena_done(&seen_arena);
	assert_int_equal(
	    wire_decode(&content_request_table, buf_span(&peers.content), &seen_arena, &seen).code,
	    E_OK);
}

static bool
holds(struct span s, const char *text)
{
	return s.len > 0 && memmem(s.ptr, s.len, text, strlen(text)) != NULL;
}

static const struct content_object object_conv = { .id = { (const uint8_t *)CONV, 21 },
	.created_s = 7,
	.meta = { (const uint8_t *)"{\"a\":\"b\"}", 9 } };
static const struct content_item two_items[] = {
	{ { (const uint8_t *)"msg_1", 5 }, 0, { (const uint8_t *)"{\"id\":\"msg_1\"}", 14 } },
	{ { (const uint8_t *)"msg_2", 5 }, 1, { (const uint8_t *)"{\"id\":\"msg_2\"}", 14 } },
};
static const struct content_answer has_conv = { .objects = { &object_conv, 1 } };
static const struct content_answer has_items = { .items = { two_items, 2 }, .more = 1 };
static const struct content_answer has_one = { .items = { two_items, 1 } };

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

#define GH   \
	"gh" \
	"p_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"

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

/* ---- files ---- */

#define EDGE "--------------x"
#define PART(head, body) \
	"--" EDGE "\r\nContent-Disposition: form-data; " head "\r\n\r\n" body "\r\n"
#define PURPOSE PART("name=\"purpose\"", "user_data")

static void
form(struct client *c, const char *body)
{
	char text[8192];

	(void)snprintf(text, sizeof(text),
	    "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: multipart/form-data; boundary=" EDGE "\r\nContent-Length: %zu\r\n\r\n%s",
	    key, strlen(body), body);
	client_send(c, text);
}

static const struct content_object object_file = { .id = { (const uint8_t *)FILE_ID, 21 },
	.created_s = 7,
	.expires_s = 9,
	.size = 3,
	.meta = { (const uint8_t *)"{\"filename\":\"a.txt\",\"purpose\":\"batch\"}", 38 } };
static const struct content_answer has_file = { .objects = { &object_file, 1 },
	.body = { (const uint8_t *)"a\0b", 3 } };

static void
files(void **state)
{
	struct client c;

	(void)state;
	peers.contents = &has_file;
	client_open(&c);
	form(&c, PURPOSE PART("name=\"file\"; filename=\"../x\\y/a.txt\"", "abc")
		     PART("name=\"expires_after[anchor]\"", "created_at")
			 PART("name=\"expires_after[seconds]\"", "3600") "--" EDGE "--\r\n");
	wait_for(&c, "\"code\":\"invalid_field\""); /* a backslash in a quoted text */
	client_close(&c);
	client_open(&c);
	form(&c, PURPOSE PART("name=\"file\"; filename=\"../x/a.txt\"", "abc")
		     PART("name=\"expires_after[anchor]\"", "created_at")
			 PART("name=\"expires_after[seconds]\"", "3600") "--" EDGE "--\r\n");
	wait_for(&c, "{\"id\":\"" FILE_ID "\",\"object\":\"file\",\"bytes\":3,\"created_at\":7,"
		     "\"expires_at\":9,\"filename\":\"a.txt\",\"purpose\":\"batch\",\"status\":"
		     "\"processed\"}");
	look();
	assert_true(span_eq_str(seen.meta, "{\"filename\":\"a.txt\",\"purpose\":\"user_data\"}"));
	assert_true(span_eq_str(seen.body, "abc"));
	assert_true(span_eq_str(seen.tag, "user_data"));
	assert_int_equal(seen.expires_s, 3600);
	assert_memory_equal(peers.content_id, "file-", 5);
	client_close(&c);

	peers.contents_done = 0;
	client_open(&c);
	request(&c, "GET", "/v1/files/" FILE_ID "/content", key, "");
	wait_for(&c, "application/octet-stream");
	wait_for(&c, "\r\n\r\na");
	assert_non_null(memmem(c.got.ptr, c.got.len, "\r\n\r\na\0b", 7));
	assert_int_equal(peers.admit.content_op, CONTENT_BODY);
	client_close(&c);

	peers.contents_done = 0;
	client_open(&c);
	request(&c, "GET", "/v1/files?purpose=batch&limit=10000&order=asc", key, "");
	wait_for(
	    &c, "\"first_id\":\"" FILE_ID "\",\"last_id\":\"" FILE_ID "\",\"has_more\":false}");
	look();
	assert_int_equal(seen.limit, CONTENT_PAGE_MAX);
	assert_true(span_eq_str(seen.tag, "batch"));
	client_close(&c);
}

static void
bad_forms(void **state)
{
	static const struct {
		const char *body, *want;
	} rows[] = {
		{ PURPOSE "--" EDGE "--\r\n", "\"param\":\"/file\"" },
		{ PURPOSE PART("name=\"file\"", "abc") "--" EDGE "--\r\n", "\"param\":\"/file\"" },
		{ PART("name=\"file\"; filename=\"a\"", "") "--" EDGE "--\r\n",
		    "\"param\":\"/purpose\"" },
		{ PART("name=\"purpose\"", "nix")
			PART("name=\"file\"; filename=\"a\"", "") "--" EDGE "--\r\n",
		    "\"param\":\"/purpose\"" },
		{ PURPOSE PURPOSE PART("name=\"file\"; filename=\"a\"", "") "--" EDGE "--\r\n",
		    "a part is there twice" },
		{ PURPOSE PART("name=\"file\"; filename=\"a\"; filename=\"b\"", "") "--" EDGE
										    "--\r\n",
		    "a part has two names" },
		{ PURPOSE PART("name=\"file\"; filename=\"a\"", "")
			PART("name=\"expires_after[seconds]\"", "3600") "--" EDGE "--\r\n",
		    "\"param\":\"/expires_after/anchor\"" },
		{ PURPOSE PART("name=\"file\"; filename=\"a\"", "")
			PART("name=\"expires_after[anchor]\"", "created_at")
			    PART("name=\"expires_after[seconds]\"", "3599") "--" EDGE "--\r\n",
		    "\"param\":\"/expires_after/seconds\"" },
		{ PURPOSE PART("name=\"other\"", "") "--" EDGE "--\r\n", "that is not known" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		client_open(&c);
		form(&c, rows[i].body);
		wait_for(&c, rows[i].want);
		assert_true(has(&c, "HTTP/1.1 400"));
		client_close(&c);
	}
	/* A file is never changed: it is refused where it would be masked. */
	{
		struct client c;

		peers.mask_again = true;
		client_open(&c);
		form(&c, PURPOSE PART("name=\"file\"; filename=\"a\"", "x " GH) "--" EDGE "--\r\n");
		wait_for(&c, "credential_in_body");
		assert_int_equal(peers.admit.refused, ERROR_CREDENTIAL_IN_CONTENT);
		client_close(&c);
	}
	assert_int_equal(peers.contents_done, 0);
}

static void
names_are_cleaned(void **state)
{
	static const char *const rows[][2] = {
		{ "a.txt", "a.txt" },
		{ "/etc/passwd", "passwd" },
		{ "C:\\x\\b c.txt", "b c.txt" },
		{ "..", "file" },
		{ "a\tb\r\n.txt", "ab.txt" },
		{ "a/", "file" },
		{ "", "file" },
		{ "\x01\x02", "file" },
		{ "a\x1b[31mb", "ab" },
		{ "h\xc3\xa9.txt", "h\xc3\xa9.txt" },
		{ "\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "a\xe2\x80\xae"
		  "b",
		    "ab" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = BUF_INIT(4096);

		assert_int_equal(files_clean_name(span_str(rows[i][0]), &out).code, E_OK);
		assert_true(span_eq_str(buf_span(&out), rows[i][1]));
		buf_done(&out);
	}
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
		FLOW(keys_in_bodies_are_refused),
		FLOW(reads_and_lists),
		FLOW(pages),
		FLOW(bad_paths_and_queries),
		FLOW(creates_with_items),
		FLOW(masks_what_is_kept),
		FLOW(files),
		FLOW(bad_forms),
		FLOW(names_are_cleaned),
		FLOW(store_fails),
		FLOW(store_cuts_an_answer),
		FLOW(store_is_away),
		FLOW(client_leaves),
		FLOW(keeps_a_response),
		FLOW(keeps_nothing),
		FLOW(streams_and_keeps),
		FLOW(goes_on_from_a_response),
		FLOW(goes_on_in_a_conversation),
		FLOW(nothing_to_go_on_from),
		FLOW(reads_a_response),
		FLOW(nothing_passes_the_door),
		FLOW(a_model_says_a_key),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
