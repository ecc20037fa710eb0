/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/tls and lib/crypto in a process that dies when it opens a file: after
 * crypto_init() and tls_init(), and nothing else, everything must work. A
 * program of its own, so that no other test has loaded anything before.
 */
#include "unit.h"

#include <tls/tls.h>

#include <base/cleanup.h>
#include <base/rand.h>
#include <crypto/cert.h>
#include <crypto/crypto.h>
#include <crypto/note.h>
#include <crypto/seal.h>

#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_MAX 1000

/* What a child leaves with, where not 0: the step that failed. */
enum step {
	STEP_INIT = 1,
	STEP_JAIL,
	STEP_CRYPTO,
	STEP_CERT,
	STEP_TLS,
};

static bool
jail_enter(void)
{
	static const int calls[] = { SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2) };
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	bool ok = filter != NULL;

	for (size_t i = 0; i < COUNT(calls) && ok; i++)
		ok = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, calls[i], 0) == 0;
	ok = ok && seccomp_load(filter) == 0;
	seccomp_release(filter);
	return ok;
}

static struct status
use_crypto(void)
{
	auto_secret struct secret key = SECRET_NONE, raw = SECRET_NONE;
	auto_buf struct buf blob = BUF_INIT(4096), plain = BUF_INIT(4096), note = BUF_INIT(4096);
	struct note_verifier v;
	struct sign_key *sign = NULL;
	struct span text = SPAN_LIT("text\n");
	uint8_t pub[ED25519_KEY_LEN];

	TRY(secret_random(SEAL_KEY_LEN, &key));
	TRY(seal(&key, SPAN_EMPTY, text, &blob));
	TRY(seal_open(&key, SPAN_EMPTY, buf_span(&blob), &plain));
	TRY(sign_key_generate(&raw));
	TRY(sign_key_new(&raw, &sign));
	sign_key_public(sign, pub);
	TRY(note_sign(text, SPAN_LIT("name"), sign, &note));
	sign_key_free(sign);
	TRY(note_verifier_init(&v, SPAN_LIT("name"), pub));
	return note_verify(buf_span(&note), &v, &text);
}

static struct status
talk(struct tls_conn *server, struct tls_conn *client)
{
	struct status s = fail(E_AGAIN), c = fail(E_AGAIN);
	char byte;
	size_t n;

	for (int i = 0; i < ROUNDS_MAX && (s.code == E_AGAIN || c.code == E_AGAIN); i++) {
		c = tls_handshake(client);
		s = tls_handshake(server);
	}
	TRY(s);
	TRY(c);
	TRY(tls_write(server, SPAN_LIT("x"), &n));
	return tls_read(client, &byte, 1, &n);
}

static struct status
use_tls(const struct buf *ca, const struct buf *cert, const struct secret *key)
{
	uint8_t ticket_key[TLS_TICKET_KEY_LEN];
	const struct tls_server_opts so = { .cert_pem = buf_span(cert),
		.key_pem = secret_borrow(key),
		.ticket_key = span_of(ticket_key, sizeof(ticket_key)) };
	const struct tls_client_opts co = { .ca_pem = buf_span(ca) };
	struct tls_ctx *sctx = NULL, *cctx = NULL;
	struct tls_conn *server = NULL, *client = NULL;
	struct status st;
	int fd[2];

	TRY(rand_bytes(ticket_key, sizeof(ticket_key)));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) != 0)
		return fail_errno();
	TRY(tls_server_ctx_new(&so, &sctx));
	TRY(tls_client_ctx_new(&co, &cctx));
	TRY(tls_accept_new(sctx, fd[0], &server));
	TRY(tls_connect_new(cctx, fd[1], SPAN_LIT("localhost"), &client));
	st = talk(server, client);
	tls_conn_free(server);
	tls_conn_free(client);
	tls_ctx_free(sctx);
	tls_ctx_free(cctx);
	return st;
}

static int
child(void)
{
	const struct span san = SPAN_LIT("localhost");
	const struct cert_leaf leaf = { .sans = &san, .san_count = 1, .ttl_s = 60 };
	struct buf ca = BUF_INIT(CERT_PEM_LEN_MAX), cert = BUF_INIT(CERT_PEM_LEN_MAX);
	struct secret ca_key = SECRET_NONE, key = SECRET_NONE;

	if (!is_ok(crypto_init()) || !is_ok(tls_init()))
		return STEP_INIT;
	if (!jail_enter())
		return STEP_JAIL;
	if (!is_ok(use_crypto()))
		return STEP_CRYPTO;
	if (!is_ok(cert_ca_create(SPAN_LIT("CA"), &ca, &ca_key)) ||
	    !is_ok(cert_leaf_issue(buf_span(&ca), &ca_key, &leaf, &cert, &key)))
		return STEP_CERT;
	return is_ok(use_tls(&ca, &cert, &key)) ? 0 : STEP_TLS;
}

static int
run(int (*body)(void))
{
	int wstatus = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(body());
	assert_int_equal(waitpid(pid, &wstatus, 0), pid);
	return wstatus;
}

static void
nothing_is_opened_after_init(void **state)
{
	int w = run(child);

	(void)state;
	assert_true(WIFEXITED(w));
	assert_int_equal(WEXITSTATUS(w), 0);
}

static int
opens_a_file(void)
{
	if (!jail_enter())
		return STEP_JAIL;
	return open("/dev/null", O_RDONLY) < 0; /* not reached */
}

static void
the_jail_would_tell(void **state)
{
	int w = run(opens_a_file);

	(void)state;
	assert_true(WIFSIGNALED(w));
	assert_int_equal(WTERMSIG(w), SIGSYS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_opened_after_init),
		cmocka_unit_test(the_jail_would_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
