/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/authority/approvals.c: who decides, how often, how long, and how much waits; and what a
 * person may not do to itself.
 */
#include "approvals.h"
#include "authority_acts_rig.h"

static const char lift[] = "{\"hold\":false}", yes[] = "{\"decision\":\"approve\"}";

/* v, an owner, asks for that; its path is `ret`. */
static void
wait_for(const char *method, const char *path, const char *body, char ret[128])
{
	assert_int_equal(ask(w.key[2], method, path, body), 202);
	(void)snprintf(ret, 128, "/admin/v1/approvals/%.32s", strstr(said.body, "\"id\":\"") + 6);
}

/* Who may see that it waits may not therefore do it. */
static void
test_a_right_to_the_act(void **state)
{
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_ADMINISTRATOR);
	wait_for("GET", "/admin/v1/users/u/export", "", path);
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_non_null(strstr(said.body, path + 20));
	assert_int_equal(ask(w.key[0], "POST", path, yes), 403);
	assert_string_equal(said.body, "role");
	assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 202);
	be(0, ROLE_OWNER);
	assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
	assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 200);
}

/* Nobody else decides while a decision is on its way to the log; without a record there is none. */
static void
test_a_decision_is_one(void **state)
{
	struct user *held = w.key[0]->user;
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	held->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 503);
	assert_int_equal(held->hold, 1);
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 0);
	assert_int_equal(ask(w.key[0], "POST", path, yes), 404);
	assert_int_equal(ask(w.key[0], "POST", path, "{\"decision\":\"refuse\"}"), 404);
	assert_int_equal(held->hold, 1);
}

/* Nor before it is on record that somebody asked: until then nobody else sees it. */
static void
test_what_was_asked_is_on_record_first(void **state)
{
	const char *id;
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 0);
	w.audit_mode = AUDIT_TAKES;
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_string_equal(said.body, "{\"approvals\":[]}");
	release_held();
	spin();
	assert_int_equal(said.http, 202);
	id = strstr(said.body, "\"id\":\"") + 6;
	(void)snprintf(path, sizeof(path), "/admin/v1/approvals/%.32s", id);
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_non_null(strstr(said.body, path + 20));
	assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
	assert_int_equal(w.key[0]->user->hold, 0);
}

/* What is asked once more may be decided before that is on record: its place is another's then. */
static void
test_asked_again_and_decided(void **state)
{
	char path[128], other[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	wait_for("GET", "/admin/v1/users/u/export", "", path);
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 0);
	w.audit_mode = AUDIT_TAKES;
	assert_int_equal(ask(w.key[0], "POST", path, "{\"decision\":\"refuse\"}"), 200);
	w.key[0]->user->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, other);
	release_held();
	spin();
	assert_int_equal(said.http, 409);
	assert_non_null(strstr(said.body, "\"not_allowed\""));
	assert_int_equal(ask(w.key[0], "POST", other, yes), 200);
}

/* Of whoever was erased, and has a namesake since, nothing is done that was asked for. */
static void
test_another_of_that_name(void **state)
{
	struct user *u = w.key[0]->user, *v = w.key[2]->user;
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	u->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	u->subject[0] ^= 1;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 409);
	assert_int_equal(u->hold, 1);
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
	assert_int_equal(u->hold, 0);
	/* Named by the body: a service of that name. */
	be(2, ROLE_SERVICE);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{\"user\":\"v\"}"), 202);
	(void)snprintf(
	    path, sizeof(path), "/admin/v1/approvals/%.32s", strstr(said.body, "\"id\":\"") + 6);
	v->subject[0] ^= 1;
	assert_int_equal(ask(NULL, "POST", path, yes), 409);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{\"user\":\"v\"}"), 202);
	(void)snprintf(
	    path, sizeof(path), "/admin/v1/approvals/%.32s", strstr(said.body, "\"id\":\"") + 6);
	assert_int_equal(ask(NULL, "POST", path, yes), 200);
}

/* A key's id names whose it is: another one of that name is not who it was asked for. */
static void
test_a_key_is_somebodys(void **state)
{
	struct user *v = w.key[2]->user;
	char path[128], rotate[64];

	(void)state;
	be(0, ROLE_OWNER);
	be(2, ROLE_SERVICE);
	(void)snprintf(rotate, sizeof(rotate), "/admin/v1/keys/%.12s/rotate", w.key[2]->id);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 202);
		(void)snprintf(path, sizeof(path), "/admin/v1/approvals/%.32s",
		    strstr(said.body, "\"id\":\"") + 6);
		v->subject[0] ^= i == 0;
		assert_int_equal(ask(NULL, "POST", path, yes), i == 0 ? 409 : 200);
	}
}

static void
test_an_hour(void **state)
{
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	w.loop.time += 3600000;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 404);
	assert_int_equal(w.key[0]->user->hold, 1);
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	w.loop.time += 3500000;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
	assert_int_equal(w.key[0]->user->hold, 0);
}

/* So many of one person; of what is asked for, all can be shown. */
static void
test_what_waits_is_bounded(void **state)
{
	static char long_body[1100];
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	memset(long_body, ' ', sizeof(long_body) - 1);
	memcpy(long_body, lift, sizeof(lift) - 1);
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", long_body), 413);
	for (int i = 0; i < 8; i++) { /* each another text */
		long_body[sizeof(lift) + (size_t)i] = '\0';
		wait_for("PATCH", "/admin/v1/users/u", long_body, path);
		long_body[sizeof(lift) + (size_t)i] = ' ';
	}
	assert_int_not_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 202);
	be(0, ROLE_OWNER);
	assert_int_equal(ask(w.key[0], "POST", path, "{\"decision\":\"refuse\"}"), 200);
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
}

/* Asked for again it is the one that waits, for as long as that can still be done. */
static void
test_the_same_is_one(void **state)
{
	char path[128], again[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	for (int i = 0; i < 20; i++) {
		wait_for("PATCH", "/admin/v1/users/u", lift, again);
		assert_string_equal(again, path);
	}
	/* Another text, another path, another person: another. */
	wait_for("PATCH", "/admin/v1/users/u", "{\"hold\": false}", again);
	assert_string_not_equal(again, path);
	w.key[2]->user->hold = 1;
	wait_for("PATCH", "/admin/v1/users/v", lift, again);
	assert_string_not_equal(again, path);
	assert_int_equal(ask(w.key[0], "PATCH", "/admin/v1/users/u", lift), 202);
	assert_null(strstr(said.body, path + 20));
	/* Nor is it one that was about a namesake. */
	w.key[0]->user->subject[0] ^= 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, again);
	assert_string_not_equal(again, path);
}

/* … also while it is not on record yet that it was asked for; one record of them is enough. */
static void
test_the_same_at_a_time_is_one(void **state)
{
	const char *id;
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	w.audit_mode = AUDIT_HOLDS;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 0);
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 503);
	w.audit_mode = AUDIT_TAKES;
	release_held();
	spin();
	assert_int_equal(said.n, 1 + 3);
	assert_int_equal(said.http, 202);
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	id = strstr(said.body, path + 20);
	assert_non_null(id);
	assert_null(strstr(id, "\"id\""));
	/* While it is being decided there is no other one, either. */
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 0);
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 409);
	assert_string_equal(said.body, "busy");
	w.audit_mode = AUDIT_TAKES;
	release_held();
	spin();
	assert_int_equal(w.key[0]->user->hold, 0);
	/* Where none of them is on record, there is none. */
	w.key[0]->user->hold = 1;
	w.audit_mode = AUDIT_HOLDS;
	for (int i = 0; i < 2; i++)
		assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 0);
	cut(&w.audit);
	assert_int_equal(said.n, 2);
	assert_int_equal(said.http, 503);
}

/* One hold is lifted once; the next one by what is asked for then. */
static void
test_a_lift_is_of_one_hold(void **state)
{
	static const char set[] = "{\"hold\":true}", other_text[] = "{\"hold\": false}";
	struct user *u = w.key[0]->user;
	char path[128], other[128], of_v[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	u->hold = w.key[2]->user->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	wait_for("PATCH", "/admin/v1/users/u", other_text, other);
	wait_for("PATCH", "/admin/v1/users/v", lift, of_v);
	assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
	assert_int_equal(u->hold, 0);
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", set), 200);
	assert_int_equal(ask(w.key[0], "POST", other, yes), 404);
	assert_int_equal(u->hold, 1);
	approvals_tick(w.a);
	spin();
	assert_non_null(strstr(w.recs[w.nrecs - 1].text, "state=lapsed"));
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_null(strstr(said.body, other + 20));
	assert_int_equal(ask(w.key[0], "POST", of_v, yes), 200);
	/* Nor by one that was asked for before it was set. */
	u->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	u->hold = 0;
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", set), 200);
	assert_int_equal(ask(w.key[0], "POST", path, yes), 404);
	assert_int_equal(u->hold, 1);
}

/* What may be read for an hour may be so no more, whoever of the two says it. */
static void
test_a_given_one_is_taken_back(void **state)
{
	static const char no[] = "{\"decision\":\"refuse\"}";
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	for (size_t by = 0; by <= 2; by += 2) {
		wait_for("GET", "/admin/v1/users/u/export", "", path);
		assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
		assert_int_equal(ask(w.key[0], "POST", path, yes), 404);
		assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 200);
		w.audit_mode = AUDIT_REFUSES; /* without a record it stays */
		assert_int_equal(ask(w.key[by], "POST", path, no), 503);
		w.audit_mode = AUDIT_TAKES;
		assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 200);
		assert_int_equal(ask(w.key[by], "POST", path, no), 200);
		assert_int_equal(ask(w.key[by], "POST", path, no), 404);
		assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 202);
		assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
		assert_null(strstr(said.body, path + 20));
		(void)snprintf(path, sizeof(path), "/admin/v1/approvals/%.32s",
		    strstr(said.body, "\"id\":\"") + 6);
		assert_int_equal(ask(w.key[0], "POST", path, no), 200);
	}
}

/* An operator names the tenant: there is a namesake in another one. */
static void
test_a_tenant_is_not_another(void **state)
{
	char body[4096];

	(void)state;
	w.key[0]->user->hold = w.key[3]->user->hold = 1;
	assert_int_equal(ask(NULL, "PATCH", "/admin/v1/users/u?tenant=x", lift), 202);
	memcpy(body, said.body, sizeof(body));
	assert_int_equal(ask(NULL, "PATCH", "/admin/v1/users/u?tenant=t", lift), 202);
	assert_string_not_equal(said.body, body);
	assert_int_equal(ask(NULL, "PATCH", "/admin/v1/users/u?tenant=x", lift), 202);
	assert_string_equal(said.body, body);
}

/* Under a hold nobody is erased, and who has roles does not do it itself: the store is not asked.
 */
static void
test_who_is_not_erased(void **state)
{
	static const char *const bodies[] = { "{\"a\":1}", "[]", "null", "{}{}", "{", "x" };

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_USER | ROLE_AUDITOR);
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		assert_int_equal(ask(w.key[0], "DELETE", "/admin/v1/me", bodies[i]), 400);
	assert_int_equal(ask(w.key[0], "DELETE", "/admin/v1/me", ""), 409);
	assert_string_equal(said.body, "has_roles");
	be(0, ROLE_USER);
	w.key[0]->user->hold = 1;
	assert_int_equal(ask(w.key[0], "DELETE", "/admin/v1/me", ""), 409);
	assert_string_equal(said.body, "legal_hold");
	assert_int_equal(ask(w.key[2], "POST", "/admin/v1/users/u/erase", ""), 409);
	assert_string_equal(said.body, "legal_hold");
	assert_int_equal(w.key[0]->user->state, USER_ACTIVE);
	w.key[0]->user->hold = 0;
	assert_int_equal(ask(w.key[0], "DELETE", "/admin/v1/me", " {\n} "), 200);
	assert_string_equal(said.body, "{\"erased\":true,\"rows\":42}");
	assert_null(strstr(w.recs[w.nrecs - 1].text, "waits_for"));
}

/* Where the file keeps the keys for a while, the answer and the record say so. */
static void
test_who_is_erased_later(void **state)
{
	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_USER);
	w.erase_waits = true;
	assert_int_equal(ask(w.key[2], "POST", "/admin/v1/users/u/erase", ""), 200);
	assert_string_equal(said.body, "{\"erased\":true,\"rows\":42,\"waits_for\":\"backup\"}");
	assert_int_equal(w.recs[w.nrecs - 1].event, EVENT_ERASED);
	assert_int_equal(w.recs[w.nrecs - 1].outcome, AUDIT_SUCCESS);
	assert_non_null(strstr(w.recs[w.nrecs - 1].text, "rows=42"));
	assert_non_null(strstr(w.recs[w.nrecs - 1].text, "waits_for=backup"));
}

static void
pass(uint64_t ms)
{
	w.loop.time += ms;
	admin_tick(w.a);
}

/* Of an auditor, agreed to; the store has not answered. */
static void
begin_erasure(char ret_path[128])
{
	be(2, ROLE_OWNER);
	be(0, ROLE_USER | ROLE_AUDITOR);
	w.erase_holds = true;
	wait_for("POST", "/admin/v1/users/u/erase", "", ret_path);
	assert_int_equal(ask(NULL, "POST", ret_path, yes), 0);
}

/* Who agrees to what takes its time hears how that ended, for as long as who does it alone. */
static void
test_an_erasure_takes_its_time(void **state)
{
	char path[128];

	(void)state;
	begin_erasure(path);
	assert_int_equal(w.user_erases, 1);
	pass(ADMIN_WAIT_MS + ERASE_WAIT_MS - 5000);
	assert_int_equal(said.n, 0);
	erase_answer(w.store, w.erase_held);
	spin();
	assert_int_equal(said.n, 1);
	assert_int_equal(said.http, 200);
	assert_non_null(strstr(said.body, "\"status\":200"));
	assert_non_null(strstr(said.body, "\"rows\":42"));
}

/* … and hears of it what that one would hear, once, where it takes longer than that. */
static void
test_an_erasure_takes_too_long(void **state)
{
	char path[128];

	(void)state;
	begin_erasure(path);
	pass(ADMIN_WAIT_MS + ERASE_WAIT_MS + 1000);
	assert_int_equal(said.n, 1);
	assert_int_equal(said.http, 200);
	assert_non_null(strstr(said.body, "\"state\":\"approved\",\"status\":504"));
	assert_non_null(strstr(said.body, "\"timeout\""));
	erase_answer(w.store, w.erase_held);
	spin();
	pass(ADMIN_WAIT_MS + ERASE_WAIT_MS);
	assert_int_equal(said.n, 1);
}

/* v, which asked, and whoever else: what is told of the one of this path; NULL: nothing. */
static const char *
state_of(struct key *by, const char *path)
{
	static char text[16];
	const char *at;

	if (ask(by, "GET", path, "") != 200)
		return said.http == 0 && strcmp(said.body, "not_found") == 0 ? NULL : said.body;
	at = strstr(said.body, "\"state\":\"") + 9;
	(void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(at, "\""), at);
	return text;
}

static void
test_what_became_of_it(void **state)
{
	static const char no[] = "{\"decision\":\"refuse\"}";
	struct user *u = w.key[0]->user;
	char path[128], first[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	be(3, ROLE_OWNER);
	u->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	assert_string_equal(state_of(w.key[2], path), "waiting");
	assert_string_equal(state_of(w.key[0], path), "waiting");
	assert_string_equal(state_of(NULL, path), "waiting");
	assert_null(state_of(w.key[3], path)); /* of another tenant */
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 0);
	w.audit_mode = AUDIT_TAKES;
	assert_string_equal(state_of(w.key[2], path), "deciding");
	release_held();
	spin();
	assert_string_equal(state_of(w.key[2], path), "done");
	assert_non_null(strstr(said.body, "\"status\":200"));
	assert_null(strstr(said.body, "/users/"));
	assert_null(state_of(w.key[3], path));
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_string_equal(said.body, "{\"approvals\":[]}");
	w.loop.time += 3600000;
	assert_null(state_of(w.key[2], path));
	/* Who may not do it hears of it no more than who asked for it before and has that name. */
	wait_for("GET", "/admin/v1/users/u/export", "", path);
	be(0, ROLE_ADMINISTRATOR);
	assert_null(state_of(w.key[0], path));
	be(0, ROLE_OWNER);
	assert_int_equal(ask(w.key[0], "POST", path, no), 200);
	be(2, ROLE_ADMINISTRATOR);
	assert_string_equal(state_of(w.key[2], path), "refused");
	w.key[2]->user->subject[0] ^= 1;
	assert_null(state_of(w.key[2], path));
	w.key[2]->user->subject[0] ^= 1;
	be(2, ROLE_OWNER);
	u->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	u->subject[0] ^= 1;
	assert_int_equal(ask(NULL, "POST", path, yes), 409);
	assert_string_equal(state_of(w.key[2], path), "failed");
	assert_non_null(strstr(said.body, "\"status\":409,\"error\":\"not_allowed\""));
	/* Those that have ended take nobody's place; the oldest are forgotten first. */
	(void)memcpy(first, path, sizeof(first));
	for (int i = 0; i < 16; i++) {
		assert_string_equal(state_of(w.key[2], first), "failed");
		wait_for("PATCH", "/admin/v1/users/u", lift, path);
		assert_int_equal(ask(w.key[2], "POST", path, no), 200);
	}
	assert_null(state_of(w.key[2], first));
	assert_string_equal(state_of(w.key[2], path), "refused");
}

/* An act that goes on is being decided until it is over, and fails as itself. */
static void
test_what_an_act_became(void **state)
{
	char path[128];

	(void)state;
	begin_erasure(path);
	assert_string_equal(state_of(w.key[2], path), "deciding");
	w.erase_code = E_DENIED;
	erase_answer(w.store, w.erase_held);
	spin();
	assert_string_equal(state_of(w.key[2], path), "failed");
	assert_non_null(strstr(said.body, "\"status\":409,\"error\":\"legal_hold\""));
}

/* Where all places are taken, the one that ended first makes room; the others go in their time. */
static void
test_what_has_ended_makes_room(void **state)
{
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		approvals[i].state = DONE;
		approvals[i].nth = i == 7 ? 1 : i + 2;
		approvals[i].until_ms = w.loop.time + 1000;
	}
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	w.loop.time += 1000;
	approvals_tick(w.a);
	for (size_t i = 0; i < APPROVALS_MAX; i++)
		assert_int_equal(approvals[i].state, i == 7 ? WAITING : FREE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_right_to_the_act),
		T(test_a_decision_is_one),
		T(test_what_was_asked_is_on_record_first),
		T(test_asked_again_and_decided),
		T(test_another_of_that_name),
		T(test_a_key_is_somebodys),
		T(test_an_hour),
		T(test_what_waits_is_bounded),
		T(test_the_same_is_one),
		T(test_the_same_at_a_time_is_one),
		T(test_a_lift_is_of_one_hold),
		T(test_a_given_one_is_taken_back),
		T(test_a_tenant_is_not_another),
		T(test_who_is_not_erased),
		T(test_who_is_erased_later),
		T(test_an_erasure_takes_its_time),
		T(test_an_erasure_takes_too_long),
		T(test_what_became_of_it),
		T(test_what_an_act_became),
		T(test_what_has_ended_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
