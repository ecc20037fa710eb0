/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encode.c: one record as one line of JSON.
 *
 * Runs in: audit, jailed. Trusts: wire's tables for lengths; no string.
 * Owns: the text of the current second.
 * Invariants: members come in one order, absent ones are left out; a line never
 * outgrows RECORD_ROOM; no string that passes an API key's checksum gets in.
 * Written without printf: this is the hot path of every request.
 * See: docs/audit-format.md; wire/audit_event.h.
 */
#include "encode.h"

#include <assert.h>

#include <base/clock.h>
#include <base/encode.h>
#include <json/write.h>
#include <keytext/keytext.h>

#define LIT(b, s) put(b, "" s, sizeof(s) - 1)

static const char *const phase_names[] = { NULL, "intent", "outcome" };
static const char *const outcome_names[] = { NULL, "success", "failure", "denied", "unknown" };
static const char *const cause_names[] = { NULL, "process_died", "recovery", "cancelled", "revoked",
	"timeout" };

/* Events that only the audit process itself writes. */
static const bool own_events[EVENT_COUNT] = {
	[EVENT_LOG_OPENED] = true,
	[EVENT_LOG_REPAIRED] = true,
	[EVENT_INTENT_CLOSED] = true,
	[EVENT_SIGNING_KEY_ROTATED] = true,
};

static size_t
field_count(const struct audit_event_row *row)
{
	size_t n = 0;

	while (n < AUDIT_VALUES_MAX && row->fields[n].name != NULL)
		n++;
	return n;
}

static bool
all_zero(const uint8_t *p, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= p[i];
	return any == 0;
}

static bool
holds_key(struct span s)
{
	while (s.len >= KEYTEXT_LEN) {
		const uint8_t *at = memmem(s.ptr, s.len, KEYTEXT_PREFIX, KEYTEXT_PREFIX_LEN);

		if (at == NULL)
			return false;
		s = span_from(s, (size_t)(at - s.ptr));
		if (s.len >= KEYTEXT_LEN && keytext_ok(span_of(s.ptr, KEYTEXT_LEN)))
			return true;
		s = span_from(s, 1);
	}
	return false;
}

static struct status
value_check(const struct audit_value *v, enum audit_value_kind kind)
{
	if (v->kind == AUDIT_V_NULL)
		return OK;
	if (v->kind != (uint8_t)kind || (kind == AUDIT_V_BOOL && v->num > 1))
		return fail(E_PROTO);
	return kind == AUDIT_V_STR && holds_key(v->str) ? fail(E_DENIED) : OK;
}

struct status
record_check(const struct audit_rec *r)
{
	const struct audit_event_row *row;
	const struct audit_value *values = r->values.items;

	if (r->event == 0 || r->event >= EVENT_COUNT || own_events[r->event] || r->proc_seq == 0)
		return fail(E_PROTO);
	row = &audit_events[r->event];
	if (row->name == NULL || r->values.count != field_count(row))
		return fail(E_PROTO);
	if ((r->outcome == AUDIT_OUTCOME_NONE) != (r->phase == AUDIT_PHASE_INTENT) ||
	    (r->intent_seq != 0) != (r->phase == AUDIT_PHASE_OUTCOME))
		return fail(E_PROTO);
	for (uint32_t i = 0; i < r->values.count; i++)
		TRY(value_check(&values[i], row->fields[i].kind));
	return holds_key(r->resource) || holds_key(r->source_ip) ? fail(E_DENIED) : OK;
}

bool
record_is_anonymous(const struct audit_rec *r)
{
	return (r->event == EVENT_AUTHENTICATION || r->event == EVENT_AUTHENTICATION_FAILURES) &&
	       all_zero(r->subject, SUBJECT_LEN) && all_zero(r->key, SUBJECT_LEN);
}

/* ---- writing; RECORD_ROOM was reserved, so these do not check ---- */

static void
put(struct buf *b, const void *p, size_t n)
{
	memcpy(b->ptr + b->len, p, n);
	b->len += n;
}

static void
put_u64(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	put(b, digits + at, sizeof(digits) - at);
}

static void
put_hex(struct buf *b, const uint8_t *p, size_t len)
{
	hex_encode(span_of(p, len), (char *)b->ptr + b->len);
	b->len += 2 * len;
}

static void
put_ts(struct buf *b, uint64_t ns)
{
	static uint64_t cached_s = UINT64_MAX;
	static char cached[CLOCK_RFC3339_LEN + 1];
	uint64_t rest = ns % NS_PER_S;
	char *text;

	if (ns / NS_PER_S != cached_s) {
		cached_s = ns / NS_PER_S;
		clock_rfc3339(cached_s * NS_PER_S, cached);
	}
	text = (char *)b->ptr + b->len;
	put(b, cached, CLOCK_RFC3339_LEN);
	for (size_t i = CLOCK_RFC3339_LEN - 2; rest > 0; i--, rest /= 10)
		text[i] = (char)('0' + rest % 10);
}

static bool
is_plain(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e || s.ptr[i] == '"' || s.ptr[i] == '\\')
			return false;
	}
	return true;
}

static struct status
put_str(struct buf *b, struct span s)
{
	LIT(b, "\"");
	if (is_plain(s)) {
		if (s.len > 0)
			put(b, s.ptr, s.len);
	} else {
		TRY(json_escape(s, b));
	}
	LIT(b, "\"");
	return OK;
}

static void
put_name(struct buf *b, const char *name)
{
	LIT(b, "\"");
	put(b, name, strlen(name));
	LIT(b, "\"");
}

static void
put_head(struct buf *b, const struct record_place *at)
{
	LIT(b, "{\"ts\":\"");
	put_ts(b, at->ts_ns);
	LIT(b, "\",\"prev\":\"");
	put_hex(b, at->prev, SHA256_LEN);
	LIT(b, "\",\"seq\":");
	put_u64(b, at->seq);
	if (at->more)
		LIT(b, ",\"more\":true");
}

static void
put_sender(struct buf *b, const struct record_sender *from, uint64_t proc_seq)
{
	LIT(b, ",\"process\":{\"name\":");
	put_name(b, from->name);
	LIT(b, ",\"id\":");
	put_u64(b, from->id);
	LIT(b, ",\"seq\":");
	put_u64(b, proc_seq);
	if (from->missed > 0) {
		LIT(b, ",\"missed\":");
		put_u64(b, from->missed);
	}
	LIT(b, "}");
}

static void
put_ids(struct buf *b, const struct audit_rec *r)
{
	char text[UUID_TEXT_LEN + 1];

	if (!all_zero(r->request_id, REQUEST_ID_LEN)) {
		uuid_text(r->request_id, text);
		LIT(b, ",\"request_id\":\"");
		put(b, text, UUID_TEXT_LEN);
		LIT(b, "\"");
	}
	if (!all_zero(r->subject, SUBJECT_LEN)) {
		LIT(b, ",\"subject\":\"");
		put_hex(b, r->subject, SUBJECT_LEN);
		LIT(b, "\"");
	}
	if (!all_zero(r->key, SUBJECT_LEN)) {
		LIT(b, ",\"key\":\"");
		put_hex(b, r->key, SUBJECT_LEN);
		LIT(b, "\"");
	}
}

static struct status
put_act(struct buf *b, const struct audit_rec *r)
{
	LIT(b, ",\"action\":");
	put_name(b, audit_events[r->event].action);
	if (r->resource.len > 0) {
		LIT(b, ",\"resource\":");
		TRY(put_str(b, r->resource));
	}
	if (r->outcome != AUDIT_OUTCOME_NONE) {
		LIT(b, ",\"outcome\":");
		put_name(b, outcome_names[r->outcome]);
	}
	if (r->source_ip.len > 0) {
		LIT(b, ",\"source_ip\":");
		TRY(put_str(b, r->source_ip));
	}
	return OK;
}

static void
put_phase(struct buf *b, const struct audit_rec *r)
{
	if (r->phase != AUDIT_PHASE_NONE) {
		LIT(b, ",\"phase\":");
		put_name(b, phase_names[r->phase]);
	}
	if (r->intent_seq != 0) {
		LIT(b, ",\"intent_seq\":");
		put_u64(b, r->intent_seq);
	}
	if (r->cause != AUDIT_CAUSE_NONE) {
		LIT(b, ",\"cause\":");
		put_name(b, cause_names[r->cause]);
	}
	LIT(b, ",\"config\":");
	put_u64(b, r->config);
}

static struct status
put_value(struct buf *b, const char *name, const struct audit_value *v)
{
	if (v->kind == AUDIT_V_NULL)
		return OK;
	LIT(b, ",");
	put_name(b, name);
	LIT(b, ":");
	if (v->kind == AUDIT_V_STR)
		return put_str(b, v->str);
	if (v->kind == AUDIT_V_U64)
		put_u64(b, v->num);
	else if (v->num != 0)
		LIT(b, "true");
	else
		LIT(b, "false");
	return OK;
}

static struct status
put_event(struct buf *b, const struct audit_rec *r)
{
	const struct audit_event_row *row = &audit_events[r->event];
	const struct audit_value *values = r->values.items;

	LIT(b, ",\"event\":{\"type\":");
	put_name(b, row->name);
	for (uint32_t i = 0; i < r->values.count; i++)
		TRY(put_value(b, row->fields[i].name, &values[i]));
	LIT(b, "}}");
	return OK;
}

struct status
record_encode(const struct audit_rec *r, const struct record_sender *from,
    const struct record_place *at, struct buf *out)
{
	size_t start = out->len;

	TRY(buf_reserve(out, RECORD_ROOM));
	put_head(out, at);
	put_sender(out, from, r->proc_seq);
	put_ids(out, r);
	TRY(put_act(out, r));
	put_phase(out, r);
	TRY(put_event(out, r));
	assert(out->len - start < RECORD_ROOM);
	return OK;
}
