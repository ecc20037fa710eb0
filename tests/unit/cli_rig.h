/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CLI_RIG_H
#define TESTS_CLI_RIG_H

/*
 * Commands that speak to a service, with a network, pauses, a clock and a home of the test's own:
 * answers come from a script, and what is said is read from a file (wraps: tests/unit/meson.build).
 */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <remote.h>

#include <base/cleanup.h>
#include <base/clock.h>

const struct command commands[] = { { NULL } };

struct step {
	const char *where; /* "METHOD origin target" */
	unsigned status;
	const char *body; /* NULL: it cannot be reached */
};

static struct {
	struct step steps[16];
	size_t at;
	char origin[256];
	char asked[16][512]; /* bodies */
	char bearer[64];     /* of the last one */
	uint64_t now_s, slept_s;
	size_t naps;
	bool bounded; /* answers are to have an end, in bytes and in time */
} net;
static FILE *real_stderr;
static char home[64], file[128], ca[96], said_path[96];

/* ---- in the place of the network ---- */
struct status __wrap_channel_tls(
    const char *url, struct span ca_pem, int timeout_ms, struct channel *ret, const char **ret_why);
struct status __wrap_exchange_run(struct channel *c, struct exchange *x);
int __wrap_nanosleep(const struct timespec *t, struct timespec *rest);
uint64_t __wrap_clock_real_ns(void);

struct status
__wrap_channel_tls(
    const char *url, struct span ca_pem, int timeout_ms, struct channel *ret, const char **ret_why)
{
	assert_int_equal(ca_pem.len, 2); /* "CA" */
	assert_true(timeout_ms > 0);
	(void)snprintf(net.origin, sizeof(net.origin), "%s", url);
	*ret_why = "cannot be reached";
	*ret = CHANNEL_NONE;
	return OK;
}

struct status
__wrap_exchange_run(struct channel *c, struct exchange *x)
{
	const struct step *s = &net.steps[net.at];
	char where[600];

	assert_true(net.at < COUNT(net.steps) && s->where != NULL);
	assert_true(!net.bounded || (c->until_ns > clock_mono_ns() && x->answer_max <= 1U << 20));
	(void)snprintf(where, sizeof(where), "%s %s %s", x->method, net.origin, x->target);
	assert_string_equal(where, s->where);
	(void)snprintf(net.asked[net.at], sizeof(net.asked[0]), "%.*s", SPAN_FMT(x->body));
	(void)snprintf(net.bearer, sizeof(net.bearer), "%.*s", SPAN_FMT(x->bearer));
	net.at++;
	if (s->body == NULL)
		return fail(E_TIMEOUT);
	x->status = (uint16_t)s->status;
	x->answer = BUF_INIT(1U << 20);
	return buf_put_str(&x->answer, s->body);
}

int
__wrap_nanosleep(const struct timespec *t, struct timespec *rest)
{
	(void)rest;
	net.slept_s += (uint64_t)t->tv_sec;
	net.now_s += (uint64_t)t->tv_sec;
	assert_true(++net.naps < 1000); /* never without an end */
	assert_true(t->tv_sec > 0);
	return 0;
}

uint64_t
__wrap_clock_real_ns(void)
{
	return net.now_s * NS_PER_S;
}

/* ---- rig ---- */
static inline int
begin(void **state)
{
	auto_fd int fd = -1;

	(void)state;
	memset(&net, 0, sizeof(net));
	net.now_s = 1000;
	(void)snprintf(home, sizeof(home), "/tmp/test-cli.XXXXXX");
	assert_non_null(mkdtemp(home));
	(void)snprintf(file, sizeof(file), "%s/.config/sallyport/session", home);
	(void)snprintf(ca, sizeof(ca), "%s/ca.pem", home);
	(void)snprintf(said_path, sizeof(said_path), "%s/said", home);
	fd = creat(ca, 0600);
	assert_true(fd >= 0 && write(fd, "CA", 2) == 2);
	unsetenv("XDG_CONFIG_HOME");
	(void)setenv("HOME", home, 1);
	(void)setenv("SALLYPORT_CA_FILE", ca, 1);
	(void)setenv("SALLYPORT_ISSUER_CA_FILE", ca, 1);
	real_stderr = stderr;
	stderr = fopen(said_path, "we");
	return stderr == NULL;
}

static inline int
end(void **state)
{
	char command[128];

	(void)state;
	(void)fclose(stderr);
	stderr = real_stderr;
	(void)snprintf(command, sizeof(command), "rm -rf %s", home);
	return system(command);
}

static inline const char *
said(void)
{
	static char text[16384];
	auto_fd int fd = open(said_path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	(void)fflush(stderr);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static inline void
assert_said(const char *what)
{
	if (strstr(said(), what) == NULL) {
		print_error("not said: %s\nbut: %s\n", what, said());
		assert_true(false);
	}
}

#endif
