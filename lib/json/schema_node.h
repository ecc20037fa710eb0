/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JSON_SCHEMA_NODE_H
#define JSON_SCHEMA_NODE_H

/*
 * The compiled form of a schema, between schema.c and schema_keywords.c, which
 * make it, and schema_check.c, which runs it. One node a subschema.
 */
#include <json/schema.h>

#include "internal.h"
#include "regex.h"

/* Bit n of .types: enum json_type n is allowed; an integer is a number, too. */
#define TYPE_INTEGER (1U << 15)
#define TYPE_BIT(t) (1U << (t))
#define TYPE_ANY 0U

/* Bounds of numbers, in .has as 1 << NUM_x. */
enum { NUM_MIN, NUM_MAX, NUM_EX_MIN, NUM_EX_MAX, NUM_MULTIPLE, NUM_COUNT };
/* Bounds of sizes, in .has as 1 << (NUM_COUNT + LEN_x). */
enum { LEN_MIN, LEN_MAX, ITEMS_MIN, ITEMS_MAX, MEMBERS_MIN, MEMBERS_MAX, SIZE_COUNT };

#define HAS_NUMBER ((1U << NUM_COUNT) - 1U)
#define HAS_NUM(n) (1U << (n))
#define HAS_SIZE(n) (1U << (NUM_COUNT + (n)))

struct schema_node;

/* A name in `properties` (node) or `required`, or in both. */
struct schema_member {
	struct span name;
	struct schema_node *node;
	bool required;
};

struct schema_pattern {
	const struct regex *re;
	struct schema_node *node;
};

struct schema_list {
	struct schema_node **node;
	uint32_t len;
};

struct schema_node {
	bool never;      /* the schema false */
	bool unique;     /* uniqueItems */
	uint8_t colour;  /* of the search for circles: 0 new, 1 open, 2 done */
	uint16_t types;  /* TYPE_ANY, or bits */
	uint32_t height; /* of in-place subschemas below */
	uint32_t has;
	uint32_t enum_tok;  /* in the schema's own document, or JSON_NONE */
	uint32_t const_tok; /* likewise */
	uint32_t ref_tok;   /* until it is resolved */
	struct decimal num[NUM_COUNT];
	uint64_t size[SIZE_COUNT];
	const struct regex *pattern;
	struct schema_member *member;
	uint32_t member_len;
	uint16_t *slot; /* hash table: index of a member + 1, or 0 */
	uint32_t slot_mask;
	struct schema_pattern *by_pattern;
	uint32_t by_pattern_len;
	struct schema_node *additional;
	struct schema_node *items;
	struct schema_list prefix;
	struct schema_list all_of;
	struct schema_list any_of;
	struct schema_list one_of;
	struct schema_node *not_;
	struct schema_node *ref;
};

struct schema {
	struct json_doc doc; /* a copy in the arena; never freed by itself */
	const struct schema_node *root;
};

struct schema_compiler {
	struct arena *arena;
	struct schema *schema;
	struct schema_node **by_tok; /* the node of each token that is a schema */
	uint32_t nodes;
	uint32_t fault_tok;
	const char *message;
	const char *keyword; /* from the table of keywords */
};

/* The node of the schema at `tok`; each is compiled once. */
MUST_USE struct status schema_compile_node(
    struct schema_compiler *c, uint32_t tok, struct schema_node **ret);
/* All keywords of the schema object `tok` into `n`. */
MUST_USE struct status schema_compile_keywords(
    struct schema_compiler *c, uint32_t tok, struct schema_node *n);
/* Fill in fault->pointer and the rest from a document and its token. */
void schema_fault_set(struct schema_fault *fault, const struct json_doc *d, uint32_t tok,
    const char *message, const char *keyword);
/* The member of that name (a string of `d`), or NULL. */
struct schema_member *schema_member_find(
    const struct schema_node *n, const struct json_doc *d, uint32_t key);
uint32_t schema_name_hash(struct span raw);

#endif
