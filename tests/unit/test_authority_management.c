/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_management.c: the management socket, over a real one.
 */
#include "authority_world.h"

#include <sys/mman.h>
#include <sys/un.h>

#include <base/cleanup.h>
#include <json/json.h>

static char answer[1 << 20];
static size_t answer_len;
static int listener = -1;
static struct sockaddr_un address = { .sun_family = AF_UNIX };

static int
management_setup(void **state)
{
	if (setup(state) != 0)
		return -1;
	(void)snprintf(
	    address.sun_path + 1, sizeof(address.sun_path) - 1, "sallyport-test-%d", (int)getpid());
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_true(is_ok(management_init(w.a, listener)));
	assert_true(is_ok(management_start(w.a)));
	return 0;
}

static int
management_teardown(void **state)
{
	struct authority *a = w.a;
	int rc;

	spin();
	management_done(a);
	rc = teardown(state);
	(void)close(listener);
	return rc;
}

static int
dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	spin();
	return fd;
}

/* Send, let everybody work, read what came; the status. */
static int
ask_on(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	answer_len = 0;
	for (int i = 0; i < 50; i++) {
		ssize_t n;

		spin();
		n = read(fd, answer + answer_len, sizeof(answer) - 1 - answer_len);
		if (n > 0)
			answer_len += (size_t)n;
	}
	answer[answer_len] = '\0';
	if (answer_len < 12 || strncmp(answer, "HTTP/1.1 ", 9) != 0)
		return 0;
	return (answer[9] - '0') * 100 + (answer[10] - '0') * 10 + (answer[11] - '0');
}

static int
ask(const char *method, const char *path, const char *body)
{
	char text[4096];
	auto_fd int fd = dial();

	(void)snprintf(text, sizeof(text),
	    "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", method, path,
	    strlen(body), body);
	return ask_on(fd, text);
}

/* The text of a member of the answer's body. */
static void
member(const char *name, char *out, size_t size)
{
	auto_json struct json_doc d = { 0 };
	auto_arena struct arena arena = ARENA_INIT(65536);
	const char *body = strstr(answer, "\r\n\r\n");
	struct span s;

	assert_non_null(body);
	assert_true(is_ok(json_init(&d, &JSON_STRICT)));
	assert_true(is_ok(json_parse(&d, span_str(body + 4))));
	assert_true(is_ok(json_str(&d, json_get_str(&d, 0, name), &arena, &s)));
	assert_true(is_ok(span_to_cstr(s, out, size)));
}

/* The metrics page of a process; the caller unmaps it. */
static struct metrics_page *
add_page(enum proc proc, uint32_t peer_id)
{
	struct ctl_metrics m = {
		.proc = (uint8_t)proc, .index = 0, .peer_id = peer_id, .pid = 77, .uid = 9
	};
	struct metrics_page *page;
	int fd = memfd_create("page", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, METRICS_PAGE_LEN), 0);
	page = mmap(NULL, METRICS_PAGE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(page != MAP_FAILED);
	procs_add(w.a, &m, fd);
	return page;
}

/* Its disk is full for what users put: told with its ping, until that is over. */
static void
test_a_full_store_is_told(void **state)
{
	struct metrics_page *page = add_page(PROC_EXECUTOR, 3);

	(void)state;
	page->values[METRIC_POOLS_READY] = 1;
	for (int full = 1; full >= 0; full--) {
		w.ping_code = full ? E_FULL : E_OK;
		grace_tick(w.a);
		spin();
		assert_int_equal(ask("GET", "/readyz", ""), 200);
		assert_non_null(
		    strstr(answer, full ? "\"degraded\":[\"store_full\"]" : "\"degraded\":[]"));
	}
	(void)munmap(page, METRICS_PAGE_LEN);
}

static void
test_health(void **state)
{
	struct metrics_page *page = add_page(PROC_EXECUTOR, 3);

	(void)state;
	assert_int_equal(ask("GET", "/healthz", ""), 200);
	assert_int_equal(ask("GET", "/readyz", ""), 503);
	assert_non_null(strstr(answer, "\"missing\":[\"pools\"]"));
	page->values[METRIC_POOLS_READY] = 1;
	assert_int_equal(ask("GET", "/readyz", ""), 200);
	(void)munmap(page, METRICS_PAGE_LEN);
	cut(&w.executor);
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(admit(ENDPOINT_CHAT)->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(ask("GET", "/readyz", ""), 503);
	assert_non_null(strstr(answer, "\"missing\":[\"audit\",\"executor\"]"));
	assert_int_equal(ask("GET", "/healthz", ""), 200);
	w.audit_mode = AUDIT_TAKES;
}

static void
test_status_and_metrics(void **state)
{
	struct metrics_page *page = add_page(PROC_BROKER, 2);
	struct metrics_page *executor = add_page(PROC_EXECUTOR, 3);

	(void)state;
	page->values[METRIC_MODEL_CALLS] = 42;
	executor->values[METRIC_WORKERS] = 3;
	executor->values[METRIC_WORKER_TENANTS] = executor->values[METRIC_WORKERS_OF_ONE] = 2;
	executor->values[METRIC_TOOL_CALLS_QUEUED] = 1;
	assert_int_equal(ask("GET", "/metrics", ""), 200);
	assert_non_null(
	    strstr(answer, "\nsallyport_model_calls_total{process=\"broker\",index=\"0\"} 42\n"));
	assert_non_null(strstr(answer, "sallyport_up{process=\"broker\",index=\"0\"} 1\n"));
	assert_null(strstr(answer, "sallyport_turns_total{")); /* not a broker's to count */
	cut(&w.broker);
	assert_int_equal(ask("GET", "/status", ""), 200);
	assert_non_null(strstr(answer, "{\"name\":\"broker\",\"index\":0,\"pid\":77,\"uid\":9,"
				       "\"up\":false,\"starting\":null}"));
	assert_non_null(strstr(answer, "\"manifest\":\"/x/manifest\""));
	assert_non_null(strstr(answer, "\"wasm_workers\":{\"live\":3,\"tenants\":2,"
				       "\"most_of_one_tenant\":2,\"calls_waiting\":1}"));
	(void)munmap(executor, METRICS_PAGE_LEN);
	assert_non_null(strstr(answer, "\"providers_without_credential\":[\"d\"]"));
	(void)munmap(page, METRICS_PAGE_LEN);
}

/* A start that takes long: how far it is, and that nothing is served until it is over. */
static void
test_a_long_start(void **state)
{
	struct metrics_page *page = add_page(PROC_AUDIT, 21);

	(void)state;
	page->values[METRIC_START_DONE] = 5;
	page->values[METRIC_START_TOTAL] = 12;
	cut(&w.audit);
	w.audit_reads = true;
	connect_fake(EDGE_AUTHORITY_AUDIT, 21, &aa_edge, false, &audit_ops, &w.audit);
	spin();
	assert_int_equal(ask("GET", "/status", ""), 200);
	assert_non_null(strstr(answer, "\"up\":true,\"starting\":{\"done\":5,\"total\":12}}"));
	assert_int_equal(ask("GET", "/readyz", ""), 503);
	assert_non_null(strstr(answer, "\"missing\":[\"audit\""));
	assert_int_equal(ask("POST", "/admin/v1/keys", "{\"tenant\":\"t\",\"user\":\"u\"}"), 503);
	assert_non_null(strstr(answer, "audit"));
	assert_int_equal(w.nrecs, 0);
	(void)munmap(page, METRICS_PAGE_LEN);
}

static void
test_every_metric_has_an_owner(void **state)
{
	(void)state;
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		assert_non_null(metric_rows[i].name);
		assert_true(metric_rows[i].owners != 0);
		assert_true(metric_rows[i].owners < 1U << PROC_COUNT);
	}
}

static void
test_refusals(void **state)
{
	static const struct {
		const char *method, *path, *body;
		int http;
	} rows[] = {
		{ "GET", "/", "", 404 },
		{ "GET", "/admin/v1/keys/", "", 404 },
		{ "DELETE", "/admin/v1/keys", "", 405 },
		{ "DELETE", "/admin/v1/keys/short", "", 404 },
		{ "DELETE", "/admin/v1/keys/0000000000zz", "", 404 },
		{ "POST", "/healthz", "", 405 },
		{ "GET", "/healthz?x=1", "", 400 },
		{ "POST", "/admin/v1/keys", "", 400 },
		{ "POST", "/admin/v1/keys", "{\"tenant\":\"t\"}", 400 },
		{ "POST", "/admin/v1/keys", "{\"tenant\":\"t\",\"user\":\"u\",\"policy\":\"nope\"}",
		    400 },
		{ "POST", "/admin/v1/reload", "{\"a\":1}", 400 },
		{ "BAD METHOD", "/", "", 400 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int http = ask(rows[i].method, rows[i].path, rows[i].body);

		if (http != rows[i].http)
			print_error("%s %s: %d\n", rows[i].method, rows[i].path, http);
		assert_int_equal(http, rows[i].http);
	}
	assert_int_equal(w.nrecs, 0);
}

static void
test_life_of_a_key(void **state)
{
	char key[128], id[32], path[64], id2[32];
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);

	(void)state;
	assert_int_equal(
	    ask("POST", "/admin/v1/keys", "{\"tenant\":\"acme\",\"user\":\"bob\"}"), 201);
	member("key", key, sizeof(key));
	member("id", id, sizeof(id));
	assert_true(keytext_ok(span_str(key)));
	m.credential = span_str(key);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	assert_int_equal(ask("GET", "/admin/v1/keys", ""), 200);
	assert_non_null(
	    strstr(answer, "\"tenant\":\"acme\",\"user\":\"bob\",\"policy\":\"default\""));
	assert_null(strstr(answer, key));
	(void)snprintf(path, sizeof(path), "/admin/v1/keys/%s", id);
	assert_int_equal(ask("DELETE", path, ""), 200);
	member("id", id2, sizeof(id2));
	assert_string_equal(id, id2);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_int_equal(ask("DELETE", path, ""), 200);
	assert_balanced();
}

/* Records name no tenant and no person; the same tenant is always called the same. */
static void
test_records_have_no_names(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);
	char key[128], first[64], *at;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		const char *body = i == 2 ? "{\"tenant\":\"zeus\",\"user\":\"bob\"}"
					  : "{\"tenant\":\"acme\",\"user\":\"bob\"}";

		assert_int_equal(ask("POST", "/admin/v1/keys", body), 201);
		at = strstr(w.recs[2 * i].text, "tenant=");
		assert_non_null(at);
		assert_int_equal(strcspn(at + 7, " "), 32);
		assert_null(strstr(w.recs[2 * i].text, "acme"));
		assert_null(strstr(w.recs[2 * i].text, "bob"));
		assert_string_equal(w.recs[2 * i].text, w.recs[2 * i + 1].text);
		/* Whose key it is stands in the outcome, as in what is done with it. */
		assert_true(w.recs[2 * i].anonymous);
		assert_false(w.recs[2 * i + 1].anonymous);
		if (i == 0)
			memcpy(first, at, 39);
		assert_int_equal(memcmp(first, at, 39) == 0, i < 2);
	}
	member("key", key, sizeof(key));
	m.credential = span_str(key);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	assert_balanced();
}

/* No record, no act. */
static void
test_no_audit_no_act(void **state)
{
	(void)state;
	cut(&w.audit);
	assert_int_equal(
	    ask("POST", "/admin/v1/keys", "{\"tenant\":\"acme\",\"user\":\"bob\"}"), 503);
	assert_int_equal(ask("GET", "/admin/v1/keys", ""), 503);
	assert_int_equal(w.store_changes, 0);
	connect_fake(EDGE_AUTHORITY_AUDIT, 21, &aa_edge, false, &audit_ops, &w.audit);
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(
	    ask("POST", "/admin/v1/keys", "{\"tenant\":\"acme\",\"user\":\"bob\"}"), 503);
	assert_int_equal(w.store_changes, 0);
}

static void
test_long_list_and_pipelining(void **state)
{
	auto_fd int fd = dial();
	uint8_t subject[32] = { 1 };
	size_t found = 0;
	char text[128];

	(void)state;
	assert_true(is_ok(keys_put_user(&w.a->keys, SPAN_LIT("m"), SPAN_LIT("n"), subject, NULL)));
	for (uint64_t i = 0; i < 3000; i++) {
		struct as_key k = { .tenant = SPAN_LIT("m"),
			.user = SPAN_LIT("n"),
			.policy = SPAN_LIT("default") };

		for (int j = 11, n = (int)i; j >= 0; j--, n /= 10)
			k.id[j] = (uint8_t)('0' + n % 10);
		assert_true(is_ok(keys_put(&w.a->keys, &w.a->policies, &k, NULL)));
	}
	for (int page = 0; page < 7; page++) {
		char path[64] = "/admin/v1/keys", next[32];

		if (page > 0) {
			member("next", next, sizeof(next));
			(void)snprintf(path, sizeof(path), "/admin/v1/keys?after=%s", next);
		}
		(void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: l\r\n\r\n", path);
		assert_int_equal(ask_on(fd, text), 200);
		for (const char *at = answer; (at = strstr(at, "\"id\":\"")) != NULL; at++)
			found++;
	}
	assert_int_equal(found, 3002);
	assert_non_null(strstr(answer, "\"next\":null}"));
	assert_int_equal(ask_on(fd, "GET /admin/v1/keys?limit=2 HTTP/1.1\r\nHost: l\r\n\r\n"
				    "GET /healthz HTTP/1.1\r\nHost: l\r\n\r\n"),
	    200);
	assert_non_null(strstr(answer, "\"}HTTP/1.1 200 OK"));
}

/* An operator that leaves in the middle takes nothing with him. */
static void
test_operator_leaves(void **state)
{
	int fd = dial();
	const char *text = "POST /admin/v1/keys HTTP/1.1\r\nHost: l\r\nContent-Length: 27\r\n\r\n"
			   "{\"tenant\":\"t\",\"user\":\"u\"   }";

	(void)state;
	assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	(void)close(fd);
	spin();
	spin();
	assert_int_equal(admin_busy(), 0);
	assert_balanced();
}

#define M(name) cmocka_unit_test_setup_teardown(name, management_setup, management_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		M(test_health),
		M(test_status_and_metrics),
		M(test_a_full_store_is_told),
		M(test_a_long_start),
		M(test_every_metric_has_an_owner),
		M(test_refusals),
		M(test_life_of_a_key),
		M(test_records_have_no_names),
		M(test_no_audit_no_act),
		M(test_long_list_and_pipelining),
		M(test_operator_leaves),
	};

	if (geteuid() != 0) {
		print_message("skipped: only root may use the management socket\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
