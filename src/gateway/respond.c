/* SPDX-License-Identifier: Apache-2.0 */
/*
 * respond.c: answers, whichever version of HTTP carries them.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing.
 * Invariants: no answer goes to a client that has left; a head leaves once.
 * See: request.h; h1_reply.c, h2_reply.c; facts about SDKs in docs/api.md.
 */
#include <stdio.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <http/sse.h>

#include "request.h"

struct fields {
	struct http_field *items;
	size_t count;
	char *text;
	size_t left;
};

/* Without a name, not in this style. */
static void
add(struct fields *f, const char *name, struct span value)
{
	if (name != NULL && f->count < REPLY_FIELDS_MAX)
		f->items[f->count++] = (struct http_field){ span_str(name), value };
}

static void
add_number(struct fields *f, const char *name, uint64_t v, const char *unit)
{
	int n = snprintf(f->text, f->left, "%llu%s", (unsigned long long)v, unit);

	if (n < 0 || (size_t)n >= f->left)
		return;
	add(f, name, span_of(f->text, (size_t)n));
	f->text += n;
	f->left -= (size_t)n;
}

static void
add_reset(struct fields *f, const struct request *r)
{
	if (!r->style->reset_is_date) {
		add_number(f, r->style->rate_reset, r->rate_reset_ms, "ms");
		return;
	}
	if (f->left <= CLOCK_RFC3339_LEN)
		return;
	clock_rfc3339(clock_real_ns() + r->rate_reset_ms * NS_PER_MS, f->text);
	add(f, r->style->rate_reset, span_of(f->text, CLOCK_RFC3339_LEN));
	f->text += CLOCK_RFC3339_LEN;
	f->left -= CLOCK_RFC3339_LEN;
}

static void
add_rate(struct fields *f, const struct request *r)
{
	const struct style *s = r->style;

	if (!r->have_rate)
		return;
	add_number(f, s->rate_limit, r->rate_limit, "");
	add_number(f, s->rate_remaining, r->rate_remaining, "");
	add_reset(f, r);
}

static void
add_retry(struct fields *f, const struct request *r, uint16_t status)
{
	uint32_t ms = r->retry_after_ms;

	if (status < 400)
		return;
	add(f, "x-should-retry",
	    status == 429 || status >= 500 ? SPAN_LIT("true") : SPAN_LIT("false"));
	if (status != 429 && status != 503 && status != 529)
		return;
	if (ms == 0)
		ms = 1000;
	add_number(f, "retry-after-ms", ms, "");
	add_number(f, "retry-after", ((uint64_t)ms + 999) / 1000, "");
}

size_t
reply_fields(const struct request *r, uint16_t status, struct http_field fields[REPLY_FIELDS_MAX],
    char text[REPLY_TEXT_MAX])
{
	struct fields f = { fields, 0, text, REPLY_TEXT_MAX };

	add(&f, "x-request-id", span_of(r->id_text, 36));
	/* The same for everybody whose key is not good, or not looked at yet. */
	add(&f,
	    status == 401 || r->route == NULL ? style_anthropic.request_id : r->style->request_id,
	    span_of(r->id_text, 36));
	add(&f, "x-content-type-options", SPAN_LIT("nosniff"));
	if (status == 401) {
		add(&f, "www-authenticate", SPAN_LIT("Bearer"));
	} else {
		add_number(
		    &f, r->style->processing_ms, (clock_mono_ns() - r->began_ns) / NS_PER_MS, "");
		add_rate(&f, r);
	}
	add_retry(&f, r, status);
	if (r->location[0] != '\0')
		add(&f, "location", span_str(r->location));
	return f.count;
}

static void
send_head(struct request *r, const struct reply_head *h)
{
	static const enum metric by_class[] = { METRIC_RESPONSES_2XX, METRIC_RESPONSES_2XX,
		METRIC_RESPONSES_2XX, METRIC_RESPONSES_2XX, METRIC_RESPONSES_4XX,
		METRIC_RESPONSES_5XX };

	r->head_sent = true;
	daemon_metric_add(by_class[h->status / 100 < 6 ? h->status / 100 : 5], 1);
	r->reply->head(r, h);
}

void
reply_body(struct request *r, uint16_t status, const char *type, struct span body)
{
	const struct reply_head h = { status, type, false, body.len };

	if (r->reply == NULL)
		return;
	send_head(r, &h);
	r->reply->data(r, body);
	r->reply->end(r);
}

void
reply_json(struct request *r, uint16_t status, struct span body)
{
	reply_body(r, status, "application/json", body);
}

void
reply_stream(struct request *r)
{
	const struct reply_head h = { 200, "text/event-stream; charset=utf-8", true, 0 };

	if (r->reply != NULL)
		send_head(r, &h);
}

void
reply_event(struct request *r, struct span name, struct span json)
{
	auto_buf struct buf out = BUF_INIT(2UL * OUT_MAX);

	if (r->reply == NULL)
		return;
	if (is_ok(sse_put(&out, name, json)))
		r->reply->data(r, buf_span(&out));
	else
		r->close = true;
}

void
reply_end(struct request *r)
{
	if (r->reply != NULL)
		r->reply->end(r);
}
