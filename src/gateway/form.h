/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_FORM_H
#define GATEWAY_FORM_H

/* A body that is a form (multipart/form-data), and what is wrong with it, for its answer. */
#include <http/multipart.h>
#include <wire/errors.h>

struct request;

/*
 * The parts that `parts` names. One that is too long is ERROR_BODY_TOO_LARGE where it is `large`,
 * or any if that is NULL. ERROR_MEDIA_TYPE, ERROR_INVALID_FIELD.
 */
enum error form_read(struct request *r, struct multipart_part *parts, size_t count,
    const struct multipart_part *large);
/* ERROR_INVALID_FIELD, for that part and reason; `part` NULL: of the whole form. */
enum error form_blame(struct request *r, const char *part, const char *why);

#endif
