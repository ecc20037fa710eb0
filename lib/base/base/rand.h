/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stddef.h>

#include <base/status.h>

/* Random bytes from getrandom(2), complete or E_SYS. */
MUST_USE struct status rand_bytes(void *out, size_t len);

#endif
