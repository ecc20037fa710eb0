/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.c: the two clocks, and RFC 3339 with nine digits.
 *
 * Runs in: every process. Trusts: the kernel's clocks. Owns: nothing.
 * See: base/clock.h.
 */
#include <base/clock.h>

#include <stdio.h>
#include <time.h>

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t
clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t
clock_real_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

void
clock_rfc3339(uint64_t real_ns, char out[CLOCK_RFC3339_LEN + 1])
{
	time_t sec = (time_t)(real_ns / NS_PER_S);
	struct tm tm = { 0 };
	char text[64];

	(void)gmtime_r(&sec, &tm);
	(void)snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ",
	    (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
	    (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
	    (unsigned)tm.tm_sec % 100, (unsigned)(real_ns % NS_PER_S));
	for (size_t i = 0; i < CLOCK_RFC3339_LEN; i++)
		out[i] = text[i];
	out[CLOCK_RFC3339_LEN] = '\0';
}
