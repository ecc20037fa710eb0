/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_S 1000000000ULL
#define NS_PER_MS 1000000ULL
#define CLOCK_RFC3339_LEN 30 /* 2026-01-02T03:04:05.123456789Z */

uint64_t clock_mono_ns(void);
uint64_t clock_real_ns(void);
/* RFC 3339, UTC, nine digits; writes exactly CLOCK_RFC3339_LEN bytes and a NUL. */
void clock_rfc3339(uint64_t real_ns, char out[CLOCK_RFC3339_LEN + 1]);

#endif
