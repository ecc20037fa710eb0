/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format.c: what a record begins with, and what the signed files hold.
 *
 * Runs in: audit (recovery), CLI (audit tail, audit verify). Trusts: nothing.
 * Owns: nothing.
 * Invariants: one text for one value: what parses here is what was written,
 * byte for byte, so that no changed byte reads as the same thing.
 * See: docs/audit-format.md; C2SP signed-note and tlog-checkpoint.
 */
#include <auditlog/auditlog.h>

#include <stdio.h>
#include <time.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/encode.h>

#define HEX_LEN ((size_t)2 * SHA256_LEN)

struct cursor {
	struct span rest;
};

static bool
take(struct cursor *c, struct span text)
{
	if (!span_starts(c->rest, text))
		return false;
	c->rest = span_from(c->rest, text.len);
	return true;
}

/* Exactly `count` digits. */
static bool
take_digits(struct cursor *c, size_t count, uint64_t *ret)
{
	if (c->rest.len < count || !is_ok(span_u64(span_of(c->rest.ptr, count), UINT64_MAX, ret)))
		return false;
	c->rest = span_from(c->rest, count);
	return true;
}

static bool
take_number(struct cursor *c, uint64_t *ret)
{
	size_t len = 0;

	while (len < c->rest.len && c->rest.ptr[len] >= '0' && c->rest.ptr[len] <= '9')
		len++;
	if (len == 0 || (len > 1 && c->rest.ptr[0] == '0'))
		return false;
	return take_digits(c, len, ret);
}

static bool
take_hash(struct cursor *c, uint8_t out[SHA256_LEN])
{
	char again[HEX_LEN];

	if (c->rest.len < HEX_LEN ||
	    !is_ok(hex_decode(span_of(c->rest.ptr, HEX_LEN), out, SHA256_LEN)))
		return false;
	hex_encode(span_of(out, SHA256_LEN), again);
	return take(c, span_of(again, HEX_LEN));
}

/* RFC 3339, UTC, nine digits. */
static bool
take_ts(struct cursor *c, uint64_t *ret_ns)
{
	static const char marks[] = "--T::.Z";
	static const uint8_t lens[] = { 4, 2, 2, 2, 2, 2, 9 };
	uint64_t v[sizeof(lens)] = { 0 };
	struct tm tm = { 0 };
	time_t s;

	for (size_t i = 0; i < sizeof(lens); i++) {
		if (!take_digits(c, lens[i], &v[i]) || !take(c, span_of(&marks[i], 1)))
			return false;
	}
	if (v[0] < 1970 || v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > 31 || v[3] > 23 ||
	    v[4] > 59 || v[5] > 59)
		return false;
	tm.tm_year = (int)v[0] - 1900;
	tm.tm_mon = (int)v[1] - 1;
	tm.tm_mday = (int)v[2];
	tm.tm_hour = (int)v[3];
	tm.tm_min = (int)v[4];
	tm.tm_sec = (int)v[5];
	s = timegm(&tm);
	if (s < 0 || __builtin_mul_overflow((uint64_t)s, NS_PER_S, ret_ns))
		return false;
	return !__builtin_add_overflow(*ret_ns, v[6], ret_ns);
}

struct status
auditlog_head_of(struct span line, struct auditlog_head *ret)
{
	struct auditlog_head h = { 0 };
	struct cursor c = { line };

	if (line.len > AUDITLOG_LINE_MAX || line.len < 2 || line.ptr[line.len - 1] != '}' ||
	    line.ptr[line.len - 2] != '}')
		return fail(E_SYNTAX);
	if (!take(&c, SPAN_LIT("{\"ts\":\"")) || !take_ts(&c, &h.ts_ns) ||
	    !take(&c, SPAN_LIT("\",\"prev\":\"")) || !take_hash(&c, h.prev) ||
	    !take(&c, SPAN_LIT("\",\"seq\":")) || !take_number(&c, &h.seq) || h.seq == 0)
		return fail(E_SYNTAX);
	h.more = take(&c, SPAN_LIT(",\"more\":true"));
	if (!take(&c, SPAN_LIT(",")))
		return fail(E_SYNTAX);
	h.rest = c.rest;
	if (!span_starts(c.rest, SPAN_LIT("\"process\":{")))
		return fail(E_SYNTAX);
	*ret = h;
	return OK;
}

/* A quote within a string is always escaped, so "name": can only be a member. */
bool
auditlog_member(struct span line, const char *name, struct span *ret)
{
	char key[64];
	int len = snprintf(key, sizeof(key), "\"%s\":", name);
	const uint8_t *at, *end = line.ptr + line.len;
	size_t n = 0;
	bool quoted;

	if (len < 0 || (size_t)len >= sizeof(key) || line.len == 0)
		return false;
	at = memmem(line.ptr, line.len, key, (size_t)len);
	if (at == NULL)
		return false;
	at += len;
	quoted = at < end && *at == '"';
	at += quoted ? 1 : 0;
	while (at + n < end && (quoted ? at[n] != '"' : at[n] != ',' && at[n] != '}')) {
		if (at[n] == '\\' || at[n] == '{' || at[n] == '[')
			return false;
		n++;
	}
	if (at + n >= end)
		return false;
	*ret = span_of(at, n);
	return true;
}

void
auditlog_segment_name(uint32_t n, char out[AUDITLOG_SEGMENT_NAME_LEN + 1])
{
	memcpy(out, "00000000.jsonl", AUDITLOG_SEGMENT_NAME_LEN + 1);
	for (size_t i = 8; i > 0; i--, n /= 10)
		out[i - 1] = (char)('0' + n % 10);
}

struct status
auditlog_origin(const char *instance, char out[AUDITLOG_ORIGIN_MAX + 1])
{
	int n = snprintf(out, AUDITLOG_ORIGIN_MAX + 1, "sallyport/%s/audit", instance);

	return n > 0 && n <= AUDITLOG_ORIGIN_MAX ? OK : fail(E_RANGE);
}

struct status
auditlog_pub_put(const char *origin, const uint8_t public_key[ED25519_KEY_LEN], struct buf *out)
{
	struct note_verifier v;

	TRY(note_verifier_init(&v, span_str(origin), public_key));
	TRY(note_verifier_put(&v, out));
	return buf_put_u8(out, '\n');
}

struct status
auditlog_vkey_parse(struct span text, struct note_verifier *ret)
{
	auto_buf struct buf again = BUF_INIT(AUDITLOG_NOTE_MAX);
	struct note_verifier v;

	if (!is_ok(note_verifier_parse(text, &v)))
		return fail(E_SYNTAX);
	TRY(note_verifier_put(&v, &again));
	if (!span_eq(text, buf_span(&again)))
		return fail(E_SYNTAX);
	*ret = v;
	return OK;
}

struct status
auditlog_pub_parse(struct span file, struct note_verifier *ret)
{
	if (file.len < 2 || file.len > AUDITLOG_NOTE_MAX || file.ptr[file.len - 1] != '\n')
		return fail(E_SYNTAX);
	return auditlog_vkey_parse(span_of(file.ptr, file.len - 1), ret);
}

struct status
auditlog_head_parse(struct span note, const struct note_verifier *v, struct checkpoint *ret)
{
	struct checkpoint c;
	struct span text, sigs;
	struct status st;

	if (note.len > AUDITLOG_NOTE_MAX)
		return fail(E_SYNTAX);
	st = note_verify(note, v, &text);
	if (!is_ok(st))
		return st.code == E_CRYPTO ? st : fail(E_SYNTAX);
	/* One signature line and no more: a line of somebody else's is skipped by note_verify(). */
	sigs = span_from(note, text.len + 1);
	if (sigs.len == 0 || memchr(sigs.ptr, '\n', sigs.len) != sigs.ptr + sigs.len - 1)
		return fail(E_SYNTAX);
	if (!is_ok(checkpoint_parse(text, &c)) || !span_eq_str(c.origin, v->name))
		return fail(E_SYNTAX);
	*ret = c;
	return OK;
}

struct status
auditlog_head_peek(struct span note, struct checkpoint *ret)
{
	struct checkpoint c;
	struct span text;

	if (note.len > AUDITLOG_NOTE_MAX || !is_ok(note_text(note, &text)) ||
	    !is_ok(checkpoint_parse(text, &c)))
		return fail(E_SYNTAX);
	*ret = c;
	return OK;
}
