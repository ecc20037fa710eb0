/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_RUN_TICKER_H
#define WASM_RUN_TICKER_H

/* A thread that counts time for the guest's deadline while a call is on, and sleeps else. */
#include <pthread.h>
#include <stdatomic.h>

#include <base/slice.h>
#include <wasm/run.h>

struct ticker {
	struct wasm_engine *engine;
	pthread_t thread;
	uint32_t calls;
	_Atomic uint32_t busy;  /* which call is on; 0: none */
	_Atomic uint32_t waits; /* asleep until `busy` changes: to be woken */
	struct slice slice;     /* of the thread that runs calls */
	pid_t caller;           /* that thread; 0: its turns stay as they are */
	_Atomic uint32_t slow;  /* its call took long: its turns are the kernel's */
};

/* Starts the thread, which lives as long as the process. E_SYS. */
MUST_USE struct status ticker_start(struct ticker *t, struct wasm_engine *engine);
void ticker_on(struct ticker *t);
void ticker_off(struct ticker *t);

#endif
