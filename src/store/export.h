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
/* It was changed by others, or its key is gone. */
bool export_is_unreadable(struct status st);

#endif
