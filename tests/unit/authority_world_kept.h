/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_WORLD_KEPT_H
#define TESTS_AUTHORITY_WORLD_KEPT_H

/*
 * The store of authority_world.h: users' tools, secrets of providers, counts of usage.
 */
#include "authority_world_state.h"

/* ---- tools in the store ---- */

UNUSED static void
tool_done(struct link *l, uint64_t id)
{
	const struct as_done done = { .code = (uint16_t)(w.tool_mode == TOOLS_FAIL ? w.tool_code
										   : E_OK) };

	if (w.tool_mode == TOOLS_HOLD)
		w.tool_held = id;
	else
		assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
}

UNUSED static void
tool_kept(uint64_t id)
{
	struct as_tool_kept m = { .code = (uint16_t)(w.tool_mode == TOOLS_FAIL ? w.tool_code
									       : E_OK) };

	if (m.code == E_OK) {
		m.id = ++w.tool_ids;
		m.version = (uint32_t)m.id;
	}
	assert_true(is_ok(link_send(w.store, id, AS_TOOL_KEPT, &m)));
}

UNUSED static void
on_store_tool_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	int fds[] = { link_take_fd(l), link_take_fd(l), link_take_fd(l) };

	(void)msg, (void)ctx;
	assert_true(fds[0] >= 0 && fds[1] >= 0 && fds[2] < 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
	w.tool_puts++;
	if (w.tool_mode == TOOLS_HOLD)
		w.tool_held = id;
	else
		tool_kept(id);
}

UNUSED static void
on_store_tool_get(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct as_tool_part m = { .code = (uint16_t)(w.tool_mode == TOOLS_FAIL ? w.tool_code
									       : E_OK) };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)msg, (void)ctx;
	w.tool_gets++;
	memset(m.digest, 0x4d, sizeof(m.digest));
	assert_true(is_ok(link_send_fds(l, id, AS_TOOL_PART, &m, &fd, m.code == E_OK ? 1 : 0)));
	(void)close(fd);
}

UNUSED static void
on_store_tool_rebuilt(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	int fd = link_take_fd(l);

	(void)msg, (void)ctx;
	assert_true(fd >= 0);
	(void)close(fd);
	w.tool_rebuilds++;
	tool_done(l, id);
}

UNUSED static void
on_store_tool_mark(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_tool_mark *m = msg;

	(void)ctx;
	w.tool_marked = m->id;
	w.tool_mark = m->mark;
	tool_done(l, id);
}

UNUSED static void
on_store_tool_remove(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_tool_remove *m = msg;

	(void)ctx;
	w.tool_removed = m->id;
	w.tool_all = m->all;
	tool_done(l, id);
}

/* A store with room for one secret of providers. */
UNUSED static void
on_store_secret_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_secret_put *m = msg;
	struct as_secret r = { .code = E_OK };

	(void)ctx;
	if (m->rotate && w.secret_version == 0)
		r.code = E_NOTFOUND;
	else
		r.version = ++w.secret_version;
	(void)snprintf(w.secret_name, sizeof(w.secret_name), "%.*s", SPAN_FMT(m->name));
	(void)snprintf(w.sealed, sizeof(w.sealed), "%.*s", SPAN_FMT(m->sealed));
	assert_true(is_ok(link_send(l, id, AS_SECRET, &r)));
}

UNUSED static void
on_store_secret_get(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_secret_name *m = msg;
	struct as_secret r = { .code = E_NOTFOUND };

	(void)ctx;
	if (w.secret_version > 0 && span_eq_str(m->name, w.secret_name))
		r = (struct as_secret){
			.code = E_OK, .version = w.secret_version, .sealed = span_str(w.sealed)
		};
	assert_true(is_ok(link_send(l, id, AS_SECRET, &r)));
}

UNUSED static void
on_store_secret_remove(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_done done = { .code = w.secret_version > 0 ? E_OK : E_NOTFOUND };

	(void)ctx, (void)msg;
	w.secret_version = 0;
	assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
}

UNUSED static void
on_store_secret_list(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_secret_row row = {
		.name = span_str(w.secret_name), .version = w.secret_version, .set_s = 5
	};
	const struct as_secrets m = { .code = E_OK, .secrets = { &row, w.secret_version > 0 } };

	(void)ctx, (void)msg;
	assert_true(is_ok(link_send(l, id, AS_SECRETS, &m)));
}

UNUSED static void
on_store_usage_add(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_usage_add *m = msg;
	const struct as_usage_item *items = m->items.items;
	const struct as_done done = { .code = w.usage_mode == USAGE_FAILS ? E_SYS : E_OK };

	(void)ctx;
	w.usage_batches++;
	for (uint32_t i = 0;
	     i < m->items.count && m->seq > w.usage_seq && w.usage_mode != USAGE_FAILS; i++) {
		w.usage_items++;
		w.usage.requests += items[i].requests;
		w.usage.errors += items[i].errors;
		w.usage.tokens_in += items[i].tokens_in;
		w.usage.tokens_out += items[i].tokens_out;
		w.usage.estimated_out += items[i].estimated_out;
		w.usage.cached_in += items[i].cached_in;
		w.usage.cache_written_in += items[i].cache_written_in;
		w.usage.reasoning_out += items[i].reasoning_out;
	}
	if (w.usage_mode != USAGE_FAILS)
		w.usage_seq = m->seq;
	if (w.usage_mode != USAGE_HOLDS)
		assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
}

UNUSED static void
on_store_usage_list(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_usage_list *m = msg;
	const struct as_usage_row row = { .id = "kkkkkkkkkkkk",
		.tenant = SPAN_LIT("t"),
		.user = SPAN_LIT("u"),
		.model = SPAN_LIT("alpha"),
		.requests = m->since_day };
	const struct as_usage r = { .code = E_OK,
		.next_user = m->after_user + 1,
		.next_key = 5,
		.next_model = SPAN_LIT("alpha"),
		.rows = { &row, w.usage_empty == 0 } };

	w.usage_empty -= w.usage_empty > 0;
	(void)ctx;
	assert_true(is_ok(link_send(l, id, AS_USAGE, &r)));
}

#endif
