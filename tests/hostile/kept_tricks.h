/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTILE_KEPT_TRICKS_H
#define HOSTILE_KEPT_TRICKS_H

/* A part of gateway.c: what the real gateway would have masked, sent to be kept as it is. */

static void
on_admitted_store(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct gs_open m = { .body_len = (uint32_t)g.content.len };
	size_t taken;

	(void)l, (void)type, (void)ctx;
	if (!keep_admitted(st, msg))
		return;
	memcpy(m.grant, g.admitted.grant, GRANT_LEN);
	if (!is_ok(stream_open(g.store, GS_OPEN, &m, &stream_ops, g.store, &g.stream)) ||
	    !is_ok(stream_write(g.stream, 0, buf_span(&g.content), &taken))) {
		tell("closed");
		return;
	}
	stream_end(g.stream);
}

/* A conversation with this in it: the real gateway would have masked it. */
static void
keep_it(const char *id, const char *meta)
{
	const struct content_request req = { .meta = span_str(meta) };
	struct ga_admit m = admit_of(g.key);

	g.content.len = 0;
	g.content.max = 4096;
	assert(is_ok(wire_encode(&content_request_table, &req, &g.content)));
	m.endpoint = ENDPOINT_CONVERSATIONS;
	m.model = SPAN_EMPTY;
	m.model_off = 0;
	m.content_op = CONTENT_CREATE;
	m.content_kind = CONTENT_CONVERSATION;
	m.content_id = span_str(id);
	m.body_len = (uint32_t)g.content.len;
	assert(is_ok(sha256(buf_span(&g.content), m.digest)));
	call(GA_ADMIT, &m, on_admitted_store);
}

static void
keep_a_text(void)
{
	keep_it("conv_00000000000000000000000000000000000000000000000a", "{\"a\":\"b\"}");
}

/* Not as a text, lest somebody's scanner takes this file for a leak. */
static void
keep_a_credential(void)
{
	keep_it("conv_00000000000000000000000000000000000000000000000b",
	    "{\"a\":\"gh"
	    "p_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17\"}");
}

static void
keep_a_provider_key(void)
{
	keep_it("conv_00000000000000000000000000000000000000000000000c",
	    "{\"a\":\"sk-"
	    "ant-api03-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ-AA\"}");
}

#endif
