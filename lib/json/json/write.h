/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JSON_WRITE_H
#define JSON_WRITE_H

/*
 * Append JSON to a buf. Commas and quotes come by themselves; the first error
 * sticks and json_writer_finish() tells it, so calls need no check each:
 *
 *	struct json_writer w = json_writer(&out);
 *	json_put_object(&w);
 *	json_put_key(&w, "id");
 *	json_put_str(&w, id);
 *	json_put_end(&w);
 *	TRY(json_writer_finish(&w));
 *
 * Wrong nesting is a fault of the caller and aborts. Output is always valid
 * UTF-8: an invalid sequence becomes U+FFFD; U+2028 and U+2029 are escaped.
 */
#include <base/span.h>

#define JSON_WRITE_DEPTH_MAX 64

struct json_writer {
	struct buf *out;
	struct status st;
	uint64_t is_object; /* a bit a level */
	uint64_t has_item;  /* a bit a level: the next one needs a comma */
	uint32_t depth;
	bool after_key;
	bool done; /* the root value is complete */
};

struct json_writer json_writer(struct buf *out);
/* Asserts that one whole value was written if no error came before. E_FULL, E_NOMEM. */
MUST_USE struct status json_writer_finish(const struct json_writer *w);

void json_put_object(struct json_writer *w); /* { */
void json_put_array(struct json_writer *w);  /* [ */
void json_put_end(struct json_writer *w);    /* } or ] */
void json_put_key(struct json_writer *w, const char *key);
void json_put_key_span(struct json_writer *w, struct span key);
void json_put_str(struct json_writer *w, struct span text);
void json_put_text(struct json_writer *w, const char *text); /* of a C string */
void json_put_u64(struct json_writer *w, uint64_t v);
void json_put_i64(struct json_writer *w, int64_t v);
void json_put_double(struct json_writer *w, double v); /* shortest; null if not finite */
void json_put_bool(struct json_writer *w, bool v);
void json_put_null(struct json_writer *w);
/* One value that is JSON already (a span of a parsed document): not checked. */
void json_put_raw(struct json_writer *w, struct span value);
/* The same on one line: without blanks between tokens, and with U+2028 and U+2029 escaped. */
void json_put_compact(struct json_writer *w, struct span value);

/* Append the inside of a JSON string, without quotes. E_FULL, E_NOMEM. */
MUST_USE struct status json_escape(struct span text, struct buf *out);

#endif
