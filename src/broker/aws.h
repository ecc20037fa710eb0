/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_AWS_H
#define BROKER_AWS_H

/* AWS Secrets Manager as a source of credentials; see source.h. */
#include "source.h"
#include "upstream.h"

struct broker;
struct aws;

#define AWS_KEYS_AGE_MAX_MS LIFETIME_AGE_MAX_MS /* then they are read anew */
#define AWS_KEYS_EARLY_MS 300000                /* before their end */

extern const struct source_ops aws_ops;

/*
 * NULL in *ret where the configuration has no section `aws`. Connects when the first job comes.
 * On failure *ret_what names the key that is to blame.
 */
MUST_USE struct status aws_new(struct broker *b, struct aws **ret, const char **ret_what);
/* State: no job is under way. NULL is fine. It may go on for a moment after the call. */
void aws_free(struct aws *a);

#endif
