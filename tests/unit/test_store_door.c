/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door into the tables: what no row may hold, whichever gateway asks. Each place of each
 * operation that writes is tried.
 */
#include "content_world.h"
#include "pasted_forms.h"

#include <credentials.h>

static const struct {
	uint8_t op, kind;
	const char *target;
} writes[] = { { CONTENT_CREATE, CONTENT_CONVERSATION, "conv_new" },
	{ CONTENT_UPDATE, CONTENT_CONVERSATION, "conv_1" },
	{ CONTENT_CREATE, CONTENT_ITEM, "conv_1" }, { CONTENT_SAVE, CONTENT_RESPONSE, "resp_new" },
	{ CONTENT_CREATE, CONTENT_FILE, "file_new" } };

static void
missing(struct db *db, uint8_t kind, const char *id)
{
	assert_int_equal(ask(db, &ann, CONTENT_READ, kind, id, NULL).code, E_NOTFOUND);
}

static void
denied(struct db *db, size_t i, const struct content_request *req)
{
	struct status st = ask(db, &ann, writes[i].op, writes[i].kind, writes[i].target, req);

	if (st.code != E_DENIED)
		test_fail("%s: %s", writes[i].target, status_text(st));
	assert_int_equal(content_error(st), ERROR_CREDENTIAL_IN_CONTENT);
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"");
	missing(db, CONTENT_RESPONSE, "resp_new");
	missing(db, CONTENT_FILE, "file_new");
	missing(db, CONTENT_CONVERSATION, "conv_new");
}

/* In the meta data, in the last of its items, in its bytes. */
static void
denied_anywhere(struct db *db, const char *credential)
{
	char text[256];
	struct content_item items[2] = { { SPAN_LIT("i_x"), 0, SPAN_LIT("\"x\"") },
		{ SPAN_LIT("i_y"), 1, SPAN_EMPTY } };

	(void)snprintf(text, sizeof(text), "{\"a\":\"here: %s.\"}", credential);
	items[1].json = span_str(text);
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		denied(db, i, &(struct content_request){ .meta = span_str(text) });
		denied(db, i,
		    &(struct content_request){ .meta = SPAN_LIT("{}"), .items = { items, 2 } });
		denied(db, i,
		    &(struct content_request){ .meta = SPAN_LIT("{}"), .body = span_str(text) });
		denied(db, i,
		    &(struct content_request){ .meta = SPAN_LIT("{}"), .tag = span_str(text) });
	}
	items[1].json = SPAN_LIT("\"y\"");
	items[1].id = span_str(credential);
	denied(db, 2, &(struct content_request){ .meta = SPAN_LIT("{}"), .items = { items, 2 } });
}

static void
no_credential_enters(void **arg)
{
	static const char *const never[] = { OPENAI, ANTHROPIC, GOOGLE };
	struct db *db = with_users();
	uint8_t key[KEYTEXT_LEN + 1] = { 0 };

	(void)arg;
	assert_is_ok(keytext_create(key));
	got.masked = false;
	assert_is_ok(create_conversation(db, &ann, "conv_1", "a"));
	for (int masked = 0; masked < 2; masked++) {
		got.masked = masked != 0;
		for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
			denied_anywhere(db, never[i]);
		denied_anywhere(db, (const char *)key);
	}
	denied_anywhere(db, GH);
	db_close(db);
}

static void
use(uint8_t key, const char *credential)
{
	struct sb_credentials m = { .key = { key } };
	struct known_mark mark;
	struct known *k;

	assert_is_ok(known_new(m.key, &k));
	if (credential != NULL) {
		assert_is_ok(known_mark(k, span_str(credential), &mark));
		m.marks = (struct wire_list){ &mark, 1 };
	}
	credentials_take(&m);
	known_free(k);
}

static void
enters(struct db *db, const char *id, const char *credential)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "{\"a\":\"here: %s.\"}", credential);
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_CONVERSATION, id,
	    &(struct content_request){ .meta = span_str(text) }));
}

#define USED "a_word:of-our-own-server"
#define USED_BEFORE "another_word:of-our-own"

/* Of no form, but in use: by the broker of now, or the one before it, which knew more at first. */
static void
none_in_use_enters(void **arg)
{
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(create_conversation(db, &ann, "conv_1", "a"));
	enters(db, "conv_2", USED_BEFORE);
	use(1, USED_BEFORE);
	denied_anywhere(db, USED_BEFORE);
	use(2, NULL); /* it came anew, and has read none yet */
	denied_anywhere(db, USED_BEFORE);
	use(2, USED);
	denied_anywhere(db, USED_BEFORE);
	denied_anywhere(db, USED);
	use(2, NULL); /* it has none any more */
	enters(db, "conv_3", USED);
	use(3, NULL); /* one that had none tells nothing of the one before it */
	denied_anywhere(db, USED_BEFORE);
	use(3, USED);
	use(4, NULL);
	denied_anywhere(db, USED);
	enters(db, "conv_4", USED_BEFORE);
	credentials_forget();
	db_close(db);
}

/* Others' are kept where the policy keeps them; what was masked always. */
static void
the_rest_enters(void **arg)
{
	const struct content_request others = { .meta = SPAN_LIT("{\"a\":\"" GH "\"}") };
	const struct content_request masked = { .meta = SPAN_LIT("{\"a\":\"[removed: x]\"}") };
	struct db *db = with_users();

	(void)arg;
	got.masked = false;
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_CONVERSATION, "conv_2", &others));
	got.masked = true;
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_CONVERSATION, "conv_3", &masked));
	/* What is there, is read. */
	assert_is_ok(ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "conv_2", NULL));
	assert_string_equal(objects(), "conv_2={\"a\":\"" GH "\"}");
	got.masked = false;
	db_close(db);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(no_credential_enters), T(none_in_use_enters),
		T(the_rest_enters) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
