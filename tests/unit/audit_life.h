/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUDIT_LIFE_H
#define TESTS_AUDIT_LIFE_H

/*
 * The life of an audit process, with its acknowledgements, which a test ends at any call.
 */
#include "audit_fixture.h"

#include <sys/wait.h>

#include "crashpoint.h"
#include <server.h>

static int ack_pipe = -1;

static inline void
on_recorded(struct server *s, uint64_t id, uint64_t seq, bool ok)
{
	(void)s, (void)id, (void)seq, (void)ok;
}

static inline void
on_idle(struct server *s)
{
	(void)s;
}

static inline void
acked(uint64_t seq)
{
	if (ack_pipe >= 0 && syscall(SYS_write, ack_pipe, &seq, sizeof(seq)) != sizeof(seq))
		_exit(7);
}

/* Run `fn` in a child that dies at call `at`. False: it came to its end before that. */
static inline bool
run_killed(void (*fn)(void), unsigned at, enum crash_mode mode, uint64_t *acked_seq)
{
	uint64_t seq;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		ack_pipe = fds[1];
		crash.calls = 0;
		crash.at = at;
		crash.mode = mode;
		fn();
		_exit(0);
	}
	(void)close(fds[1]);
	while (read(fds[0], &seq, sizeof(seq)) == sizeof(seq))
		*acked_seq = seq;
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		test_fail("call %u, mode %d: ended with %x", at, (int)mode, (unsigned)status);
	return true;
}

#endif
