/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forms: RFC 7578 over RFC 2046, read strictly out of a body that is all there.
 *
 * Runs in:    gateway.
 * Trusts:     nothing.
 * Owns:       nothing: parts are views of the body.
 * Invariants: each byte is looked at a bounded number of times; what two readers could
 *             take for different parts is refused, not guessed.
 * See:        RFC 2046 section 5.1, RFC 7578 section 4; what is refused though they allow
 *             it: blanks behind a delimiter, folded fields, unknown and nested parts.
 */
#include <http/multipart.h>

#include <assert.h>

#include <base/cleanup.h>

#define DELIMITER_MAX (4 + MULTIPART_BOUNDARY_MAX) /* CR LF "--" boundary */

struct form {
	struct multipart_part *parts;
	size_t nparts;
	uint8_t delimiter[DELIMITER_MAX]; /* CR LF "--" boundary */
	size_t len;
	struct span rest; /* of the body */
	const char *why;
	const struct multipart_part *part;
};

/* Of one part. */
struct names {
	struct span part, file;
};

static struct status read_boundary(struct form *f, struct span type);
static struct status next_param(struct span *rest, struct span *ret_name, struct span *ret_value);
static struct status to_first(struct form *f);
static struct status behind_delimiter(struct form *f, bool *ret_last);
static struct status read_part(struct form *f);
static struct status read_head(struct form *f, struct multipart_part **ret);
static struct status read_field(struct form *f, struct span line, struct names *ret);
static struct status read_disposition(struct form *f, struct span value, struct names *ret);
static struct span trim(struct span s);

static struct status
because(struct form *f, enum code code, const char *why)
{
	f->why = why;
	return fail(code);
}

static struct status
read_form(struct form *f, struct span type)
{
	bool last = false;

	TRY(read_boundary(f, type));
	TRY(to_first(f));
	for (size_t i = 0; i <= f->nparts; i++) {
		TRY(behind_delimiter(f, &last));
		if (last)
			return OK;
		TRY(read_part(f));
	}
	return because(f, E_RANGE, "it has too many parts");
}

struct status
multipart_read(struct span type, struct span body, struct multipart_part *parts, size_t nparts,
    const char **ret_why, const struct multipart_part **ret_part)
{
	struct form f = { .parts = parts, .nparts = nparts, .rest = body, .why = "" };
	struct status st;

	assert(nparts <= MULTIPART_PARTS_MAX);
	for (size_t i = 0; i < nparts; i++) {
		parts[i].seen = false;
		parts[i].body = parts[i].filename = SPAN_EMPTY;
	}
	st = read_form(&f, type);
	*ret_why = f.why;
	*ret_part = f.part;
	return st;
}

/* ---- the field Content-Type ---- */

static bool
is_token(uint8_t c)
{
	uint8_t lower = c | 0x20;

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
	       (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* RFC 2046's bchars; a blank is none at the end. */
static bool
boundary_ok(struct span b)
{
	if (b.len == 0 || b.len > MULTIPART_BOUNDARY_MAX || b.ptr[b.len - 1] == ' ')
		return false;
	for (size_t i = 0; i < b.len; i++) {
		uint8_t c = b.ptr[i], lower = c | 0x20;

		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') &&
		    (c == 0 || strchr("'()+_,-./:=? ", c) == NULL))
			return false;
	}
	return true;
}

static const struct span form_type = { (const uint8_t *)"multipart/form-data", 19 };

bool
multipart_is_form(struct span type)
{
	return type.len >= form_type.len &&
	       span_eq_nocase(span_of(type.ptr, form_type.len), form_type) &&
	       (type.len == form_type.len || memchr("; \t", type.ptr[form_type.len], 3) != NULL);
}

static struct status
read_boundary(struct form *f, struct span type)
{
	struct span boundary = SPAN_EMPTY, name, value;

	if (type.len > MULTIPART_TYPE_MAX || !multipart_is_form(type))
		return because(f, E_SYNTAX, "its type is not multipart/form-data");
	type = span_from(type, form_type.len);
	while (trim(type).len > 0) {
		if (!is_ok(next_param(&type, &name, &value)))
			return because(f, E_SYNTAX, "its type has bad parameters");
		if (!span_eq_nocase(name, SPAN_LIT("boundary")))
			continue;
		if (boundary.len > 0)
			return because(f, E_EXISTS, "its type has two boundaries");
		boundary = value;
		if (!boundary_ok(boundary))
			return because(f, E_SYNTAX, "its boundary is none");
	}
	if (boundary.len == 0)
		return because(f, E_SYNTAX, "its type has no boundary");
	memcpy(f->delimiter, "\r\n--", 4);
	memcpy(f->delimiter + 4, boundary.ptr, boundary.len);
	f->len = 4 + boundary.len;
	return OK;
}

static struct span
trim(struct span s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = span_from(s, 1);
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* ; name=token or ; name="text", without escapes: what two readers might unescape differently. */
static struct status
next_param(struct span *rest, struct span *ret_name, struct span *ret_value)
{
	struct span s = trim(*rest);
	const uint8_t *end;
	size_t n = 0;

	if (s.len == 0 || s.ptr[0] != ';')
		return fail(E_SYNTAX);
	s = trim(span_from(s, 1));
	while (n < s.len && is_token(s.ptr[n]))
		n++;
	*ret_name = span_of(s.ptr, n);
	if (n == 0 || n == s.len || s.ptr[n] != '=')
		return fail(E_SYNTAX);
	s = span_from(s, n + 1);
	n = 0;
	if (s.len > 0 && s.ptr[0] == '"') {
		s = span_from(s, 1);
		end = s.len > 0 ? memchr(s.ptr, '"', s.len) : NULL;
		if (end == NULL || memchr(s.ptr, '\\', (size_t)(end - s.ptr)) != NULL)
			return fail(E_SYNTAX);
		n = (size_t)(end - s.ptr);
		*ret_value = span_of(s.ptr, n);
		*rest = span_from(s, n + 1);
		return OK;
	}
	while (n < s.len && is_token(s.ptr[n]))
		n++;
	*ret_value = span_of(s.ptr, n);
	*rest = span_from(s, n);
	return n > 0 ? OK : fail(E_SYNTAX);
}

/* ---- delimiters ---- */

/* Behind the text of the first delimiter; that at the very start has no line break before it. */
static struct status
to_first(struct form *f)
{
	struct span bare = span_of(f->delimiter + 2, f->len - 2);
	const uint8_t *at;
	size_t most = MULTIPART_AROUND_MAX + f->len;

	if (span_starts(f->rest, bare)) {
		f->rest = span_from(f->rest, bare.len);
		return OK;
	}
	at = f->rest.len == 0 ? NULL
			      : memmem(f->rest.ptr, f->rest.len < most ? f->rest.len : most,
				    f->delimiter, f->len);
	if (at == NULL)
		return because(f, E_SYNTAX, "it does not begin with its boundary");
	f->rest = span_from(f->rest, (size_t)(at - f->rest.ptr) + f->len);
	return OK;
}

/* A line break: a part follows. "--": the form is over. */
static struct status
behind_delimiter(struct form *f, bool *ret_last)
{
	*ret_last = span_starts(f->rest, SPAN_LIT("--"));
	if (!*ret_last && !span_starts(f->rest, SPAN_LIT("\r\n")))
		return because(f, E_SYNTAX, "a delimiter is not alone on its line");
	f->rest = span_from(f->rest, 2);
	if (!*ret_last)
		return OK;
	if (f->rest.len > 0 && !span_starts(f->rest, SPAN_LIT("\r\n")))
		return because(f, E_SYNTAX, "a delimiter is not alone on its line");
	return f->rest.len > MULTIPART_AROUND_MAX
		   ? because(f, E_RANGE, "there is too much behind its last delimiter")
		   : OK;
}

/* ---- one part ---- */

static struct status
read_part(struct form *f)
{
	struct multipart_part *part = NULL;
	const uint8_t *at;

	f->part = NULL;
	TRY(read_head(f, &part));
	f->part = part;
	if (part->seen)
		return because(f, E_EXISTS, "a part is there twice");
	part->seen = true;
	at = f->rest.len == 0 ? NULL : memmem(f->rest.ptr, f->rest.len, f->delimiter, f->len);
	if (at == NULL)
		return because(f, E_SYNTAX, "a part has no end");
	part->body = span_of(f->rest.ptr, (size_t)(at - f->rest.ptr));
	if (part->body.len > part->max)
		return because(f, E_RANGE, "a part is larger than the limit");
	f->rest = span_from(f->rest, part->body.len + f->len);
	f->part = NULL;
	return OK;
}

/*
 * Fields up to the empty line. The line break of a delimiter belongs to it, so that a part
 * without a body ends "…\r\n\r\n" + "\r\n--boundary".
 */
static struct status
read_head(struct form *f, struct multipart_part **ret)
{
	struct names names = { SPAN_EMPTY, SPAN_EMPTY };
	size_t left = MULTIPART_HEAD_MAX;

	for (size_t i = 0; i <= MULTIPART_HEAD_FIELDS_MAX; i++) {
		size_t most = f->rest.len < left ? f->rest.len : left;
		const uint8_t *at = most == 0 ? NULL : memmem(f->rest.ptr, most, "\r\n", 2);
		struct span line;

		if (at == NULL)
			return because(f, E_RANGE, "a part's header fields have no end");
		line = span_of(f->rest.ptr, (size_t)(at - f->rest.ptr));
		f->rest = span_from(f->rest, line.len + 2);
		left -= line.len + 2;
		if (line.len > 0) {
			TRY(read_field(f, line, &names));
			continue;
		}
		if (names.part.ptr == NULL)
			return because(f, E_SYNTAX, "a part has no name");
		for (size_t k = 0; k < f->nparts; k++) {
			if (!span_eq_str(names.part, f->parts[k].name))
				continue;
			*ret = &f->parts[k];
			if (!(*ret)->seen)
				(*ret)->filename = names.file;
			return OK;
		}
		return because(f, E_NOTFOUND, "a part has a name that is not known");
	}
	return because(f, E_RANGE, "a part has too many header fields");
}

static struct status
read_field(struct form *f, struct span line, struct names *ret)
{
	static const struct span nested = { (const uint8_t *)"multipart/", 10 };
	const uint8_t *colon = memchr(line.ptr, ':', line.len);
	struct span name, value;

	for (size_t i = 0; i < line.len; i++) {
		if ((line.ptr[i] < 0x20 && line.ptr[i] != '\t') || line.ptr[i] == 0x7f)
			return because(f, E_SYNTAX, "a part's header field is none");
	}
	name = span_of(line.ptr, colon == NULL ? 0 : (size_t)(colon - line.ptr));
	for (size_t i = 0; i < name.len; i++) {
		if (!is_token(name.ptr[i]))
			name.len = 0;
	}
	if (name.len == 0)
		return because(f, E_SYNTAX, "a part's header field is none");
	value = trim(span_from(line, name.len + 1));
	if (span_eq_nocase(name, SPAN_LIT("content-disposition")))
		return read_disposition(f, value, ret);
	if (span_eq_nocase(name, SPAN_LIT("content-transfer-encoding")) &&
	    !span_eq_nocase(value, SPAN_LIT("binary")))
		return because(f, E_SYNTAX, "a part is encoded");
	if (span_eq_nocase(name, SPAN_LIT("content-encoding")))
		return because(f, E_SYNTAX, "a part is encoded");
	if (span_eq_nocase(name, SPAN_LIT("content-type")) && value.len >= nested.len &&
	    span_eq_nocase(span_of(value.ptr, nested.len), nested))
		return because(f, E_SYNTAX, "a part has parts itself");
	return OK;
}

/* form-data; name="manifest", and a file's name. */
static struct status
read_disposition(struct form *f, struct span value, struct names *ret)
{
	static const struct span kind = { (const uint8_t *)"form-data", 9 };
	struct span rest = span_from(value, kind.len), name, text;

	if (ret->part.ptr != NULL)
		return because(f, E_EXISTS, "a part has two names");
	if (value.len < kind.len || !span_eq_nocase(span_of(value.ptr, kind.len), kind))
		return because(f, E_SYNTAX, "a part is not of a form");
	while (trim(rest).len > 0) {
		if (!is_ok(next_param(&rest, &name, &text)))
			return because(f, E_SYNTAX, "a part's disposition has bad parameters");
		if (span_eq_nocase(name, SPAN_LIT("filename"))) {
			if (ret->file.ptr != NULL)
				return because(f, E_EXISTS, "a part has two names");
			ret->file = text;
		}
		if (!span_eq_nocase(name, SPAN_LIT("name")))
			continue;
		if (ret->part.ptr != NULL)
			return because(f, E_EXISTS, "a part has two names");
		ret->part = text;
	}
	return OK;
}
