/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_WORLD_H
#define TESTS_AUTHORITY_WORLD_H

/*
 * An authority with stand-ins at the other end of every link: a gateway (two),
 * audit, broker, executor and store, all on one loop.
 */
#include "unit.h"

#define UNUSED __attribute__((unused))

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/rand.h>
#include <crypto/crypto.h>
#include <keytext/keytext.h>

#include "admin_call.h"
#include "authority.h"

#define RECS_MAX 512
#define REPLIES_MAX 256
#ifndef WORLD_KEYS
#define WORLD_KEYS 2 /* 4: another user of the tenant, and one of another tenant */
#endif

#ifndef WORLD_YAML
#define WORLD_YAML yaml
#endif
UNUSED static const char yaml[] =
    "policies:\n"
    "  default: { endpoints: '*', models: '*', tools: '*', languages: '*',\n"
    "             requests_per_min: 50, concurrent: 3 }\n"
    "  helped: { endpoints: [chat], models: '*', tools: [code_interpreter], languages: [python],\n"
    "            attach: [code_interpreter] }\n"
    "providers: { d: { kind: demo } }\n"
    "models: { alpha: [ { provider: d, model: a } ] }\n"
    "sandboxes: { python: { pool: 1 } }\n"
    "engines: { runsc: /x/runsc, image: /x/image, manifest: /x/manifest }\n"
    "limits: { turn_steps: 2 }\n";

struct rec {
	uint8_t event, phase, outcome, cause;
	uint64_t seq, intent_seq, proc_seq;
	bool anonymous;
	uint8_t request; /* first byte of the request's id */
	char text[256];  /* name=value for all values that are there */
	char resource[96];
};

/* What a stand-in has seen and how it behaves. */
static struct world {
	uv_loop_t loop;
	struct daemon d;
	struct authority *a;
	struct link *gw, *gw2, *audit, *broker, *executor, *store;
	struct rec recs[RECS_MAX];
	size_t nrecs;
	uint64_t seq;
	enum { AUDIT_TAKES, AUDIT_REFUSES, AUDIT_HOLDS } audit_mode;
	uint64_t held[64];
	uint32_t held_count[64];
	size_t nheld;
	struct grant model_grant, run_grant, content_grant;
	char target[MODEL_MAX + 1];
	char whose[TENANT_MAX + USER_MAX + 2]; /* the content's: tenant/user */
	struct grant grants[16];               /* of the executor, the newest ones */
	uint32_t model_grants, run_grants, content_grants, broker_ends, executor_ends, store_ends;
	uint32_t gones; /* versions that the executor was told are gone */
	uint64_t gone;
	bool mute;                  /* broker, executor and store do not answer TURN_END */
	bool store_mute, load_mute; /* nor PING; a LOAD does not end */
	uint64_t load_held;         /* that one's id: it ends behind the next ERASED */
	enum code load_refused;     /* or it is answered with that */
	uint64_t ping_held;
	uint32_t revokes;
	uint16_t revoke_error;
	bool gw_closed, gw2_closed;
	uint8_t text[WORLD_KEYS][KEYTEXT_LEN];
	struct key *key[WORLD_KEYS];
	uint16_t admin_http;
	uint32_t store_changes, keys_used;
	uint16_t put_code;  /* enum code that the store answers changes of keys with; 0: OK */
	bool load_keys_put; /* a LOAD names the keys that are there, too */
	/* sessions, as the store keeps them */
	struct as_session sessions[128];
	uint32_t nsessions;
	bool session_fails;
	uint32_t signers, peppers;     /* versions */
	struct as_key_hash hashes[16]; /* as they were told */
	uint32_t nhashes, rehashes;
	bool rehash_fails;
	/* rotations of keys */
	struct as_kek kek;
	struct as_keyset keysets[KEYSET_COUNT];
	uint32_t kek_looks, kek_rotations, keyset_looks[KEYSET_COUNT], keyset_rotations;
	bool keyset_mute; /* it is done, and not answered */
	char secret_name[SECRET_NAME_MAX + 1], sealed[256];
	uint64_t secret_version;
	uint32_t secrets_changed;
	/* tools, as the store keeps them */
	enum { TOOLS_TAKE, TOOLS_FAIL, TOOLS_HOLD } tool_mode;
	enum code tool_code; /* of a failure */
	uint64_t tool_held, tool_ids, tool_marked, tool_removed;
	uint8_t tool_mark, tool_all;
	uint32_t tool_puts, tool_gets, tool_rebuilds;
	struct as_tool tools[8]; /* what a LOAD tells */
	uint32_t ntools;
	/* documents of identity providers, as the broker fetches them */
	enum { FETCHES_ANSWER, FETCHES_FAIL, FETCHES_HOLD } fetch_mode;
	struct span fetch_discovery, fetch_keys; /* what it answers */
	uint32_t discoveries, key_fetches;
	uint64_t fetch_held;
	char fetch_url[ISSUER_KEYS_URL_MAX + 1];
	/* persons */
	uint32_t user_erases;
	enum code erase_code; /* 0: done; then t/u is not in a LOAD */
	/* usage, as the store counts it */
	enum { USAGE_TAKES, USAGE_FAILS, USAGE_HOLDS } usage_mode;
	uint64_t usage_seq;
	uint32_t usage_batches, usage_items;
	struct as_usage_item usage; /* all items together */
} w;

struct reply {
	bool come;
	struct status st;
	uint16_t type;
	struct ga_admitted admitted;
	char models[256];
	uint32_t ntools;
	struct ga_tool tools[GA_TOOLS_MAX]; /* but for their texts */
	char names[256];                    /* "a:1 b:2 " */
	struct ga_granted granted;
	uint16_t error;
	uint16_t http;   /* of GA_ADMINED */
	char body[4096]; /* of it, or the token of GA_TOKENED */
	uint32_t expires_s;
	bool scope_bad;
};
static struct reply replies[REPLIES_MAX];
static size_t nreplies;

/* ---- stand-ins ---- */

UNUSED static void
rec_text(const struct audit_rec *r, char out[256])
{
	const struct audit_value *v = r->values.items;
	size_t at = 0;

	for (uint32_t i = 0; i < r->values.count; i++) {
		const char *name = audit_events[r->event].fields[i].name;
		int n = 0;

		if (v[i].kind == AUDIT_V_STR)
			n = snprintf(out + at, 256 - at, "%s=%.*s ", name, SPAN_FMT(v[i].str));
		else if (v[i].kind != AUDIT_V_NULL)
			n = snprintf(
			    out + at, 256 - at, "%s=%llu ", name, (unsigned long long)v[i].num);
		at += (size_t)n;
		if (at >= 256)
			return;
	}
}

UNUSED static void
on_append(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct aa_append *m = msg;
	const struct audit_rec *recs = m->records.items;
	struct aa_receipt receipt = { .first_seq = w.seq + 1, .count = m->records.count };
	struct aa_refused refused = { .code = E_FULL };

	(void)ctx;
	if (w.audit_mode == AUDIT_REFUSES) {
		assert_true(is_ok(link_send(l, id, AA_REFUSED, &refused)));
		return;
	}
	for (uint32_t i = 0; i < m->records.count; i++) {
		static const uint8_t zero[SUBJECT_LEN];

		assert_true(w.nrecs < RECS_MAX);
		w.recs[w.nrecs] = (struct rec){ recs[i].event, recs[i].phase, recs[i].outcome,
			recs[i].cause, ++w.seq, recs[i].intent_seq, recs[i].proc_seq,
			memcmp(recs[i].subject, zero, sizeof(zero)) == 0, recs[i].request_id[0], "",
			"" };
		(void)snprintf(w.recs[w.nrecs].resource, sizeof(w.recs[0].resource), "%.*s",
		    SPAN_FMT(recs[i].resource));
		rec_text(&recs[i], w.recs[w.nrecs++].text);
	}
	if (w.audit_mode == AUDIT_HOLDS) {
		w.held[w.nheld] = id;
		w.held_count[w.nheld++] = m->records.count;
		return;
	}
	assert_true(is_ok(link_send(l, id, AA_RECEIPT, &receipt)));
}

UNUSED static void
on_model_grant(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.model_grant = *(const struct grant *)msg;
	(void)snprintf(w.target, sizeof(w.target), "%.*s", SPAN_FMT(w.model_grant.target));
	w.model_grants++;
}

UNUSED static void
on_run_grant(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.run_grant = *(const struct grant *)msg;
	w.grants[w.run_grants % COUNT(w.grants)] = w.run_grant;
	(void)snprintf(w.target, sizeof(w.target), "%.*s", SPAN_FMT(w.run_grant.target));
	w.run_grants++;
}

UNUSED static void
on_broker_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	w.broker_ends++;
	if (!w.mute)
		assert_true(is_ok(link_send(l, id, AB_TURN_ENDED, msg)));
}

UNUSED static void
on_gone(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.gones++;
	w.gone = ((const struct ae_gone *)msg)->id;
}

UNUSED static void
on_executor_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	w.executor_ends++;
	if (!w.mute)
		assert_true(is_ok(link_send(l, id, AE_TURN_ENDED, msg)));
}

UNUSED static void
on_content_grant(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.content_grant = *(const struct grant *)msg;
	(void)snprintf(w.target, sizeof(w.target), "%.*s", SPAN_FMT(w.content_grant.target));
	(void)snprintf(w.whose, sizeof(w.whose), "%.*s/%.*s", SPAN_FMT(w.content_grant.tenant),
	    SPAN_FMT(w.content_grant.user));
	w.content_grants++;
}

UNUSED static void
on_store_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	w.store_ends++;
	if (!w.mute)
		assert_true(is_ok(link_send(l, id, AS_TURN_ENDED, msg)));
}

UNUSED static void
on_ping(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_done done = { .code = E_OK };

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
on_user_erase(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct as_erased m = { .code = (uint16_t)(w.erase_code != 0 ? w.erase_code : E_OK),
		.rows = w.erase_code != 0 ? 0 : 42 };

	(void)msg, (void)ctx;
	w.user_erases++;
	assert_true(is_ok(link_send(l, id, AS_ERASED, &m)));
	if (w.load_held != 0)
		load_end(l, w.load_held);
	w.load_held = 0;
}

UNUSED static void
on_user_export(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_export *m = msg;
	struct as_exported r = { .code = (uint16_t)(w.erase_code != 0 ? w.erase_code : E_OK),
		.more = 1 };
	char page[32];

	(void)ctx;
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

	(void)ctx, (void)msg;
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

UNUSED static void
on_store_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	on_store_revoke(l, id, msg, ctx);
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
	const struct as_usage r = { .code = E_OK, .next_key = 5, .rows = { &row, 1 } };

	(void)ctx;
	assert_true(is_ok(link_send(l, id, AS_USAGE, &r)));
}

UNUSED static void
on_secret_changed(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ab_secret_name *m = msg;

	(void)l, (void)id, (void)ctx;
	assert_true(span_eq_str(m->name, "openai"));
	w.secrets_changed++;
}

UNUSED static void
on_fake_closed(struct link *l, struct status why, void *ctx)
{
	struct link **at = ctx;

	(void)why;
	if (at == &w.gw)
		w.gw_closed = true;
	if (at == &w.gw2)
		w.gw2_closed = true;
	*at = NULL;
	link_free(l);
}

UNUSED static void
on_fetch(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ab_fetch *m = msg;
	struct ab_fetched r = { .code = E_OK, .http_status = 200 };

	(void)ctx;
	w.discoveries += m->kind == FETCH_DISCOVERY;
	w.key_fetches += m->kind == FETCH_KEYS;
	assert_true(is_ok(span_to_cstr(m->url, w.fetch_url, sizeof(w.fetch_url))));
	w.fetch_held = id;
	if (w.fetch_mode == FETCHES_HOLD)
		return;
	r.body = m->kind == FETCH_DISCOVERY ? w.fetch_discovery : w.fetch_keys;
	if (w.fetch_mode == FETCHES_FAIL)
		r = (struct ab_fetched){ .code = E_CLOSED };
	assert_true(is_ok(link_send(l, id, AB_FETCHED, &r)));
}

#define OPS(...)                                                              \
	{                                                                     \
		.rules = (const struct link_rule[]){ __VA_ARGS__ },           \
		.nrules = COUNT(((const struct link_rule[]){ __VA_ARGS__ })), \
		.on_closed = on_fake_closed                                   \
	}
static const struct link_ops audit_ops = OPS({ AA_APPEND, 0, on_append });
static const struct link_ops broker_ops = OPS({ AB_GRANT, 0, on_model_grant },
    { AB_TURN_END, 0, on_broker_end }, { AB_SECRET_CHANGED, 0, on_secret_changed },
    { AB_FETCH, 0, on_fetch });
static const struct link_ops executor_ops = OPS(
    { AE_GRANT, 0, on_run_grant }, { AE_TURN_END, 0, on_executor_end }, { AE_GONE, 0, on_gone });
static const struct link_ops gateway_ops = OPS({ GA_REVOKE, 0, on_revoke });
static const struct link_ops store_ops = OPS({ AS_LOAD, 0, on_store_load },
    { AS_KEY_REVOKE, 0, on_store_revoke }, { AS_KEY_PUT, 0, on_store_put },
    { AS_USER_PUT, 0, on_store_put }, { AS_KEY_USED, 0, on_store_used },
    { AS_SECRET_PUT, 0, on_store_secret_put }, { AS_SECRET_GET, 0, on_store_secret_get },
    { AS_SECRET_REMOVE, 0, on_store_secret_remove }, { AS_SECRET_LIST, 0, on_store_secret_list },
    { AS_USAGE_ADD, 0, on_store_usage_add }, { AS_USAGE_LIST, 0, on_store_usage_list },
    { AS_TOOL_PUT, 0, on_store_tool_put }, { AS_TOOL_GET, 0, on_store_tool_get },
    { AS_TOOL_REBUILT, 0, on_store_tool_rebuilt }, { AS_TOOL_MARK, 0, on_store_tool_mark },
    { AS_TOOL_REMOVE, 0, on_store_tool_remove }, { AS_GRANT, 0, on_content_grant },
    { AS_TURN_END, 0, on_store_end }, { AS_USER_ERASE, 0, on_user_erase },
    { AS_USER_EXPORT, 0, on_user_export }, { AS_PING, 0, on_ping },
    { AS_KEY_REHASH, 0, on_store_rehash }, { AS_KEK_STATUS, 0, on_store_kek },
    { AS_KEK_ROTATE, 0, on_store_kek_rotate }, { AS_KEYSET_STATUS, 0, on_store_keyset },
    { AS_KEYSET_ROTATE, 0, on_store_keyset_rotate }, { AS_SESSION_PUT, 0, on_store_session_put },
    { AS_SESSION_END, 0, on_store_session_end });

UNUSED static void
spin(void)
{
	for (int i = 0; i < 40; i++)
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
}

UNUSED static void
connect_fake(enum edge edge, uint32_t peer_id, const struct wire_edge *e, bool a_end,
    const struct link_ops *ops, struct link **ret)
{
	int pair[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(is_ok(link_new(&w.loop, pair[0], e, a_end, ops, ret, ret)));
	peers_add(w.a, edge, peer_id, 0, pair[1]);
}

UNUSED static void
cut(struct link **l)
{
	link_free(*l);
	*l = NULL;
	spin();
}

UNUSED static int
setup(void **state)
{
	struct conf *conf = NULL;
	char error[CONF_ERROR_MAX];

	(void)state;
	memset(&w, 0, sizeof(w));
	memset(replies, 0, sizeof(replies));
	nreplies = 0;
	w.signers = w.peppers = 1;
	if (!is_ok(crypto_init()) || uv_loop_init(&w.loop) != 0 ||
	    !is_ok(conf_parse(span_str(WORLD_YAML), &conf, error)))
		return -1;
	w.a = calloc(1, sizeof(*w.a));
	w.d = (struct daemon){ .loop = &w.loop, .conf = conf, .ctx = w.a, .generation = 1 };
	w.a->d = &w.d;
	w.a->audit_state.proc_seq = w.a->audit_state.kept_seq = 1;
	for (size_t i = 0; i < WORLD_KEYS; i++)
		assert_true(is_ok(keytext_create(w.text[i])));
	assert_true(is_ok(policies_load(conf, &w.a->policies)));
	assert_true(is_ok(keys_init(&w.a->keys)));
	assert_true(is_ok(failures_init(&w.a->failures)));
	assert_true(is_ok(sealer_init(&w.a->sealer)));
	assert_true(is_ok(turns_init(w.a)));
	assert_true(is_ok(procs_init(w.a)));
	assert_true(is_ok(usage_init(&w.a->usage)));
	assert_true(is_ok(tools_init(&w.a->tools)));
	assert_true(is_ok(oidc_init(w.a)));
	assert_true(is_ok(machines_load(w.a)));
	assert_int_equal(uv_timer_init(&w.loop, &w.a->sweep), 0);
	peers_init(w.a);
	connect_fake(EDGE_AUTHORITY_AUDIT, 1, &aa_edge, false, &audit_ops, &w.audit);
	connect_fake(EDGE_AUTHORITY_BROKER, 2, &ab_edge, false, &broker_ops, &w.broker);
	connect_fake(EDGE_AUTHORITY_EXECUTOR, 3, &ae_edge, false, &executor_ops, &w.executor);
	connect_fake(EDGE_AUTHORITY_STORE, 4, &as_edge, false, &store_ops, &w.store);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 5, &ga_edge, true, &gateway_ops, &w.gw);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 6, &ga_edge, true, &gateway_ops, &w.gw2);
	spin();
	assert_true(w.a->loaded);
	for (size_t i = 0; i < WORLD_KEYS; i++)
		w.key[i] = keys_find(&w.a->keys, keytext_id(span_of(w.text[i], KEYTEXT_LEN)));
	return w.key[0] != NULL && w.key[1] != NULL ? 0 : -1;
}

UNUSED static void
close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

/* What every test must leave behind: no turn, no count, and each number once. */
UNUSED static int
teardown(void **state)
{
	struct link **fakes[] = { &w.gw, &w.gw2, &w.audit, &w.broker, &w.executor, &w.store };
	uint64_t expect = 1;

	(void)state;
	assert_int_equal(w.a->turns.n, 0);
	assert_int_equal(w.key[0]->holder.running, 0);
	assert_int_equal(w.key[0]->user->holder.running, 0);
	for (size_t i = 0; i < w.nrecs; i++)
		assert_int_equal(w.recs[i].proc_seq, expect++);
	for (size_t i = 0; i < COUNT(fakes); i++) {
		if (*fakes[i] != NULL)
			cut(fakes[i]);
	}
	spin();
	uv_walk(&w.loop, close_handle, NULL);
	spin();
	(void)uv_loop_close(&w.loop);
	procs_done(w.a);
	usage_done(&w.a->usage);
	turns_done(w.a);
	failures_done(&w.a->failures);
	sealer_done(&w.a->sealer);
	tools_done(&w.a->tools);
	oidc_done(w.a);
	machines_done(w.a);
	approvals_done();
	sessions_done(w.a);
	keys_done(&w.a->keys);
	policies_done(&w.a->policies);
	conf_free(w.d.conf);
	free(w.a);
	return 0;
}

/* ---- the gateway's side ---- */

UNUSED static void
reply_tools(struct reply *r)
{
	const struct ga_tool *tools = r->admitted.tools.items;
	size_t at = 0;

	r->ntools = r->admitted.tools.count;
	for (uint32_t i = 0; i < r->ntools; i++) {
		r->tools[i] = tools[i];
		at += (size_t)snprintf(r->names + at, sizeof(r->names) - at, "%.*s:%u%s ",
		    SPAN_FMT(tools[i].name), tools[i].version,
		    tools[i].manifest.len > 0 ? "m" : "");
		if (at >= sizeof(r->names))
			return;
	}
}

UNUSED static void
on_reply(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct reply *r = ctx;

	(void)l;
	r->come = true;
	r->st = st;
	r->type = type;
	if (!is_ok(st))
		return;
	if (type == GA_ADMITTED) {
		r->admitted = *(const struct ga_admitted *)msg;
		reply_tools(r);
		(void)snprintf(r->models, sizeof(r->models), "%.*s", SPAN_FMT(r->admitted.models));
	}
	if (type == GA_ADMINED) {
		const struct ga_admined *m = msg;

		r->http = m->status;
		(void)snprintf(r->body, sizeof(r->body), "%.*s", SPAN_FMT(m->body));
	}
	if (type == GA_TOKENED) {
		const struct ga_tokened *m = msg;

		r->expires_s = m->expires_s;
		r->scope_bad = m->scope_bad != 0;
		(void)snprintf(r->body, sizeof(r->body), "%.*s", SPAN_FMT(m->token));
	}
	if (type == GA_GRANTED)
		r->granted = *(const struct ga_granted *)msg;
	r->error = *(const uint16_t *)msg; /* each answer begins with it */
}

UNUSED static struct reply *
call(struct link *gw, uint16_t type, const void *msg)
{
	struct reply *r = &replies[nreplies++];

	assert_true(nreplies < REPLIES_MAX);
	assert_true(is_ok(link_call(gw, type, msg, 60000, on_reply, r, NULL)));
	spin();
	return r;
}

UNUSED static struct ga_admit
admit_msg(uint8_t endpoint)
{
	struct ga_admit m = { .credential = span_of(w.text[0], KEYTEXT_LEN),
		.endpoint = endpoint,
		.model = SPAN_LIT("alpha"),
		.language = SPAN_LIT("python"),
		.tool_name = SPAN_LIT("python"),
		.tools = TOOL_CODE_INTERPRETER,
		.size_bytes = 100,
		.body_len = 120 };

	m.source[15] = 9;
	m.request_id[0] = 1;
	m.digest[0] = 0xaa;
	return m;
}

UNUSED static struct reply *
admit(uint8_t endpoint)
{
	struct ga_admit m = admit_msg(endpoint);

	return call(w.gw, GA_ADMIT, &m);
}

UNUSED static struct reply *
step(uint64_t turn, enum ga_step_kind kind)
{
	const struct ga_step m = { .turn = turn,
		.kind = (uint8_t)kind,
		.language = SPAN_LIT("python"),
		.size_bytes = 10,
		.body_len = 20 };

	return call(w.gw, GA_STEP, &m);
}

UNUSED static struct reply *
settle(uint64_t turn, enum error error)
{
	const struct ga_settle m = {
		.turn = turn, .error = (uint16_t)error, .tokens_out = UINT32_MAX
	};

	return call(w.gw, GA_SETTLE, &m);
}

UNUSED static void
model_done(void)
{
	struct ab_done m = { .turn = w.model_grant.turn,
		.http_status = 200,
		.attempts = 1,
		.provider = SPAN_LIT("d"),
		.host = SPAN_LIT("h:443"),
		.secret_version = SPAN_LIT("v7"),
		.upstream_id = SPAN_LIT("req_1") };

	memcpy(m.grant, w.model_grant.grant, GRANT_LEN);
	assert_true(is_ok(link_send(w.broker, 0, AB_DONE, &m)));
	spin();
}

UNUSED static void
run_done(enum run_status status, uint32_t exit_code)
{
	struct ae_done m = { .turn = w.run_grant.turn,
		.status = (uint8_t)status,
		.exit_code = exit_code,
		.duration_ms = 7 };

	memcpy(m.grant, w.run_grant.grant, GRANT_LEN);
	assert_true(is_ok(link_send(w.executor, 0, AE_DONE, &m)));
	spin();
}

/* Each intent has exactly one outcome that names it. */
UNUSED static void
assert_balanced(void)
{
	for (size_t i = 0; i < w.nrecs; i++) {
		size_t closed = 0;

		for (size_t j = 0; j < w.nrecs; j++)
			closed += w.recs[j].phase == AUDIT_PHASE_OUTCOME &&
				  w.recs[j].intent_seq == w.recs[i].seq;
		assert_int_equal(closed, w.recs[i].phase == AUDIT_PHASE_INTENT ? 1 : 0);
	}
}

UNUSED static void
assert_events(const uint8_t *events, size_t n)
{
	for (size_t i = 0; i < w.nrecs && i < n; i++)
		assert_int_equal(w.recs[i].event, events[i]);
	assert_int_equal(w.nrecs, n);
}
#define EVENTS(...) \
	assert_events((const uint8_t[]){ __VA_ARGS__ }, COUNT(((const uint8_t[]){ __VA_ARGS__ })))

#endif
