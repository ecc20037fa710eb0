/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice.c: ask the scheduler for short turns.
 *
 * Runs in: supervisor, whose children inherit it; the spawner's children; wasm-run.
 * Trusts: the kernel. Owns: nothing.
 * See: slice.h; sched_setattr(2), which glibc has no name for.
 */
#include <base/slice.h>

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's, version 0. */
struct attr {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

struct status
slice_read(struct slice *ret)
{
	struct attr a = { .size = sizeof(a) };

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) != 0)
		return fail_errno();
	if (a.policy != SCHED_OTHER && a.policy != SCHED_BATCH)
		return fail(E_UNSUPPORTED);
	*ret = (struct slice){ .policy = a.policy, .nice = a.nice, .flags = a.flags };
	return OK;
}

struct status
slice_set(const struct slice *s, pid_t tid, uint32_t us)
{
	const struct attr a = { .size = sizeof(a),
		.policy = s->policy,
		.flags = s->flags,
		.nice = s->nice,
		.runtime_ns = us * 1000ULL };

	return syscall(SYS_sched_setattr, tid, &a, 0) == 0 ? OK : fail_errno();
}
