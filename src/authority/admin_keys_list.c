/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_keys_list.c: API keys, listed.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks. Owns: nothing.
 * Invariants: nobody sees another one's but who may; a key's text is in no list.
 * See: admin_keys.c.
 */
#include "admin_op.h"

#include "admin_json.h"

#define ROW_MAX (2 * SCOPES_MAX + 1024)

static bool
is_listed(const struct admin_op *op, const struct key *key)
{
	return (op->tenant[0] == '\0' || span_eq_str(key->user->tenant, op->tenant)) &&
	       (op->user[0] == '\0' || span_eq_str(key->user->name, op->user)) && !key_is_past(key);
}

static struct status
make_list(struct admin_op *op, struct buf *out)
{
	const struct keys *keys = &op->a->keys;
	const struct key *last = NULL;
	size_t i = (size_t)op->after_key;
	uint32_t n = 0;

	TRY(buf_put_str(out, "{\"keys\":["));
	for (; i < keys->nkeys && n < op->limit && out->len < ADMIN_BODY_MAX - ROW_MAX; i++) {
		const struct key *key = keys_at(keys, i);

		if (!is_listed(op, key))
			continue;
		if (n++ > 0)
			TRY(buf_put_u8(out, ','));
		TRY(admin_put_key(key, out));
		last = key;
	}
	while (i < keys->nkeys && !is_listed(op, keys_at(keys, i)))
		i++;
	if (i == keys->nkeys || last == NULL)
		return buf_put_str(out, "],\"next\":null}");
	TRY(buf_put_str(out, "],\"next\":\""));
	TRY(buf_put(out, last->id, KEY_ID_LEN));
	return buf_put_str(out, "\"}");
}

struct status
keys_list(struct admin_call *c)
{
	struct span after = admin_query(c, "after"), user = admin_query(c, "user");
	const struct key *behind = NULL;
	struct admin_op *op = NULL;
	uint32_t limit = 0;

	TRY(admin_query_limit(c, &limit));
	if (!admin_has(c, ACTION_KEY_READ)) {
		if (user.len > 0 && !span_eq(user, c->by->user->name))
			return admin_refuse_not_found(c);
		user = c->by->user->name;
	}
	if (user.len > USER_MAX)
		return admin_refuse_not_found(c);
	if (after.len > 0 && (behind = admin_known_key(c, after)) == NULL)
		return admin_refuse_not_found(c);
	TRY(admin_read_new(c, "keys.list", make_list, &op));
	op->limit = limit;
	op->after_key = behind == NULL ? 0 : behind->index + 1;
	memcpy(op->user, user.ptr != NULL ? user.ptr : (const uint8_t *)"", user.len);
	return admin_read_begin(c, op);
}
