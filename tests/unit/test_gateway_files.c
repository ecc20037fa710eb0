/* SPDX-License-Identifier: Apache-2.0 */
/* src/gateway/files.c: files that are kept: their form, their names, what is told of them. */
#include "gateway_content_rig.h"

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
		assert_true(has(&c, "none is taken: the policy of this key masks it"));
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(files),
		FLOW(bad_forms),
		FLOW(names_are_cleaned),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
