/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_secret.c: secrets of providers on their way between operator,
 * store and broker: sealed, on record, and told.
 */
#include "authority_world.h"

#include <json/write.h>

struct answer {
	bool come;
	struct status st;
	uint16_t type, error, code;
	uint64_t access;
	char version[24], sealed[256];
};

static void
on_answer(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct answer *r = ctx;

	(void)l;
	*r = (struct answer){ .come = true, .st = st, .type = type };
	if (is_ok(st) && type == AB_SECRET_BEGUN) {
		r->error = ((const struct ab_secret_begun *)msg)->error;
		r->access = ((const struct ab_secret_begun *)msg)->access;
	}
	if (is_ok(st) && type == AB_SECRET_RECORDED)
		r->error = ((const struct ab_secret_recorded *)msg)->error;
	if (is_ok(st) && type == AB_SECRET_SEALED) {
		const struct ab_secret_sealed *m = msg;

		r->code = m->code;
		(void)snprintf(r->version, sizeof(r->version), "%.*s", SPAN_FMT(m->version));
		(void)snprintf(r->sealed, sizeof(r->sealed), "%.*s", SPAN_FMT(m->sealed));
	}
}

static struct answer
ask(uint16_t type, const void *msg)
{
	static struct answer r;

	r = (struct answer){ 0 };
	assert_true(is_ok(link_call(w.broker, type, msg, 60000, on_answer, &r, NULL)));
	spin();
	return r;
}

static struct ab_secret_begin
reading_of(const char *reference)
{
	return (struct ab_secret_begin){ .reference = span_str(reference), .why = SECRET_ROTATED };
}

static struct ab_secret_ended
end_of(uint64_t access)
{
	return (struct ab_secret_ended){ .access = access,
		.version = SPAN_LIT("3"),
		.lease = SPAN_LIT("database/creds/x/1"),
		.lease_s = 60,
		.valid_s = 60 };
}

static uint16_t
ended(uint64_t access)
{
	const struct ab_secret_ended m = end_of(access);
	struct answer r = ask(AB_SECRET_ENDED, &m);

	assert_int_equal(r.type, AB_SECRET_RECORDED);
	return r.error;
}

static void
test_access_is_recorded_before_and_after(void **state)
{
	struct ab_secret_begin m = reading_of("vault:kv/openai#key");
	struct answer r = ask(AB_SECRET_BEGIN, &m);
	struct ab_secret_ended bad;

	(void)state;
	assert_int_equal(r.type, AB_SECRET_BEGUN);
	assert_int_equal(r.error, ERROR_NONE);
	EVENTS(EVENT_SECRET_ACCESSED);
	assert_int_equal(w.recs[0].phase, AUDIT_PHASE_INTENT);
	assert_string_equal(w.recs[0].text, "secret=vault:kv/openai#key why=rotated ");
	assert_int_equal(ended(r.access), ERROR_NONE);
	assert_int_equal(w.recs[1].outcome, AUDIT_SUCCESS);
	assert_string_equal(w.recs[1].text,
	    "secret=vault:kv/openai#key version=3 lease=database/creds/x/1 lease_s=60 "
	    "why=rotated ");
	/* Once: a second end, and one of an access that never was, are none. */
	assert_int_equal(ended(r.access), ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(ended(9999), ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.nrecs, 2);
	r = ask(AB_SECRET_BEGIN, &m);
	bad = (struct ab_secret_ended){ .access = r.access, .fault = SECRET_SEALED };
	assert_int_equal(ask(AB_SECRET_ENDED, &bad).error, ERROR_NONE);
	assert_int_equal(w.recs[3].outcome, AUDIT_FAILURE);
	assert_string_equal(w.recs[3].text, "secret=vault:kv/openai#key why=rotated fault=sealed ");
	assert_balanced();
}

static void
test_logins_and_leases_are_recorded(void **state)
{
	static const struct {
		struct ab_secret_begin m;
		const char *intent, *outcome;
	} rows[] = {
		{ { .act = SECRET_ACT_LOGIN,
		      .reference = SPAN_LIT("vault"),
		      .method = SPAN_LIT("approle") },
		    "source=vault operation=login method=approle ",
		    "source=vault operation=login method=approle accessor=3 lease_s=60 " },
		{ { .act = SECRET_ACT_LOGOUT, .reference = SPAN_LIT("vault") },
		    "source=vault operation=logout ",
		    "source=vault operation=logout accessor=3 lease_s=60 " },
		{ { .act = SECRET_ACT_RENEW,
		      .reference = SPAN_LIT("vault:db/creds/x#p"),
		      .lease = SPAN_LIT("db/creds/x/7") },
		    "secret=vault:db/creds/x#p operation=renew lease=db/creds/x/7 ",
		    "secret=vault:db/creds/x#p operation=renew lease=db/creds/x/7 lease_s=60 " },
		{ { .act = SECRET_ACT_REVOKE,
		      .reference = SPAN_LIT("vault:db/creds/x#p"),
		      .lease = SPAN_LIT("db/creds/x/7") },
		    "secret=vault:db/creds/x#p operation=revoke lease=db/creds/x/7 ",
		    "secret=vault:db/creds/x#p operation=revoke lease=db/creds/x/7 lease_s=60 " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct answer r = ask(AB_SECRET_BEGIN, &rows[i].m);

		assert_int_equal(ended(r.access), ERROR_NONE);
		assert_string_equal(w.recs[2 * i].text, rows[i].intent);
		assert_string_equal(w.recs[2 * i + 1].text, rows[i].outcome);
	}
	assert_balanced();
}

/* What is not on record is not to be done, nor used. */
static void
test_no_record_no_access(void **state)
{
	struct ab_secret_begin m = reading_of("file:openai");
	struct answer r;

	(void)state;
	w.audit_mode = AUDIT_REFUSES;
	r = ask(AB_SECRET_BEGIN, &m);
	assert_int_equal(r.error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(r.access, 0);
	w.audit_mode = AUDIT_HOLDS;
	assert_false(ask(AB_SECRET_BEGIN, &m).come);
	cut(&w.audit);
	assert_int_equal(ask(AB_SECRET_BEGIN, &m).error, ERROR_AUDIT_UNAVAILABLE);
	w.nrecs = 0; /* what it held died with it */
}

/* Its end is refused: the broker does not use it, and it ends as unknown once that is possible. */
static void
test_an_end_that_is_refused_comes_later(void **state)
{
	struct ab_secret_begin m = reading_of("file:openai");
	struct answer r = ask(AB_SECRET_BEGIN, &m);

	(void)state;
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(ended(r.access), ERROR_AUDIT_UNAVAILABLE);
	accesses_tick(w.a);
	spin();
	assert_int_equal(w.a->accesses.orphans, 1);
	w.audit_mode = AUDIT_TAKES;
	w.a->audit_state.refusing = false;
	accesses_tick(w.a);
	spin();
	assert_int_equal(w.a->accesses.orphans, 0);
	assert_int_equal(w.recs[w.nrecs - 1].outcome, AUDIT_UNKNOWN);
	assert_balanced();
}

/* An audit process that died has ended what it had itself. */
static void
test_audit_dies_within_an_access(void **state)
{
	struct ab_secret_begin m = reading_of("file:openai");
	struct answer r = ask(AB_SECRET_BEGIN, &m);

	(void)state;
	cut(&w.audit);
	connect_fake(EDGE_AUTHORITY_AUDIT, 22, &aa_edge, false, &audit_ops, &w.audit);
	spin();
	w.nrecs = 0;
	assert_int_equal(ended(r.access), ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.nrecs, 0);
	r = ask(AB_SECRET_BEGIN, &m);
	assert_int_equal(r.error, ERROR_NONE);
	assert_int_equal(ended(r.access), ERROR_NONE);
	w.nrecs = 0; /* of two logs */
}

/* What a broker that dies leaves open ends, once, whether it had heard that it is begun or not. */
static void
test_a_broker_dies_within_an_access(void **state)
{
	struct ab_secret_begin m = reading_of("file:openai");
	struct aa_receipt receipt;
	struct answer r;

	(void)state;
	r = ask(AB_SECRET_BEGIN, &m);
	assert_int_equal(r.error, ERROR_NONE);
	w.audit_mode = AUDIT_HOLDS;
	assert_false(ask(AB_SECRET_BEGIN, &m).come);
	w.audit_mode = AUDIT_TAKES;
	cut(&w.broker);
	connect_fake(EDGE_AUTHORITY_BROKER, 12, &ab_edge, false, &broker_ops, &w.broker);
	spin();
	assert_int_equal(ended(r.access), ERROR_AUDIT_UNAVAILABLE); /* not another's */
	receipt = (struct aa_receipt){ .first_seq = w.recs[1].seq, .count = w.held_count[0] };
	assert_true(is_ok(link_send(w.audit, w.held[0], AA_RECEIPT, &receipt)));
	spin();
	assert_non_null(w.broker);
	EVENTS(EVENT_SECRET_ACCESSED, EVENT_SECRET_ACCESSED, EVENT_SECRET_ACCESSED,
	    EVENT_SECRET_ACCESSED);
	assert_int_equal(w.recs[2].outcome, AUDIT_UNKNOWN);
	assert_int_equal(w.recs[2].cause, AUDIT_PROCESS_DIED);
	assert_int_equal(w.recs[3].outcome, AUDIT_UNKNOWN);
	assert_balanced();
}

/* A broker gone wrong does not fill the log. */
static void
test_accesses_are_bounded(void **state)
{
	struct ab_secret_begin m = reading_of("file:openai");
	enum error error = ERROR_NONE;
	uint64_t last = 0;

	(void)state;
	/* Once more where the second ended in between. */
	for (int i = 0; i < 3 && error == ERROR_NONE; i++) {
		if (i > 0)
			(void)ended(last);
		w.a->accesses.second = now_ms(w.a) / 1000;
		w.a->accesses.begun = ACCESSES_PER_S_MAX;
		error = (enum error)ask(AB_SECRET_BEGIN, &m).error;
	}
	assert_int_equal(error, ERROR_AUDIT_UNAVAILABLE);
	for (size_t i = 0; i < ACCESSES_MAX; i++) {
		struct answer r;

		w.nrecs = 0;
		w.a->accesses.begun = 0;
		r = ask(AB_SECRET_BEGIN, &m);
		assert_int_equal(r.error, ERROR_NONE);
		last = r.access;
	}
	w.a->accesses.begun = 0;
	assert_int_equal(ask(AB_SECRET_BEGIN, &m).error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(ended(last), ERROR_NONE);
	assert_int_equal(ask(AB_SECRET_BEGIN, &m).error, ERROR_NONE);
	w.nrecs = 0;
}

static uint16_t http;
static char body[1024];

static void
on_act(void *ctx, uint16_t status, struct span text)
{
	(void)ctx;
	http = status;
	(void)snprintf(body, sizeof(body), "%.*s", SPAN_FMT(text));
}

static void
set(bool rotate)
{
	const struct admin_secret s = {
		.name = SPAN_LIT("openai"), .sealed = SPAN_LIT("SEALED"), .rotate = rotate
	};
	struct admin_op *op = NULL;

	http = 0;
	assert_true(is_ok(admin_set_secret(
	    &(struct admin_call){ .a = w.a, .uid = 7, .reply = on_act, .op = &op }, &s)));
	spin();
}

static void
test_set_rotate_remove(void **state)
{
	const struct ab_secret_name name = { .name = SPAN_LIT("openai") };
	struct admin_op *op = NULL;
	struct answer r = ask(AB_SECRET_GET, &name);

	(void)state;
	assert_int_equal(r.type, AB_SECRET_SEALED);
	assert_int_equal(r.code, E_NOTFOUND);
	set(true); /* nothing to rotate */
	assert_int_equal(http, 404);
	assert_int_equal(w.secrets_changed, 0);
	set(false);
	assert_int_equal(http, 200);
	assert_non_null(strstr(body, "\"version\":1"));
	assert_int_equal(w.secrets_changed, 1);
	set(true);
	assert_int_equal(w.secrets_changed, 2);
	r = ask(AB_SECRET_GET, &name);
	assert_int_equal(r.code, E_OK);
	assert_string_equal(r.version, "2");
	assert_string_equal(r.sealed, "SEALED");
	assert_true(is_ok(admin_list_secrets(
	    &(struct admin_call){ .a = w.a, .uid = 7, .reply = on_act, .op = &op })));
	spin();
	assert_non_null(strstr(body, "{\"name\":\"openai\",\"version\":2,"));
	assert_true(is_ok(admin_remove_secret(
	    &(struct admin_call){ .a = w.a, .uid = 7, .reply = on_act, .op = &op }, name.name)));
	spin();
	assert_int_equal(http, 200);
	assert_int_equal(w.secrets_changed, 3);
	assert_int_equal(ask(AB_SECRET_GET, &name).code, E_NOTFOUND);
	EVENTS(EVENT_SECRET_SET, EVENT_SECRET_SET, EVENT_SECRET_SET, EVENT_SECRET_SET,
	    EVENT_SECRET_SET, EVENT_SECRET_SET, EVENT_ADMIN, EVENT_SECRET_REMOVED,
	    EVENT_SECRET_REMOVED);
	assert_string_equal(
	    w.recs[3].text, "secret=file:openai version=1 previous_kept=0 by_uid=7 ");
	assert_int_equal(w.recs[1].outcome, AUDIT_FAILURE);
	assert_balanced();
}

static void
test_store_or_audit_away(void **state)
{
	const struct ab_secret_name name = { .name = SPAN_LIT("openai") };
	struct admin_op *op = NULL;

	(void)state;
	cut(&w.store);
	assert_int_equal(ask(AB_SECRET_GET, &name).code, E_CLOSED);
	set(false);
	assert_int_equal(http, 503);
	assert_true(is_ok(admin_list_secrets(
	    &(struct admin_call){ .a = w.a, .uid = 7, .reply = on_act, .op = &op })));
	spin();
	assert_int_equal(http, 503);
	w.audit_mode = AUDIT_REFUSES;
	set(false);
	assert_int_equal(http, 503);
	assert_non_null(strstr(body, "audit_unavailable"));
	assert_balanced();
}

static const char *
status_text_of(void)
{
	static char text[2048];
	struct buf out = BUF_INIT(sizeof(text));
	struct json_writer jw = json_writer(&out);

	json_put_object(&jw);
	secrets_put_status(w.a, &jw);
	json_put_end(&jw);
	assert_true(is_ok(json_writer_finish(&jw)));
	(void)snprintf(text, sizeof(text), "%.*s", SPAN_FMT(buf_span(&out)));
	buf_done(&out);
	return text;
}

/* A slice as the supervisor sends it, with a provider that has a credential. */
static struct conf *
slice(void)
{
	static const char path[] = "providers\x1fo\x1f"
				   "credential",
			  value[] = "file:openai";
	struct buf text = BUF_INIT(256);
	struct conf *conf = NULL;

	assert_true(is_ok(buf_put_u8(&text, 0)) && is_ok(buf_put_u8(&text, sizeof(path) - 1)) &&
		    is_ok(buf_put_str(&text, path)) && is_ok(buf_put_u8(&text, 0)) &&
		    is_ok(buf_put_u8(&text, sizeof(value) - 1)) &&
		    is_ok(buf_put_str(&text, value)));
	assert_true(is_ok(conf_load(buf_span(&text), &conf)));
	buf_done(&text);
	return conf;
}

/* A credential that cannot be had is shown, and only when nothing that is held still serves. */
static void
test_status(void **state)
{
	struct ab_secret_begin m = reading_of("file:openai");
	struct ab_secret_ended end;
	struct conf *was = w.d.conf, *with = slice();

	(void)state;
	assert_string_equal(
	    status_text_of(), "{\"credentials\":[],\"credentials_unavailable\":[]}");
	w.d.conf = with;
	assert_non_null(strstr(status_text_of(), "\"state\":\"not read yet\""));
	end = end_of(ask(AB_SECRET_BEGIN, &m).access);
	(void)ask(AB_SECRET_ENDED, &end);
	assert_string_equal(status_text_of(),
	    "{\"credentials\":[{\"provider\":\"o\",\"reference\":\"file:openai\","
	    "\"state\":\"held\",\"version\":\"3\"}],\"credentials_unavailable\":[]}");
	end = end_of(ask(AB_SECRET_BEGIN, &m).access);
	end.fault = SECRET_UNREACHABLE;
	end.version = SPAN_EMPTY;
	(void)ask(AB_SECRET_ENDED, &end);
	assert_non_null(strstr(
	    status_text_of(), "\"state\":\"held\",\"version\":\"3\",\"fault\":\"unreachable\""));
	end = end_of(ask(AB_SECRET_BEGIN, &m).access);
	end.fault = SECRET_UNREACHABLE;
	end.version = SPAN_EMPTY;
	end.valid_s = 0;
	(void)ask(AB_SECRET_ENDED, &end);
	assert_non_null(strstr(status_text_of(), "\"credentials_unavailable\":[\"o\"]"));
	cut(&w.broker);
	assert_non_null(strstr(status_text_of(), "\"state\":\"not read yet\""));
	connect_fake(EDGE_AUTHORITY_BROKER, 12, &ab_edge, false, &broker_ops, &w.broker);
	w.d.conf = was;
	conf_free(with);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_access_is_recorded_before_and_after),
		T(test_logins_and_leases_are_recorded),
		T(test_no_record_no_access),
		T(test_an_end_that_is_refused_comes_later),
		T(test_audit_dies_within_an_access),
		T(test_a_broker_dies_within_an_access),
		T(test_accesses_are_bounded),
		T(test_set_rotate_remove),
		T(test_store_or_audit_away),
		T(test_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
