/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ticker.c: the clock of guests.
 *
 * Runs in: wasm-run, a thread of its own, made before the jail. Trusts: nothing.
 * Owns: the thread. Invariants: while a call is on, the engine's epoch moves once in
 * WASM_TICK_MS; without one the thread comes to rest after QUIET_TICKS, so that an
 * idle worker wakes nobody; a call right after another costs no system call. A call that
 * goes on for SLOW_TICKS gives up its short turns until it is over, so that it is not in the
 * way of those that wake up for a short one.
 * See: ticker.h; base/slice.h; futex(2).
 */
#include "ticker.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK_SIZE (64U << 10)
#define QUIET_TICKS 10 /* goes on ticking for so long after a call */
#define SLOW_TICKS 2
#define LATE_NS 200000L /* a tick that is later than that moves those behind it, too */

static void *tick(void *arg);
static void rest(struct ticker *t);
static void be_slow(struct ticker *t);
static void be_prompt(struct ticker *t);
static void next_tick(struct timespec *at);

struct status
ticker_start(struct ticker *t, struct wasm_engine *engine)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int rc;

	t->engine = engine;
	t->caller = is_ok(slice_read(&t->slice)) ? gettid() : 0;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	rc = pthread_create(&t->thread, &attr, tick, t);
	(void)pthread_attr_destroy(&attr);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		return OK;
	errno = rc;
	return fail_errno();
}

void
ticker_on(struct ticker *t)
{
	be_prompt(t);
	if (++t->calls == 0)
		t->calls++;
	atomic_store(&t->busy, t->calls);
	if (atomic_load(&t->waits) != 0)
		(void)syscall(SYS_futex, &t->busy, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void
ticker_off(struct ticker *t)
{
	atomic_store(&t->busy, 0);
	be_prompt(t);
}

/* If the call ends meanwhile, the next one begins with be_prompt(). */
static void
be_slow(struct ticker *t)
{
	if (t->caller != 0 && is_ok(slice_set(&t->slice, t->caller, SLICE_SLOW_US)))
		atomic_store(&t->slow, 1);
}

static void
be_prompt(struct ticker *t)
{
	if (atomic_load(&t->slow) == 0)
		return;
	atomic_store(&t->slow, 0);
	(void)!is_ok(slice_set(&t->slice, 0, SLICE_GUEST_US));
}

static void *
tick(void *arg)
{
	struct ticker *t = arg;
	struct timespec at;
	uint32_t call = 0, before;
	int quiet = 0, on = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	for (;;) {
		next_tick(&at);
		wasm_engine_tick(t->engine);
		before = call;
		call = atomic_load(&t->busy);
		quiet = call != 0 ? 0 : quiet + 1;
		on = call != 0 && call == before ? on + 1 : 0;
		if (on == SLOW_TICKS - 1)
			be_slow(t);
		if (quiet < QUIET_TICKS)
			continue;
		rest(t);
		quiet = 0;
		(void)clock_gettime(CLOCK_MONOTONIC, &at);
	}
	return NULL;
}

/* `waits` is set before `busy` is looked at again: one of the two sides sees the other. */
static void
rest(struct ticker *t)
{
	atomic_store(&t->waits, 1);
	while (atomic_load(&t->busy) == 0)
		(void)syscall(SYS_futex, &t->busy, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	atomic_store(&t->waits, 0);
}

/*
 * One tick after the last one. Late ones are not made up for: two ticks in a row would end a call
 * before its time; a guest has more time then.
 */
static void
next_tick(struct timespec *at)
{
	const long step = WASM_TICK_MS * 1000000L, second = 1000000000L;
	struct timespec now;

	at->tv_nsec += step;
	if (at->tv_nsec >= second) {
		at->tv_nsec -= second;
		at->tv_sec++;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, at, NULL) == EINTR)
		continue;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - at->tv_sec) * second + now.tv_nsec - at->tv_nsec > LATE_NS)
		*at = now;
}
