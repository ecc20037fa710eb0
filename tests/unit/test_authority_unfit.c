/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_unfit.c: rows of the store that are not its own: on record once, shown, accepted
 * as they were shown, and never without a record.
 */
#include "authority_world.h"

#include "admin_call.h"

static struct {
	uint8_t sums;
	unsigned accepts, loads;
	enum code answer;
	uint16_t http;
	char body[4096];
} seen;

static void
on_accept(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_done done = { .code = seen.answer };

	(void)ctx;
	seen.accepts++;
	seen.sums = ((const struct as_unfit *)msg)->sums;
	assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
}

static void
on_load(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	seen.loads++;
	on_store_load(l, id, msg, ctx);
}

static const struct link_ops ops = OPS(
    { AS_LOAD, 0, on_load }, { AS_ACCEPT, 0, on_accept }, { AS_PING, 0, on_ping });

static int
begin(void **state)
{
	if (setup(state) != 0)
		return -1;
	cut(&w.store);
	memset(&seen, 0, sizeof(seen));
	connect_fake(EDGE_AUTHORITY_STORE, 14, &as_edge, false, &ops, &w.store);
	spin();
	assert_true(w.a->loaded);
	return 0;
}

static void
say(uint8_t sums)
{
	const struct as_unfit m = { .sums = sums };

	assert_true(is_ok(link_send(w.store, 0, AS_UNFIT, &m)));
	spin();
}

/* The nth record of this event, or NULL. */
static const struct rec *
record(uint8_t event, size_t n)
{
	for (size_t i = 0; i < w.nrecs; i++) {
		if (w.recs[i].event == event && n-- == 0)
			return &w.recs[i];
	}
	return NULL;
}

static void
on_act(void *ctx, uint16_t status, struct span text)
{
	(void)ctx;
	seen.http = status;
	(void)snprintf(seen.body, sizeof(seen.body), "%.*s", SPAN_FMT(text));
}

/* As an operator asks: its answer, or why it was refused at once. */
static uint16_t
ask_for(const char *method, const char *path, const char *body)
{
	static struct admin_op *op;
	struct admin_call c = { .a = w.a,
		.uid = 7,
		.reply = on_act,
		.op = &op,
		.method = span_str(method),
		.path = span_str(path),
		.body = span_str(body) };

	seen.http = 0;
	if (!is_ok(admin_dispatch(&c)))
		return c.http;
	spin();
	return seen.http;
}

static uint16_t
act(void)
{
	return ask_for("POST", "/admin/v1/store/accept", "");
}

static void
on_record_once(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		say(1U << SUM_PEOPLE | 1U << SUM_TOOLS);
		unfit_tick(w.a);
		spin();
	}
	assert_string_equal(record(EVENT_STORE_TAMPERED, 0)->text, "what=people tools ");
	assert_int_equal(record(EVENT_STORE_TAMPERED, 0)->outcome, AUDIT_FAILURE);
	assert_null(record(EVENT_STORE_TAMPERED, 1));
	say(0);
	assert_null(record(EVENT_STORE_TAMPERED, 1));
	/* Found anew. */
	say(1U << SUM_SECRETS);
	assert_string_equal(record(EVENT_STORE_TAMPERED, 1)->text, "what=secrets ");
}

/* What could not be written is written when it can be. */
static void
not_lost(void **state)
{
	(void)state;
	w.audit_mode = AUDIT_REFUSES;
	say(1U << SUM_PEOPLE);
	assert_null(record(EVENT_STORE_TAMPERED, 0));
	w.audit_mode = AUDIT_TAKES;
	unfit_tick(w.a);
	spin();
	assert_non_null(record(EVENT_STORE_TAMPERED, 0));
	assert_null(record(EVENT_STORE_TAMPERED, 1));
}

static void
accepted_as_shown(void **state)
{
	unsigned loads = seen.loads;

	(void)state;
	seen.answer = E_OK;
	assert_int_equal(act(), 409); /* there is nothing */
	assert_int_equal(seen.accepts, 0);
	say(1U << SUM_PEOPLE);
	w.a->loaded = false; /* as at the start: nobody is known */
	assert_int_equal(act(), 200);
	assert_string_equal(seen.body, "{\"accepted\":\"people\"}");
	assert_int_equal(seen.sums, 1U << SUM_PEOPLE);
	assert_string_equal(record(EVENT_STORE_ACCEPTED, 0)->text, "what=people by_uid=7 ");
	assert_int_equal(record(EVENT_STORE_ACCEPTED, 0)->phase, AUDIT_PHASE_INTENT);
	assert_int_equal(record(EVENT_STORE_ACCEPTED, 1)->outcome, AUDIT_SUCCESS);
	assert_int_equal(seen.loads, loads + 1);
	assert_true(w.a->loaded);
}

/* By then it is something else, or the store cannot; without a record nobody is asked. */
static void
not_accepted(void **state)
{
	(void)state;
	say(1U << SUM_PEOPLE);
	seen.answer = E_AGAIN;
	assert_int_equal(act(), 409);
	assert_int_equal(record(EVENT_STORE_ACCEPTED, 1)->outcome, AUDIT_FAILURE);
	seen.answer = E_SYS;
	assert_int_equal(act(), 503);
	assert_int_equal(seen.accepts, 2);
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(act(), 503);
	assert_int_equal(seen.accepts, 2);
}

/* Nobody is served by what is loaded, and an operator only looks at it and takes away. */
static void
nobody_is_served(void **state)
{
	(void)state;
	assert_int_equal(admit(ENDPOINT_MODELS)->error, ERROR_NONE);
	say(1U << SUM_SECRETS | 1U << SUM_TOOLS);
	assert_int_equal(admit(ENDPOINT_MODELS)->error, ERROR_NONE);
	say(1U << SUM_PEOPLE);
	assert_int_equal(admit(ENDPOINT_MODELS)->error, ERROR_STORE_TAMPERED);
	assert_int_equal(ask_for("GET", "/admin/v1/users", ""), 200);
	assert_int_equal(
	    ask_for("POST", "/admin/v1/users", "{\"tenant\":\"acme\",\"user\":\"eve\"}"), 503);
	assert_int_equal(
	    ask_for("POST", "/admin/v1/keys", "{\"tenant\":\"acme\",\"user\":\"eve\"}"), 503);
	/* These come to their own checks. */
	assert_int_equal(ask_for("DELETE", "/admin/v1/keys/AAAAAAAAAAAA", ""), 404);
	assert_int_equal(ask_for("DELETE", "/admin/v1/sessions/s", ""), 404);
	assert_int_equal(ask_for("POST", "/admin/v1/users/eve/erase", ""), 400);
	assert_int_equal(ask_for("PATCH", "/admin/v1/users/eve", "{\"hold\":true}"), 400);
	/* Put right: what was loaded meanwhile is not, before it is loaded anew. */
	say(0);
	assert_int_equal(admit(ENDPOINT_MODELS)->error, ERROR_STORE_TAMPERED);
	store_on_link(w.a);
	spin();
	assert_int_equal(admit(ENDPOINT_MODELS)->error, ERROR_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(on_record_once, begin, teardown),
		cmocka_unit_test_setup_teardown(not_lost, begin, teardown),
		cmocka_unit_test_setup_teardown(accepted_as_shown, begin, teardown),
		cmocka_unit_test_setup_teardown(not_accepted, begin, teardown),
		cmocka_unit_test_setup_teardown(nobody_is_served, begin, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
