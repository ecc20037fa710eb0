/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_flood.c: frames of HTTP/2 that cost us more than their sender, counted.
 *
 * Runs in: gateway, broker. Trusts: nothing. Owns: nothing.
 * Invariants: each kind has its own bucket, so that no honest use of one kind makes another
 * dearer; what becomes of a connection whose bucket is empty is its owner's to say.
 * See: SECURITY.md; CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316, CVE-2025-8671.
 */
#include "http/h2_flood.h"

#include <nghttp2/nghttp2.h>

#define WINDOWS_PER_DATA 4 /* on the stream and on the connection, and as many to spare */
#define RESETS_PER_REQUEST 2

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

static const enum h2_flood frames[] = {
	[NGHTTP2_DATA] = H2_FLOODS,
	[NGHTTP2_HEADERS] = H2_FLOODS,
	[NGHTTP2_PRIORITY] = H2_OTHERS,
	[NGHTTP2_RST_STREAM] = H2_RESETS_IN,
	[NGHTTP2_SETTINGS] = H2_SETTINGS,
	[NGHTTP2_PUSH_PROMISE] = H2_OTHERS,
	[NGHTTP2_PING] = H2_PINGS,
	[NGHTTP2_GOAWAY] = H2_OTHERS,
	[NGHTTP2_WINDOW_UPDATE] = H2_WINDOWS,
	[NGHTTP2_CONTINUATION] = H2_FLOODS,
};

void
h2_flood_init(struct h2_meters *m, uint64_t now_ms)
{
	for (int i = 0; i < H2_FLOODS; i++) {
		m->rows[i].left = rows[i].burst;
		m->rows[i].since_ms = now_ms;
	}
}

enum h2_flood
h2_flood_of_frame(uint8_t type)
{
	return type < sizeof(frames) / sizeof(frames[0]) ? frames[type] : H2_OTHERS;
}

static void
allow(struct h2_meters *m, enum h2_flood kind, uint64_t more)
{
	uint32_t used = rows[kind].burst - m->rows[kind].left;

	m->rows[kind].left += more > used ? used : (uint32_t)more;
}

bool
h2_flood_ok(struct h2_meters *m, enum h2_flood kind, uint64_t now_ms)
{
	uint64_t more;

	if (kind >= H2_FLOODS)
		return true;
	more = (now_ms - m->rows[kind].since_ms) * rows[kind].per_s / 1000;
	if (more > 0) {
		m->rows[kind].since_ms = now_ms;
		allow(m, kind, more);
	}
	if (m->rows[kind].left == 0)
		return false;
	m->rows[kind].left--;
	return true;
}

void
h2_flood_data_sent(struct h2_meters *m)
{
	allow(m, H2_WINDOWS, WINDOWS_PER_DATA);
}

void
h2_flood_request_sent(struct h2_meters *m)
{
	allow(m, H2_RESETS_IN, RESETS_PER_REQUEST);
}
