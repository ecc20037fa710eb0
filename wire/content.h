/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_CONTENT_H
#define WIRE_CONTENT_H

/*
 * What is kept for a user: conversations with their items, responses, files.
 * Every object belongs to one user of one tenant, and only that user's grants reach it.
 */
#include <wire/limits.h>

enum content_kind {
	CONTENT_CONVERSATION = 1,
	CONTENT_ITEM, /* of a conversation */
	CONTENT_RESPONSE,
	CONTENT_FILE,
	CONTENT_KIND_COUNT
};
static const char *const content_kind_names[CONTENT_KIND_COUNT] = { "none", "conversation", "item",
	"response", "file" };

/*
 * The object is the one that the admission names. Items: of a list, or new ones, the id is that
 * of the conversation (kind ITEM) or of the response that was asked with them (kind RESPONSE);
 * of one item it is its own, and `parent` its conversation. A list of files has no id.
 * The answer of CREATE, READ and UPDATE has the one object, but for items; READ of a response
 * has its output as items, READ of an item has that one.
 */
enum content_op {
	CONTENT_CREATE = 1, /* an object; conversation: with its first items; item: into `parent` */
	CONTENT_READ,       /* an object; file: with `meta` alone, see CONTENT_BODY */
	CONTENT_LIST,       /* files; items of `parent`, or of what a response was asked with */
	CONTENT_UPDATE,     /* a conversation's `meta` */
	CONTENT_DELETE,
	CONTENT_BODY, /* the object of a file and its bytes */
	CONTENT_LOAD, /* all items that a turn goes on from: of a conversation, or those of a
			 response and of all before it */
	CONTENT_SAVE, /* a turn: a response, and its items, into its conversation where it has one
		       */
	CONTENT_OP_COUNT
};

/* Of a response: what its client wants. */
enum content_store {
	STORE_NO,
	STORE_DEFAULT, /* not a word: as the key may */
	STORE_ASKED,
	STORE_COUNT
};

/* What a scan of the body found of others' credentials. */
enum content_credentials {
	CREDENTIALS_NONE,
	CREDENTIALS_FOUND,
	CREDENTIALS_MASKED, /* none is left in it */
	CREDENTIALS_COUNT
};
static const char *const content_op_names[CONTENT_OP_COUNT] = { "none", "create", "read", "list",
	"update", "delete", "read_body", "load", "save" };

#define CONTENT_ID_MAX 64             /* prefix and digits: "conv_…" */
#define CONTENT_ID_RANDOM 48          /* hexadecimal digits of one that we made */
#define CONTENT_TAG_MAX 32            /* of a file: its purpose */
#define CONTENT_META_MAX (512U << 10) /* JSON of an object but for its items */
#define CONTENT_ITEM_MAX (4U << 20)   /* JSON of one item */
#define CONTENT_ITEMS_MAX 1024        /* in one request or answer */
#define CONTENT_PAGE_MAX 100          /* of a list */
#define CONTENT_BLOB_MAX (8U << 20)   /* one encoded request or answer; a file's bytes */

#endif
