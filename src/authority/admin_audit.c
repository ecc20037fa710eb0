/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_audit.c: records of the log, for auditors.
 *
 * Runs in: authority. Trusts: the audit process for the records; nothing of a request.
 * Owns: nothing. Invariants: a person sees records whose subject is of its tenant, an operator
 * all, or a tenant's; what is shown is what stands in the log, byte for byte, nothing of it
 * opened; a request looks at a bounded part of the log and says where the next one goes on; that
 * somebody reads is on record before anything is shown.
 * See: admin_op.h; wire/authority_audit.h; src/audit/reading.c.
 */
#include "admin_op.h"

#include <auditlog/auditlog.h>
#include <base/clock.h>
#include <base/encode.h>

#define LOOK_MAX (4U << 20)      /* bytes of records that one request looks at */
#define RECORDS_MAX (512U << 10) /* bytes of them in one answer */
#define PAGE_WAIT_MS 5000
#define YEARS_S 253402300800ULL /* 9999 */

static void ask(struct admin_op *op);
static void on_page(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void put_read(struct admin_op *op, struct batch *b, const struct record_who *who);

const struct admin_kind admin_audit_kind = { put_read, NULL, true, ADMIN_WAIT_MS };

/* ---- what is asked for ---- */

static struct status
read_number(struct admin_call *c, const char *name, uint64_t max, uint64_t *ret)
{
	struct span text = admin_query(c, name);

	*ret = 0;
	if (text.len > 0 && !is_ok(span_u64(text, max, ret)))
		return admin_refuse(c, 400, "invalid_request", "A number of the query is none.");
	return OK;
}

static bool
is_type(struct span name)
{
	for (size_t i = 1; i < EVENT_COUNT; i++) {
		if (span_eq_str(name, audit_events[i].name))
			return true;
	}
	return false;
}

static struct status
read_what(struct admin_call *c, struct admin_op *op)
{
	struct span type = admin_query(c, "type"), order = admin_query(c, "order");
	uint64_t since_s, until_s;

	op->body = BUF_INIT(ADMIN_BODY_MAX);
	TRY(span_to_cstr(c->tenant, op->tenant, sizeof(op->tenant)));
	TRY(read_number(c, "since_s", YEARS_S, &since_s));
	TRY(read_number(c, "until_s", YEARS_S, &until_s));
	TRY(read_number(c, "after", INT64_MAX, &op->reading.at));
	TRY(admin_query_limit(c, &op->limit));
	if (type.len > 0 && !is_type(type))
		return admin_refuse(
		    c, 400, "invalid_request", "There are no records of this type.");
	if (order.len > 0 && !span_eq_str(order, "asc") && !span_eq_str(order, "desc"))
		return admin_refuse(c, 400, "invalid_request", "order is asc or desc.");
	op->reading.descending = !span_eq_str(order, "asc");
	op->reading.since_ns = since_s * NS_PER_S;
	op->reading.until_ns = until_s * NS_PER_S;
	TRY(span_to_cstr(type, op->name, sizeof(op->name)));
	return buf_put_str(&op->body, "{\"records\":[");
}

struct status
audit_read(struct admin_call *c)
{
	struct admin_op *op = NULL;
	struct status st;

	TRY(admin_op_new(c, OP_AUDIT, &op));
	st = read_what(c, op);
	if (!is_ok(st)) {
		admin_op_free(op);
		return st;
	}
	return admin_op_begin(op, ask, c->op);
}

static void
put_read(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", SPAN_LIT("audit"));
	batch_text(b, "audit.read");
	admin_put_by(op, b);
}

/* ---- page by page ---- */

static void
ask(struct admin_op *op)
{
	const struct aa_read m = { .at = op->reading.at,
		.since_ns = op->reading.since_ns,
		.until_ns = op->reading.until_ns,
		.type = span_str(op->name),
		.descending = op->reading.descending };

	if (!audit_is_up(op->a) ||
	    !is_ok(link_call(op->a->audit.link, AA_READ, &m, PAGE_WAIT_MS, on_page, op, NULL)))
		admin_op_fail_audit(op);
}

/* Is it of the tenant that is asked for? Without one: an operator, who sees all. */
static bool
is_seen(const struct admin_op *op, struct span line)
{
	uint8_t subject[SUBJECT_LEN];
	const struct user *u;
	struct span hex;

	if (op->tenant[0] == '\0')
		return true;
	if (!auditlog_member(line, "subject", &hex) ||
	    !is_ok(hex_decode(hex, subject, sizeof(subject))))
		return false;
	u = keys_find_subject(&op->a->keys, subject);
	return u != NULL && span_eq_str(u->tenant, op->tenant);
}

static bool
is_full(const struct admin_op *op)
{
	return op->limit == 0 || op->body.len >= RECORDS_MAX;
}

/* As many lines as there is room for; op->reading.at is then the last one that was looked at. */
static struct status
take_lines(struct admin_op *op, struct span lines)
{
	while (lines.len > 0 && !is_full(op)) {
		const uint8_t *end = memchr(lines.ptr, '\n', lines.len);
		struct auditlog_head h;
		struct span line;

		if (end == NULL)
			return fail(E_PROTO);
		line = span_of(lines.ptr, (size_t)(end - lines.ptr));
		lines = span_from(lines, line.len + 1);
		if (!is_ok(auditlog_head_of(line, &h)))
			return fail(E_PROTO);
		op->reading.at = h.seq;
		if (!is_seen(op, line))
			continue;
		if (op->body.ptr[op->body.len - 1] != '[')
			TRY(buf_put_u8(&op->body, ','));
		TRY(buf_put_span(&op->body, line));
		op->limit--;
	}
	return OK;
}

static struct status
take_page(struct admin_op *op, const struct aa_page *m, bool *ret_over)
{
	op->reading.looked_at += AA_PAGE_MAX;
	TRY(take_lines(op, m->lines));
	*ret_over = true;
	if (!is_full(op) && m->end)
		return buf_put_str(&op->body, "],\"next\":null}");
	if (!is_full(op))
		op->reading.at = m->at;
	if (is_full(op) || op->reading.looked_at >= LOOK_MAX)
		return buf_printf(
		    &op->body, "],\"next\":%llu}", (unsigned long long)op->reading.at);
	*ret_over = false;
	return OK;
}

static void
on_page(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct aa_page *m = msg;
	struct admin_op *op = ctx;
	bool over = false;

	(void)l;
	if (!is_ok(st) || type != AA_PAGE || m->code != E_OK)
		admin_op_answer(op, 503, "audit_unavailable", "The audit log cannot be read.");
	else if (!is_ok(take_page(op, m, &over)))
		admin_op_answer(
		    op, 500, "internal_error", "The records could not be put together.");
	else if (over)
		admin_op_answer_body(op, 200);
	else
		ask(op);
}
