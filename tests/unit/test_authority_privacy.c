/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Persons at the authority: who is erased is let in no more, at once, and its turns end; what
 * the store refused, or did not answer, changes nothing; pages of an export; what went for its
 * age is on record.
 */
#define WORLD_KEYS 4
#include "authority_world.h"

#include "privacy.h"

static size_t lock_min = 1, lock_max = SECRET_LEN_MAX; /* what can be locked at once */

struct status __real_secret_new(size_t len, struct secret *ret);
struct status __wrap_secret_new(size_t len, struct secret *ret);

struct status
__wrap_secret_new(size_t len, struct secret *ret)
{
	return len < lock_min || len > lock_max ? fail(E_SYS) : __real_secret_new(len, ret);
}

static struct {
	unsigned erased, pages;
	enum code code;
	uint64_t rows;
	char page[64];
	bool more, waits;
} got;

static void
on_erased(struct authority *a, void *ctx, enum code code, uint64_t rows, bool waits)
{
	(void)a, (void)ctx;
	got.erased++;
	got.code = code;
	got.rows = rows;
	got.waits = waits;
}

static void
on_page(struct authority *a, void *ctx, enum code code, const struct as_exported *page)
{
	(void)a, (void)ctx;
	got.pages++;
	got.code = code;
	got.more = page != NULL && page->more;
	(void)snprintf(got.page, sizeof(got.page), "%.*s",
	    SPAN_FMT(page == NULL ? SPAN_LIT("none") : page->page));
}

static void
erase(void)
{
	assert_true(is_ok(privacy_erase(w.a, SPAN_LIT("t"), SPAN_LIT("u"), on_erased, NULL)));
	spin();
}

static void
tool_of(const char *user, uint64_t id)
{
	const struct as_tool m = { .id = id,
		.tenant = SPAN_LIT("t"),
		.user = span_str(user),
		.name = SPAN_LIT("tool"),
		.version = 1,
		.current = 1,
		.created_s = 1,
		.manifest = SPAN_LIT("{\"name\":\"tool\",\"description\":\"d\","
				     "\"input_schema\":{\"type\":\"object\"}}") };

	assert_true(is_ok(tools_load(w.a, &m)));
}

static void
test_erased(void **state)
{
	struct reply *r = admit(ENDPOINT_CHAT);
	uint64_t turn = r->admitted.turn;
	struct user *v = keys_find_user(&w.a->keys, SPAN_LIT("t"), SPAN_LIT("v"));
	uint32_t loads = w.a->keys.load;

	(void)state;
	memset(&got, 0, sizeof(got));
	tool_of("u", 7);
	tool_of("v", 8);
	erase();
	assert_int_equal(got.erased, 1);
	assert_int_equal(got.code, E_OK);
	assert_int_equal(got.rows, 42);
	assert_false(got.waits);
	assert_int_equal(w.user_erases, 1);
	/* Its turn is over; its keys are none; nobody else's are touched. */
	assert_int_equal(w.revokes, 1);
	assert_null(turn_find(w.a, turn));
	assert_int_equal(admit(ENDPOINT_CHAT)->error, ERROR_INVALID_KEY);
	assert_non_null(keys_check(&w.a->keys, span_of(w.text[2], KEYTEXT_LEN), now_real_s()));
	assert_true(w.key[0]->revoked_s != 0 && w.key[1]->revoked_s != 0);
	assert_null(tools_by_id(&w.a->tools, 7));
	assert_true(LIST_EMPTY(&w.key[0]->user->tools));
	assert_non_null(tools_own(v, SPAN_LIT("tool")));
	assert_int_equal(w.a->keys.load, loads); /* nobody else's are read anew for it */
	assert_balanced();
}

/* What the store's DONE brings, of a key that was made for somebody who had been erased. */
static struct span
made_again(uint8_t text[KEYTEXT_LEN])
{
	const uint8_t subject_key[AS_SECRET_LEN] = { 9 };
	struct as_key k = {
		.tenant = SPAN_LIT("t"), .user = SPAN_LIT("u"), .policy = SPAN_LIT("default")
	};

	assert_true(is_ok(keytext_create(text)));
	memcpy(k.id, keytext_id(span_of(text, KEYTEXT_LEN)).ptr, sizeof(k.id));
	assert_true(is_ok(keys_hash(&w.a->keys, span_of(text, KEYTEXT_LEN), k.hash, &k.pepper)));
	assert_true(is_ok(keys_put_user(&w.a->keys, k.tenant, k.user, subject_key, NULL)));
	assert_true(is_ok(keys_put(&w.a->keys, &w.a->policies, &k, NULL)));
	return span_of(text, KEYTEXT_LEN);
}

/* At once, with the key that was made, and with none of what there was before. */
static void
test_made_again(void **state)
{
	uint8_t text[KEYTEXT_LEN];
	struct span credential;

	(void)state;
	memset(&got, 0, sizeof(got));
	user_set_marks(w.key[0]->user, ROLE_USER | ROLE_OWNER, USER_ACTIVE, 0);
	erase();
	credential = made_again(text);
	assert_non_null(keys_check(&w.a->keys, credential, now_real_s()));
	assert_null(keys_check(&w.a->keys, span_of(w.text[0], KEYTEXT_LEN), now_real_s()));
	assert_null(keys_check(&w.a->keys, span_of(w.text[1], KEYTEXT_LEN), now_real_s()));
	assert_int_equal(w.key[0]->user->roles, ROLE_USER);
	/* Nobody is told what keys there were of that name. */
	assert_true(key_is_past(w.key[0]));
	assert_false(key_is_past(keys_find(&w.a->keys, keytext_id(credential))));
}

/* While a LOAD runs they wait for its end, which says what there is. */
static void
test_made_again_in_a_load(void **state)
{
	uint8_t text[KEYTEXT_LEN];
	struct span credential;

	(void)state;
	memset(&got, 0, sizeof(got));
	w.load_mute = true;
	store_on_link(w.a);
	spin();
	user_set_marks(w.key[0]->user, ROLE_USER, USER_ERASED, 0);
	credential = made_again(text);
	assert_null(keys_check(&w.a->keys, credential, now_real_s()));
	load_end(w.store, w.load_held);
	spin();
	assert_non_null(keys_check(&w.a->keys, credential, now_real_s()));
	/* Nor does a LOAD that found another state for them give it back. */
	w.erase_code = E_SYS;
	store_on_link(w.a);
	spin();
	user_set_marks(w.key[0]->user, ROLE_USER, USER_ERASED, 0);
	(void)made_again(text);
	user_set_marks(w.key[0]->user, ROLE_USER, USER_DISABLED, 0);
	load_end(w.store, w.load_held);
	spin();
	assert_int_equal(w.key[0]->user->state, USER_DISABLED);
}

/* Its sessions are over with it, not some time later; nobody else's are. */
static void
test_sessions_are_erased(void **state)
{
	struct key *made[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct ga_token m = { .credential = span_of(w.text[2 * i], KEYTEXT_LEN) };
		struct reply *r = call(w.gw, GA_TOKEN, &m);

		assert_int_equal(r->error, ERROR_NONE);
		made[i] = sessions_find(w.a, span_str(r->body), now_real_s());
		assert_non_null(made[i]);
	}
	memset(&got, 0, sizeof(got));
	erase();
	assert_ptr_equal(TAILQ_FIRST(&w.a->sessions.live), made[1]);
	assert_ptr_equal(TAILQ_LAST(&w.a->sessions.live, session_list), made[1]);
	assert_null(sessions_by_id(w.a, span_str(((struct session *)made[0])->id), SPAN_EMPTY));
	assert_ptr_equal(
	    sessions_by_id(w.a, span_str(((struct session *)made[1])->id), SPAN_EMPTY), made[1]);
}

static void
test_not_erased(void **state)
{
	(void)state;
	memset(&got, 0, sizeof(got));
	w.erase_code = E_DENIED;
	erase();
	assert_int_equal(got.code, E_DENIED);
	assert_non_null(keys_check(&w.a->keys, span_of(w.text[0], KEYTEXT_LEN), now_real_s()));
	cut(&w.store);
	assert_int_equal(
	    privacy_erase(w.a, SPAN_LIT("t"), SPAN_LIT("u"), on_erased, NULL).code, E_CLOSED);
	assert_int_equal(got.erased, 1);
}

/* No word, or a failure that may be behind the commit: refused until a load says which it is. */
static void
test_perhaps_erased(void **state)
{
	uint32_t loads = w.a->keys.load;

	(void)state;
	memset(&got, 0, sizeof(got));
	assert_true(admit(ENDPOINT_CHAT)->admitted.turn != 0);
	w.erase_code = E_SYS;
	erase();
	assert_int_equal(got.code, E_SYS);
	assert_int_equal(w.revokes, 1);
	assert_int_equal(w.a->keys.load, loads + 1);
	/* It was not. */
	assert_false(key_is_past(w.key[0]));
	assert_non_null(keys_check(&w.a->keys, span_of(w.text[0], KEYTEXT_LEN), now_real_s()));
}

/* What cannot be taken is refused, alone. */
static void
test_left_out(void **state)
{
	const struct as_key nobodys = {
		.tenant = SPAN_LIT("t"), .user = SPAN_LIT("nobody"), .policy = SPAN_LIT("default")
	};

	(void)state;
	store_on_link(w.a);
	assert_true(is_ok(link_send(w.store, w.a->load_id, AS_KEY, &nobodys)));
	spin();
	assert_int_equal(w.a->load_left_out, 1);
	assert_true(w.a->loaded);
	assert_non_null(keys_check(&w.a->keys, span_of(w.text[0], KEYTEXT_LEN), now_real_s()));
	store_on_link(w.a);
	spin();
	assert_int_equal(w.a->load_left_out, 0);
}

/* As many users of t as have their places in one slab. */
static void
fill_a_slab(void)
{
	const uint8_t subject_key[AS_SECRET_LEN] = { 6 };
	char name[16];

	while (w.a->keys.nusers < SUBJECT_SLAB) {
		(void)snprintf(name, sizeof(name), "n%zu", w.a->keys.nusers);
		assert_true(is_ok(
		    keys_put_user(&w.a->keys, SPAN_LIT("t"), span_str(name), subject_key, NULL)));
	}
}

/* Locked memory is full: whom there is no place for is left out, with their keys, and nobody else;
 * and no more are made. */
static void
test_no_place_for_a_user(void **state)
{
	const struct as_user late = {
		.tenant = SPAN_LIT("t"), .user = SPAN_LIT("late"), .roles = ROLE_USER
	};
	const struct as_key key = { .id = "kkkkkkkkkkkk",
		.tenant = late.tenant,
		.user = late.user,
		.policy = SPAN_LIT("default") };

	(void)state;
	fill_a_slab();
	lock_max = SECRET_LEN_MAX - 1;
	store_on_link(w.a);
	assert_true(is_ok(link_send(w.store, w.a->load_id, AS_USER, &late)));
	assert_true(is_ok(link_send(w.store, w.a->load_id, AS_KEY, &key)));
	spin();
	assert_true(w.a->loaded);
	assert_int_equal(w.a->load_left_out, 2);
	assert_null(keys_find_user(&w.a->keys, late.tenant, late.user));
	assert_int_equal(w.a->keys.nusers, SUBJECT_SLAB);
	assert_non_null(keys_check(&w.a->keys, span_of(w.text[0], KEYTEXT_LEN), now_real_s()));
	assert_false(keys_user_fits(&w.a->keys, late.tenant, late.user));
	assert_true(keys_user_fits(&w.a->keys, SPAN_LIT("t"), SPAN_LIT("u")));
	lock_max = SECRET_LEN_MAX;
	assert_true(keys_user_fits(&w.a->keys, late.tenant, late.user));
	store_on_link(w.a);
	assert_true(is_ok(link_send(w.store, w.a->load_id, AS_USER, &late)));
	spin();
	assert_int_equal(w.a->load_left_out, 0);
	assert_int_equal(keys_find_user(&w.a->keys, late.tenant, late.user)->state, USER_ACTIVE);
}

/* As many as the limit of locked memory lets in: the next one of a LOAD is left out, alone. */
static void
test_no_place_by_the_limit(void **state)
{
	const struct as_user late = {
		.tenant = SPAN_LIT("t"), .user = SPAN_LIT("late"), .roles = ROLE_USER
	};

	(void)state;
	w.a->keys.users_max = w.a->keys.nusers;
	store_on_link(w.a);
	assert_true(is_ok(link_send(w.store, w.a->load_id, AS_USER, &late)));
	spin();
	assert_true(w.a->loaded);
	assert_int_equal(w.a->load_left_out, 1);
	assert_null(keys_find_user(&w.a->keys, late.tenant, late.user));
	assert_non_null(keys_check(&w.a->keys, span_of(w.text[0], KEYTEXT_LEN), now_real_s()));
}

/* A tenant that has much leaves the last quarter to the others. */
static void
test_a_tenant_has_its_part(void **state)
{
	struct keys *k = &w.a->keys;

	(void)state;
	fill_a_slab();
	k->users_max = 2 * SUBJECT_SLAB;
	assert_true(keys_user_fits(k, SPAN_LIT("t"), SPAN_LIT("late")));
	k->users_max = SUBJECT_SLAB / 3 * 4;
	assert_false(keys_user_fits(k, SPAN_LIT("t"), SPAN_LIT("late")));
	assert_true(keys_user_fits(k, SPAN_LIT("x"), SPAN_LIT("late")));
	k->users_max = SUBJECT_SLAB + USERS_SPARE;
	assert_false(keys_user_fits(k, SPAN_LIT("x"), SPAN_LIT("late")));
}

/* What all need did not come: it is asked for again. */
static void
test_failed_load(void **state)
{
	(void)state;
	lock_min = SECRET_LEN_MAX; /* that is none of the keys that sign */
	store_on_link(w.a);
	spin();
	lock_min = 1;
	assert_false(w.a->loaded);
	assert_true(w.a->load_again_ms != 0);
	w.a->load_again_ms = 1;
	store_tick(w.a);
	spin();
	assert_true(w.a->loaded);
}

static bool
is_valid(size_t n)
{
	return keys_check(&w.a->keys, span_of(w.text[n], KEYTEXT_LEN), now_real_s()) != NULL;
}

/* Rows and the end of a LOAD that another one has overtaken: nobody loses a key by them. */
static void
test_overtaken_load(void **state)
{
	const struct as_user late = {
		.tenant = SPAN_LIT("t"), .user = SPAN_LIT("late"), .roles = ROLE_USER
	};
	uint64_t first;

	(void)state;
	memset(&got, 0, sizeof(got));
	w.load_mute = true;
	store_on_link(w.a);
	spin();
	first = w.a->load_id;
	assert_int_equal(w.load_held, first);
	w.erase_code =
	    E_SYS; /* another LOAD says whether it was; behind ERASED the first one ends */
	w.load_mute = false;
	erase();
	assert_int_equal(w.load_held, 0);
	assert_true(w.a->load_id != first);
	assert_true(w.a->loaded);
	for (size_t n = 0; n < WORLD_KEYS; n++)
		assert_true(is_valid(n));
	/* A row of it comes last of all. */
	assert_true(is_ok(link_send(w.store, first, AS_USER, &late)));
	spin();
	assert_null(keys_find_user(&w.a->keys, late.tenant, late.user));
}

/* A store that cannot tell its table is asked once more; what was loaded serves on. */
static void
test_refused_load(void **state)
{
	(void)state;
	w.load_refused = E_SYS;
	store_on_link(w.a);
	spin();
	assert_true(w.a->load_again_ms != 0);
	assert_non_null(w.a->store.link);
	assert_true(is_valid(0));
	w.load_refused = (enum code)0;
	store_tick(w.a); /* not at once */
	assert_true(w.a->load_again_ms != 0);
	w.a->load_again_ms = 1;
	store_tick(w.a);
	spin();
	assert_int_equal(w.a->load_again_ms, 0);
	assert_true(is_valid(0));
}

static void
test_exported(void **state)
{
	const struct as_export m = { .tenant = SPAN_LIT("t"), .user = SPAN_LIT("u"), .row = 7 };

	(void)state;
	memset(&got, 0, sizeof(got));
	assert_true(is_ok(privacy_export(w.a, &m, on_page, NULL)));
	spin();
	assert_int_equal(got.pages, 1);
	assert_string_equal(got.page, "{\"row\":7}\n");
	assert_true(got.more);
	w.erase_code = E_AGAIN;
	assert_true(is_ok(privacy_export(w.a, &m, on_page, NULL)));
	spin();
	assert_int_equal(got.code, E_AGAIN);
	assert_string_equal(got.page, "none");
}

static void
test_retention(void **state)
{
	const struct as_retention m = { .kind = RETAINED_RESPONSES, .rows = 12, .days = 30 },
				  ended = { .kind = RETAINED_FILES, .rows = 3 };

	(void)state;
	assert_true(is_ok(link_send(w.store, 0, AS_RETENTION, &m)));
	spin();
	EVENTS(EVENT_RETENTION);
	assert_string_equal(w.recs[0].text, "kind=responses rows=12 days=30 ");
	assert_string_equal(w.recs[0].resource, "content:responses");
	/* Without a log it waits for one: the store says it once. */
	w.audit_mode = AUDIT_REFUSES;
	for (int i = 0; i < 2; i++) {
		assert_true(is_ok(link_send(w.store, 0, AS_RETENTION, &m)));
		spin();
	}
	assert_true(is_ok(link_send(w.store, 0, AS_RETENTION, &ended)));
	spin();
	privacy_tick(w.a);
	spin();
	assert_int_equal(w.nrecs, 1);
	w.audit_mode = AUDIT_TAKES;
	for (int i = 0; i < 2; i++) {
		privacy_tick(w.a);
		spin();
	}
	assert_int_equal(w.nrecs, 3);
	assert_string_equal(w.recs[1].text, "kind=responses rows=24 days=30 ");
	assert_string_equal(w.recs[2].text, "kind=files rows=3 days=0 ");
	/* Nobody knows whether it was written: it is not said twice. */
	w.audit_mode = AUDIT_HOLDS;
	assert_true(is_ok(link_send(w.store, 0, AS_RETENTION, &m)));
	spin();
	assert_int_equal(w.a->retained[RETAINED_RESPONSES].telling, 12);
	assert_true(is_ok(link_send(w.store, 0, AS_RETENTION, &ended)));
	cut(&w.audit);
	assert_int_equal(w.a->retained[RETAINED_RESPONSES].rows, 0);
	privacy_tick(w.a);
	assert_int_equal(w.a->retained[RETAINED_RESPONSES].telling, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(test_erased), T(test_made_again),
		T(test_made_again_in_a_load), T(test_sessions_are_erased), T(test_not_erased),
		T(test_perhaps_erased), T(test_left_out), T(test_no_place_for_a_user),
		T(test_no_place_by_the_limit), T(test_a_tenant_has_its_part), T(test_failed_load),
		T(test_overtaken_load), T(test_refused_load), T(test_exported), T(test_retention) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
