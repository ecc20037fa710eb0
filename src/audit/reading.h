/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_READING_H
#define AUDIT_READING_H

/*
 * Records of the log, as they are in it, for who may see them: a bounded page.
 */
#include <wire/authority_audit.h>

#include "log.h"

/*
 * What m asks for, of what is durable; at most AA_PAGE_MAX bytes of the log are looked at besides
 * those of finding the place. ret->lines lives until the next call.
 * Errors: E_SYS, E_CORRUPT (a line that is no record).
 */
MUST_USE struct status reading_page(
    const struct log *l, const struct aa_read *m, struct aa_page *ret);

#endif
