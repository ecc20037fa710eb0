/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framing.c: Content-Length, Transfer-Encoding, Connection, Host, Expect.
 *
 * Runs in: gateway, broker, supervisor, demo. Trusts: nothing.
 * Owns: nothing. Invariants: a message with two opinions on its length is refused,
 * never repaired; what is about one connection leaves the list of fields.
 * See: RFC 9112 §6 (length), RFC 9110 §7.6.1 (Connection).
 */
#include "framing.h"

#include "chars.h"

#define LENGTH_DIGITS_MAX 19 /* always fits 64 bits */

typedef uint16_t take_fn(struct framing *f, struct span value);

static take_fn take_length, take_coding, take_connection, take_host, take_expect;

/* name, reader, whether it leaves the list. */
static const struct known {
	const char *name;
	take_fn *take;
	bool drop;
} known[] = {
	{ "content-length", take_length, false },
	{ "transfer-encoding", take_coding, true },
	{ "connection", take_connection, true },
	{ "host", take_host, true },
	{ "expect", take_expect, true },
	{ "keep-alive", NULL, true },
	{ "proxy-connection", NULL, true },
	{ "upgrade", NULL, true },
	{ "te", NULL, true },
};

static const struct known *
known_find(struct span name)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (span_eq_str(name, known[i].name))
			return &known[i];
	}
	return NULL;
}

uint16_t
http_framing_take(struct head *h, struct framing *ret)
{
	struct framing f = { 0 };
	size_t kept = 0;

	for (size_t i = 0; i < h->count; i++) {
		const struct known *k = known_find(h->fields[i].name);
		uint16_t rc = 0;

		if (k != NULL && k->take != NULL)
			rc = k->take(&f, h->fields[i].value);
		if (rc != 0)
			return rc;
		if (k == NULL || !k->drop)
			h->fields[kept++] = h->fields[i];
	}
	h->count = kept;
	if (f.has_length && f.has_coding)
		return 400;
	*ret = f;
	return 0;
}

bool
http_framing_name(struct span name)
{
	return known_find(name) != NULL || span_eq_str(name, "trailer") ||
	       span_eq_str(name, "authorization") || span_eq_str(name, "x-api-key");
}

static uint16_t
take_length(struct framing *f, struct span value)
{
	if (f->has_length || value.len == 0)
		return 400;
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return 400;
	}
	f->has_length = true;
	if (value.len > LENGTH_DIGITS_MAX)
		return 413;
	return is_ok(span_u64(value, UINT64_MAX, &f->length)) ? 0 : 400;
}

static uint16_t
take_coding(struct framing *f, struct span value)
{
	if (f->has_coding || !span_eq_nocase(value, SPAN_LIT("chunked")))
		return 400;
	f->has_coding = true;
	return 0;
}

/* The next element of a comma-separated list, without blanks; false at its end. */
static bool
list_next(struct span *list, struct span *ret)
{
	size_t n = 0;

	if (list->len == 0)
		return false;
	while (n < list->len && list->ptr[n] != ',')
		n++;
	*ret = span_of(list->ptr, n);
	*list = span_from(*list, n + 1);
	while (ret->len > 0 && (ret->ptr[0] == ' ' || ret->ptr[0] == '\t'))
		*ret = span_from(*ret, 1);
	while (ret->len > 0 && (ret->ptr[ret->len - 1] == ' ' || ret->ptr[ret->len - 1] == '\t'))
		ret->len--;
	return true;
}

/* Other options are ignored: nothing is forwarded, and an upgrade is never taken. */
static uint16_t
take_connection(struct framing *f, struct span value)
{
	struct span option;

	while (list_next(&value, &option)) {
		if (option.len > 0 && !http_token_ok(option))
			return 400;
		if (span_eq_nocase(option, SPAN_LIT("close")))
			f->close = true;
	}
	return 0;
}

static uint16_t
take_host(struct framing *f, struct span value)
{
	if (f->has_host)
		return 400;
	f->has_host = true;
	f->host = value;
	return 0;
}

static uint16_t
take_expect(struct framing *f, struct span value)
{
	if (f->has_expect)
		return 400;
	f->has_expect = true;
	f->expect = value;
	return 0;
}
