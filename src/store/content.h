/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_CONTENT_H
#define STORE_CONTENT_H

/*
 * What is kept for users: conversations, responses, files, and items of the first two.
 * All of it is sealed under its user's data key, ids included: beside a value stand its user,
 * its kind, times, sizes and keyed hashes for finding it. A value names what its row says of
 * it, so that a row that was moved, swapped or changed is corrupt.
 *
 *	objects  one row each; its value has the meta data
 *	items    one row each; of a response, of a conversation, or of both
 *	chunks   the bytes of files, CONTENT_CHUNK_LEN each
 *
 * Errors: E_NOTFOUND (also: another user's), E_EXISTS, E_FULL (a quota), E_RANGE (too much for
 * one answer), E_DENIED (a credential is in it), E_SYNTAX (the request contradicts itself),
 *E_CORRUPT, E_CRYPTO, E_SYS, E_NOMEM.
 */
#include <base/arena.h>
#include <wire/gateway_store.h>

#include "internal.h"

#define CONTENT_CHUNK_LEN (256U << 10)
#define CONTENT_OBJECTS_MAX 262144 /* of one user */
#define CONTENT_CHAIN_MAX 256      /* responses that one goes on from */
/* Of a conversation: as many as one LOAD brings, so that each can be gone on from. */
#define CONTENT_CONVERSATION_ITEMS_MAX CONTENT_ITEMS_MAX
#define CONTENT_ITEM_COST 128 /* bytes that count for a row beside its text */
#define CONTENT_ARENA_MAX (24U << 20)
#define CONTENT_HASH_LEN 16
/* Bytes of an encoded answer beyond its texts: heads of lists, lengths, an object's numbers. */
#define CONTENT_ANSWER_HEAD 1024
#define CONTENT_ITEM_HEAD (CONTENT_ID_MAX + 16)

struct content_call {
	uint8_t op, kind; /* enum content_op, enum content_kind */
	bool masked;      /* no credential of others may be in it */
	struct span tenant, user;
	struct span target;
	const struct content_request *req;
	uint64_t now_s;
};

struct content_done {
	uint64_t size; /* bytes of texts and files, read or written */
	uint32_t items;
	bool hidden; /* a sweep may take away what was deleted */
};

/*
 * Do it: one transaction, durable on OK. Texts of the answer live in `arena`, whose cap is
 * CONTENT_ARENA_MAX.
 */
MUST_USE struct status content_do(struct db *db, const struct content_call *c, struct arena *arena,
    struct content_answer *ret, struct content_done *ret_done);
/* What the client is told. */
enum error content_error(struct status st);

/* ---- what the files of content share ---- */

struct object {
	int64_t id, user; /* of rows */
	uint8_t kind;
	uint64_t version, created_s, updated_s, expires_s;
	uint64_t size;         /* bytes that count for it; those of its items are theirs */
	struct span public_id; /* in the arena, as are the others */
	uint64_t previous;     /* response: row that it goes on from; 0: none */
	uint64_t conversation; /* response: row; 0: none */
	uint32_t depth;        /* response: of its chain, from 1 */
	uint32_t nitems;       /* response: of its own; conversation: those that show */
	uint64_t length;       /* file: bytes */
	struct span tag;       /* file */
	struct span meta;
};

struct item {
	int64_t id;
	uint64_t response, conversation; /* rows; 0: of none */
	struct content_item shown;
};

/* Of whom, and within what an operation works. */
struct content {
	struct db *db;
	const struct content_call *call;
	struct arena *arena;
	int64_t user;
	bool hold; /* nothing of this user goes: it is hidden */
	struct content_answer *answer;
	struct content_done *done;
};

/* content_object.c: rows of objects. */
MUST_USE struct status object_add(struct content *c, struct object *o);
/* The user's visible object; `kind` 0: any. */
MUST_USE struct status object_find(
    struct content *c, struct span public_id, uint8_t kind, struct object *ret);
MUST_USE struct status object_get(struct content *c, uint64_t id, struct object *ret);
/* Its meta, counts or times have changed: the version counts on. */
MUST_USE struct status object_set(struct content *c, struct object *o);
/*
 * With all that is its alone. Hidden where there is a hold, or where its items are more than
 * OBJECT_AT_ONCE_MAX: a sweep takes those away in steps.
 */
#define OBJECT_AT_ONCE_MAX (8U << 20) /* bytes of items in one transaction */
MUST_USE struct status object_remove(struct content *c, const struct object *o);
/* Behind (before) row `after`; 0: from the first (last). E_NOTFOUND at the end. */
MUST_USE struct status object_next(
    struct content *c, uint8_t kind, struct span tag, uint64_t after, struct object *ret);
void object_show(const struct object *o, struct content_object *ret);
/* Gone for good, whoever asked for it. */
MUST_USE struct status object_drop(
    struct db *db, int64_t user, int64_t id, uint8_t kind, uint64_t size);

/* content_item.c: rows of items. `of` is a response or a conversation. */
MUST_USE struct status items_add(
    struct content *c, const struct wire_list *items, uint64_t response, uint64_t conversation);
/* What an answer has room for. */
struct item_room {
	struct content_item *items;
	uint32_t n, max;
	size_t bytes, bytes_max;
};
MUST_USE struct status item_room_new(struct content *c, uint32_t max, struct item_room *ret);
/* One that was taken away behind our back is missed: E_CORRUPT. */
MUST_USE struct status items_check(struct content *c, const struct object *of);
/* The next one of `of` behind (before) row `at`. E_NOTFOUND at the end. */
MUST_USE struct status item_next(
    struct content *c, const struct object *of, bool back, int64_t at, struct item *ret);
/* All of them, in order; `output`: 0 or 1 alone, or 2 for both. E_RANGE: no room. */
MUST_USE struct status items_all(
    struct content *c, const struct object *of, uint8_t output, struct item_room *room);
/* A page of a list; *ret_more. */
MUST_USE struct status items_page(struct content *c, const struct object *of, uint8_t output,
    struct item_room *room, bool *ret_more);
MUST_USE struct status item_find(
    struct content *c, const struct object *of, struct span public_id, struct item *ret);
MUST_USE struct status item_remove(struct content *c, const struct item *i);
uint64_t items_cost(const struct wire_list *items);
/* How many bytes of items are to be written anew, or away, when it goes? */
MUST_USE struct status items_weight(
    struct db *db, int64_t user, uint64_t object, uint8_t kind, uint64_t *ret_bytes);
/*
 * One of those of an object that goes: it stays where it is of another, too. *ret_bytes: its size.
 * E_NOTFOUND: there is none left.
 */
MUST_USE struct status item_leave(
    struct db *db, int64_t user, uint64_t object, uint8_t kind, uint64_t *ret_bytes);
/* Those of an object that goes: they stay where they are of another, too. *ret_bytes: gone. */
MUST_USE struct status items_leave(
    struct db *db, int64_t user, uint64_t object, uint8_t kind, uint64_t *ret_bytes);

/* content_file.c: bytes of files. */
MUST_USE struct status file_write(struct content *c, const struct object *o, struct span bytes);
/* No more of it than those bytes, and what is beside them in their chunks. */
MUST_USE struct status file_range(
    struct content *c, const struct object *o, uint64_t from, uint64_t len, struct span *ret);
MUST_USE struct status file_read(struct content *c, const struct object *o, struct span *ret);

/* content_turn.c */
MUST_USE struct status content_load(struct content *c);
MUST_USE struct status content_save(struct content *c);

/* content_use.c: what counts for a user. E_FULL: no room for that much more. */
MUST_USE struct status use_add(struct content *c, uint32_t objects, uint64_t bytes);
MUST_USE struct status use_take(struct db *db, int64_t user, uint32_t objects, uint64_t bytes);
/* The next number of a row of that table. */
MUST_USE struct status row_next(struct db *db, const char *table, int64_t *ret);
MUST_USE struct status content_hash(
    struct db *db, const char *label, struct span text, uint8_t out[CONTENT_HASH_LEN]);
/* A copy that lives as long as the answer. */
MUST_USE struct status content_keep(struct content *c, struct span *s);

#endif
