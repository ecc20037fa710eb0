/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_LIFE_H
#define TESTS_CRASH_LIFE_H

/*
 * A life in a child process that dies at a call that changes a file, and what it had acknowledged
 * by then (one .c file only: crashpoint.h).
 */
#include "unit.h"

#include <sys/wait.h>

#include "crashpoint.h"

static int crash_acks = -1; /* where the child acknowledges; -1: nobody listens */

/* Not by write(), which is counted. */
static inline void
crash_ack(const void *what, size_t len)
{
	if (crash_acks >= 0 && syscall(SYS_write, crash_acks, what, len) != (long)len)
		_exit(7);
}

/* *ret_fd: what it acknowledges is read there, to its end. Then crash_ended(). */
static inline pid_t
crash_start(void (*life)(void), unsigned at, enum crash_mode mode, int *ret_fd)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		crash_acks = fds[1];
		crash.calls = 0;
		crash.at = at;
		crash.mode = mode;
		life();
		_exit(0);
	}
	assert_true(pid > 0);
	(void)close(fds[1]);
	*ret_fd = fds[0];
	return pid;
}

/* Takes the descriptor. False: it came to its end before the call. */
static inline bool
crash_ended(pid_t pid, int fd)
{
	int status;

	(void)close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		print_error("call %u, mode %d: ended with %x\n", crash.at, (int)crash.mode,
		    (unsigned)status);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return true;
}

#endif
