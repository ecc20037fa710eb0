/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/broker/issuer.c: documents of identity providers, and the places that they may not come
 * from.
 */
#include "broker_world.h"

#include "origin_server.h"

#define JSON "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
#define HELLO JSON "content-length: 5\r\n\r\n{\"a\":"
#define YAML                                                                                  \
	POLICY "providers: {d: {kind: demo}}\nmodels: {demo: [{provider: d, model: real}]}\n" \
	       "oidc:\n"                                                                      \
	       "- {issuer: 'http://127.0.0.1:%u/realms/a/', audience: s, tenant_fixed: t, "   \
	       "policy: p, "                                                                  \
	       "allow_plain_loopback: true, jwks_hosts: ['localhost:%u']}\n"

static struct origin_server one, two;
static struct buf ca, cert;
static struct secret ca_key, cert_key;
static SSL_CTX *tls;
static char issuer[128];

static struct {
	unsigned come;
	struct status st;
	uint16_t code, http_status;
	char body[64];
} got;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void
configure(void)
{
	char yaml[1024];

	(void)snprintf(yaml, sizeof(yaml), YAML, one.port, two.port);
	assert_true(is_ok(world_configure(yaml, buf_span(&ca))));
	assert_true(is_ok(issuers_load(w.b)));
	(void)snprintf(issuer, sizeof(issuer), "http://127.0.0.1:%u/realms/a/", one.port);
}

static const char *
url(const char *format, uint16_t port)
{
	static char text[16][256];
	static unsigned at;

	at = (at + 1) % COUNT(text);
	(void)snprintf(text[at], sizeof(text[at]), format, port);
	return text[at];
}
#pragma GCC diagnostic pop

static int
up(void **state)
{
	const struct span sans[] = { SPAN_LIT("localhost") };
	const struct cert_leaf leaf = { .sans = sans, .san_count = 1, .ttl_s = 3600 };

	(void)state;
	ca = cert = BUF_INIT(CERT_PEM_LEN_MAX);
	world_begin(POLICY "providers: {d: {kind: demo}}\nmodels: {demo: [{provider: d, model: "
			   "real}]}\n",
	    SPAN_EMPTY);
	assert_true(is_ok(cert_ca_create(SPAN_LIT("test CA"), &ca, &ca_key)));
	assert_true(is_ok(cert_leaf_issue(buf_span(&ca), &ca_key, &leaf, &cert, &cert_key)));
	tls = origin_tls(buf_span(&cert), &cert_key, TLS1_3_VERSION);
	origin_start(&one, &w.loop, NULL);
	origin_start(&two, &w.loop, tls);
	PLAY(&one, { .text = HELLO });
	PLAY(&two, { .text = HELLO });
	configure();
	memset(&got, 0, sizeof(got));
	return 0;
}

static int
down(void **state)
{
	origin_stop(&one);
	origin_stop(&two);
	(void)world_down(state);
	SSL_CTX_free(tls);
	buf_done(&ca);
	buf_done(&cert);
	secret_done(&ca_key);
	secret_done(&cert_key);
	return 0;
}

static void
on_reply(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct ab_fetched *m = msg;

	(void)l, (void)ctx;
	got.come++;
	got.st = st;
	if (!is_ok(st))
		return;
	assert_int_equal(type, AB_FETCHED);
	got.code = m->code;
	got.http_status = m->http_status;
	(void)snprintf(got.body, sizeof(got.body), "%.*s", SPAN_FMT(m->body));
}

static uint32_t generation; /* of who asks */

static void
fetch_begin(enum fetch_kind kind, const char *of, const char *at)
{
	const struct ab_fetch m = { .kind = (uint8_t)kind,
		.issuer = span_str(of),
		.url = span_str(at),
		.generation = generation };
	uint64_t id;

	assert_true(is_ok(link_call(w.authority, AB_FETCH, &m, 20000, on_reply, NULL, &id)));
}

static enum code
fetch_code(enum fetch_kind kind, const char *of, const char *at)
{
	unsigned before = got.come;

	got.code = 0;
	fetch_begin(kind, of, at);
	wait_for(&got.come, before + 1);
	assert_true(is_ok(got.st));
	return (enum code)got.code;
}

static bool
was_asked(const char *line)
{
	return memmem(one.seen.ptr, one.seen.len, line, strlen(line)) != NULL;
}

static void
documents_come_from_where_they_should(void **state)
{
	(void)state;
	assert_int_equal(fetch_code(FETCH_DISCOVERY, issuer, ""), E_OK);
	assert_string_equal(got.body, "{\"a\":");
	assert_true(was_asked("GET /realms/a/.well-known/openid-configuration HTTP/1.1\r\n"));
	assert_null(memmem(one.seen.ptr, one.seen.len, "uthorization", 12));
	assert_int_equal(
	    fetch_code(FETCH_KEYS, issuer, url("http://127.0.0.1:%u/keys?p=a%%20b", one.port)),
	    E_OK);
	assert_true(was_asked("GET /keys?p=a%20b HTTP/1.1\r\n"));
	assert_int_equal(
	    fetch_code(FETCH_KEYS, issuer, url("http://127.0.0.1:%u", one.port)), E_OK);
	assert_true(was_asked("GET / HTTP/1.1\r\n"));
	assert_int_equal(
	    fetch_code(FETCH_KEYS, issuer, url("https://LOCALHOST:%u/k", two.port)), E_OK);
	assert_int_equal(two.requests, 1);
}

/* Who asks has a configuration that has not come here: the old one's places are not asked. */
static void
an_older_configuration_fetches_nothing(void **state)
{
	(void)state;
	generation = w.b->d->generation + 1;
	assert_int_equal(fetch_code(FETCH_DISCOVERY, issuer, ""), E_AGAIN);
	assert_int_equal(one.requests, 0);
	generation = w.b->d->generation;
	assert_int_equal(fetch_code(FETCH_DISCOVERY, issuer, ""), E_OK);
}

/* What a document may say to lead us elsewhere. */
static void
other_places_are_not_asked(void **state)
{
	const char *const places[] = { url("https://127.0.0.1:%u/k", one.port),
		url("http://localhost:%u/k", two.port), /* a host of ours, but in clear */
		url("http://localhost:%u/k", one.port), "https://evil.example/k",
		"http://169.254.169.254/latest/meta-data", "https://127.0.0.1/k" };
	const char *const none[] = { "", "k", "/k", "file:///etc/passwd", "ftp://127.0.0.1/",
		url("http://127.0.0.1:%u@evil.example/k", one.port),
		url("http://evil@127.0.0.1:%u/k", one.port),
		url("http://127.0.0.1:%u/k#f", one.port), url("http://127.0.0.1:%u/a b", one.port),
		url("http://127.0.0.1:%u/\r\nHost: evil", one.port),
		url("http://127.0.0.1:%u\\@evil/", one.port), "http://127.0.0.1:99999/k",
		"http://127.0.0.1:0/", "http://", "http:///k" };

	(void)state;
	for (size_t i = 0; i < COUNT(places); i++)
		assert_int_equal(fetch_code(FETCH_KEYS, issuer, places[i]), E_DENIED);
	for (size_t i = 0; i < COUNT(none); i++) {
		enum code code = fetch_code(FETCH_KEYS, issuer, none[i]);

		if (code != E_SYNTAX && code != E_RANGE)
			print_error("%s: %d\n", none[i], code);
		assert_true(code == E_SYNTAX || code == E_RANGE);
	}
	assert_int_equal(fetch_code(FETCH_DISCOVERY, "http://127.0.0.1/other", ""), E_NOTFOUND);
	assert_int_equal(
	    fetch_code(FETCH_KEYS, "x", url("http://127.0.0.1:%u/k", one.port)), E_NOTFOUND);
	assert_int_equal(one.requests + two.requests, 0);
}

static void
answers_that_are_none(void **state)
{
	(void)state;
	PLAY(&one,
	    { .text = "HTTP/1.1 302 Found\r\nlocation: http://evil.example/\r\ncontent-length: "
		      "0\r\n\r\n" });
	assert_int_equal(fetch_code(FETCH_DISCOVERY, issuer, ""), E_PROTO);
	assert_int_equal(got.http_status, 302);
	assert_string_equal(got.body, "");
	PLAY(&one, { .text = "HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}" });
	assert_int_equal(fetch_code(FETCH_DISCOVERY, issuer, ""), E_PROTO);
	assert_string_equal(got.body, "");
	PLAY(&one, { .text = "HTTP/1.1 200 OK\r\ncontent-length: 65537\r\n\r\n", .flood = 65537 });
	assert_int_equal(fetch_code(FETCH_DISCOVERY, issuer, ""), E_RANGE);
	PLAY(&one,
	    { .text = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", .after = AFTER_CLOSE });
	assert_int_equal(fetch_code(FETCH_DISCOVERY, issuer, ""), E_CLOSED);
	PLAY(&one, { .text = "SSH-2.0-OpenSSH\r\n\r\n" });
	assert_int_equal(fetch_code(FETCH_DISCOVERY, issuer, ""), E_CLOSED);
	PLAY(&one, { .text = HELLO });
	assert_int_equal(fetch_code(FETCH_DISCOVERY, issuer, ""), E_OK);
}

/* The host's certificate is of nobody that we know. */
static void
a_host_must_be_who_it_is(void **state)
{
	struct buf strange = BUF_INIT(CERT_PEM_LEN_MAX);
	struct secret key = SECRET_NONE;

	(void)state;
	assert_true(is_ok(cert_ca_create(SPAN_LIT("strange CA"), &strange, &key)));
	buf_clear(&w.b->system_ca);
	assert_true(is_ok(buf_put_span(&w.b->system_ca, buf_span(&strange))));
	assert_int_equal(
	    fetch_code(FETCH_KEYS, issuer, url("https://localhost:%u/k", two.port)), E_DENIED);
	assert_int_equal(two.requests, 0);
	buf_done(&strange);
	secret_done(&key);
}

static void
a_new_configuration_ends_errands(void **state)
{
	(void)state;
	PLAY(&one, { .text = NULL });
	fetch_begin(FETCH_DISCOVERY, issuer, "");
	wait_for(&one.requests, 1);
	configure();
	wait_for(&got.come, 1);
	assert_int_equal(got.code, E_AGAIN);
}

static void
errands_are_bounded(void **state)
{
	(void)state;
	PLAY(&one, { .text = NULL });
	for (unsigned i = 0; i <= ISSUER_ERRANDS_MAX; i++)
		fetch_begin(FETCH_DISCOVERY, issuer, "");
	wait_for(&got.come, 1);
	assert_int_equal(got.code, E_FULL);
	assert_int_equal(w.b->issuers.nerrands, ISSUER_ERRANDS_MAX);
}

static void
an_authority_that_leaves_takes_its_errands_along(void **state)
{
	(void)state;
	PLAY(&one, { .text = NULL });
	fetch_begin(FETCH_DISCOVERY, issuer, "");
	wait_for(&one.requests, 1);
	link_free(w.authority);
	w.authority = NULL;
	for (int i = 0; i < 1000 && w.b->issuers.nerrands > 0; i++) {
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
		(void)usleep(1000);
	}
	assert_int_equal(w.b->issuers.nerrands, 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		TEST(documents_come_from_where_they_should),
		TEST(an_older_configuration_fetches_nothing),
		TEST(other_places_are_not_asked),
		TEST(answers_that_are_none),
		TEST(a_host_must_be_who_it_is),
		TEST(a_new_configuration_ends_errands),
		TEST(errands_are_bounded),
		TEST(an_authority_that_leaves_takes_its_errands_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
