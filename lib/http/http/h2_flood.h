/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_H2_FLOOD_H
#define HTTP_H2_FLOOD_H

/*
 * Frames of HTTP/2 that cost us more than their sender, counted per connection, of clients and
 * of servers (RFC 9113 §10.5).
 */
#include <stdbool.h>
#include <stdint.h>

#define H2_CONTINUATIONS_MAX 8 /* frames after one HEADERS (CVE-2024-27316) */
#define H2_SETTINGS_MAX 32     /* entries of one SETTINGS */

/* What a peer may do so often only: see rows in h2_flood.c. */
enum h2_flood {
	H2_RESETS_IN,  /* it resets streams (CVE-2023-44487) */
	H2_RESETS_OUT, /* it makes us reset them (CVE-2025-8671) */
	H2_SETTINGS,
	H2_PINGS,
	H2_FAULTS,  /* requests that cannot be parsed: with HTTP/1.1 one ends its connection */
	H2_EMPTY,   /* frames and fields that carry nothing */
	H2_WINDOWS, /* WINDOW_UPDATE, beyond what our DATA gives reason for */
	H2_OTHERS,  /* PRIORITY, GOAWAY, and what nobody knows */
	H2_FLOODS,  /* none of them */
};

struct h2_meters {
	struct {
		uint32_t left;
		uint64_t since_ms;
	} rows[H2_FLOODS];
};

void h2_flood_init(struct h2_meters *m, uint64_t now_ms);
/* Which of them a frame of this type (RFC 9113 §6) is by its coming alone; H2_FLOODS: none. */
enum h2_flood h2_flood_of_frame(uint8_t type);
/* One more. False: too many. H2_FLOODS is never too many. */
bool h2_flood_ok(struct h2_meters *m, enum h2_flood kind, uint64_t now_ms);
/* A frame of DATA left: its receiver may well answer with new windows. */
void h2_flood_data_sent(struct h2_meters *m);
/* A request left: its stream may well be reset, by servers that do not want a body. */
void h2_flood_request_sent(struct h2_meters *m);

#endif
