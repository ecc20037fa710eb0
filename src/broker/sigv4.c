/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigv4.c: AWS Signature Version 4.
 *
 * Runs in: broker. Trusts: its caller's request. Owns: nothing; keys on the way are wiped.
 * Invariants: what is signed is what is sent: the canonical request is made from the very path,
 * query and fields of the request. Judged by the published test vectors (tests/vectors/aws-sigv4).
 * See: sigv4.h.
 */
#include "sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <http/write.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define KEY_MAX 256

void
sigv4_date(uint64_t unix_s, char out[SIGV4_DATE_LEN + 1])
{
	time_t t = (time_t)unix_s;
	struct tm tm = { 0 };

	(void)gmtime_r(&t, &tm);
	if (strftime(out, SIGV4_DATE_LEN + 1, "%Y%m%dT%H%M%SZ", &tm) != SIGV4_DATE_LEN)
		memset(out, 0, SIGV4_DATE_LEN + 1);
}

/* ---- path ---- */
/* The part before the next `sep`; false when nothing is left. */
static bool
part_next(struct span *rest, uint8_t sep, struct span *part)
{
	const uint8_t *end;

	if (rest->ptr == NULL)
		return false;
	end = rest->len == 0 ? NULL : memchr(rest->ptr, sep, rest->len);
	part->ptr = rest->ptr;
	part->len = end == NULL ? rest->len : (size_t)(end - rest->ptr);
	*rest = end == NULL ? SPAN_EMPTY : span_from(*rest, part->len + 1);
	if (end != NULL && rest->len == 0)
		*rest = span_of(end + 1, 0);
	return true;
}

struct parts {
	struct span at[SIGV4_PARTS_MAX];
	size_t count;
	bool slash; /* the path ends with one */
};

static struct status
path_parts(const struct sigv4_request *r, struct parts *p)
{
	struct span rest = span_from(r->path, 1), part;

	if (rest.ptr == NULL || r->path.len == 1)
		return OK;
	while (part_next(&rest, '/', &part)) {
		bool last = rest.ptr == NULL;
		bool nothing = part.len == 0 || span_eq_str(part, ".");

		if (r->normalize && (nothing || span_eq_str(part, ".."))) {
			if (!nothing && p->count > 0)
				p->count--;
			p->slash = last;
			continue;
		}
		if (p->count == SIGV4_PARTS_MAX)
			return fail(E_RANGE);
		p->at[p->count++] = part;
	}
	return OK;
}

static struct status
put_path(const struct sigv4_request *r, struct buf *out)
{
	struct parts p = { 0 };

	TRY(path_parts(r, &p));
	for (size_t i = 0; i < p.count; i++) {
		TRY(buf_put_u8(out, '/'));
		TRY(http_put_encoded(out, p.at[i]));
	}
	return p.count == 0 || p.slash ? buf_put_u8(out, '/') : OK;
}

/* ---- query: sorted by encoded name, then value ---- */
struct parameter {
	struct span name, value;
};

static int
span_order(struct span a, struct span b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);

	if (c != 0)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

static int
parameter_order(const void *a, const void *b)
{
	const struct parameter *p = a, *q = b;
	int c = span_order(p->name, q->name);

	return c != 0 ? c : span_order(p->value, q->value);
}

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What was encoded in some way, encoded in the one way. */
static struct status
put_recoded(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t byte = s.ptr[i];

		if (byte == '%' && i + 2 < s.len && hex_digit(s.ptr[i + 1]) >= 0 &&
		    hex_digit(s.ptr[i + 2]) >= 0) {
			byte = (uint8_t)(hex_digit(s.ptr[i + 1]) << 4 | hex_digit(s.ptr[i + 2]));
			i += 2;
		}
		TRY(http_put_encoded(out, span_of(&byte, 1)));
	}
	return OK;
}

/* Each parameter encoded into `text`, which has room for all: nothing in it moves. */
static struct status
query_read(struct span query, struct buf *text, struct parameter *ps, size_t *count)
{
	struct span rest = query, part, name;

	while (query.len > 0 && part_next(&rest, '&', &part)) {
		size_t at = text->len, mid;

		if (*count == SIGV4_PARTS_MAX)
			return fail(E_RANGE);
		(void)part_next(&part, '=', &name);
		TRY(put_recoded(text, name));
		mid = text->len;
		TRY(put_recoded(text, part));
		ps[(*count)++] = (struct parameter){ span_of(text->ptr + at, mid - at),
			span_of(text->ptr + mid, text->len - mid) };
	}
	return OK;
}

static struct status
put_query(const struct sigv4_request *r, struct buf *out)
{
	auto_buf struct buf text = BUF_INIT(SIGV4_CANONICAL_MAX);
	struct parameter ps[SIGV4_PARTS_MAX];
	size_t count = 0;

	TRY(buf_reserve(&text, SIGV4_CANONICAL_MAX));
	TRY(query_read(r->query, &text, ps, &count));
	qsort(ps, count, sizeof(ps[0]), parameter_order);
	for (size_t i = 0; i < count; i++) {
		TRY(buf_put_str(out, i > 0 ? "&" : ""));
		TRY(buf_put_span(out, ps[i].name));
		TRY(buf_put_u8(out, '='));
		TRY(buf_put_span(out, ps[i].value));
	}
	return OK;
}

/* ---- fields ---- */
struct fields {
	const struct http_field *at[SIGV4_FIELDS_MAX]; /* sorted by name; equal ones as they came */
	size_t count;
};

static int
lower(int c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static int
name_order(struct span a, struct span b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++) {
		int d = lower(a.ptr[i]) - lower(b.ptr[i]);

		if (d != 0)
			return d;
	}
	return a.len < b.len ? -1 : a.len > b.len;
}

static struct status
fields_sort(const struct sigv4_request *r, struct fields *ret)
{
	ret->count = 0;
	if (r->field_count > SIGV4_FIELDS_MAX)
		return fail(E_RANGE);
	for (size_t i = 0; i < r->field_count; i++) {
		size_t at = ret->count++;

		for (; at > 0 && name_order(ret->at[at - 1]->name, r->fields[i].name) > 0; at--)
			ret->at[at] = ret->at[at - 1];
		ret->at[at] = &r->fields[i];
	}
	return OK;
}

static bool
same_as_before(const struct fields *f, size_t i)
{
	const struct http_field *before = i == 0 ? NULL : f->at[i - 1];

	return before != NULL && name_order(before->name, f->at[i]->name) == 0;
}

static struct status
put_name(struct span name, struct buf *out)
{
	for (size_t i = 0; i < name.len; i++)
		TRY(buf_put_u8(out, (uint8_t)lower(name.ptr[i])));
	return OK;
}

/* Without blanks at its ends, runs of them as one. */
static struct status
put_value(struct span v, struct buf *out)
{
	bool gap = false, begun = false;

	for (size_t i = 0; i < v.len; i++) {
		if (v.ptr[i] == ' ' || v.ptr[i] == '\t' || v.ptr[i] == '\n' || v.ptr[i] == '\r') {
			gap = begun;
			continue;
		}
		if (gap)
			TRY(buf_put_u8(out, ' '));
		TRY(buf_put_u8(out, v.ptr[i]));
		gap = false;
		begun = true;
	}
	return OK;
}

static struct status
put_fields(const struct fields *f, struct buf *out)
{
	for (size_t i = 0; i < f->count; i++) {
		if (same_as_before(f, i)) {
			TRY(buf_put_u8(out, ','));
		} else {
			TRY(buf_put_str(out, i > 0 ? "\n" : ""));
			TRY(put_name(f->at[i]->name, out));
			TRY(buf_put_u8(out, ':'));
		}
		TRY(put_value(f->at[i]->value, out));
	}
	return buf_put_u8(out, '\n');
}

static struct status
put_names(const struct fields *f, struct buf *out)
{
	for (size_t i = 0; i < f->count; i++) {
		if (same_as_before(f, i))
			continue;
		TRY(buf_put_str(out, i > 0 ? ";" : ""));
		TRY(put_name(f->at[i]->name, out));
	}
	return OK;
}

static struct status
put_hash(struct span s, struct buf *out)
{
	uint8_t hash[SHA256_LEN];
	char hex[2 * SHA256_LEN];

	TRY(sha256(s, hash));
	hex_encode(span_of(hash, sizeof(hash)), hex);
	return buf_put(out, hex, sizeof(hex));
}

struct status
sigv4_canonical(const struct sigv4_request *r, struct buf *out)
{
	struct fields f;

	TRY(fields_sort(r, &f));
	TRY(buf_put_span(out, r->method));
	TRY(buf_put_u8(out, '\n'));
	TRY(put_path(r, out));
	TRY(buf_put_u8(out, '\n'));
	TRY(put_query(r, out));
	TRY(buf_put_u8(out, '\n'));
	TRY(put_fields(&f, out));
	TRY(buf_put_u8(out, '\n'));
	TRY(put_names(&f, out));
	TRY(buf_put_u8(out, '\n'));
	return put_hash(r->body, out);
}

/* ---- signature ---- */
static struct status
put_scope(const struct sigv4_request *r, struct buf *out)
{
	return buf_printf(
	    out, "%.8s/%.*s/%.*s/aws4_request", r->date, SPAN_FMT(r->region), SPAN_FMT(r->service));
}

struct status
sigv4_string_to_sign(const struct sigv4_request *r, struct span canonical, struct buf *out)
{
	TRY(buf_printf(out, ALGORITHM "\n%s\n", r->date));
	TRY(put_scope(r, out));
	TRY(buf_put_u8(out, '\n'));
	return put_hash(canonical, out);
}

static struct status
hmac_once(struct span key, struct span text, uint8_t out[SHA256_LEN])
{
	struct hmac_key *k = NULL;
	struct status st;

	TRY(hmac_key_new(key, &k));
	st = hmac_sha256(k, text, out);
	hmac_key_free(k);
	return st;
}

/* key = HMAC(HMAC(HMAC(HMAC("AWS4" secret, day), region), service), "aws4_request") */
static struct status
derive(const struct sigv4_key *key, const struct sigv4_request *r, uint8_t out[SHA256_LEN])
{
	auto_secret struct secret first = SECRET_NONE;
	const struct span steps[] = { r->region, r->service, SPAN_LIT("aws4_request") };

	if (key->secret->len == 0 || key->secret->len > KEY_MAX)
		return fail(E_RANGE);
	TRY(secret_new(4 + key->secret->len, &first));
	memcpy(first.ptr, "AWS4", 4);
	memcpy(first.ptr + 4, key->secret->ptr, key->secret->len);
	TRY(hmac_once(secret_borrow(&first), span_of(r->date, 8), out));
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		TRY(hmac_once(span_of(out, SHA256_LEN), steps[i], out));
	return OK;
}

struct status
sigv4_signature(const struct sigv4_key *key, const struct sigv4_request *r,
    struct span string_to_sign, char out[SIGV4_SIGNATURE_LEN + 1])
{
	uint8_t k[SHA256_LEN], mac[SHA256_LEN];
	struct status st = derive(key, r, k);

	if (is_ok(st))
		st = hmac_once(span_of(k, sizeof(k)), string_to_sign, mac);
	secret_wipe(k, sizeof(k));
	if (!is_ok(st))
		return st;
	hex_encode(span_of(mac, sizeof(mac)), out);
	out[SIGV4_SIGNATURE_LEN] = '\0';
	return OK;
}

static struct status
put_authorization(const struct sigv4_key *key, const struct sigv4_request *r, struct span canonical,
    struct buf *out)
{
	auto_buf struct buf text = BUF_INIT(1024);
	char signature[SIGV4_SIGNATURE_LEN + 1];
	struct fields f;

	TRY(sigv4_string_to_sign(r, canonical, &text));
	TRY(sigv4_signature(key, r, buf_span(&text), signature));
	TRY(fields_sort(r, &f));
	TRY(buf_put_str(out, ALGORITHM " Credential="));
	TRY(buf_put_span(out, key->id));
	TRY(buf_put_u8(out, '/'));
	TRY(put_scope(r, out));
	TRY(buf_put_str(out, ", SignedHeaders="));
	TRY(put_names(&f, out));
	return buf_printf(out, ", Signature=%s", signature);
}

struct status
sigv4_authorization(const struct sigv4_key *key, const struct sigv4_request *r, struct buf *out)
{
	auto_secret struct secret mem = SECRET_NONE;
	struct buf canonical;

	TRY(secret_new(SIGV4_CANONICAL_MAX, &mem));
	canonical = secret_buf(&mem);
	TRY(sigv4_canonical(r, &canonical));
	return put_authorization(key, r, buf_span(&canonical), out);
}
