/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_WORLD_STORE_H
#define TESTS_AUTHORITY_WORLD_STORE_H

/*
 * The store of authority_world.h: loads, keys, sessions, persons and what rotates.
 */
#include "authority_world_state.h"

UNUSED static void
on_ping(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_done done = { .code = (uint16_t)(w.ping_code != 0 ? w.ping_code : E_OK) };

	(void)msg, (void)ctx;
	w.ping_held = id;
	if (!w.store_mute)
		assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
}

UNUSED static void
load_end(struct link *l, uint64_t id)
{
	struct as_loaded loaded = { .tenant_key = { 5 } };

	memcpy(loaded.day, "2026-01-31", AS_DAY_LEN);
	assert_true(is_ok(link_send(l, id, AS_LOADED, &loaded)));
}

UNUSED static void
erase_answer(struct link *l, uint64_t id)
{
	struct as_erased m = { .code = (uint16_t)(w.erase_code != 0 ? w.erase_code : E_OK),
		.rows = w.erase_code != 0 ? 0 : 42,
		.waits = w.erase_waits };

	assert_true(is_ok(link_send(l, id, AS_ERASED, &m)));
	if (w.load_held != 0)
		load_end(l, w.load_held);
	w.load_held = 0;
}

UNUSED static void
on_user_erase(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)msg, (void)ctx;
	w.user_erases++;
	w.erase_held = id;
	if (!w.erase_holds)
		erase_answer(l, id);
}

UNUSED static void
on_user_export(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_export *m = msg;
	struct as_exported r = { .code = (uint16_t)(w.erase_code != 0 ? w.erase_code : E_OK),
		.more = 1 };
	char page[32];

	(void)ctx;
	w.exports++;
	if (w.exports_hold) {
		w.export_held = id;
		return;
	}
	(void)snprintf(page, sizeof(page), "{\"row\":%llu}\n", (unsigned long long)m->row);
	r.page = span_str(page);
	assert_true(is_ok(link_send(l, id, AS_EXPORTED, &r)));
}

UNUSED static void
on_revoke(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct wire_none none = { 0 };

	(void)ctx;
	w.revokes++;
	w.revoke_error = ((const struct ga_revoke *)msg)->error;
	assert_true(is_ok(link_send(l, id, GA_REVOKED, &none)));
}

UNUSED static void
on_store_revoke(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_done done = { .code = (uint16_t)(w.put_code != 0 ? w.put_code : E_OK) };

	(void)ctx;
	memcpy(w.revoke_id, ((const struct as_key_revoke *)msg)->id, KEY_ID_LEN);
	w.store_changes++;
	assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
}

UNUSED static void
session_done(struct link *l, uint64_t id, enum code code)
{
	const struct as_done done = { .code = (uint16_t)code };

	assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
}

UNUSED static bool
session_forget(const uint8_t id[SESSION_ID_LEN])
{
	for (uint32_t i = 0; i < w.nsessions; i++) {
		if (memcmp(w.sessions[i].id, id, SESSION_ID_LEN) != 0)
			continue;
		w.sessions[i] = w.sessions[--w.nsessions];
		return true;
	}
	return false;
}

UNUSED static void
on_store_session_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_session *m = msg;

	(void)ctx;
	if (!w.session_fails) {
		assert_true(w.nsessions < COUNT(w.sessions));
		(void)session_forget(m->ends);
		w.sessions[w.nsessions] = *m;
		w.sessions[w.nsessions++].scope = SPAN_EMPTY;
	}
	session_done(l, id, w.session_fails ? E_SYS : E_OK);
}

UNUSED static void
on_store_session_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_session_end *m = msg;

	(void)ctx;
	if (w.session_fails)
		session_done(l, id, E_SYS);
	else
		session_done(l, id, session_forget(m->id) ? E_OK : E_NOTFOUND);
}

UNUSED static void
on_store_kek(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)msg, (void)ctx;
	w.kek_looks++;
	assert_true(is_ok(link_send(l, id, AS_KEK, &w.kek)));
}

UNUSED static void
on_store_kek_rotate(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_kek_rotate *m = msg;
	struct as_kek answer = w.kek;

	(void)ctx;
	w.kek_rotations++;
	if (w.kek.under_way != AS_ROTATE_NONE)
		answer.code = E_EXISTS;
	else
		answer.under_way = w.kek.under_way = m->what;
	assert_true(is_ok(link_send(l, id, AS_KEK, &answer)));
}

UNUSED static void
on_store_keyset(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	uint8_t what = ((const struct as_keyset_ref *)msg)->what;
	struct as_keyset m = w.keysets[what];

	(void)ctx;
	w.keyset_looks[what]++;
	memset(m.key, 0, sizeof(m.key));
	assert_true(is_ok(link_send(l, id, AS_KEYSET, &m)));
}

UNUSED static void
on_store_keyset_rotate(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct as_keyset *s = &w.keysets[((const struct as_keyset_ref *)msg)->what];

	(void)ctx;
	w.keyset_rotations++;
	if (s->code == E_OK) {
		s->created_s = now_real_s();
		s->versions++;
		s->key[0]++;
		s->version++;
	}
	if (!w.keyset_mute)
		assert_true(is_ok(link_send(l, id, AS_KEYSET, s)));
}

UNUSED static void
on_store_rehash(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_key_rehash *m = msg;
	const struct as_key_hash *hashes = m->keys.items;
	const struct as_done done = { .code = w.rehash_fails ? E_SYS : E_OK };

	(void)ctx;
	w.rehashes++;
	for (uint32_t i = 0; i < m->keys.count; i++) {
		assert_true(w.nhashes < COUNT(w.hashes));
		w.hashes[w.nhashes++] = hashes[i];
	}
	assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
}

UNUSED static void
load_keysets(struct link *l, uint64_t id)
{
	for (uint32_t n = 1; n <= w.signers; n++) {
		const struct as_keyset_key m = {
			.what = KEYSET_SESSION, .version = n, .created_s = n, .key = { (uint8_t)n }
		};

		assert_true(is_ok(link_send(l, id, AS_KEYSET_KEY, &m)));
	}
	for (uint32_t n = 1; n <= w.peppers; n++) {
		if (n > 1 && n + PEPPERS_MAX - 1 <= w.peppers)
			continue; /* no key needs it */
		const struct as_keyset_key m = { .what = KEYSET_PEPPER,
			.version = n,
			.created_s = n,
			.key = { (uint8_t)(4 + n) } };

		assert_true(is_ok(link_send(l, id, AS_KEYSET_KEY, &m)));
	}
}

UNUSED static void
on_store_used(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_done done = { .code = E_OK };

	(void)ctx, (void)msg;
	w.keys_used++;
	assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
}

/* A person keeps its subject key; whoever is new has one of zeros. */
UNUSED static void
put_done(struct link *l, uint64_t id, struct span tenant, struct span user)
{
	struct as_done done = { .code = (uint16_t)(w.put_code != 0 ? w.put_code : E_OK) };
	const struct user *u = keys_find_user(&w.a->keys, tenant, user);
	const struct as_day_key other = { .day = "2026-01-31" };

	w.store_changes++;
	if (w.put_other) {
		assert_true(is_ok(link_send(l, id, AS_DAY_KEY, &other)));
		return;
	}
	if (u != NULL && u->state != USER_ERASED)
		memcpy(done.subject_key, u->subject_key, sizeof(done.subject_key));
	assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
}

UNUSED static void
on_store_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_key *m = msg;

	(void)ctx;
	put_done(l, id, m->tenant, m->user);
}

UNUSED static void
on_store_user_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_user_put *m = msg;

	(void)ctx;
	w.put_fresh = m->fresh;
	put_done(l, id, m->tenant, m->user);
}

UNUSED static void
world_more_keys(struct link *l, uint64_t id, struct hmac_key *h)
{
#if WORLD_KEYS == 4
	const struct as_user more[] = {
		{ .tenant = SPAN_LIT("t"),
		    .user = SPAN_LIT("v"),
		    .subject_key = { 4 },
		    .roles = ROLE_USER },
		{ .tenant = SPAN_LIT("x"),
		    .user = SPAN_LIT("u"),
		    .subject_key = { 5 },
		    .roles = ROLE_USER },
	};

	for (size_t i = 0; i < 2; i++) {
		struct as_key k = { .tenant = more[i].tenant,
			.user = more[i].user,
			.policy = SPAN_LIT("default"),
			.pepper = 1 };
		struct span text = span_of(w.text[2 + i], KEYTEXT_LEN);

		assert_true(is_ok(link_send(l, id, AS_USER, &more[i])));
		memcpy(k.id, keytext_id(text).ptr, sizeof(k.id));
		assert_true(is_ok(hmac_sha256(h, text, k.hash)));
		assert_true(is_ok(link_send(l, id, AS_KEY, &k)));
	}
#else
	(void)l, (void)id, (void)h;
#endif
}

UNUSED static void
world_keys_put(struct link *l, uint64_t id)
{
	for (size_t i = WORLD_KEYS; i < w.a->keys.nkeys; i++) {
		const struct key *key = keys_at(&w.a->keys, i);
		const struct as_user u = { .tenant = key->user->tenant,
			.user = key->user->name,
			.subject_key = { 7 },
			.roles = ROLE_USER };
		struct as_key k = {
			.tenant = u.tenant, .user = u.user, .policy = span_str(key->policy->name)
		};

		memcpy(k.id, key->id, sizeof(k.id));
		memcpy(k.hash, key->hash, sizeof(k.hash));
		assert_true(is_ok(link_send(l, id, AS_USER, &u)));
		assert_true(is_ok(link_send(l, id, AS_KEY, &k)));
	}
}

UNUSED static void
on_store_load(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct as_user u = { .tenant = SPAN_LIT("t"),
		.user = SPAN_LIT("u"),
		.subject_key = { 3 },
		.roles = ROLE_USER };
	const uint8_t pepper[AS_SECRET_LEN] = { 5 };
	const struct as_done refused = { .code = (uint16_t)w.load_refused };
	bool gone = w.user_erases > 0 && w.erase_code == 0;
	struct hmac_key *h = NULL;

	(void)msg, (void)ctx;
	load_keysets(l, id);
	if (!gone)
		assert_true(is_ok(link_send(l, id, AS_USER, &u)));
	assert_true(is_ok(hmac_key_new(span_of(pepper, sizeof(pepper)), &h)));
	for (size_t i = gone ? 2 : 0; i < 2; i++) {
		struct as_key k = { .tenant = u.tenant,
			.user = u.user,
			.policy = i == 0 ? SPAN_LIT("default") : SPAN_LIT("helped"),
			.pepper = 1 };
		struct span text = span_of(w.text[i], KEYTEXT_LEN);

		memcpy(k.id, keytext_id(text).ptr, sizeof(k.id));
		assert_true(is_ok(hmac_sha256(h, text, k.hash)));
		assert_true(is_ok(link_send(l, id, AS_KEY, &k)));
	}
	world_more_keys(l, id, h);
	hmac_key_free(h);
	if (w.load_keys_put)
		world_keys_put(l, id);
	for (uint32_t i = 0; i < w.nsessions; i++)
		assert_true(is_ok(link_send(l, id, AS_SESSION, &w.sessions[i])));
	for (uint32_t i = 0; i < w.ntools; i++)
		assert_true(is_ok(link_send(l, id, AS_TOOL, &w.tools[i])));
	if (refused.code != 0)
		assert_true(is_ok(link_send(l, id, AS_DONE, &refused)));
	else if (w.load_mute)
		w.load_held = id;
	else
		load_end(l, id);
}

#endif
