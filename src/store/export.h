/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_EXPORT_H
#define STORE_EXPORT_H

/*
 * What the files of exports share: a line, and what makes one.
 */
#include <json/json.h>
#include <json/write.h>

#include "privacy.h"
#include "tool.h"

struct export;

/* What a line has at its end, in base64: a page reads what it gives of it. */
struct export_bytes {
	uint64_t len;
	/* `len` of them from `from` on, fewer at the end; in the arena. */
	struct status (*read)(struct export *x, uint64_t from, uint64_t len, struct span *ret);
	struct object file; /* they are this file's */
	uint64_t version;   /* … or of this version of a tool */
	enum tool_part part;
};

/* What a line ends with, one behind the other: items; a page reads those that it gives. */
struct export_list {
	const char *key;
	const char *cut; /* a member: there were more, which do not open */
	uint8_t output;  /* those that are; 2: all */
};

struct export
{
	struct db *db;
	const struct as_export *m;
	int64_t user;
	struct content c;
	struct json_doc doc;
	struct json_writer w;
	struct tool_row tool;
	struct span id; /* of the object that is at hand; empty: not known */
	bool begins;    /* the line is made for its beginning */
	bool has_bytes; /* … and has, before its end, `bytes` */
	struct export_bytes bytes;
	const struct export_list *lists; /* its beginning ends where the first of them begins */
	size_t nlists;
	struct object of; /* … whose they are; its texts are gone */
	uint64_t looked;  /* bytes of items that this page has opened */
};

/* ---- export_things.c ---- */
/* Each writes the members of the thing behind row `after`; E_NOTFOUND: there is none. */
typedef struct status export_stage_fn(struct export *x, uint64_t after, uint64_t *ret_row);
struct export_stage {
	const char *kind;
	export_stage_fn *put;
};
#define EXPORT_STAGES 9
extern const struct export_stage export_stages[EXPORT_STAGES];

void export_member(struct export *x, const char *key, struct span text);
void export_number(struct export *x, const char *key, uint64_t v);
/* JSON, on the line that it is a part of; what is none, as a string. */
void export_value(struct export *x, struct span text);
/* It was changed by others, or its key is gone. */
bool export_is_unreadable(struct status st);

/* ---- export.c ---- */
/* What the page has room for of `text`, from `from` on; *put: so much more of it. */
MUST_USE struct status export_slice(
    struct span text, uint64_t from, uint64_t room, struct buf *page, uint64_t *put);

/* ---- export_items.c ---- */
#define EXPORT_LOOKED_MAX AS_EXPORT_PAGE_MAX /* then the page ends, full or not */
/*
 * What the page has room for of the lists, from `at` on, whose part is not 0; it is 0 again when
 * the line is over. `piece`: room for one item. E_AGAIN: what it stood in is gone.
 */
MUST_USE struct status export_items(
    struct export *x, struct as_exported *at, struct buf *piece, struct buf *page);

#endif
