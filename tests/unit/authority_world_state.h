/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_WORLD_STATE_H
#define TESTS_AUTHORITY_WORLD_STATE_H

/*
 * What the stand-ins of authority_world.h have seen and how they behave, for all of its parts.
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
	uint8_t subject[SUBJECT_LEN];
};

/* What a stand-in has seen and how it behaves. */
static struct world {
	uv_loop_t loop;
	struct daemon d;
	struct authority *a;
	struct link *gw, *gw2, *audit, *broker, *executor, *store, *supervisor;
	struct rec recs[RECS_MAX];
	size_t nrecs;
	uint64_t seq;
	enum { AUDIT_TAKES, AUDIT_REFUSES, AUDIT_HOLDS } audit_mode;
	uint64_t held[256];
	uint32_t held_count[256];
	size_t nheld;
	struct grant model_grant, run_grant, content_grant;
	char target[MODEL_MAX + 1];
	char whose[TENANT_MAX + USER_MAX + 2]; /* the content's: tenant/user */
	struct grant grants[16];               /* of the executor, the newest ones */
	uint32_t model_grants, run_grants, content_grants, broker_ends, executor_ends, store_ends;
	uint32_t gones; /* versions that the executor was told are gone */
	uint64_t gone;
	bool mute;                  /* broker, executor and store do not answer TURN_END */
	bool audit_reads;           /* it still reads its log, and does not say that it is up */
	bool store_mute, load_mute; /* nor PING; a LOAD does not end */
	uint64_t load_held;         /* that one's id: it ends behind the next ERASED */
	enum code load_refused;     /* or it is answered with that */
	uint64_t ping_held;
	enum code ping_code; /* 0: E_OK */
	uint32_t revokes;
	uint16_t revoke_error;
	bool gw_closed, gw2_closed;
	uint8_t text[WORLD_KEYS][KEYTEXT_LEN];
	struct key *key[WORLD_KEYS];
	uint16_t admin_http;
	uint32_t store_changes, keys_used;
	uint8_t revoke_id[KEY_ID_LEN]; /* the last one that the store was told */
	uint16_t put_code;  /* enum code that the store answers changes of keys with; 0: OK */
	bool put_other;     /* … with what is no answer */
	uint8_t put_fresh;  /* what the last change of a user said */
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
	uint32_t fetch_generation;
	char fetch_url[ISSUER_KEYS_URL_MAX + 1];
	/* persons */
	uint32_t user_erases;
	bool erase_waits; /* for a backup */
	bool erase_holds; /* it is answered by erase_answer() */
	uint64_t erase_held;
	enum code erase_code; /* 0: done; then t/u is not in a LOAD */
	/* usage, as the store counts it */
	enum { USAGE_TAKES, USAGE_FAILS, USAGE_HOLDS } usage_mode;
	unsigned exports;     /* pages that were asked for */
	uint64_t export_held; /* one that is answered by export_answer() */
	bool exports_hold;
	unsigned usage_empty; /* pages of sums without any before there is one */
	uint64_t usage_seq;
	uint32_t usage_batches, usage_items;
	/* what is owed to the store, as the supervisor keeps it */
	enum { OWES_KEEP, OWES_FAIL, OWES_HOLD } owe_mode;
	uint8_t owed[CTL_OWED_MAX * CTL_OWED_LEN], owe_list[CTL_OWED_MAX * CTL_OWED_LEN];
	size_t owed_len, owe_len;
	uint32_t owes;
	uint64_t owe_held;
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
	uint16_t http; /* of GA_ADMINED */
	uint32_t retry_after_ms;
	char body[4096]; /* of it, or the token of GA_TOKENED */
	uint32_t expires_s;
	bool scope_bad;
};
static struct reply replies[REPLIES_MAX];
static size_t nreplies;

UNUSED static void
spin(void)
{
	for (int i = 0; i < 40; i++)
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
}

#endif
