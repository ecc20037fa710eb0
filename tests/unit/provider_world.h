/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_PROVIDER_WORLD_H
#define TESTS_PROVIDER_WORLD_H

/*
 * Whole calls through a broker to providers on sockets. Credentials come from the test (the linker
 * wraps credential_get and credential_other).
 */
#include "broker_world.h"

#include "origin_server.h"

#define KEY_OLD "sk-old-0123456789"
#define KEY_NEW "sk-new-9876543210"
#define SSE "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
#define HELLO SSE "content-length: 5\r\n\r\nhello"
#define STATUS(line) "HTTP/1.1 " line "\r\ncontent-length: 2\r\n\r\n{}"

static struct origin_server one, two;
static struct buf ca = { .max = CERT_PEM_LEN_MAX }, cert = { .max = CERT_PEM_LEN_MAX };
static struct secret ca_key, cert_key;
static SSL_CTX *tls __attribute__((used)); /* not by all: it is found, and no leak */

/* What credential_get() gives, in turn; those refused are skipped. */
static struct credential_version *versions[3];

struct status __wrap_credential_get(struct credential *c, const struct credential_tried *tried,
    credential_done *done, void *ctx, struct credential_wait **ret_wait,
    struct credential_version **ret);
struct status __real_credential_get(struct credential *c, const struct credential_tried *tried,
    credential_done *done, void *ctx, struct credential_wait **ret_wait,
    struct credential_version **ret);

struct credential_version *__wrap_credential_other(
    const struct credential *c, const struct credential_version *v);

struct status
__wrap_credential_get(struct credential *c, const struct credential_tried *tried,
    credential_done *done, void *ctx, struct credential_wait **ret_wait,
    struct credential_version **ret)
{
	if (versions[0] == NULL)
		return __real_credential_get(c, tried, done, ctx, ret_wait, ret);
	if (tried->count >= COUNT(versions) || versions[tried->count] == NULL)
		return fail(E_NOTFOUND);
	*ret = versions[tried->count];
	credential_ref(*ret);
	return OK;
}

/* The last one that is not the one in use. */
struct credential_version *
__wrap_credential_other(const struct credential *c, const struct credential_version *v)
{
	(void)c;
	for (size_t i = COUNT(versions); i > 0; i--) {
		if (versions[i - 1] != NULL && versions[i - 1] != v) {
			credential_ref(versions[i - 1]);
			return versions[i - 1];
		}
	}
	return NULL;
}

static void UNUSED
hold_version(size_t at, const char *value, const char *name)
{
	auto_secret struct secret s = SECRET_NONE;

	assert_true(is_ok(secret_from_span(span_str(value), &s)));
	assert_true(is_ok(credential_version_new(&s, name, UINT64_MAX, &versions[at])));
}

#define PROVIDER(name, kind, more) name ": {kind: " kind ", credential: none, " more "}"
#define PLAIN "allow_plain_loopback: true, base_url: 'http://127.0.0.1:%u'"
#define SECURE "base_url: 'https://localhost:%u/v1'"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static struct status
configure(const char *providers, const char *entries)
{
	char yaml[2048], p[1024];

	snprintf(p, sizeof(p), providers, one.port, two.port);
	snprintf(yaml, sizeof(yaml), POLICY "providers: {%s}\nmodels: {demo: [%s]}\n", p, entries);
	return world_configure(yaml, buf_span(&ca));
}
#pragma GCC diagnostic pop

#define BOTH PROVIDER("a", "openai", PLAIN) ", " PROVIDER("b", "openai", PLAIN)
#define ENTRY(p) "{provider: " p ", model: real}"

static int
up(void **state)
{
	const struct span sans[] = { SPAN_LIT("localhost") };
	const struct cert_leaf leaf = { .sans = sans, .san_count = 1, .ttl_s = 3600 };

	(void)state;
	world_begin(POLICY "providers: {d: {kind: demo}}\n"
			   "models: {demo: [{provider: d, model: real}]}\n",
	    SPAN_EMPTY);
	if (ca.len == 0) {
		assert_true(is_ok(cert_ca_create(SPAN_LIT("CA"), &ca, &ca_key)));
		assert_true(
		    is_ok(cert_leaf_issue(buf_span(&ca), &ca_key, &leaf, &cert, &cert_key)));
		tls = origin_tls(buf_span(&cert), &cert_key, TLS1_3_VERSION);
	}
	origin_start(&one, &w.loop, NULL);
	origin_start(&two, &w.loop, NULL);
	PLAY(&one, { .text = HELLO });
	PLAY(&two, { .text = HELLO });
	assert_true(is_ok(configure(PROVIDER("o", "openai", PLAIN), ENTRY("o"))));
	return 0;
}

static int
down(void **state)
{
	for (size_t i = 0; i < COUNT(versions); i++) {
		credential_release(versions[i]);
		versions[i] = NULL;
	}
	origin_stop(&one);
	origin_stop(&two);
	return world_down(state);
}

static bool UNUSED
saw(const struct origin_server *s, const char *text)
{
	return memmem(s->seen.ptr, s->seen.len, text, strlen(text)) != NULL;
}

static void UNUSED
expect_answer(uint16_t status, const char *body)
{
	wait_for(&w.closes, 1);
	assert_int_equal(w.failures, 0);
	assert_int_equal(w.closed.code, E_EOF);
	assert_int_equal(w.head.status, status);
	assert_true(span_eq_str(buf_span(&w.body), body));
	wait_for(&w.dones, 1);
	assert_int_equal(w.done.error, ERROR_NONE);
	assert_int_equal(w.done.http_status, status);
}

static void UNUSED
expect_failure(enum error why)
{
	wait_for(&w.closes, 1);
	assert_int_equal(w.heads, 0);
	assert_int_equal(w.failed, why);
	wait_for(&w.dones, 1);
	assert_int_equal(w.done.error, why);
	assert_int_equal(w.body.len, 0);
}

static void UNUSED
expect_cut(enum error why)
{
	wait_for(&w.closes, 1);
	assert_int_equal(w.heads, 1);
	assert_int_equal(w.closed.code, E_CLOSED);
	assert_int_equal(w.closed.err, why);
	wait_for(&w.dones, 1);
	assert_int_equal(w.done.error, why);
}
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

#endif
