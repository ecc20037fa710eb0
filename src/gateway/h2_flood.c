/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_flood.c: frames that cost us more than their sender, counted.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing.
 * Invariants: each kind has its own bucket, so that no honest use of one kind
 * makes another dearer; an empty bucket ends the connection.
 * See: SECURITY.md; CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316,
 * CVE-2025-8671.
 */
#include "h2.h"

#define WINDOWS_PER_DATA 4 /* on the stream and on the connection, and as many to spare */

/* So many at once, and so many more a second. */
static const struct {
	uint32_t burst, per_s;
} rows[H2_FLOODS] = {
	[H2_RESETS_IN] = { 200, 20 },
	[H2_RESETS_OUT] = { 200, 20 },
	[H2_FAULTS] = { 100, 10 },
	[H2_SETTINGS] = { 16, 1 },
	[H2_PINGS] = { 100, 10 },
	[H2_EMPTY] = { 100, 10 },
	[H2_WINDOWS] = { 2000, 200 },
	[H2_OTHERS] = { 400, 20 },
};

void
h2_flood_init(struct h2 *h, uint64_t now_ms)
{
	for (int i = 0; i < H2_FLOODS; i++)
		h->meters[i] = (struct h2_meter){ rows[i].burst, now_ms };
}

static void
refill(struct h2_meter *m, enum h2_flood kind, uint64_t now_ms)
{
	uint64_t more = (now_ms - m->since_ms) * rows[kind].per_s / 1000;

	if (more == 0)
		return;
	m->since_ms = now_ms;
	m->left = more > rows[kind].burst - m->left ? rows[kind].burst : m->left + (uint32_t)more;
}

bool
h2_flood(struct conn *c, enum h2_flood kind)
{
	struct h2_meter *m = &h2_of(c)->meters[kind];

	refill(m, kind, gateway_now(c->g));
	if (m->left > 0) {
		m->left--;
		return true;
	}
	h2_send_away(c, NGHTTP2_ENHANCE_YOUR_CALM);
	return false;
}

void
h2_flood_data_sent(struct h2 *h)
{
	struct h2_meter *m = &h->meters[H2_WINDOWS];

	m->left = m->left + WINDOWS_PER_DATA > rows[H2_WINDOWS].burst ? rows[H2_WINDOWS].burst
								      : m->left + WINDOWS_PER_DATA;
}
