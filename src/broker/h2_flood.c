/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_flood.c: frames of a provider that cost us more than their sender, counted.
 *
 * Runs in: broker. Trusts: nothing. Owns: nothing.
 * Invariants: each kind has its own bucket, so that no honest use of one kind makes another
 * dearer; who empties one loses its connection.
 * See: h2_session.c; CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316.
 */
#include "h2_internal.h"

#define WINDOWS_PER_DATA 4 /* on the stream and on the connection, and as many to spare */

/* So many at once, and so many more a second. */
static const struct {
	uint32_t burst, per_s;
} rows[H2_FLOODS] = {
	[H2_RESETS] = { 200, 100 },
	[H2_SETTINGS] = { 16, 1 },
	[H2_PINGS] = { 100, 10 },
	[H2_EMPTY] = { 100, 10 },
	[H2_WINDOWS] = { 2000, 200 },
	[H2_OTHERS] = { 400, 20 },
};

void
h2_flood_init(struct h2_meter meters[H2_FLOODS], uint64_t now_ms)
{
	for (int i = 0; i < H2_FLOODS; i++)
		meters[i] = (struct h2_meter){ rows[i].burst, now_ms };
}

bool
h2_flood_ok(struct h2_meter meters[H2_FLOODS], enum h2_flood kind, uint64_t now_ms)
{
	struct h2_meter *m = &meters[kind];
	uint64_t more = (now_ms - m->since_ms) * rows[kind].per_s / 1000;

	if (more > 0) {
		m->since_ms = now_ms;
		m->left = more > rows[kind].burst - m->left ? rows[kind].burst
							    : m->left + (uint32_t)more;
	}
	if (m->left == 0)
		return false;
	m->left--;
	return true;
}

void
h2_flood_data_sent(struct h2_meter meters[H2_FLOODS])
{
	struct h2_meter *m = &meters[H2_WINDOWS];

	m->left = m->left + WINDOWS_PER_DATA > rows[H2_WINDOWS].burst ? rows[H2_WINDOWS].burst
								      : m->left + WINDOWS_PER_DATA;
}
