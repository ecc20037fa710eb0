/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_key_acts.c: what becomes of a key that is being made where its user, its
 * maker or the key before it ends at the same time, or where there is no place.
 */
#include "authority_acts_rig.h"

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
receive(size_t held)
{
	const struct aa_receipt receipt = { .first_seq = held + 1, .count = 1 };

	assert_true(is_ok(link_send(w.audit, w.held[held], AA_RECEIPT, &receipt)));
	spin();
}

/* A key that is being made brings nobody back: whoever is erased, was, or is made anew by then. */
static void
test_a_key_of_who_is_erased(void **state)
{
	struct user *v = be(2, ROLE_USER);
	size_t nkeys = w.a->keys.nkeys;

	(void)state;
	be(0, ROLE_OWNER);
	w.audit_mode = AUDIT_HOLDS;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(ask(w.key[2], "POST", "/admin/v1/keys", "{}"), 0);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/users/v/erase", ""), 0);
	w.audit_mode = AUDIT_TAKES;
	receive(0);
	assert_int_equal(said.http, 409);
	assert_non_null(strstr(said.body, "\"busy\""));
	receive(3);
	assert_int_equal(said.http, 200);
	assert_int_equal(v->state, USER_ERASED);
	receive(1);
	assert_int_equal(said.http, 404);
	/* An operator's new key is for a new person. */
	assert_int_equal(
	    ask(NULL, "POST", "/admin/v1/keys", "{\"tenant\":\"t\",\"user\":\"v\"}"), 201);
	assert_int_equal(v->state, USER_ACTIVE);
	v->subject[0] ^= 1;
	receive(2);
	assert_int_equal(said.http, 404);
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(w.a->keys.nkeys, nkeys + 1);
}

/* A key's intent waits for the log; meanwhile `method` `path` is asked for by key 2, an owner. */
static void
make_while(struct key *by, const char *made, const char *method, const char *path, const char *body)
{
	size_t first = w.seq;

	w.nheld = 0;
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(by, "POST", made, "{}"), 0);
	assert_int_equal(ask(w.key[2], method, path, body), 0);
	for (size_t i = 0; i < 2; i++) {
		const struct aa_receipt receipt = { .first_seq = first + 1 + i, .count = 1 };

		w.audit_mode = AUDIT_TAKES;
		assert_true(is_ok(link_send(w.audit, w.held[i], AA_RECEIPT, &receipt)));
		spin();
		assert_int_equal(said.http, i == 0 ? 409 : 200);
	}
}

/* No key outlives the one that made it, or that it replaces: also where that ends just then. */
static void
test_a_key_of_what_ends_meanwhile(void **state)
{
	char rotate[80], revoke[64];
	size_t nkeys = w.a->keys.nkeys;

	(void)state;
	be(0, ROLE_USER);
	be(2, ROLE_OWNER);
	path_of(revoke, "/admin/v1/keys/", w.key[0]);
	(void)snprintf(rotate, sizeof(rotate), "%s/rotate", revoke);
	make_while(w.key[0], "/admin/v1/keys", "DELETE", revoke, "");
	w.key[0]->revoked_s = 0;
	make_while(NULL, rotate, "DELETE", revoke, "");
	w.key[0]->revoked_s = 0;
	make_while(
	    w.key[0], "/admin/v1/keys", "PATCH", "/admin/v1/users/u", "{\"state\":\"disabled\"}");
	w.key[0]->user->state = USER_ACTIVE;
	assert_int_equal(w.a->keys.nkeys, nkeys);
	/* What is over by then. */
	w.audit_mode = AUDIT_HOLDS;
	w.nheld = 0;
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 0);
	w.audit_mode = AUDIT_TAKES;
	w.key[0]->revoked_s = 1;
	assert_true(is_ok(link_send(w.audit, w.held[0], AA_RECEIPT,
	    &(struct aa_receipt){ .first_seq = w.seq, .count = 1 })));
	spin();
	assert_int_equal(said.http, 409);
	assert_int_equal(w.a->keys.nkeys, nkeys);
	/* What the store knows to be over. */
	w.key[0]->revoked_s = 0;
	w.put_code = E_DENIED;
	assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 409);
	assert_int_equal(w.a->keys.nkeys, nkeys);
	/* A store that has it not is told nothing, and here it ends. */
	w.put_code = E_NOTFOUND;
	assert_int_equal(ask(w.key[2], "DELETE", revoke, ""), 200);
	assert_true(w.key[0]->revoked_s != 0);
}

/* Whom there is no place for is not stored, by whichever way. */
static void
test_no_place_for_more_users(void **state)
{
	(void)state;
	be(0, ROLE_ADMINISTRATOR);
	w.a->keys.users_max = w.a->keys.nusers;
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/users", "{\"user\":\"n\"}"), 409);
	assert_string_equal(said.body, "too_many_users");
	assert_int_equal(
	    ask(NULL, "POST", "/admin/v1/keys", "{\"tenant\":\"t\",\"user\":\"n\"}"), 409);
	assert_string_equal(said.body, "too_many_users");
	assert_int_equal(w.store_changes, 0);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{}"), 201);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_key_of_who_is_erased),
		T(test_a_key_of_what_ends_meanwhile),
		T(test_no_place_for_more_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
