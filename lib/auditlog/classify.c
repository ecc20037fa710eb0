/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classify.c: the chain is broken: which record is the first bad one?
 *
 * Runs in: CLI (audit verify). Trusts: nothing that it reads.
 * Owns: nothing. Invariants: it reads the rest of the log once, keeps a fixed
 * handful of facts about it, and always ends.
 * See: docs/audit-format.md, "Which record is bad".
 */
#include "internal.h"

#include <base/encode.h>
#include <json/json.h>

#define PREV_AT (sizeof("{\"ts\":\"\",\"prev\":\"") - 1 + AUDITLOG_TS_LEN)

/* What the lines after the bad one tell. */
struct rest {
	bool next_there;           /* there is a line after it */
	bool next_parsed;          /* and it begins as a record does */
	struct auditlog_head next; /* that record */
	bool fits_later;           /* a later line is record v->next, chained to the one before */
	bool same_seq_later;       /* a later line claims to be record v->next */
	bool bad_again;            /* the bad line's seq comes once more */
};

static void rest_read(struct verify *v, struct rest *rest);
static bool follows(const struct rest *rest, uint64_t seq, const uint8_t leaf[SHA256_LEN]);
static void bad_links(struct verify *v, const struct rest *rest);
static bool only_prev_changed(struct verify *v, const struct rest *rest);

void
line_copy(struct line_copy *c, struct span line)
{
	struct span cut = span_of(line.ptr, line.len > sizeof(c->bytes) ? 0 : line.len);

	if (cut.len > 0)
		memcpy(c->bytes, cut.ptr, cut.len);
	c->len = cut.len;
	c->parsed = is_ok(auditlog_head_of(span_of(c->bytes, c->len), &c->head));
}

static bool
same(const struct line_copy *a, const struct line_copy *b)
{
	return span_eq(span_of(a->bytes, a->len), span_of(b->bytes, b->len));
}

void
verify_classify(struct verify *v)
{
	const struct auditlog_head *bad = &v->bad.head;
	const uint64_t n = v->next;
	struct rest rest = { 0 };

	/* A newline that went or came: two records in one line, or one in two. */
	if (n > 1 && !line_is_json(&v->last)) {
		verify_fault(v, AUDITLOG_CHANGED, n - 1, "the record is not well-formed");
		return;
	}
	rest_read(v, &rest);
	if (rest.fits_later) {
		bool moved = v->bad.parsed && bad->seq > n && !rest.bad_again;

		verify_fault(v, moved ? AUDITLOG_REORDERED : AUDITLOG_INSERTED, n,
		    moved ? "a later record stands here" : "a line was put before this record");
	} else if (!v->bad.parsed) {
		verify_fault(v, AUDITLOG_CHANGED, n, "the line is not a record");
	} else if (memcmp(bad->prev, v->leaf, SHA256_LEN) == 0) {
		verify_fault(v, AUDITLOG_CHANGED, n, "its seq does not continue the log");
	} else if (bad->seq == n) {
		bad_links(v, &rest);
	} else if (bad->seq > n) {
		verify_fault(v, rest.same_seq_later ? AUDITLOG_REORDERED : AUDITLOG_REMOVED, n,
		    rest.same_seq_later ? "the record stands further on" : "the record is missing");
	} else if (n > 1 && bad->seq == n - 1 && !same(&v->bad, &v->last) &&
		   memcmp(bad->prev, v->leaf_before, SHA256_LEN) == 0) {
		verify_fault(v, AUDITLOG_INSERTED, n - 1, "two lines claim to be this record");
	} else if (rest.next_parsed && rest.next.seq == n + 1) {
		verify_fault(v, AUDITLOG_CHANGED, n, "an earlier record stands in its place");
	} else {
		verify_fault(v, AUDITLOG_INSERTED, n, "an earlier record stands here again");
	}
}

/* Seq is right, prev is not: this record changed, or the one before. */
static void
bad_links(struct verify *v, const struct rest *rest)
{
	uint8_t leaf[SHA256_LEN] = { 0 };
	const uint64_t n = v->next;

	if (n == 1 || n - 1 <= v->anchored) {
		verify_fault(v, AUDITLOG_CHANGED, n, "its prev is not the record before");
		return;
	}
	if (is_ok(merkle_leaf_hash(span_of(v->bad.bytes, v->bad.len), leaf)) &&
	    follows(rest, n + 1, leaf)) {
		verify_fault(v, AUDITLOG_CHANGED, n - 1, "the next record's prev is not its hash");
		return;
	}
	if (only_prev_changed(v, rest)) {
		verify_fault(v, AUDITLOG_CHANGED, n, "its prev is not the record before");
		return;
	}
	verify_fault(v, AUDITLOG_CHANGED, n - 1, "the next record's prev is not its hash");
}

static bool
follows(const struct rest *rest, uint64_t seq, const uint8_t leaf[SHA256_LEN])
{
	return rest->next_parsed && rest->next.seq == seq &&
	       memcmp(rest->next.prev, leaf, SHA256_LEN) == 0;
}

/* With the prev that it should have, does the bad line fit what comes after it? */
static bool
only_prev_changed(struct verify *v, const struct rest *rest)
{
	uint8_t leaf[SHA256_LEN], root[SHA256_LEN];
	struct merkle tree = v->tree;
	const struct checkpoint *signed_at;

	hex_encode(span_of(v->leaf, SHA256_LEN), (char *)v->bad.bytes + PREV_AT);
	if (!is_ok(merkle_leaf_hash(span_of(v->bad.bytes, v->bad.len), leaf)))
		return false;
	if (follows(rest, v->next + 1, leaf))
		return true;
	signed_at = v->head.says.size == v->next ? &v->head.says : &v->checkpoint.says;
	return signed_at->size == v->next && is_ok(merkle_append_hash(&tree, leaf)) &&
	       is_ok(merkle_root(&tree, root)) && memcmp(root, signed_at->root, SHA256_LEN) == 0;
}

static void
rest_line(struct verify *v, struct rest *rest, bool parsed, const struct auditlog_head *h)
{
	if (!rest->next_there) {
		rest->next_there = true;
		rest->next_parsed = parsed;
		rest->next = *h;
	}
	if (!parsed)
		return;
	if (h->seq == v->next) {
		rest->same_seq_later = true;
		if (memcmp(h->prev, v->leaf, SHA256_LEN) == 0)
			rest->fits_later = true;
	}
	if (v->bad.parsed && h->seq == v->bad.head.seq)
		rest->bad_again = true;
}

static void
rest_read(struct verify *v, struct rest *rest)
{
	for (;;) {
		struct auditlog_head h = { 0 };
		struct span line = SPAN_EMPTY;
		struct status st = auditlog_next(v->reader, &line);
		bool parsed = is_ok(st) && is_ok(auditlog_head_of(line, &h));

		if (!is_ok(st) && st.code != E_RANGE && st.code != E_CORRUPT)
			return;
		rest_line(v, rest, parsed, &h);
	}
}

bool
line_is_json(const struct line_copy *line)
{
	static const struct json_opts opts = { .refuse_duplicates = true };
	auto_json struct json_doc doc = { 0 };

	return is_ok(json_init(&doc, &opts)) &&
	       is_ok(json_parse(&doc, span_of(line->bytes, line->len))) &&
	       json_type(&doc, 0) == JSON_OBJECT;
}
