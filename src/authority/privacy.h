/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_PRIVACY_H
#define AUTHORITY_PRIVACY_H

/*
 * What is kept of a person, given out or destroyed. Whether it may be done, and its records
 * (Erased, Exported), are the caller's: an intent before, an outcome when `done` runs.
 */
#include <wire/authority_store.h>

struct authority;

/* What went for its age, and is not on record yet: of each kind, and of files at their own end. */
struct retained {
	uint64_t rows;
	uint64_t telling; /* of them, in a record that is being written */
	uint32_t days;
	uint8_t kind;
};

/*
 * Erase: once `code` is E_OK nothing of the user can be read any more, its keys are good for
 * nothing and its turns end. E_NOTFOUND; E_DENIED: a legal hold; E_CLOSED, E_TIMEOUT: not known.
 * `waits`: the keys stay in the database's file until the backup that is being made is over.
 * `done` runs once, later, when this returns OK. E_CLOSED (the store is away), E_NOMEM.
 */
typedef void privacy_erased(
    struct authority *a, void *ctx, enum code code, uint64_t rows, bool waits);
MUST_USE struct status privacy_erase(
    struct authority *a, struct span tenant, struct span user, privacy_erased *done, void *ctx);

/*
 * Export, a page: `m` is all zero but for its names, then stage, row and offset of the page
 * before. `page` (NULL unless `code` is E_OK) lives until `done` returns. E_AGAIN: begin anew.
 */
typedef void privacy_page(
    struct authority *a, void *ctx, enum code code, const struct as_exported *page);
MUST_USE struct status privacy_export(
    struct authority *a, const struct as_export *m, privacy_page *done, void *ctx);

#endif
