/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_H2_FIELDS_H
#define HTTP_H2_FIELDS_H

/* Inside lib/http only: what fields of HTTP/2 have in common, in requests and in answers. */
#include <http/http.h>

#define H2_FIELD_REST 4  /* of a field line beside its bytes: colon, blank, CR and LF */
#define H2_FIELD_COST 32 /* of a field beside its bytes (RFC 9113 §6.5.2) */

/* Name and value of a field that may be there: a token without upper case, not about a connection
 * (RFC 9113 §8.2). */
bool http_h2_field_ok(struct span name, struct span value);
/* The same for a trailer, which may not frame the message either. */
bool http_h2_trailer_ok(struct span name, struct span value);

#endif
