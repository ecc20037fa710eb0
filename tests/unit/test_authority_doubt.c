/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_doubt.c: acts that the store was asked for, and did not answer: `unknown` on
 * record, and the table is what the store has before anybody changes it again.
 */
#include "authority_acts_rig.h"

#define T(f) cmocka_unit_test_setup_teardown(f, late_setup, teardown)
#define HAVE_MAX 6

/* A store that does what it is asked, and says so, or not. */
static struct {
	struct as_user have[HAVE_MAX];
	char names[HAVE_MAX][2][16];
	size_t n;
	struct as_key key; /* one that was put */
	char key_names[2][16];
	bool has_key;
	enum { SAYS, SAYS_OTHER, SAYS_NOTHING, REFUSES } mode;
	uint16_t type; /* of the last change */
	uint64_t load_held;
	bool load_holds;
	unsigned loads, changes;
} late;

static void
have(const char *tenant, const char *user, uint8_t mark, uint8_t roles)
{
	struct as_user *u = &late.have[late.n];
	char(*names)[16] = late.names[late.n++];

	(void)snprintf(names[0], 16, "%s", tenant);
	(void)snprintf(names[1], 16, "%s", user);
	*u = (struct as_user){ .tenant = span_str(names[0]),
		.user = span_str(names[1]),
		.subject_key = { mark },
		.roles = roles };
}

static void
put_keys(struct link *l, uint64_t id)
{
	const uint8_t pepper[AS_SECRET_LEN] = { 5 };
	struct hmac_key *h = NULL;

	assert_true(is_ok(hmac_key_new(span_of(pepper, sizeof(pepper)), &h)));
	for (size_t i = 0; i < WORLD_KEYS; i++) {
		const struct as_user *u = &late.have[i < 2 ? 0 : i - 1];
		struct span text = span_of(w.text[i], KEYTEXT_LEN);
		struct as_key k = { .tenant = u->tenant,
			.user = u->user,
			.policy = SPAN_LIT("default"),
			.pepper = 1 };

		memcpy(k.id, keytext_id(text).ptr, sizeof(k.id));
		assert_true(is_ok(hmac_sha256(h, text, k.hash)));
		assert_true(is_ok(link_send(l, id, AS_KEY, &k)));
	}
	hmac_key_free(h);
	if (late.has_key)
		assert_true(is_ok(link_send(l, id, AS_KEY, &late.key)));
}

static void
on_load(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)msg, (void)ctx;
	late.loads++;
	load_keysets(l, id);
	for (size_t i = 0; i < late.n; i++)
		assert_true(is_ok(link_send(l, id, AS_USER, &late.have[i])));
	put_keys(l, id);
	for (uint32_t i = 0; i < w.ntools; i++)
		assert_true(is_ok(link_send(l, id, AS_TOOL, &w.tools[i])));
	for (uint32_t i = 0; i < w.nsessions; i++)
		assert_true(is_ok(link_send(l, id, AS_SESSION, &w.sessions[i])));
	late.load_held = id;
	if (!late.load_holds)
		load_end(l, id);
}

static void
answer(struct link *l, uint64_t id, uint16_t type)
{
	const struct as_day_key other = { .day = "2026-01-31" };
	const struct as_done done = { .code = late.mode == REFUSES ? E_SYS : E_OK };

	late.changes++;
	late.type = type;
	if (late.mode == SAYS || late.mode == REFUSES)
		assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
	if (late.mode == SAYS_OTHER)
		assert_true(is_ok(link_send(l, id, AS_DAY_KEY, &other)));
}

static void
on_put_user(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_user_put *m = msg;
	struct as_user *u = NULL;
	char name[16];

	(void)ctx;
	for (size_t i = 0; i < late.n; i++) {
		if (span_eq(late.have[i].user, m->user) && span_eq(late.have[i].tenant, m->tenant))
			u = &late.have[i];
	}
	if (late.mode != REFUSES && u == NULL) {
		assert_true(m->fresh);
		(void)snprintf(name, sizeof(name), "%.*s", SPAN_FMT(m->user));
		have("t", name, 9, 0);
		u = &late.have[late.n - 1];
	}
	if (late.mode != REFUSES) {
		u->roles = m->roles;
		u->state = m->state;
		u->hold = m->hold;
	}
	answer(l, id, AS_USER_PUT);
}

static void
on_put_key(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_key *m = msg;

	(void)ctx;
	late.key = *m;
	late.has_key = true;
	for (size_t i = 0; i < 2; i++) {
		struct span *name = i == 0 ? &late.key.tenant : &late.key.user;

		(void)snprintf(late.key_names[i], 16, "%.*s", SPAN_FMT(*name));
		*name = span_str(late.key_names[i]);
	}
	late.key.policy = SPAN_LIT("default");
	late.key.scopes = SPAN_EMPTY;
	answer(l, id, AS_KEY_PUT);
}

#define ON(type)                                                                   \
	static void on_##type(struct link *l, uint64_t id, const void *m, void *x) \
	{                                                                          \
		(void)m, (void)x;                                                  \
		answer(l, id, type);                                               \
	}
ON(AS_SECRET_PUT)
ON(AS_SECRET_REMOVE)
ON(AS_SESSION_END)
ON(AS_TOOL_MARK)
ON(AS_KEK_ROTATE)
ON(AS_KEYSET_ROTATE)
ON(AS_BACKUP)
ON(AS_USER_ERASE)

/* A tick asks for tomorrow's. */
static void
on_day(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
}

static const struct link_ops late_ops = OPS({ AS_DAY, 0, on_day }, { AS_LOAD, 0, on_load },
    { AS_PING, 0, on_ping }, { AS_USER_PUT, 0, on_put_user }, { AS_KEY_PUT, 0, on_put_key },
    { AS_SECRET_PUT, 0, on_AS_SECRET_PUT }, { AS_SECRET_REMOVE, 0, on_AS_SECRET_REMOVE },
    { AS_SESSION_PUT, 0, on_store_session_put }, { AS_SESSION_END, 0, on_AS_SESSION_END },
    { AS_TOOL_MARK, 0, on_AS_TOOL_MARK }, { AS_KEK_ROTATE, 0, on_AS_KEK_ROTATE },
    { AS_KEYSET_ROTATE, 0, on_AS_KEYSET_ROTATE }, { AS_BACKUP, 0, on_AS_BACKUP },
    { AS_USER_ERASE, 0, on_AS_USER_ERASE });

static void
reconnect(void)
{
	connect_fake(EDGE_AUTHORITY_STORE, 14, &as_edge, false, &late_ops, &w.store);
	spin();
}

static int
late_setup(void **state)
{
	if (setup(state) != 0)
		return -1;
	memset(&late, 0, sizeof(late));
	have("t", "u", 3, ROLE_USER);
	have("t", "v", 4, ROLE_OWNER | ROLE_USER);
	have("x", "u", 5, ROLE_USER);
	cut(&w.store);
	reconnect();
	late.loads = 0;
	return 0;
}

static void
tick(void)
{
	store_tick(w.a);
	spin();
}

static void
expect_unknown(uint8_t event)
{
	const struct rec *r = NULL;

	for (size_t i = 0; i < w.nrecs; i++)
		r = w.recs[i].event == event ? &w.recs[i] : r;
	assert_non_null(r);
	assert_int_equal(said.http, 503);
	assert_non_null(strstr(said.body, "\"unknown_outcome\""));
	assert_int_equal(r->phase, AUDIT_PHASE_OUTCOME);
	assert_int_equal(r->outcome, AUDIT_UNKNOWN);
}

#define U "/admin/v1/users/u"

/* What is not known is not written over: a hold that was set stays, whatever is asked for next. */
static void
test_marks_of_a_person(void **state)
{
	struct user *u = w.key[0]->user;

	(void)state;
	late.mode = SAYS_OTHER;
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"hold\":true}"), 503);
	expect_unknown(EVENT_IDENTITY_CHANGED);
	assert_int_equal(u->hold, 0);
	late.mode = SAYS;
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"state\":\"disabled\"}"), 409);
	assert_string_equal(said.body, "busy");
	assert_int_equal(ask(w.key[2], "POST", U "/erase", ""), 409);
	assert_string_equal(said.body, "busy");
	assert_int_equal(late.changes, 1);
	tick();
	assert_int_equal(late.loads, 1);
	assert_int_equal(u->hold, 1);
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"state\":\"disabled\"}"), 200);
	assert_int_equal(late.have[0].hold, 1);
	assert_int_equal(late.have[0].state, USER_DISABLED);
	tick();
	assert_int_equal(late.loads, 1);
}

/* The store is away: it is known when that LOAD has ended, not before. */
static void
test_the_link_goes(void **state)
{
	struct user *u = w.key[0]->user;

	(void)state;
	late.mode = SAYS_NOTHING;
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"roles\":[\"administrator\"]}"), 0);
	cut(&w.store);
	expect_unknown(EVENT_IDENTITY_CHANGED);
	assert_int_equal(u->roles, ROLE_USER);
	late.mode = SAYS;
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"hold\":true}"), 409);
	late.load_holds = true;
	reconnect();
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"hold\":true}"), 409);
	load_end(w.store, late.load_held);
	spin();
	assert_int_equal(u->roles, ROLE_ADMINISTRATOR);
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"hold\":true}"), 200);
	assert_int_equal(late.have[0].roles, ROLE_ADMINISTRATOR);
	tick();
	assert_int_equal(late.loads, 1); /* the one of the new link */
}

/* A LOAD from before the act says nothing of it. */
static void
test_a_load_from_before(void **state)
{
	(void)state;
	late.load_holds = true;
	store_on_link(w.a);
	spin();
	late.mode = SAYS_OTHER;
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"hold\":true}"), 503);
	load_end(w.store, late.load_held);
	spin();
	late.mode = SAYS;
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"state\":\"disabled\"}"), 409);
	late.load_holds = false;
	tick();
	assert_int_equal(late.loads, 2);
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"state\":\"disabled\"}"), 200);
	assert_int_equal(late.have[0].hold, 1);
}

/* Whoever was made is there with the LOAD; of two in doubt together there is one. */
static void
test_a_new_person(void **state)
{
	(void)state;
	late.mode = SAYS_OTHER;
	assert_int_equal(ask(w.key[2], "POST", "/admin/v1/users",
			     "{\"user\":\"zed\",\"roles\":[\"administrator\"]}"),
	    503);
	expect_unknown(EVENT_IDENTITY_CHANGED);
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"hold\":true}"), 503);
	assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/zed", ""), 404);
	tick();
	tick();
	assert_int_equal(late.loads, 1);
	assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/zed", ""), 200);
	assert_non_null(strstr(said.body, "administrator"));
	assert_int_equal(ask(w.key[2], "POST", "/admin/v1/users", "{\"user\":\"zed\"}"), 409);
}

/* A rotation in doubt: nobody has the new key's text, and the old one ends as the store has it. */
static void
test_a_key_that_is_rotated(void **state)
{
	char path[64], rotate[80];
	size_t nkeys = w.a->keys.nkeys;

	(void)state;
	path_of(path, "/admin/v1/keys/", w.key[0]);
	(void)snprintf(rotate, sizeof(rotate), "%s/rotate", path);
	late.mode = SAYS_OTHER;
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 503);
	expect_unknown(EVENT_KEY_CREATED);
	assert_null(strstr(said.body, "sp_"));
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 409);
	assert_string_equal(said.body, "two_live_keys");
	tick();
	assert_int_equal(w.a->keys.nkeys, nkeys + 1);
	assert_int_not_equal(w.key[0]->expires_s, 0);
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 409);
	/* It can be seen, and taken away. */
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/keys", ""), 200);
	assert_non_null(strstr(said.body, "\"replaces\""));
}

/* Nobody has said that it is done, nor that it is not. */
static void
test_all_other_acts(void **state)
{
	static const struct {
		const char *method, *path, *body;
		uint16_t type;
		uint8_t event;
	} acts[] = {
		{ "PUT", "/admin/v1/secrets/openai", "{\"sealed\":\"AAAA\"}", AS_SECRET_PUT,
		    EVENT_SECRET_SET },
		{ "DELETE", "/admin/v1/secrets/openai", "", AS_SECRET_REMOVE,
		    EVENT_SECRET_REMOVED },
		{ "POST", "/admin/v1/kek", "", AS_KEK_ROTATE, EVENT_KEYS_ROTATED },
		{ "POST", "/admin/v1/session-keys", "", AS_KEYSET_ROTATE, EVENT_KEYS_ROTATED },
		{ "POST", "/admin/v1/pepper", "", AS_KEYSET_ROTATE, EVENT_KEYS_ROTATED },
		{ "POST", "/admin/v1/backup", "", AS_BACKUP, EVENT_ADMIN },
		{ "POST", U "/erase?tenant=t", "", AS_USER_ERASE, EVENT_ERASED },
	};

	(void)state;
	late.mode = SAYS_OTHER;
	for (size_t i = 0; i < COUNT(acts); i++) {
		assert_int_equal(ask(NULL, acts[i].method, acts[i].path, acts[i].body), 503);
		assert_int_equal(late.type, acts[i].type);
		expect_unknown(acts[i].event);
		tick();
		assert_int_equal(late.loads, i + 1);
	}
	assert_int_equal(w.secrets_changed, 2);
	assert_int_equal(w.key[0]->user->state, USER_ACTIVE); /* it was not done, says the LOAD */
}

static void
test_a_session(void **state)
{
	struct key *s = session();
	char path[96];

	(void)state;
	(void)snprintf(
	    path, sizeof(path), "/admin/v1/sessions/%s", TAILQ_FIRST(&w.a->sessions.live)->id);
	assert_non_null(s);
	late.mode = SAYS_OTHER;
	assert_int_equal(ask(w.key[0], "DELETE", path, ""), 503);
	expect_unknown(EVENT_SESSION_REVOKED);
	w.nsessions = 0; /* it was done */
	tick();
	assert_true(TAILQ_EMPTY(&w.a->sessions.live));
}

/* One that may be allowed to others keeps the place of its name until that is known. */
static void
test_a_tool(void **state)
{
	static const char mark[] =
	    "{\"tenant\":\"t\",\"user\":\"u\",\"name\":\"it\",\"allowed\":true}";
	const struct tool_version *v;

	(void)state;
	w.tools[w.ntools++] = (struct as_tool){ .id = 1,
		.tenant = SPAN_LIT("t"),
		.user = SPAN_LIT("u"),
		.name = SPAN_LIT("it"),
		.version = 1,
		.current = 1,
		.parts = TOOL_PARTS_ALL,
		.engine = SPAN_LIT("e"),
		.manifest = SPAN_LIT("{\"name\":\"it\",\"description\":\"d\",\"input_schema\":"
				     "{\"type\":\"object\"}}") };
	store_on_link(w.a);
	spin();
	assert_int_equal(w.a->tools.n, 1);
	v = w.a->tools.by_id[0];
	late.mode = SAYS_OTHER;
	assert_int_equal(ask(NULL, "POST", "/admin/v1/tools/mark", mark), 503);
	expect_unknown(EVENT_TOOL_CHANGED);
	assert_null(v->tool->allowed);
	assert_int_equal(ask(NULL, "POST", "/admin/v1/tools/mark", mark), 409);
	w.tools[0].allowed = 1;
	tick();
	assert_ptr_equal(w.a->tools.by_id[0]->tool->allowed, w.a->tools.by_id[0]);
	late.mode = SAYS;
	assert_int_equal(ask(NULL, "POST", "/admin/v1/tools/mark", mark), 200);
}

/* What the store refuses it has not done: that is a failure, and nothing is loaded for it. */
static void
test_a_refusal_is_a_failure(void **state)
{
	(void)state;
	late.mode = REFUSES;
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"hold\":true}"), 503);
	assert_non_null(strstr(said.body, "\"store_unavailable\""));
	assert_int_equal(w.recs[w.nrecs - 1].outcome, AUDIT_FAILURE);
	tick();
	assert_int_equal(late.loads, 0);
	late.mode = SAYS;
	assert_int_equal(ask(w.key[2], "PATCH", U, "{\"state\":\"disabled\"}"), 200);
	assert_int_equal(late.have[0].hold, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_marks_of_a_person),
		T(test_the_link_goes),
		T(test_a_load_from_before),
		T(test_a_new_person),
		T(test_a_key_that_is_rotated),
		T(test_all_other_acts),
		T(test_a_session),
		T(test_a_tool),
		T(test_a_refusal_is_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
