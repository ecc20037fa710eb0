/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_owed.c: revocations while the store is away: on disk before they are in force,
 * there after every end of this process, and gone when the store has them.
 */
#define WORLD_KEYS 4
#include "authority_world.h"

static struct act {
	uint16_t http;
	unsigned n;
	char body[512];
	struct admin_op *op;
} acts[4];

static void
on_answer(void *ctx, uint16_t http, struct span body)
{
	struct act *act = ctx;

	act->http = http;
	act->n++;
	(void)snprintf(act->body, sizeof(act->body), "%.*s", SPAN_FMT(body));
}

static struct act *
revoke_key(size_t key, size_t act)
{
	const struct admin_call c = {
		.a = w.a, .reply = on_answer, .ctx = &acts[act], .op = &acts[act].op
	};

	acts[act] = (struct act){ 0 };
	assert_true(is_ok(admin_revoke_key(&c, span_of(w.key[key]->id, KEY_ID_LEN))));
	spin();
	return &acts[act];
}

static enum error
ask(size_t key)
{
	struct ga_check m = { .credential = span_of(w.text[key], KEYTEXT_LEN),
		.request_id = { 1 } };

	m.source[15] = 9;
	return (enum error)call(w.gw, GA_CHECK, &m)->error;
}

static void
come_back(void)
{
	connect_fake(EDGE_AUTHORITY_STORE, 14, &as_edge, false, &store_ops, &w.store);
	spin();
}

static size_t
revoked(uint8_t outcome)
{
	size_t n = 0;

	for (size_t i = 0; i < w.nrecs; i++)
		n += w.recs[i].event == EVENT_KEY_REVOKED && w.recs[i].outcome == outcome;
	return n;
}

static void
second(void)
{
	owed_tick(w.a);
	spin();
}

/* This process has died, and another one is told what is on disk; the store has heard nothing. */
static void
die(void)
{
	if (w.store != NULL)
		cut(&w.store);
	memset(&w.a->owed, 0, sizeof(w.a->owed));
	for (size_t i = 0; i < WORLD_KEYS; i++)
		w.key[i]->revoked_s = 0;
	w.a->loaded = false;
	w.a->grace = (struct grace){ .away = false };
	assert_true(is_ok(owed_know(&w.a->owed, span_of(w.owed, w.owed_len))));
}

static void
it_is_told_when_the_store_is_back(void **state)
{
	uint32_t changes = w.store_changes;

	(void)state;
	cut(&w.store);
	assert_int_equal(revoke_key(0, 0)->http, 200);
	assert_non_null(strstr(acts[0].body, "\"store_owed\":true"));
	assert_int_equal(w.owed_len, CTL_OWED_LEN);
	assert_int_equal(ask(0), ERROR_INVALID_KEY);
	assert_int_equal(ask(1), ERROR_NONE);
	assert_int_equal(revoked(AUDIT_UNKNOWN), 1);
	assert_int_equal(revoked(AUDIT_SUCCESS), 0);
	assert_int_equal(revoke_key(0, 1)->http, 200); /* once more: it is there already */
	assert_int_equal(w.owes, 1);
	second();
	assert_int_equal(w.store_changes, changes);
	come_back();
	assert_int_equal(w.store_changes, changes + 1);
	assert_int_equal(revoked(AUDIT_SUCCESS), 1);
	assert_int_equal(w.a->owed.n + w.owed_len, 0);
	second();
	assert_int_equal(w.owes, 2);
	assert_int_equal(revoked(AUDIT_SUCCESS), 1);
	assert_int_not_equal(w.key[0]->revoked_s, 0);
}

/* The store's table says that the key is good; what was answered counts. */
static void
another_process_refuses_it_from_the_first_request_on(void **state)
{
	(void)state;
	cut(&w.store);
	assert_int_equal(revoke_key(0, 0)->http, 200);
	assert_int_equal(revoke_key(2, 1)->http, 200);
	die();
	assert_int_equal(ask(0), ERROR_UNAVAILABLE);
	w.load_mute = true; /* its rows, without the end */
	w.put_code = E_SYS;
	come_back();
	assert_int_not_equal(w.key[0]->revoked_s, 0);
	assert_int_equal(ask(0), ERROR_UNAVAILABLE);
	load_end(w.store, w.load_held);
	spin();
	assert_int_equal(ask(0), ERROR_INVALID_KEY);
	assert_int_equal(ask(2), ERROR_INVALID_KEY);
	assert_int_equal(ask(1), ERROR_NONE);
	second();
	assert_int_equal(revoked(AUDIT_SUCCESS), 0);
	assert_int_equal(w.owed_len, 2 * CTL_OWED_LEN);
	w.put_code = 0;
	second();
	assert_int_equal(revoked(AUDIT_SUCCESS), 2);
	assert_int_equal(w.owed_len, 0);
	w.load_mute = false;
	die(); /* what was told is the store's; here it says that it has nothing */
	come_back();
	assert_int_equal(ask(0), ERROR_NONE);
}

/* Until it is on disk nobody is answered, and the key is as it was. */
static void
not_in_force_before_it_is_on_disk(void **state)
{
	(void)state;
	cut(&w.store);
	w.owe_mode = OWES_HOLD;
	assert_int_equal(revoke_key(0, 0)->n, 0);
	assert_int_equal(revoke_key(0, 1)->n, 0);
	assert_int_equal(revoke_key(1, 2)->n, 0);
	assert_int_equal(w.owes, 1);
	assert_int_equal(ask(0), ERROR_NONE);
	w.owe_mode = OWES_KEEP;
	owe_release(true);
	assert_int_equal(w.owes, 2);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(acts[i].n, 1);
		assert_int_equal(acts[i].http, 200);
	}
	assert_int_equal(ask(0), ERROR_INVALID_KEY);
	assert_int_equal(ask(1), ERROR_INVALID_KEY);
	assert_int_equal(w.owed_len, 2 * CTL_OWED_LEN);
}

/* Nor does a LOAD of that moment take it for one that is. */
static void
a_load_meanwhile_brings_a_good_key(void **state)
{
	(void)state;
	cut(&w.store);
	w.owe_mode = OWES_HOLD;
	assert_int_equal(revoke_key(0, 0)->n, 0);
	come_back();
	assert_int_equal(ask(0), ERROR_NONE);
	assert_int_equal(w.store_changes, 0);
	w.owe_mode = OWES_KEEP;
	owe_release(true);
	assert_int_equal(acts[0].http, 200);
	second();
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(w.owed_len, 0);
	assert_int_equal(ask(0), ERROR_INVALID_KEY);
}

static void
a_full_disk_is_an_error(void **state)
{
	(void)state;
	cut(&w.store);
	w.owe_mode = OWES_FAIL;
	assert_int_equal(revoke_key(0, 0)->http, 503);
	assert_int_equal(acts[0].n, 1);
	assert_int_equal(ask(0), ERROR_NONE);
	assert_int_equal(revoked(AUDIT_FAILURE), 1);
	assert_int_equal(w.a->owed.n, 0);
	assert_int_equal(w.owes, 1); /* and no more of them than one a second */
	second();
	assert_int_equal(w.owes, 2);
	w.owe_mode = OWES_KEEP;
	second();
	second();
	assert_int_equal(w.owes, 3);
	assert_int_equal(w.owed_len, 0);
	assert_int_equal(revoke_key(0, 0)->http, 200);
	assert_int_equal(ask(0), ERROR_INVALID_KEY);
}

/* One after the other: the second is not lost with the first. */
static void
those_behind_a_failure_are_tried(void **state)
{
	(void)state;
	cut(&w.store);
	w.owe_mode = OWES_HOLD;
	assert_int_equal(revoke_key(0, 0)->n, 0);
	assert_int_equal(revoke_key(1, 1)->n, 0);
	w.owe_mode = OWES_KEEP;
	owe_release(false);
	assert_int_equal(acts[0].http, 503);
	assert_int_equal(acts[1].http, 200);
	assert_int_equal(ask(0), ERROR_NONE);
	assert_int_equal(ask(1), ERROR_INVALID_KEY);
	assert_int_equal(w.owed_len, CTL_OWED_LEN);
	assert_memory_equal(w.owed + 1, w.key[1]->id, KEY_ID_LEN);
}

static void
without_a_supervisor_nothing_is_revoked(void **state)
{
	(void)state;
	cut(&w.store);
	w.owe_mode = OWES_HOLD;
	assert_int_equal(revoke_key(0, 0)->n, 0);
	cut(&w.supervisor);
	assert_int_equal(acts[0].http, 503);
	assert_int_equal(ask(0), ERROR_NONE);
}

/* It is no success before the store has it; where the log takes nothing, later. */
static void
the_log_hears_of_it_later(void **state)
{
	(void)state;
	cut(&w.store);
	assert_int_equal(revoke_key(0, 0)->http, 200);
	w.audit_mode = AUDIT_REFUSES;
	come_back();
	assert_int_equal(revoked(AUDIT_SUCCESS), 0);
	assert_int_equal(w.owed_len, CTL_OWED_LEN);
	w.audit_mode = AUDIT_TAKES;
	second();
	assert_int_equal(revoked(AUDIT_SUCCESS), 1);
	assert_int_equal(w.owed_len, 0);
	second();
	assert_int_equal(revoked(AUDIT_SUCCESS), 1);
}

/* A store that goes again in the middle, and the file that could not be written just then. */
static void
what_is_on_disk_is_told_again(void **state)
{
	(void)state;
	cut(&w.store);
	assert_int_equal(revoke_key(0, 0)->http, 200);
	w.owe_mode = OWES_FAIL;
	come_back();
	assert_int_equal(revoked(AUDIT_SUCCESS), 1);
	assert_int_equal(w.a->owed.n, 0);
	assert_int_equal(w.owed_len, CTL_OWED_LEN);
	die();
	w.owe_mode = OWES_KEEP;
	w.put_code = E_EXISTS;
	come_back();
	assert_int_equal(ask(0), ERROR_INVALID_KEY);
	second();
	assert_int_equal(revoked(AUDIT_SUCCESS), 2);
	assert_int_equal(w.owed_len, 0);
	w.put_code = 0;
}

/* One that the store does not take is in nobody's way. */
static void
each_has_its_turn(void **state)
{
	uint8_t first[KEY_ID_LEN];

	(void)state;
	cut(&w.store);
	assert_int_equal(revoke_key(0, 0)->http, 200);
	assert_int_equal(revoke_key(1, 1)->http, 200);
	w.put_code = E_SYS;
	come_back();
	memcpy(first, w.revoke_id, sizeof(first));
	second();
	assert_memory_not_equal(first, w.revoke_id, sizeof(first));
	second();
	assert_memory_equal(first, w.revoke_id, sizeof(first));
	w.put_code = 0;
}

static void
nobody_waits_for(struct authority *a, void *ctx, struct status st)
{
	(void)a, (void)ctx, (void)st;
}

static void
there_are_so_many_and_no_more(void **state)
{
	struct as_key_revoke m = { .revoked_s = 7 };

	(void)state;
	cut(&w.store);
	assert_int_equal(revoke_key(0, 0)->http, 200);
	for (unsigned i = 1; w.a->owed.n < OWED_MAX; i++) {
		m.id[0] = (uint8_t)(i * 37);
		m.id[1] = (uint8_t)(i >> 8);
		m.id[2] = (uint8_t)i;
		assert_true(is_ok(owed_add(w.a, &m, nobody_waits_for, NULL)));
		if (i % OWED_WAITERS_MAX == OWED_WAITERS_MAX - 2)
			spin();
	}
	spin();
	assert_int_equal(w.owed_len, sizeof(w.owed));
	assert_int_equal(revoke_key(1, 1)->http, 503);
	assert_int_equal(ask(1), ERROR_NONE);
	assert_int_equal(owed_add(w.a, &m, nobody_waits_for, NULL).code, E_EXISTS);
	die();
	assert_int_equal(w.a->owed.n, OWED_MAX);
	for (size_t i = 1; i < OWED_MAX; i++)
		assert_true(
		    memcmp(&w.a->owed.all[i - 1].entry, &w.a->owed.all[i].entry, CTL_OWED_LEN) < 0);
	w.put_code = E_SYS; /* none of them, for now */
	come_back();
	assert_int_equal(ask(0), ERROR_INVALID_KEY);
	w.put_code = 0;
}

static void
no_list_of_ours_is_taken(void **state)
{
	static struct owed o;
	uint8_t bytes[2 * CTL_OWED_LEN] = { CTL_OWED_KEY };

	(void)state;
	assert_int_equal(owed_know(&o, span_of(bytes, CTL_OWED_LEN - 1)).code, E_PROTO);
	assert_int_equal(owed_know(&o, span_of(bytes, sizeof(bytes))).code, E_PROTO);
	bytes[CTL_OWED_LEN] = CTL_OWED_KEY;
	o = (struct owed){ .n = 0 };
	assert_true(is_ok(owed_know(&o, span_of(bytes, sizeof(bytes)))));
	assert_int_equal(o.n, 1); /* twice the same */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(it_is_told_when_the_store_is_back),
		CASE(another_process_refuses_it_from_the_first_request_on),
		CASE(not_in_force_before_it_is_on_disk),
		CASE(a_load_meanwhile_brings_a_good_key),
		CASE(a_full_disk_is_an_error),
		CASE(those_behind_a_failure_are_tried),
		CASE(without_a_supervisor_nothing_is_revoked),
		CASE(the_log_hears_of_it_later),
		CASE(what_is_on_disk_is_told_again),
		CASE(each_has_its_turn),
		CASE(there_are_so_many_and_no_more),
		CASE(no_list_of_ours_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
