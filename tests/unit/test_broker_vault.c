/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/vault_answer.c: what Vault answers, and what it might; a login's redirects. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <crypto/cert.h>
#include <crypto/crypto.h>
#include <secret_id.h>
#include <vault_answer.h>
#include <vault_internal.h>

static void
a_login_gives_a_token(void **state)
{
	struct vault_auth a = { .token = SECRET_NONE };

	(void)state;
	assert_true(is_ok(vault_auth_parse(
	    SPAN_LIT(
		"{\"request_id\":\"x\",\"data\":null,\"auth\":{\"client_token\":\"hvs.\\u0041b\","
		"\"accessor\":\"acc\",\"lease_duration\":1200,\"renewable\":true}}"),
	    &a)));
	assert_true(secret_eq(&a.token, SPAN_LIT("hvs.Ab")));
	assert_int_equal(a.lease_s, 1200);
	assert_true(a.renewable);
	secret_done(&a.token);
}

static void
a_login_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = { "", "{}", "[]", "null", "{\"auth\":null}",
		"{\"auth\":{}}", "{\"auth\":{\"client_token\":\"t\"}}",
		"{\"auth\":{\"client_token\":1,\"lease_duration\":1}}",
		"{\"auth\":{\"client_token\":\"\",\"lease_duration\":1}}",
		"{\"auth\":{\"client_token\":\"t\",\"lease_duration\":-1}}",
		"{\"auth\":{\"client_token\":\"t\",\"lease_duration\":1e30}}",
		"{\"auth\":{\"client_token\":\"t\",\"lease_duration\":1}}x", "<html>" };
	struct vault_auth a = { .token = SECRET_NONE };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_false(is_ok(vault_auth_parse(span_str(bad[i]), &a)));
		assert_null(a.token.ptr);
	}
}

#define KV2(data, meta)                                                             \
	SPAN_LIT("{\"lease_id\":\"\",\"lease_duration\":0,\"data\":{\"data\":" data \
		 ",\"metadata\":" meta "}}")

static void
a_value_of_kv2_has_its_version(void **state)
{
	struct vault_value v = { .value = SECRET_NONE };

	(void)state;
	assert_true(is_ok(vault_value_parse(
	    KV2("{\"other\":7,\"key\":\"sk-1\\\"\\n\"}", "{\"version\":12,\"destroyed\":false}"),
	    true, SPAN_LIT("key"), &v)));
	assert_true(secret_eq(&v.value, SPAN_LIT("sk-1\"\n")));
	assert_int_equal(v.version, 12);
	secret_done(&v.value);
	/* Names that differ in case are different names. */
	assert_true(is_ok(vault_value_parse(
	    KV2("{\"KEY\":\"a\",\"key\":\"b\"}", "{\"version\":1}"), true, SPAN_LIT("key"), &v)));
	assert_true(secret_eq(&v.value, SPAN_LIT("b")));
	secret_done(&v.value);
	assert_int_equal(
	    vault_value_parse(KV2("{\"other\":7}", "{\"version\":12}"), true, SPAN_LIT("key"), &v)
		.code,
	    E_NOTFOUND);
	assert_int_equal(
	    vault_value_parse(KV2("{\"key\":7}", "{\"version\":12}"), true, SPAN_LIT("key"), &v)
		.code,
	    E_SYNTAX);
	assert_int_equal(
	    vault_value_parse(KV2("null", "{\"version\":12}"), true, SPAN_LIT("key"), &v).code,
	    E_NOTFOUND);
	assert_false(
	    is_ok(vault_value_parse(KV2("{\"key\":\"a\"}", "{}"), true, SPAN_LIT("key"), &v)));
	assert_null(v.value.ptr);
}

static void
a_leased_value_has_its_lease(void **state)
{
	struct vault_value v = { .value = SECRET_NONE };

	(void)state;
	assert_true(is_ok(vault_value_parse(
	    SPAN_LIT(
		"{\"lease_id\":\"database/creds/ro/abc\",\"renewable\":true,\"lease_duration\":300,"
		"\"data\":{\"username\":\"u\",\"password\":\"p-1\"}}"),
	    false, SPAN_LIT("password"), &v)));
	assert_true(secret_eq(&v.value, SPAN_LIT("p-1")));
	assert_string_equal(v.lease, "database/creds/ro/abc");
	assert_int_equal(v.lease_s, 300);
	assert_true(v.renewable);
	secret_done(&v.value);
	/* KV version 1: its duration is no lease. */
	assert_true(
	    is_ok(vault_value_parse(SPAN_LIT("{\"lease_id\":\"\",\"renewable\":false,\"lease_"
					     "duration\":2764800,\"data\":{\"k\":\"v\"}}"),
		false, SPAN_LIT("k"), &v)));
	assert_int_equal(v.lease_s, 0);
	secret_done(&v.value);
	/* Without the field: the lease came all the same, and is to be given back. */
	assert_int_equal(
	    vault_value_parse(SPAN_LIT("{\"lease_id\":\"database/creds/ro/abd\",\"renewable\":true,"
				       "\"lease_duration\":300,\"data\":{\"username\":\"u\"}}"),
		false, SPAN_LIT("password"), &v)
		.code,
	    E_NOTFOUND);
	assert_null(v.value.ptr);
	assert_string_equal(v.lease, "database/creds/ro/abd");
	assert_int_equal(v.lease_s, 300);
	assert_false(is_ok(vault_value_parse(
	    SPAN_LIT("{\"lease_id\":7,\"lease_duration\":300}"), false, SPAN_LIT("k"), &v)));
	assert_string_equal(v.lease, "");
	assert_int_equal(v.lease_s, 0);
}

static void
a_token_has_its_accessor(void **state)
{
	struct vault_auth a = { .token = SECRET_NONE };

	(void)state;
	assert_true(is_ok(
	    vault_auth_parse(SPAN_LIT("{\"auth\":{\"client_token\":\"hvs.x\",\"accessor\":\"Ab12\","
				      "\"lease_duration\":60}}"),
		&a)));
	assert_string_equal(a.accessor, "Ab12");
	secret_done(&a.token);
	/* It only names the token: without one, or with a strange one, we go on. */
	assert_true(is_ok(
	    vault_auth_parse(SPAN_LIT("{\"auth\":{\"client_token\":\"hvs.x\",\"accessor\":[1],"
				      "\"lease_duration\":60}}"),
		&a)));
	assert_string_equal(a.accessor, "");
	secret_done(&a.token);
}

static void
mounts_are_told_apart(void **state)
{
	struct vault_mount m;

	(void)state;
	assert_true(is_ok(
	    vault_mount_parse(SPAN_LIT("{\"data\":{\"path\":\"team/kv/"
				       "\",\"type\":\"kv\",\"options\":{\"version\":\"2\"}}}"),
		&m)));
	assert_true(m.kv2);
	assert_string_equal(m.path, "team/kv/");
	assert_true(is_ok(vault_mount_parse(
	    SPAN_LIT("{\"data\":{\"path\":\"kv/\",\"type\":\"kv\",\"options\":null}}"), &m)));
	assert_false(m.kv2);
	assert_true(is_ok(vault_mount_parse(
	    SPAN_LIT("{\"data\":{\"path\":\"database/"
		     "\",\"type\":\"database\",\"options\":{\"version\":\"2\"}}}"),
	    &m)));
	assert_false(m.kv2);
	assert_false(is_ok(vault_mount_parse(SPAN_LIT("{\"data\":{\"path\":\"kv\"}}"), &m)));
	assert_false(is_ok(vault_mount_parse(SPAN_LIT("{\"data\":{\"path\":\"\"}}"), &m)));
	assert_false(is_ok(vault_mount_parse(SPAN_LIT("{\"data\":null}"), &m)));
}

static void
metadata_tells_the_version_and_its_end(void **state)
{
	uint64_t n;

	(void)state;
	assert_true(is_ok(
	    vault_metadata_parse(SPAN_LIT("{\"data\":{\"current_version\":3,\"versions\":{\"2\":{"
					  "\"deletion_time\":\"x\",\"destroyed\":true},"
					  "\"3\":{\"deletion_time\":\"\",\"destroyed\":false}}}}"),
		&n)));
	assert_int_equal(n, 3);
	assert_true(is_ok(vault_metadata_parse(
	    SPAN_LIT("{\"data\":{\"current_version\":3,\"versions\":{\"3\":{\"deletion_time\":"
		     "\"2026-01-01T00:00:00Z\",\"destroyed\":false}}}}"),
	    &n)));
	assert_int_equal(n, 0);
	assert_true(is_ok(
	    vault_metadata_parse(SPAN_LIT("{\"data\":{\"current_version\":3,\"versions\":{\"3\":{"
					  "\"deletion_time\":\"\",\"destroyed\":true}}}}"),
		&n)));
	assert_int_equal(n, 0);
	assert_false(
	    is_ok(vault_metadata_parse(SPAN_LIT("{\"data\":{\"current_version\":3}}"), &n)));
	assert_false(is_ok(vault_metadata_parse(SPAN_LIT("{\"data\":{}}"), &n)));
}

#define LOOKUP(path) SPAN_LIT("{\"data\":{\"creation_path\":\"" path "\",\"creation_ttl\":60}}")

static void
a_wrapping_token_of_another_path_is_refused(void **state)
{
	struct span mount = SPAN_LIT("approle");
	struct secret s = SECRET_NONE;

	(void)state;
	assert_true(is_ok(vault_wrapping_check(LOOKUP("auth/approle/role/b/secret-id"), mount)));
	assert_int_equal(vault_wrapping_check(LOOKUP("secret/data/x"), mount).code, E_DENIED);
	assert_int_equal(
	    vault_wrapping_check(LOOKUP("auth/approle2/role/b/secret-id"), mount).code, E_DENIED);
	assert_int_equal(
	    vault_wrapping_check(LOOKUP("auth/approle/role/secret-id"), mount).code, E_DENIED);
	assert_int_equal(
	    vault_wrapping_check(LOOKUP("auth/approle/role/b/role-id"), mount).code, E_DENIED);
	assert_int_equal(vault_wrapping_check(LOOKUP(""), mount).code, E_DENIED);
	assert_int_equal(vault_wrapping_check(SPAN_LIT("{\"data\":{}}"), mount).code, E_SYNTAX);
	assert_true(
	    is_ok(vault_secret_id_parse(SPAN_LIT("{\"data\":{\"secret_id\":\"s-1\"}}"), &s)));
	assert_true(secret_eq(&s, SPAN_LIT("s-1")));
	secret_done(&s);
	assert_false(is_ok(vault_secret_id_parse(SPAN_LIT("{\"data\":{}}"), &s)));
}

/* The memory that outlives a broker: opened by who has the same master key, and by no other. */
static void
a_secret_id_is_kept_for_who_comes_after(void **state)
{
	auto_secret struct secret master = SECRET_NONE, other = SECRET_NONE, w = SECRET_NONE,
				  id = SECRET_NONE, got_w = SECRET_NONE, got_id = SECRET_NONE;
	int fd = memfd_create("kept", MFD_CLOEXEC);
	uint8_t raw[512];
	ssize_t n;

	(void)state;
	assert_true(is_ok(secret_random(32, &master)));
	assert_true(is_ok(secret_random(32, &other)));
	assert_true(is_ok(secret_from_span(SPAN_LIT("hvs.wrapping"), &w)));
	assert_true(is_ok(secret_from_span(SPAN_LIT("the-secret-id"), &id)));
	assert_true(is_ok(secret_id_init(&master, -1)));
	assert_int_equal(secret_id_put(&w, &id).code, E_NOTFOUND);
	assert_true(is_ok(secret_id_init(&master, fd)));
	assert_int_equal(secret_id_get(&got_w, &got_id).code, E_NOTFOUND);
	assert_true(is_ok(secret_id_put(&w, &id)));
	n = pread(fd, raw, sizeof(raw), 0);
	assert_true(n > 0 && memmem(raw, (size_t)n, "the-secret-id", 13) == NULL);
	assert_true(is_ok(secret_id_put(&w, &id))); /* over it */
	assert_int_equal(pread(fd, raw, sizeof(raw), 0), n);
	assert_true(is_ok(secret_id_get(&got_w, &got_id)));
	assert_true(secret_eq(&got_w, SPAN_LIT("hvs.wrapping")));
	assert_true(secret_eq(&got_id, SPAN_LIT("the-secret-id")));
	secret_done(&got_w);
	secret_done(&got_id);
	assert_true(is_ok(secret_id_init(&other, fd)));
	assert_int_equal(secret_id_get(&got_w, &got_id).code, E_CRYPTO);
	assert_true(is_ok(secret_id_init(&master, fd)));
	raw[70] ^= 1; /* another byte in any case */
	assert_int_equal(pwrite(fd, raw + 70, 1, 70), 1);
	assert_int_equal(secret_id_get(&got_w, &got_id).code, E_CRYPTO);
	assert_int_equal(ftruncate(fd, 3), 0);
	assert_int_equal(secret_id_get(&got_w, &got_id).code, E_SYNTAX);
	assert_null(got_w.ptr);
	assert_null(got_id.ptr);
	(void)close(fd);
}

/* ---- redirects of a login ---- */
static struct {
	fetch_done *done;
	void *ctx;
	struct upstream *to;
	unsigned n;
} asked;

struct status __wrap_fetch_start(uv_loop_t *loop, struct upstream *u, struct fetch_request *r,
    fetch_done *done, void *ctx, struct fetch **ret);

struct status
__wrap_fetch_start(uv_loop_t *loop, struct upstream *u, struct fetch_request *r, fetch_done *done,
    void *ctx, struct fetch **ret)
{
	(void)loop;
	fetch_request_done(r);
	asked.done = done;
	asked.ctx = ctx;
	asked.to = u;
	asked.n++;
	*ret = NULL;
	return OK;
}

static void
answer_login(uint16_t status, const char *location)
{
	struct fetch_answer a = { .status = status,
		.body = SPAN_LIT("{\"auth\":{\"client_token\":\"hvs.b\",\"lease_duration\":60}}") };

	assert_true(strlen(location) < sizeof(a.location));
	memcpy(a.location, location, strlen(location));
	asked.done(asked.ctx, OK, &a);
}

static void
begin_login(struct vault *v)
{
	v->session.login = vault_prepare(&v->session);
	assert_int_equal(v->session.login, SESSION_RENEW);
	asked.n = 0;
	vault_login(&v->session);
	assert_int_equal(asked.n, 1);
}

/* Two hosts that each lead to the other: the login fails, and waits as after any failure. */
static void
a_login_follows_one_redirect(void **state)
{
	static const char here[] = "https://127.0.0.1:8201/v1/x",
			  there[] = "https://127.0.0.1:8202/v1/x";
	auto_buf struct buf ca = BUF_INIT(CERT_PEM_LEN_MAX);
	auto_secret struct secret ca_key = SECRET_NONE;
	struct vault *v = calloc(1, sizeof(*v));
	uv_loop_t loop;
	struct daemon d = { .loop = &loop };
	struct broker b = { .d = &d };
	struct upstream_opts o = { .loop = &loop };

	(void)state;
	assert_non_null(v);
	assert_int_equal(uv_loop_init(&loop), 0);
	session_init(&v->session, &vault_session_ops, &b);
	assert_true(is_ok(cert_ca_create(SPAN_LIT("test CA"), &ca, &ca_key)));
	o.ca_pem = buf_span(&ca);
	v->session.method = "cert";
	v->nredirects = 1;
	o.url = "https://127.0.0.1:8201";
	assert_true(is_ok(upstream_new(&o, &v->upstreams[0])));
	o.url = "https://127.0.0.1:8202";
	assert_true(is_ok(upstream_new(&o, &v->upstreams[1])));
	assert_true(is_ok(secret_from_span(SPAN_LIT("hvs.a"), &v->token)));
	v->renewable = v->session.held = true;
	v->login_ms = uv_now(&loop);
	v->session.end_ms = UINT64_MAX;
	begin_login(v);
	answer_login(307, there);
	assert_int_equal(asked.n, 2);
	assert_ptr_equal(asked.to, v->upstreams[1]);
	assert_int_equal(v->session.failures, 0);
	answer_login(307, here);
	assert_int_equal(asked.n, 2);
	assert_int_equal(v->session.failures, 1);
	assert_int_equal(v->session.fault, SECRET_UNREACHABLE);
	assert_false(v->session.refused);
	assert_true(v->session.not_before_ms > uv_now(&loop));
	/* The next login may be led elsewhere again. */
	begin_login(v);
	answer_login(307, here);
	assert_int_equal(asked.n, 2);
	assert_ptr_equal(asked.to, v->upstreams[0]);
	answer_login(200, "");
	assert_int_equal(asked.n, 2);
	assert_int_equal(v->session.failures, 0);
	assert_int_equal(v->session.fault, SECRET_FAULT_NONE);
	assert_true(secret_eq(&v->token, SPAN_LIT("hvs.b")));
	vault_free(v);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* ---- transit ---- */
static void
a_key_comes_wrapped_and_goes_unwrapped(void **state)
{
	struct secret s = SECRET_NONE;
	uint64_t version = 0;

	(void)state;
	assert_true(is_ok(vault_ciphertext_parse(
	    SPAN_LIT("{\"data\":{\"ciphertext\":\"vault:v12:AAb\\/+=\",\"key_version\":12}}"), &s,
	    &version)));
	assert_true(secret_eq(&s, SPAN_LIT("vault:v12:AAb/+=")));
	assert_int_equal(version, 12);
	secret_done(&s);
	assert_true(is_ok(
	    vault_plaintext_parse(SPAN_LIT("{\"data\":{\"plaintext\":\"AAECAw==\"}}"), 4, &s)));
	assert_true(secret_eq(&s, span_of("\0\1\2\3", 4)));
	secret_done(&s);
}

static void
what_transit_does_not_answer_is_refused(void **state)
{
	static const char *const ciphertexts[] = { "", "[]", "{}", "{\"data\":null}",
		"{\"data\":{\"ciphertext\":null}}", "{\"data\":{\"ciphertext\":7}}",
		"{\"data\":{\"ciphertext\":\"\"}}", "{\"data\":{\"ciphertext\":\"AAAA\"}}",
		"{\"data\":{\"ciphertext\":\"vault:v\"}}",
		"{\"data\":{\"ciphertext\":\"vault:v:AA\"}}",
		"{\"data\":{\"ciphertext\":\"vault:v1:\"}}",
		"{\"data\":{\"ciphertext\":\"vault:v1AA\"}}",
		"{\"data\":{\"ciphertext\":\"vault:v-1:AA\"}}",
		"{\"data\":{\"ciphertext\":\"vault:v99999999999:AA\"}}",
		"{\"data\":{\"ciphertext\":\"vault:v1:A\\nA\"}}",
		"{\"data\":{\"ciphertext\":\"vault:v1:A A\"}}",
		"{\"ciphertext\":\"vault:v1:AA\"}" };
	static const char *const plaintexts[] = { "", "{}", "{\"data\":{\"plaintext\":\"\"}}",
		"{\"data\":{\"plaintext\":\"AA\"}}", "{\"data\":{\"plaintext\":\"AA=\"}}",
		"{\"data\":{\"plaintext\":\"A A=\"}}", "{\"data\":{\"plaintext\":\"AAAAAAA=\"}}",
		"{\"data\":{\"plaintext\":[\"AA==\"]}}",
		"{\"data\":{\"plaintext\":\"\\u0000A==\"}}" };
	static char longest[VAULT_CIPHERTEXT_MAX + 64];
	struct secret s = SECRET_NONE;
	uint64_t version;

	(void)state;
	for (size_t i = 0; i < COUNT(ciphertexts); i++)
		assert_false(is_ok(vault_ciphertext_parse(span_str(ciphertexts[i]), &s, &version)));
	for (size_t i = 0; i < COUNT(plaintexts); i++)
		assert_false(is_ok(vault_plaintext_parse(span_str(plaintexts[i]), 4, &s)));
	(void)snprintf(longest, sizeof(longest), "{\"data\":{\"ciphertext\":\"vault:v1:%0*d\"}}",
	    VAULT_CIPHERTEXT_MAX - 8, 7);
	assert_false(is_ok(vault_ciphertext_parse(span_str(longest), &s, &version)));
	(void)snprintf(longest, sizeof(longest), "{\"data\":{\"ciphertext\":\"vault:v1:%0*d\"}}",
	    VAULT_CIPHERTEXT_MAX - 9, 7);
	assert_true(is_ok(vault_ciphertext_parse(span_str(longest), &s, &version)));
	secret_done(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_login_gives_a_token),
		cmocka_unit_test(a_login_that_is_none_is_refused),
		cmocka_unit_test(a_value_of_kv2_has_its_version),
		cmocka_unit_test(a_leased_value_has_its_lease),
		cmocka_unit_test(a_token_has_its_accessor),
		cmocka_unit_test(mounts_are_told_apart),
		cmocka_unit_test(metadata_tells_the_version_and_its_end),
		cmocka_unit_test(a_wrapping_token_of_another_path_is_refused),
		cmocka_unit_test(a_secret_id_is_kept_for_who_comes_after),
		cmocka_unit_test(a_login_follows_one_redirect),
		cmocka_unit_test(a_key_comes_wrapped_and_goes_unwrapped),
		cmocka_unit_test(what_transit_does_not_answer_is_refused),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
