/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_ANSWER_PARTS_H
#define GATEWAY_ANSWER_PARTS_H

/*
 * What answer.c (events) and answer_whole.c (one body) share. a->doc is parsed.
 */
#include "answer.h"
#include "splice.h"

/* Texts of the sums that replace a provider's usage: they live until splices_put(). */
struct answer_sums {
	char in[24], out[24], total[24];
};

/* E_PROTO: no object, an error, or a member that is ours. */
MUST_USE struct status answer_check_root(const struct json_doc *d);
/* Adds the usage of this document to the turn's. E_PROTO. */
MUST_USE struct status answer_read_usage(struct answer *a);
/* Remember id, created and model of the first. */
MUST_USE struct status answer_keep_head(struct answer *a);
/* Steps after the first: put those of the first in their place. */
MUST_USE struct status answer_edit_head(const struct answer *a, struct splices *s);
/* Steps after the first: the usage of the whole turn. */
MUST_USE struct status answer_edit_usage(
    const struct answer *a, struct answer_sums *sums, struct splices *s);
bool answer_reason_runs(const struct json_doc *d, uint32_t reason);
MUST_USE struct status answer_put_steps(struct span json, struct span steps, struct buf *out);
MUST_USE struct status answer_whole_read(struct answer *a);
MUST_USE struct status answer_whole_put(struct answer *a, struct span steps, struct buf *out);

#endif
