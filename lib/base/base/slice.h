/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

/*
 * How long a thread's turn on a core is. Who asks for short turns is let in at once when it
 * wakes, before those with longer ones, and gets no more of the core for it: it is a wish for
 * promptness, not a weight, and takes no privilege (sched(7): sched_runtime of SCHED_OTHER,
 * Linux 6.12). Older kernels take the wish and do nothing.
 */
#include <stdint.h>
#include <sys/types.h>

#include <base/status.h>

#define SLICE_SHORT_US 100 /* the least there is: for those who mostly wait */
#define SLICE_GUEST_US 200 /* of guests, as long as they are quick: never in the way of those */
/*
 * Of guests that go on and on. Still shorter than the kernel's own: a turn is not interrupted
 * before it is over, not even for the kernel's threads, and then at the next tick only.
 */
#define SLICE_SLOW_US 400
#define SLICE_DEFAULT 0 /* the kernel's own, 0.7 ms and more */

/* How a thread is scheduled beside that: kept as it is. */
struct slice {
	uint32_t policy;
	int32_t nice;
	uint64_t flags;
};

/* Of the calling thread. E_SYS; E_UNSUPPORTED: it is not of the kind that has turns. */
MUST_USE struct status slice_read(struct slice *ret);
/* Units: `us` is microseconds, or SLICE_DEFAULT. `tid` 0: the calling thread; its children
 * inherit it. E_SYS. */
MUST_USE struct status slice_set(const struct slice *s, pid_t tid, uint32_t us);

#endif
