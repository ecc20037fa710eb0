/* SPDX-License-Identifier: Apache-2.0 */
/* lib/conf: providers, credentials, addresses; slices; what may be in clear. */
#include "conf_rig.h"

#define USED "models: {m: [{provider: x, model: y}]}\n"

static void
providers_are_taken(void **state)
{
	static const char *const good[] = {
		OPENAI("base_url: 'http://[::1]:1', credential: none, allow_plain_loopback: true")
		    USED,
		OPENAI("base_url: 'https://localhost:8443/v1', credential: none, tls_min: '1.2'")
		    USED,
		POLICY "providers: {x: {kind: anthropic, base_url: 'https://127.0.0.2', "
		       "credential: none, pin_sha256: "
		       "'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='}}\n" USED,
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		conf_free(parse_good(good[i]));
}

static void
entries_of_a_model_are_bounded(void **state)
{
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;

	(void)state;
#define E "{provider: demo, model: m}, "
	conf_free(parse_good(POLICY "providers: {demo: {kind: demo}}\n"
				    "models: {m: [" E E E E E E E E "]}\n"));
	assert_false(is_ok(conf_parse(SPAN_LIT(POLICY "providers: {demo: {kind: demo}}\n"
						      "models: {m: [" E E E E E E E E E "]}\n"),
	    &c, error)));
	assert_non_null(strstr(error, "one entry too many"));
}

static void
credentials_are_references(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(providers); i++) {
		char error[CONF_ERROR_MAX];
		struct conf *c = NULL;

		assert_false(is_ok(conf_parse(span_str(providers[i].yaml), &c, error)));
		if (strstr(error, providers[i].why) == NULL)
			print_error("case %zu: got %s\n want %s\n", i, error, providers[i].why);
		assert_non_null(strstr(error, providers[i].why));
		assert_null(strstr(error, "canary")); /* never the value */
	}
}

static void
addresses_are_parsed(void **state)
{
	static const struct {
		const char *text;
		int family; /* 0: refused */
	} rows[] = {
		{ "127.0.0.1:8443", AF_INET },
		{ "0.0.0.0:1", AF_INET },
		{ "localhost:65535", AF_INET },
		{ "[::1]:443", AF_INET6 },
		{ "[::]:443", AF_INET6 },
		{ "::1:443", 0 },
		{ "[::1]", 0 },
		{ "[]:1", 0 },
		{ "127.0.0.1:0", 0 },
		{ "127.0.0.1:65536", 0 },
		{ "127.0.0.1:", 0 },
		{ ":443", 0 },
		{ "", 0 },
		{ "[127.0.0.1]:1", 0 },
		{ "[::1:443", 0 },
		{ "127.1:443", 0 },
	};
	struct sockaddr_storage ss;
	socklen_t len;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct status st = conf_address(span_str(rows[i].text), &ss, &len);

		assert_int_equal(is_ok(st), rows[i].family != 0);
		if (rows[i].family != 0)
			assert_int_equal(ss.ss_family, rows[i].family);
	}
	assert_true(is_ok(conf_address(SPAN_LIT("127.0.0.1:8443"), &ss, &len)));
	assert_int_equal(((struct sockaddr_in *)&ss)->sin_port, htons(8443));
}

static void
slices_load_back(void **state)
{
	static const char *const prefixes[] = { "models", "sandboxes.sh", "listen", NULL };
	struct conf *c = parse_good(GOOD), *all = NULL, *part = NULL;
	auto_buf struct buf a = BUF_INIT(CONF_SLICE_MAX), b = BUF_INIT(CONF_SLICE_MAX),
			    p = BUF_INIT(CONF_SLICE_MAX);

	(void)state;
	assert_true(is_ok(conf_slice(c, NULL, &a)));
	assert_true(is_ok(conf_load(buf_span(&a), &all)));
	assert_true(is_ok(conf_slice(all, NULL, &b)));
	assert_true(span_eq(buf_span(&a), buf_span(&b)));
	assert_true(is_ok(conf_slice(c, prefixes, &p)));
	assert_true(is_ok(conf_load(buf_span(&p), &part)));
	assert_string_equal(conf_str(part, "models.demo.0.provider"), "demo");
	assert_int_equal(conf_u64(part, "sandboxes.sh.pool"), 4);
	assert_string_equal(conf_str(part, "listen"), "127.0.0.1:8443");
	assert_null(conf_str(part, "sandboxes.python.pool"));
	assert_null(conf_str(part, "providers.demo.kind"));
	conf_free(part);
	for (size_t cut = 1; cut < a.len; cut++) { /* a whole prefix of entries, or refused */
		struct conf *broken = NULL;

		if (is_ok(conf_load(span_of(a.ptr, cut), &broken)))
			conf_free(broken);
	}
	conf_free(all);
	conf_free(c);
}

static void
bad_slices_are_refused(void **state)
{
	static const struct span rows[] = {
		{ (const uint8_t *)"\0", 1 },
		{ (const uint8_t *)"\0\0\0\0", 4 },            /* an empty path */
		{ (const uint8_t *)"\0\1a\0\5b", 6 },          /* a value that is cut */
		{ (const uint8_t *)"\0\1b\0\0\0\1a\0\0", 10 }, /* not sorted */
		{ (const uint8_t *)"\0\1a\0\0\0\1a\0\0", 10 }, /* twice */
		{ (const uint8_t *)"\0\2a\0\0\0", 6 },         /* a NUL in it */
		{ (const uint8_t *)"\377\377a", 3 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct conf *c = NULL;

		assert_int_equal(conf_load(rows[i], &c).code, E_PROTO);
		assert_null(c);
	}
}

static void
size_is_bounded(void **state)
{
	auto_buf struct buf b = BUF_INIT(CONF_FILE_MAX + 64);
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;

	(void)state;
	while (b.len <= CONF_FILE_MAX)
		assert_true(is_ok(buf_put_str(&b, "# padding\n")));
	assert_int_equal(conf_parse(buf_span(&b), &c, error).code, E_RANGE);
	buf_clear(&b);
	assert_true(is_ok(buf_put_str(&b, "policies: {")));
	for (unsigned i = 0; i < 9000; i++)
		assert_true(is_ok(buf_printf(&b, "p%u: {},\n", i)));
	assert_true(is_ok(buf_put_str(&b, "}\n")));
	assert_false(is_ok(conf_parse(buf_span(&b), &c, error)));
	assert_non_null(strstr(error, "too many entries"));
	buf_clear(&b);
	while (b.len < 100000)
		assert_true(is_ok(buf_put_u8(&b, '[')));
	assert_false(is_ok(conf_parse(buf_span(&b), &c, error)));
}

/* docs/configuration.md holds exactly the table of this build. */
static void
the_document_is_the_table(void **state)
{
	auto_buf struct buf want = BUF_INIT(1 << 20), doc = BUF_INIT(1 << 20);
	const char *data = getenv("SALLYPORT_TEST_DATA");
	char path[4096];

	(void)state;
	if (data == NULL)
		skip();
	(void)snprintf(path, sizeof(path), "%s/../docs/configuration.md", data);
	assert_true(is_ok(io_read_file(AT_FDCWD, path, &doc)));
	assert_true(is_ok(conf_describe(&want)));
	assert_non_null(memmem(doc.ptr, doc.len, want.ptr, want.len));
}

/* ---- what may be in clear ---- */
struct pair {
	const char *path, *value; /* dots separate; in their order */
};

static void
add_weak(void *ctx, struct span name)
{
	char *out = ctx;

	(void)snprintf(out + strlen(out), 256 - strlen(out), "%.*s ", SPAN_FMT(name));
}

static void
assert_weak(const struct pair *pairs, size_t n, const char *want)
{
	auto_buf struct buf slice = BUF_INIT(4096);
	struct conf *c = NULL;
	char got[256] = "";

	for (size_t i = 0; i < 2 * n; i++) {
		const char *text = i % 2 == 0 ? pairs[i / 2].path : pairs[i / 2].value;

		assert_true(is_ok(buf_put_u8(&slice, 0)));
		assert_true(is_ok(buf_put_u8(&slice, (uint8_t)strlen(text))));
		for (const char *p = text; *p != '\0'; p++)
			assert_true(is_ok(buf_put_u8(
			    &slice, i % 2 == 0 && *p == '.' ? (uint8_t)CONF_SEP : (uint8_t)*p)));
	}
	assert_true(is_ok(conf_load(buf_span(&slice), &c)));
	conf_each_weak(c, add_weak, got);
	assert_string_equal(got, want);
	conf_free(c);
}
#define WEAK(want, ...)                                   \
	assert_weak((const struct pair[]){ __VA_ARGS__ }, \
	    COUNT(((const struct pair[]){ __VA_ARGS__ })), want)

static void
weak_connections_are_named(void **state)
{
	(void)state;
	WEAK("", { "providers.d.kind", "demo" }, { "providers.d.tls_min", "1.3" });
	WEAK("b c ", { "providers.a.base_url", "https://h" }, { "providers.a.tls_min", "1.3" },
	    { "providers.b.base_url", "https://h" }, { "providers.b.tls_min", "1.2" },
	    { "providers.c.base_url", "http://localhost" }, { "providers.c.tls_min", "1.3" });
	/* Of Vault and AWS only what a credential needs. */
	WEAK("", { "vault.address", "http://localhost" });
	WEAK("vault ", { "providers.a.credential", "vault:kv/a#k" },
	    { "vault.address", "http://localhost" });
	WEAK("vault ", { "providers.a.credential", "vault:kv/a#k" },
	    { "vault.address", "https://v" }, { "vault.tls_min", "1.2" });
	WEAK("aws aws.imds ", { "aws.credentials", "auto" }, { "aws.endpoint", "http://localhost" },
	    { "providers.a.credential", "aws-sm:x#k" });
	WEAK("aws.container ", { "aws.container.uri", "http://169.254.170.2/v2" },
	    { "aws.credentials", "auto" }, { "providers.a.credential", "aws-sm:x#k" });
	WEAK("", { "aws.credentials", "shared_file" }, { "aws.shared_file", "/x" },
	    { "providers.a.credential", "aws-sm:x#k" });
}

static struct conf *
read_conf(const char *text)
{
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;

	if (!is_ok(conf_parse(span_str(text), &c, error)))
		print_error("%s\n", error);
	assert_non_null(c);
	return c;
}

static void
assert_weaker(const char *before, const char *now, const char *want)
{
	struct conf *old = before == NULL ? NULL : read_conf(before), *c = read_conf(now);
	char got[512] = "";

	conf_each_weaker(old, c, add_weak, got);
	assert_string_equal(got, want);
	conf_free(old);
	conf_free(c);
}

static void
weaker_controls_are_named(void **state)
{
#define HEAD "listen: 127.0.0.1:1\nmanagement_socket: m\n"
	static const char strong[] = HEAD
	    "policies: { a: { endpoints: [models], credentials: refuse }, b: { endpoints: [models] "
	    "} }\n"
	    "keys: { revoke_leaked: true, pepper_days: 30 }\nstore: { grace_s: 60 }\n"
	    "retention: { responses_days: 7, files_days: 7 }\n";
	static const char weak[] = HEAD
	    "policies: { a: { endpoints: [models] }, b: { endpoints: [models], credentials: keep } "
	    "}\n"
	    "store: { grace_s: 604800, rotate_days: 0 }\naudit: { key_days: 91 }\n"
	    "retention: { responses_days: 8, files_days: 0 }\n";

	(void)state;
	assert_weaker(strong, strong, "");
	assert_weaker(weak, strong, "");
	assert_weaker(NULL, strong, "");
	assert_weaker(strong, weak,
	    "policies.a.credentials policies.b.credentials keys.revoke_leaked store.grace_s "
	    "audit.key_days store.rotate_days keys.pepper_days retention.responses_days "
	    "retention.files_days ");
	/* At a start: than what it is when nothing is said. */
	assert_weaker(
	    NULL, weak, "policies.b.credentials store.grace_s audit.key_days store.rotate_days ");
	assert_weaker(NULL, HEAD "policies: { a: { endpoints: [models] } }\n", "");
	/* A policy that is new is held against the same. */
	assert_weaker(HEAD "policies: { b: { endpoints: [models] } }\n",
	    HEAD "policies: { a: { endpoints: [models], credentials: keep } }\n",
	    "policies.a.credentials ");
}

/* Each control alone, on a side of its own of each limit. */
static void
each_control_is_named(void **state)
{
#define SOME "policies: { a: { endpoints: [models] } }\n"
#define ISSUER(more)                                                                              \
	SOME "oidc: [ { issuer: 'https://idp.example', audience: a, tenant_fixed: t, policy: a, " \
	     "link_local: " more " } ]\n"
#define CHECKED(more)                                                                          \
	SOME "oidc: [ { issuer: 'https://idp.example', audience: a, tenant_fixed: t, policy: " \
	     "a, " more " } ]\n"
#define PROVIDER(more)                                                            \
	SOME "providers: { p: { kind: openai, base_url: 'https://p.example/v1', " \
	     "credential: 'file:x'" more " } }\n"
#define LIMITED(what) "policies: { a: { endpoints: [models], " what " } }\n"
#define LIMIT(what) SOME "limits: { " what " }\n"
#define MACHINES(more)                                                                             \
	SOME "client_certificates: { ca_file: /x/ca, clients: [ { match: 'spiffe://a/m', tenant: " \
	     "t, "                                                                                 \
	     "user: m, policy: a } ]" more " }\n"
#define CREDENTIALS(what) "policies: { a: { endpoints: [models], credentials: " what " } }\n"
	static const struct {
		const char *strong, *weak, *named;
	} rows[] = {
		{ CREDENTIALS("refuse"), CREDENTIALS("mask"), "policies.a.credentials " },
		{ CREDENTIALS("mask"), CREDENTIALS("keep"), "policies.a.credentials " },
		{ SOME "keys: { revoke_leaked: true }\n", SOME "keys: { revoke_leaked: false }\n",
		    "keys.revoke_leaked " },
		{ ISSUER("false"), ISSUER("true"), "oidc.0.link_local " },
		{ CHECKED("algorithms: [EdDSA]"), CHECKED("algorithms: [EdDSA, RS256]"),
		    "oidc.0.algorithms " },
		{ CHECKED("algorithms: [EdDSA]"), CHECKED("skew_s: 60"), "oidc.0.algorithms " },
		{ CHECKED("typ: at+jwt"), CHECKED("typ: jwt"), "oidc.0.typ " },
		{ CHECKED("typ: jwt"), CHECKED("typ: any"), "oidc.0.typ " },
		{ CHECKED("max_age_s: 60"), CHECKED("max_age_s: 61"), "oidc.0.max_age_s " },
		{ CHECKED("max_age_s: 60"), CHECKED("max_age_s: 0"), "oidc.0.max_age_s " },
		{ CHECKED("skew_s: 0"), CHECKED("skew_s: 1"), "oidc.0.skew_s " },
		{ CHECKED("allow_private: false"), CHECKED("allow_private: true"),
		    "oidc.0.allow_private " },
		{ PROVIDER(""), PROVIDER(", allow_private: true"), "providers.p.allow_private " },
		{ MACHINES(", crl_file: /x/crl"), MACHINES(""), "client_certificates.crl_file " },
		{ SOME "store: { kek: 'aws-kms:alias/x' }\naws: { region: eu-west-1 }\n",
		    SOME "store: { kek: local }\n", "store.kek " },
		{ LIMITED("requests_per_min: 1"), LIMITED("requests_per_min: 2"),
		    "policies.a.requests_per_min " },
		{ LIMITED("concurrent: 1"), LIMITED("concurrent: 2"), "policies.a.concurrent " },
		{ LIMIT("connections: 1"), LIMIT("connections: 2"), "limits.connections " },
		{ LIMIT("connections_per_source: 1"), LIMIT("connections_per_source: 2"),
		    "limits.connections_per_source " },
		{ LIMIT("handshakes_per_source_per_s: 1"), LIMIT("handshakes_per_source_per_s: 2"),
		    "limits.handshakes_per_source_per_s " },
		{ LIMIT("user_requests_per_min: 1"), LIMIT("user_requests_per_min: 2"),
		    "limits.user_requests_per_min " },
		{ LIMIT("user_concurrent: 1"), LIMIT("user_concurrent: 2"),
		    "limits.user_concurrent " },
		{ SOME "store: { grace_s: 0 }\n", SOME "store: { grace_s: 60 }\n",
		    "store.grace_s " },
		{ SOME "sessions: { max_s: 600 }\n", SOME "sessions: { max_s: 601 }\n",
		    "sessions.max_s " },
		{ SOME "limits: { auth_failures_per_s: 100 }\n",
		    SOME "limits: { auth_failures_per_s: 101 }\n", "limits.auth_failures_per_s " },
		{ SOME "audit: { key_days: 30 }\n", SOME "audit: { key_days: 31 }\n",
		    "audit.key_days " },
		{ SOME "store: { rotate_days: 30 }\n", SOME "store: { rotate_days: 0 }\n",
		    "store.rotate_days " },
		{ SOME "keys: { pepper_days: 30 }\n", SOME "keys: { pepper_days: 0 }\n",
		    "keys.pepper_days " },
		{ SOME "sessions: { rotate_days: 30 }\n", SOME "sessions: { rotate_days: 31 }\n",
		    "sessions.rotate_days " },
		{ SOME "retention: { conversations_days: 7 }\n",
		    SOME "retention: { conversations_days: 0 }\n",
		    "retention.conversations_days " },
		{ SOME "retention: { responses_days: 7 }\n",
		    SOME "retention: { responses_days: 8 }\n", "retention.responses_days " },
		{ SOME "retention: { files_days: 7 }\n", SOME "retention: { files_days: 0 }\n",
		    "retention.files_days " },
		{ SOME "retention: { usage_days: 7 }\n", SOME "retention: { usage_days: 8 }\n",
		    "retention.usage_days " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char strong[1024], weak[1024];

		(void)snprintf(strong, sizeof(strong), HEAD "%s", rows[i].strong);
		(void)snprintf(weak, sizeof(weak), HEAD "%s", rows[i].weak);
		assert_weaker(strong, weak, rows[i].named);
		assert_weaker(weak, strong, "");
		assert_weaker(weak, weak, "");
	}
	/* Other algorithms are ones that were not taken before; without machines no list is missed.
	 */
	assert_weaker(HEAD CHECKED("algorithms: [EdDSA]"), HEAD CHECKED("algorithms: [RS256]"),
	    "oidc.0.algorithms ");
	assert_weaker(HEAD MACHINES(", crl_file: /x/crl"), HEAD SOME, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(credentials_are_references),
		cmocka_unit_test(providers_are_taken),
		cmocka_unit_test(entries_of_a_model_are_bounded),
		cmocka_unit_test(addresses_are_parsed),
		cmocka_unit_test(slices_load_back),
		cmocka_unit_test(bad_slices_are_refused),
		cmocka_unit_test(size_is_bounded),
		cmocka_unit_test(weak_connections_are_named),
		cmocka_unit_test(weaker_controls_are_named),
		cmocka_unit_test(each_control_is_named),
		cmocka_unit_test(the_document_is_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
