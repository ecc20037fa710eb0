/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_MULTIPART_H
#define HTTP_MULTIPART_H

/*
 * A form (RFC 7578) whose parts are known by name, read out of a whole body. Nothing is
 * copied. Strict: a part that was not asked for, one twice, one that is encoded or a
 * multipart itself, and delimiters that are not exactly such, are refused.
 */
#include <base/span.h>

#define MULTIPART_BOUNDARY_MAX 70 /* RFC 2046 section 5.1.1 */
#define MULTIPART_PARTS_MAX 8     /* that a caller may ask for */
#define MULTIPART_HEAD_MAX 1024   /* bytes of one part's header fields */
#define MULTIPART_HEAD_FIELDS_MAX 8
#define MULTIPART_AROUND_MAX 1024 /* bytes of preamble and of epilogue, each */
#define MULTIPART_TYPE_MAX 512    /* bytes of the Content-Type field */

/* One part that may come, and what came. */
struct multipart_part {
	const char *name;
	size_t max;           /* bytes */
	bool seen;            /* out */
	struct span filename; /* out: as the form says it, trust nothing; ptr NULL: it is no file */
	struct span body;     /* out: lies within the form's body */
};

/* Is it multipart/form-data at all? Its parameters may be wrong all the same. */
bool multipart_is_form(struct span type);
/*
 * `type` is the Content-Type field's value. Time is linear in the body.
 * Errors: E_SYNTAX, E_EXISTS (a part twice), E_NOTFOUND (one of another name), E_RANGE
 *	   (a limit); *ret_why is a text of a fixed table, *ret_part the part of that
 *	   name, or NULL. What was read before is in `parts`.
 */
MUST_USE struct status multipart_read(struct span type, struct span body,
    struct multipart_part *parts, size_t nparts, const char **ret_why,
    const struct multipart_part **ret_part);

#endif
