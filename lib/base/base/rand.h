/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

#include <base/status.h>

#define RAND_POOL_LEN 4096 /* what is fetched at once */

/* Random bytes from getrandom(2), complete or E_SYS. */
MUST_USE struct status rand_bytes(void *out, size_t len);

/*
 * The same for many small pieces: each byte is given out once, and wiped here. Begins as zeros.
 * State: of one process and thread; not to be used on both sides of a fork(2).
 */
struct rand_pool {
	size_t left;
	uint8_t bytes[RAND_POOL_LEN];
};
/* Units: len is 1..RAND_POOL_LEN. E_RANGE, E_SYS. */
MUST_USE struct status rand_pool_take(struct rand_pool *p, void *out, size_t len);

#endif
