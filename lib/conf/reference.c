/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference.c: the text of a credential's reference.
 *
 * Runs in: CLI, supervisor (checks), broker (uses). Trusts: nothing.
 * Invariants: what passes can stand in a request's path as it is: no byte of it needs encoding,
 * and no part of it walks up.
 * See: conf/reference.h.
 */
#include <conf/reference.h>

static bool
is_word(uint8_t b)
{
	return (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z');
}

static bool
chars_ok(struct span s, const char *more)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_word(s.ptr[i]) && (s.ptr[i] == 0 || strchr(more, s.ptr[i]) == NULL))
			return false;
	}
	return true;
}

/* Parts between slashes: none empty, none that walks. */
static size_t
parts_count(struct span s)
{
	size_t count = 0;

	for (;;) {
		const uint8_t *slash = s.len == 0 ? NULL : memchr(s.ptr, '/', s.len);
		struct span part = span_of(s.ptr, slash == NULL ? s.len : (size_t)(slash - s.ptr));

		if (part.len == 0 || span_eq_str(part, ".") || span_eq_str(part, ".."))
			return 0;
		count++;
		if (slash == NULL)
			return count;
		s = span_from(s, part.len + 1);
	}
}

bool
reference_path_ok(struct span s)
{
	return parts_count(s) >= 1 && chars_ok(s, "/_.-@+=~");
}

static bool
vault_ok(const struct reference *r, bool hash)
{
	return hash && reference_path_ok(r->place) && parts_count(r->place) >= 2;
}

static bool
aws_ok(const struct reference *r, bool hash)
{
	(void)hash;
	return parts_count(r->place) >= 1 && chars_ok(r->place, "/_.-@+=!:");
}

static bool
file_ok(const struct reference *r, bool hash)
{
	return !hash && r->place.len > 0 && r->place.len <= REFERENCE_NAME_MAX &&
	       r->place.ptr[0] != '.' && chars_ok(r->place, "_.-");
}

static const struct {
	struct span prefix;
	bool (*ok)(const struct reference *r, bool hash);
	const char *why;
} rows[REFERENCE_SOURCES] = {
	[REFERENCE_VAULT] = { { (const uint8_t *)"vault:", 6 }, vault_ok,
	    "expects vault:MOUNT/PATH#FIELD" },
	[REFERENCE_AWS] = { { (const uint8_t *)"aws-sm:", 7 }, aws_ok, "expects aws-sm:ID#FIELD" },
	[REFERENCE_FILE] = { { (const uint8_t *)"file:", 5 }, file_ok, "expects file:NAME" },
};

/* The field is behind the only '#'. False: an empty or odd one. */
static bool
split(struct span s, struct reference *r, bool *hash)
{
	const uint8_t *at = s.len == 0 ? NULL : memchr(s.ptr, '#', s.len);

	*hash = at != NULL;
	r->place = at == NULL ? s : span_of(s.ptr, (size_t)(at - s.ptr));
	r->field = at == NULL ? SPAN_EMPTY : span_from(s, r->place.len + 1);
	return at == NULL || (r->field.len > 0 && r->field.len <= REFERENCE_FIELD_MAX &&
				 chars_ok(r->field, "_.-"));
}

struct status
reference_parse(struct span s, struct reference *ret, const char **why)
{
	struct reference r = { .source = REFERENCE_NONE };
	bool hash;

	*why = "is too long";
	if (s.len > REFERENCE_LEN_MAX)
		return fail(E_SYNTAX);
	if (span_eq_str(s, "none")) {
		*ret = r;
		return OK;
	}
	*why =
	    "must say where the key is (vault:, aws-sm:, file: or none); a key itself is refused";
	for (size_t i = 1; i < REFERENCE_SOURCES; i++) {
		if (!span_starts(s, rows[i].prefix))
			continue;
		r.source = (enum reference_source)i;
		*why = rows[i].why;
		if (!split(span_from(s, rows[i].prefix.len), &r, &hash) || !rows[i].ok(&r, hash))
			return fail(E_SYNTAX);
		*ret = r;
		return OK;
	}
	return fail(E_SYNTAX);
}
