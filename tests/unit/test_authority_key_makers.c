/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets a key: of oneself, of a service, in the place of another one; and with what. */
#include "authority_acts_rig.h"

#include <admin_op.h>

static void
test_keys_are_made_with_keys(void **state)
{
	struct session s = { .key = *w.key[0] };
	char rotate[64];

	(void)state;
	(void)snprintf(
	    rotate, sizeof(rotate), "/admin/v1/keys/%.12s/rotate", (const char *)w.key[0]->id);
	s.key.parent = w.key[0];
	assert_int_equal(ask(&s.key, "POST", "/admin/v1/keys", "{}"), 403);
	assert_string_equal(said.body, "role");
	assert_int_equal(ask(&s.key, "POST", rotate, "{}"), 403);
	w.key[0]->has_roles = true;
	w.key[0]->roles = ROLE_USER;
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{}"), 403);
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 403);
	w.key[0]->has_roles = false;
	assert_int_equal(w.store_changes, 0);
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 201);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{}"), 201);
	assert_int_equal(w.store_changes, 2);
}

/* A chain of rotations, or keys that are made and revoked, take no more of the table than so. */
static void
test_keys_that_ended_count(void **state)
{
	struct as_key k = { .tenant = w.key[0]->user->tenant,
		.user = w.key[0]->user->name,
		.policy = span_str(w.key[0]->policy->name),
		.revoked_s = (uint64_t)time(NULL) };
	struct key *first = NULL, *last = NULL;

	(void)state;
	memset(k.id, 'q', sizeof(k.id));
	for (unsigned i = 0; i < 1022; i++) {
		(void)snprintf((char *)k.id, sizeof(k.id), "%08u", i);
		assert_true(is_ok(keys_put(&w.a->keys, &w.a->policies, &k, &last)));
		first = i == 0 ? last : first;
	}
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{}"), 409);
	assert_string_equal(said.body, "too_many_keys");
	/* The store has forgotten those that ended, one way or the other, that long ago. */
	last->revoked_s -= 30 * 86400 + 1;
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{}"), 201);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{}"), 409);
	first->expires_s = k.revoked_s - 30 * 86400 - 1;
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{}"), 201);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{}"), 409);
	assert_int_equal(
	    ask(NULL, "POST", "/admin/v1/keys", "{\"tenant\":\"t\",\"user\":\"u\"}"), 201);
}

/* The table is of so many keys, of which only the first ones are there: who walks it falls. */
static struct key **
table_of(size_t nkeys)
{
	struct key **was = w.a->keys.key_slabs;

	w.a->keys.key_slabs = calloc(KEYS_MAX / KEYS_SLAB, sizeof(*was));
	assert_non_null(w.a->keys.key_slabs);
	w.a->keys.key_slabs[0] = was[0];
	w.a->keys.nkeys = nkeys;
	return was;
}

static void
table_again(struct key **was, size_t nkeys)
{
	free(w.a->keys.key_slabs);
	w.a->keys.key_slabs = was;
	w.a->keys.nkeys = nkeys;
}

/* May key 0's user have one more, where the table is these `quarters` of tenant t, and others'? */
static bool
has_room_in(const char *quarters)
{
	struct keys_tenant *t = w.key[0]->user->of;
	struct admin_call c = { .a = w.a, .by = w.key[0] };
	size_t nkeys = w.a->keys.nkeys, mine = t->nkeys, all = strlen(quarters) * (KEYS_MAX / 4);
	struct key **was = table_of(all < KEYS_MAX ? all : KEYS_MAX - 1); /* one place is left */
	bool ok;

	t->nkeys = 0;
	for (; *quarters != '\0'; quarters++)
		t->nkeys += *quarters == 't' ? KEYS_MAX / 4 : 0;
	ok = is_ok(admin_key_room(&c, w.key[0]->user));
	assert_true(ok || (c.http == 409 && strcmp(c.code, "too_many_keys") == 0));
	t->nkeys = mine;
	table_again(was, nkeys);
	return ok;
}

/* However many keys others have: an act takes as long as there are some of who it is about. */
static void
test_no_act_walks_the_table(void **state)
{
	char path[64];
	size_t nkeys = w.a->keys.nkeys;
	struct key **was;

	(void)state;
	be(0, ROLE_USER);
	be(2, ROLE_OWNER);
	path_of(path, "/admin/v1/keys/", w.key[1]);
	was = table_of(KEYS_MAX / 2);
	assert_int_equal(ask(w.key[2], "DELETE", path, ""), 200);
	assert_int_equal(
	    ask(w.key[2], "PATCH", "/admin/v1/users/u", "{\"roles\":[\"administrator\"]}"), 200);
	assert_int_equal(
	    ask(w.key[2], "PATCH", "/admin/v1/users/u", "{\"state\":\"disabled\"}"), 200);
	assert_int_equal(ask(w.key[2], "POST", "/admin/v1/users/u/erase", ""), 200);
	assert_int_equal(w.key[0]->user->state, USER_ERASED);
	assert_int_not_equal(w.key[0]->revoked_s, 0);
	table_again(was, nkeys);
}

/* A tenant leaves the last quarter of the table to those that have less than a quarter of it. */
static void
test_a_tenant_has_a_quarter(void **state)
{
	(void)state;
	assert_true(has_room_in("tt"));
	assert_false(has_room_in("ttt"));
	assert_false(has_room_in("xxt"));
	assert_true(has_room_in("xxx"));
	assert_false(has_room_in("txxx"));
	assert_true(has_room_in("xxxx"));
}

/* A key of key 0's user with key 0's policy, and its path. */
static struct key *
another(uint64_t expires_s, char rotate[64])
{
	struct key *key;

	assert_int_equal(
	    ask(NULL, "POST", "/admin/v1/keys", "{\"tenant\":\"t\",\"user\":\"u\"}"), 201);
	key = keys_at(&w.a->keys, w.a->keys.nkeys - 1);
	key->expires_s = expires_s;
	(void)snprintf(rotate, 64, "/admin/v1/keys/%.12s/rotate", (const char *)key->id);
	return key;
}

/* Whoever rotates another key has a key of that one's rights: as if it had made it. */
static void
test_no_key_rotates_one_that_may_more(void **state)
{
	uint64_t soon = now_real_s() + 120;
	char rotate[64];

	(void)state;
	path_of(rotate, "/admin/v1/keys/", w.key[0]);
	(void)strcat(rotate, "/rotate");
	assert_int_equal(ask(w.key[1], "POST", rotate, "{\"overlap_s\":0}"), 403);
	assert_int_equal(w.key[0]->expires_s, 0);
	assert_int_equal(w.store_changes, 0);
	/* Nor does it live on by it, or longer than that one did. */
	w.key[0]->expires_s = soon;
	(void)another(0, rotate);
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 201);
	assert_int_equal(keys_at(&w.a->keys, w.a->keys.nkeys - 1)->expires_s, soon);
	(void)another(soon - 60, rotate);
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 201);
	assert_int_equal(keys_at(&w.a->keys, w.a->keys.nkeys - 1)->expires_s, soon - 60);
	/* Each rotates itself; and whoever may make keys of any policy, those of services. */
	w.key[0]->expires_s = 0;
	path_of(rotate, "/admin/v1/keys/", w.key[1]);
	(void)strcat(rotate, "/rotate");
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 403);
	be(2, ROLE_ADMINISTRATOR);
	be(0, ROLE_SERVICE);
	assert_int_equal(ask(w.key[2], "POST", rotate, "{}"), 202);
	w.key[0]->expires_s = soon;
	path_of(rotate, "/admin/v1/keys/", w.key[0]);
	(void)strcat(rotate, "/rotate");
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 201);
	assert_int_equal(keys_at(&w.a->keys, w.a->keys.nkeys - 1)->expires_s, soon);
}

/* One more of t: an administrator with a key. */
static struct key *
second_administrator(void)
{
	assert_int_equal(ask(NULL, "POST", "/admin/v1/users",
			     "{\"tenant\":\"t\",\"user\":\"n\",\"roles\":[\"administrator\"]}"),
	    201);
	assert_int_equal(
	    ask(NULL, "POST", "/admin/v1/keys", "{\"tenant\":\"t\",\"user\":\"n\"}"), 201);
	return keys_at(&w.a->keys, w.a->keys.nkeys - 1);
}

/* Nobody reads what is kept for a service by making a key of it: not alone, nor by rotating one. */
static void
test_keys_of_services(void **state)
{
	static const char narrow[] = "{\"user\":\"v\",\"scopes\":{\"endpoints\":[\"chat\"]}}";
	static const char wide[] =
	    "{\"user\":\"v\",\"scopes\":{\"endpoints\":[\"chat\",\"files\"]}}";
	static const char yes[] = "{\"decision\":\"approve\"}";
	struct key *other = second_administrator();
	struct session weak = { .key = *other };
	char rotate[64], path[128];
	size_t nkeys = w.a->keys.nkeys;

	(void)state;
	be(0, ROLE_ADMINISTRATOR);
	be(2, ROLE_SERVICE);
	path_of(rotate, "/admin/v1/keys/", w.key[2]);
	(void)strcat(rotate, "/rotate");
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 202);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", wide), 202);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{\"user\":\"v\"}"), 202);
	assert_int_equal(w.a->keys.nkeys, nkeys);
	(void)snprintf(
	    path, sizeof(path), "/admin/v1/approvals/%.32s", strstr(said.body, "\"id\":\"") + 6);
	/* Nor does who asked approve, nor the service, nor what could make no key itself. */
	weak.key.parent = other;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 403);
	assert_int_equal(ask(w.key[2], "POST", path, yes), 403);
	assert_int_equal(ask(&weak.key, "POST", path, yes), 403);
	assert_int_equal(w.a->keys.nkeys, nkeys);
	/* Who approves has the text. */
	assert_int_equal(ask(other, "POST", path, yes), 200);
	assert_non_null(strstr(said.body, "\"key\":\"sp_"));
	assert_int_equal(w.a->keys.nkeys, nkeys + 1);
	/* One that leads to nothing kept is an act of one, also in the place of such a one. */
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", narrow), 201);
	path_of(rotate, "/admin/v1/keys/", keys_at(&w.a->keys, nkeys + 1));
	(void)strcat(rotate, "/rotate");
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 201);
	assert_non_null(keys_at(&w.a->keys, nkeys + 2)->scope);
	/* The service's own, and an operator's. */
	assert_int_equal(ask(w.key[2], "POST", "/admin/v1/keys", "{}"), 201);
	assert_int_equal(
	    ask(NULL, "POST", "/admin/v1/keys", "{\"tenant\":\"t\",\"user\":\"v\"}"), 201);
}

/* A point in time, or a life that begins now; one of them; ten years at most. */
static void
test_expiry_is_what_it_says(void **state)
{
	static const long long life_s = 315360000;
	const long long now_s = (long long)now_real_s();
	const struct {
		const char *name;
		long long value;
		uint16_t http;
		long long ends_s; /* or later by as long as this takes */
	} rows[] = { { "expires_in_s", 60, 201, now_s + 60 }, { "expires_in_s", 1, 201, now_s + 1 },
		{ "expires_in_s", life_s, 201, now_s + life_s },
		{ "expires_in_s", life_s + 1, 400, 0 }, { "expires_in_s", 0, 400, 0 },
		{ "expires_in_s", now_s + 60, 400, 0 }, { "expires_in_s", -1, 400, 0 },
		{ "expires_s", now_s + 3600, 201, now_s + 3600 }, { "expires_s", 60, 400, 0 },
		{ "expires_s", now_s, 400, 0 }, { "expires_s", 0, 400, 0 },
		{ "expires_s", now_s + life_s, 201, now_s + life_s },
		{ "expires_s", now_s + life_s + 3600, 400, 0 },
		{ "expires_s", INT64_MAX, 400, 0 } };
	char body[128];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t nkeys = w.a->keys.nkeys;

		(void)snprintf(body, sizeof(body), "{\"%s\":%lld}", rows[i].name, rows[i].value);
		assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", body), rows[i].http);
		assert_int_equal(w.a->keys.nkeys, nkeys + (rows[i].http == 201));
		if (rows[i].http == 201)
			assert_in_range(keys_at(&w.a->keys, nkeys)->expires_s, rows[i].ends_s,
			    rows[i].ends_s + (rows[i].name[8] == 'i' ? 60 : 0));
	}
	(void)snprintf(body, sizeof(body), "{\"expires_s\":%lld,\"expires_in_s\":60}", now_s + 60);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", body), 400);
	/* Nor does it outlive what made it, said the one way or the other. */
	w.key[0]->expires_s = (uint64_t)now_s + 120;
	(void)snprintf(body, sizeof(body), "{\"expires_s\":%lld}", now_s + 3600);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", body), 201);
	assert_int_equal(keys_at(&w.a->keys, w.a->keys.nkeys - 1)->expires_s, now_s + 120);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(test_keys_are_made_with_keys),
		T(test_keys_that_ended_count), T(test_a_tenant_has_a_quarter),
		T(test_no_act_walks_the_table), T(test_no_key_rotates_one_that_may_more),
		T(test_keys_of_services), T(test_expiry_is_what_it_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
