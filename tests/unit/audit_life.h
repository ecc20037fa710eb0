/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUDIT_LIFE_H
#define TESTS_AUDIT_LIFE_H

/*
 * The life of an audit process, with its acknowledgements, which a test ends at any call.
 */
#include "audit_fixture.h"
#include "crash_life.h"

#include <server.h>

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
	crash_ack(&seq, sizeof(seq));
}

/* Run `fn` in a child that dies at call `at`. False: it came to its end before that. */
static inline bool
run_killed(void (*fn)(void), unsigned at, enum crash_mode mode, uint64_t *acked_seq)
{
	uint64_t seq;
	int fd;
	pid_t pid = crash_start(fn, at, mode, &fd);

	while (read(fd, &seq, sizeof(seq)) == sizeof(seq))
		*acked_seq = seq;
	return crash_ended(pid, fd);
}

#endif
