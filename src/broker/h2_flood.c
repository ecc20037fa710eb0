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
/* Servers that do not want a body reset its stream with each answer. */
#define RESETS_PER_REQUEST 2

/* So many at once, and so many more a second. */
static const struct {
	uint32_t burst, per_s;
} rows[H2_FLOODS] = {
	[H2_RESETS] = { 200, 20 },
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

static void
allow(struct h2_meter meters[H2_FLOODS], enum h2_flood kind, uint32_t more)
{
	struct h2_meter *m = &meters[kind];

	m->left = more > rows[kind].burst - m->left ? rows[kind].burst : m->left + more;
}

void
h2_flood_data_sent(struct h2_meter meters[H2_FLOODS])
{
	allow(meters, H2_WINDOWS, WINDOWS_PER_DATA);
}

void
h2_flood_request_sent(struct h2_meter meters[H2_FLOODS])
{
	allow(meters, H2_RESETS, RESETS_PER_REQUEST);
}
