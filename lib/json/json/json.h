/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JSON_JSON_H
#define JSON_JSON_H

/*
 * Strict JSON (RFC 8259) as a tape of tokens over the caller's bytes.
 *
 * Nothing is copied: the source must outlive the document and stay unchanged.
 * A value is named by the index of its token ("tok" below); the root is 0. An
 * object's members are pairs of tokens: key (a string), value. JSON_NONE is an
 * absent value; every reader accepts it, so look-ups can be chained.
 */
#include <base/arena.h>
#include <base/span.h>

#define JSON_DEPTH_DEFAULT 64
#define JSON_DEPTH_MAX 1024
#define JSON_TOKENS_DEFAULT (1U << 20)
#define JSON_TOKENS_MAX ((1U << 24) - 1)
#define JSON_SIZE_MAX (1UL << 30) /* bytes; also the default */

#define JSON_NONE UINT32_MAX

enum json_type {
	JSON_ABSENT, /* the type of JSON_NONE */
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

/* What a zeroed struct means is written beside. */
struct json_opts {
	uint32_t depth_max;     /* 0: JSON_DEPTH_DEFAULT */
	uint32_t tokens_max;    /* 0: JSON_TOKENS_DEFAULT; a member is two tokens */
	size_t size_max;        /* bytes; 0: JSON_SIZE_MAX */
	bool refuse_duplicates; /* also keys that differ only in ASCII case */
	bool refuse_surrogates; /* a lone \uD800..\uDFFF; else it reads as U+FFFD */
	bool refuse_nul;        /* the escape \u0000 (a raw NUL never parses) */
};

/* For a request body of a client. */
#define JSON_STRICT          \
	((struct json_opts){ \
	    .refuse_duplicates = true, .refuse_surrogates = true, .refuse_nul = true })

struct json_tok {
	uint32_t off;       /* first byte in the source; a string's is its quote */
	uint32_t len;       /* bytes of the value as written, quotes included */
	uint32_t next;      /* the token after this value and all within it */
	uint32_t type : 4;  /* enum json_type */
	uint32_t flags : 4; /* private */
	uint32_t size : 24; /* elements of an array, members of an object */
};

/* Where and why a parse failed. `message` is from a fixed table. */
struct json_fault {
	size_t offset; /* bytes from the start of the source */
	const char *message;
	uint32_t parent; /* private: see json_fault_pointer() */
	uint32_t key;
};

struct json_doc {
	struct span src;
	struct json_tok *tok;
	uint32_t count; /* tokens; 0 after a failure */
	struct json_fault fault;
	/* private */
	struct json_opts opts;
	uint32_t cap;
	uint32_t built;
	uint32_t *slots;
	uint32_t slot_cap;
	uint64_t seed[2];
};

#define auto_json __attribute__((cleanup(json_done)))

/*
 * A document to parse into, again and again: the tape's memory is kept.
 * Errors: E_RANGE (a limit above its maximum), E_SYS (no random seed).
 */
MUST_USE struct status json_init(struct json_doc *d, const struct json_opts *opts);
/* Frees the tape; harmless on a zeroed struct. */
void json_done(struct json_doc *d);
/*
 * Parse exactly one value. On failure d->fault tells where and why.
 * Errors: E_SYNTAX (grammar, UTF-8, surrogates, NUL), E_RANGE (depth, tokens,
 * size), E_EXISTS (duplicate or case-variant key), E_NOMEM.
 */
MUST_USE struct status json_parse(struct json_doc *d, struct span src);
/* Append the RFC 6901 pointer of the fault of the last json_parse(). */
MUST_USE struct status json_fault_pointer(const struct json_doc *d, struct buf *out);
/* Append the RFC 6901 pointer of a token (of a key: that of its member). */
MUST_USE struct status json_pointer(const struct json_doc *d, uint32_t tok, struct buf *out);

/* ---- structure ---- */
enum json_type json_type(const struct json_doc *d, uint32_t tok);
/* Elements or members; 0 for all else. */
uint32_t json_size(const struct json_doc *d, uint32_t tok);
/* The member's value by exact key (the last of duplicates), or JSON_NONE. Linear. */
uint32_t json_get(const struct json_doc *d, uint32_t obj, struct span key);
uint32_t json_get_str(const struct json_doc *d, uint32_t obj, const char *key);
/* The element, or JSON_NONE. Linear: iterate to see all. */
uint32_t json_at(const struct json_doc *d, uint32_t arr, uint32_t index);
/* The value as written, for splicing: its offset is .ptr - d->src.ptr. */
struct span json_bytes(const struct json_doc *d, uint32_t tok);

/* struct json_iter it = json_iter(d, tok); while (json_next(&it)) … it.val */
struct json_iter {
	const struct json_doc *doc;
	uint32_t at;
	uint32_t end;
	uint32_t key; /* token of the key; JSON_NONE in an array */
	uint32_t val;
	uint32_t index; /* 0, 1, … */
};
struct json_iter json_iter(const struct json_doc *d, uint32_t tok); /* empty for scalars */
bool json_next(struct json_iter *it);

/* ---- scalars: E_NOTFOUND if absent, E_SYNTAX if of another type ---- */
/* A string's text: a view of the source if it has no escape, else from `a`. E_NOMEM. */
MUST_USE struct status json_str(
    const struct json_doc *d, uint32_t tok, struct arena *a, struct span *ret);
/* Append a string's text. E_FULL, E_NOMEM. */
MUST_USE struct status json_str_put(const struct json_doc *d, uint32_t tok, struct buf *out);
/* Is it a string with exactly this text? Escapes are seen through. */
bool json_str_eq(const struct json_doc *d, uint32_t tok, struct span text);
bool json_str_eq_str(const struct json_doc *d, uint32_t tok, const char *text);
/* Integers by value: 1.0 and 1e2 are read, 1.5 is E_SYNTAX. E_RANGE outside min..max. */
MUST_USE struct status json_u64(
    const struct json_doc *d, uint32_t tok, uint64_t max, uint64_t *ret);
MUST_USE struct status json_i64(
    const struct json_doc *d, uint32_t tok, int64_t min, int64_t max, int64_t *ret);
/* Correctly rounded; E_RANGE when it overflows or has over 1,000 characters. */
MUST_USE struct status json_double(const struct json_doc *d, uint32_t tok, double *ret);
MUST_USE struct status json_bool(const struct json_doc *d, uint32_t tok, bool *ret);

/* Equal as JSON values: 1.0 equals 1, members in any order. *steps bounds the work. */
MUST_USE struct status json_equal(const struct json_doc *a, uint32_t atok, const struct json_doc *b,
    uint32_t btok, uint64_t *steps, bool *ret);

#endif
