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
	char version[24], sealed[256];
};

static void
on_answer(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct answer *r = ctx;

	(void)l;
	*r = (struct answer){ .come = true, .st = st, .type = type };
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

static struct ab_secret_accessed
access_of(const char *reference)
{
	return (struct ab_secret_accessed){ .reference = span_str(reference),
		.version = SPAN_LIT("3"),
		.lease = SPAN_LIT("database/creds/x/1"),
		.lease_s = 60,
		.valid_s = 60,
		.why = SECRET_ROTATED };
}

static void
test_access_is_recorded_first(void **state)
{
	struct ab_secret_accessed m = access_of("vault:kv/openai#key");
	struct answer r = ask(AB_SECRET_ACCESSED, &m);

	(void)state;
	assert_int_equal(r.type, AB_SECRET_RECORDED);
	assert_int_equal(r.error, ERROR_NONE);
	EVENTS(EVENT_SECRET_ACCESSED);
	assert_int_equal(w.recs[0].outcome, AUDIT_SUCCESS);
	assert_string_equal(w.recs[0].text,
	    "secret=vault:kv/openai#key version=3 lease=database/creds/x/1 lease_s=60 "
	    "why=rotated ");
	m = (struct ab_secret_accessed){ .reference = SPAN_LIT("vault:kv/openai#key"),
		.why = SECRET_EXPIRING,
		.fault = SECRET_SEALED };
	assert_int_equal(ask(AB_SECRET_ACCESSED, &m).error, ERROR_NONE);
	assert_int_equal(w.recs[1].outcome, AUDIT_FAILURE);
	assert_string_equal(
	    w.recs[1].text, "secret=vault:kv/openai#key why=expiring fault=sealed ");
}

/* What is not on record is not to be used. */
static void
test_no_record_no_use(void **state)
{
	struct ab_secret_accessed m = access_of("file:openai");

	(void)state;
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(ask(AB_SECRET_ACCESSED, &m).error, ERROR_AUDIT_UNAVAILABLE);
	w.audit_mode = AUDIT_HOLDS;
	assert_false(ask(AB_SECRET_ACCESSED, &m).come);
	cut(&w.audit);
	assert_int_equal(ask(AB_SECRET_ACCESSED, &m).error, ERROR_AUDIT_UNAVAILABLE);
	w.nrecs = 0; /* what it held died with it */
}

/* A broker gone wrong does not fill the log; what it is not told is recorded it may not use. */
static void
test_accesses_are_bounded(void **state)
{
	struct ab_secret_accessed m = access_of("file:openai");
	enum error error = ERROR_NONE;

	(void)state;
	/* Once more where the second ended in between. */
	for (int i = 0; i < 3 && error == ERROR_NONE; i++) {
		w.nrecs = 0;
		w.seq = 0;
		w.a->secrets.second = now_ms(w.a) / 1000;
		w.a->secrets.accesses = SECRET_ACCESSES_PER_S;
		error = (enum error)ask(AB_SECRET_ACCESSED, &m).error;
	}
	assert_int_equal(error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.nrecs, 0);
	w.a->secrets.second = 0; /* the next one */
	assert_int_equal(ask(AB_SECRET_ACCESSED, &m).error, ERROR_NONE);
	w.nrecs = 0;
}

/* An answer that comes late is not given to the broker that came after. */
static void
test_late_record_of_another_broker(void **state)
{
	struct ab_secret_accessed m = access_of("file:openai");
	struct aa_receipt receipt;

	(void)state;
	w.audit_mode = AUDIT_HOLDS;
	assert_false(ask(AB_SECRET_ACCESSED, &m).come);
	cut(&w.broker);
	connect_fake(EDGE_AUTHORITY_BROKER, 12, &ab_edge, false, &broker_ops, &w.broker);
	receipt = (struct aa_receipt){ .first_seq = 1, .count = w.held_count[0] };
	assert_true(is_ok(link_send(w.audit, w.held[0], AA_RECEIPT, &receipt)));
	spin();
	assert_non_null(w.broker);
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
	assert_true(is_ok(admin_set_secret(w.a, 7, &s, on_act, NULL, &op)));
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
	assert_true(is_ok(admin_list_secrets(w.a, 7, on_act, NULL, &op)));
	spin();
	assert_non_null(strstr(body, "{\"name\":\"openai\",\"version\":2,"));
	assert_true(is_ok(admin_remove_secret(w.a, 7, name.name, on_act, NULL, &op)));
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
	assert_true(is_ok(admin_list_secrets(w.a, 7, on_act, NULL, &op)));
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
	struct ab_secret_accessed m = access_of("file:openai");
	struct conf *was = w.d.conf, *with = slice();

	(void)state;
	assert_string_equal(
	    status_text_of(), "{\"credentials\":[],\"credentials_unavailable\":[]}");
	w.d.conf = with;
	assert_non_null(strstr(status_text_of(), "\"state\":\"not read yet\""));
	(void)ask(AB_SECRET_ACCESSED, &m);
	assert_string_equal(status_text_of(),
	    "{\"credentials\":[{\"provider\":\"o\",\"reference\":\"file:openai\","
	    "\"state\":\"held\",\"version\":\"3\"}],\"credentials_unavailable\":[]}");
	m.fault = SECRET_UNREACHABLE;
	m.version = SPAN_EMPTY;
	(void)ask(AB_SECRET_ACCESSED, &m);
	assert_non_null(strstr(
	    status_text_of(), "\"state\":\"held\",\"version\":\"3\",\"fault\":\"unreachable\""));
	m.valid_s = 0;
	(void)ask(AB_SECRET_ACCESSED, &m);
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
		T(test_access_is_recorded_first),
		T(test_no_record_no_use),
		T(test_accesses_are_bounded),
		T(test_late_record_of_another_broker),
		T(test_set_rotate_remove),
		T(test_store_or_audit_away),
		T(test_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
