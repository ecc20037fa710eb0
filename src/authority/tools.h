/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_TOOLS_H
#define AUTHORITY_TOOLS_H

/*
 * Users' tools, in memory; the store keeps them. A key sees the tools of its user, and
 * of its tenant those that were allowed to others and that the configuration shares with
 * its policy. Every look-up starts at a user or a tenant: there is none without.
 *
 *	tools.c         the table itself
 *	tool_access.c   what a key sees of it, how a version would run
 *	tool_answers.c  what the gateway is told: lists, offers
 *	tool_changes.c  remove, choose the current version: as a request of a client
 *	tool_parts.c    versions from the executor to the store, parts of them back
 */
#include <sys/queue.h>

#include <wire/authority_executor.h>
#include <wire/authority_store.h>
#include <wire/gateway_authority.h>

#include "table.h"

#define TOOL_VERSIONS_ALL_MAX 16384 /* as many as the store keeps */
#define TOOL_VERSIONS_TENANT_MAX (TOOL_VERSIONS_ALL_MAX / 4)
#define TOOLS_SHARED_MAX 256     /* allowed to others, of one tenant */
#define TOOL_STORE_WAIT_MS 60000 /* for a version to become durable */

struct authority;
struct key;
struct user;
struct turn;
struct run;
struct link;
struct tool;

struct tool_version {
	struct tool *tool; /* NULL: removed; calls of it that were granted go on */
	uint64_t id;
	uint32_t version;
	uint8_t parts;
	uint8_t digest[DIGEST_LEN], artefact[DIGEST_LEN], native[DIGEST_LEN];
	char engine[TOOL_ENGINE_MAX + 1];
	uint32_t module_size, native_size;
	uint64_t created_s;
	uint32_t time_ms, memory_mb, output_kb; /* what tool.json asks for; 0: nothing */
	uint8_t capabilities;
	struct span manifest, env; /* owned, one block */
	uint32_t calls;            /* granted and not over: the executor may ask for its parts */
	uint32_t load;             /* the last LOAD that named it */
};

struct tenant_tools;

struct tool {
	LIST_ENTRY(tool) of_user;
	LIST_ENTRY(tool) of_tenant; /* where `allowed` is set */
	struct user *user;
	struct tenant_tools *tenant;
	char name[TOOL_MAX + 1];
	struct tool_version *versions[TOOL_VERSIONS_MAX]; /* in their order */
	uint32_t n;
	struct tool_version *current; /* there is one */
	struct tool_version *allowed; /* to others; NULL: none */
};
LIST_HEAD(shared_tools, tool);

struct tenant_tools {
	char name[TENANT_MAX + 1];
	struct shared_tools shared;
	uint32_t nshared, nversions;
	struct claim sharing; /* an act that allows one waits for the store: one at a time */
	uint64_t generation;  /* another one after each change; begins anywhere */
};

struct tools {
	struct table tenants;
	struct tool_version **by_id; /* in the order of their ids */
	size_t n;
	uint32_t load;
};

MUST_USE struct status tools_init(struct tools *ts);
void tools_done(struct tools *ts);

/* A version as the store has it. `tool` is set by tools_add(). E_SYNTAX: its manifest; E_NOMEM. */
MUST_USE struct status tool_version_new(const struct as_tool *m, struct tool_version **ret);
void tool_version_free(struct tool_version *v);
/* Into the table, or in place of the one of that id. Takes `v` on OK. E_FULL, E_NOMEM. */
MUST_USE struct status tools_add(struct authority *a, struct user *user, struct span name,
    struct tool_version *v, bool current, bool allowed);
/* Around a LOAD: what it did not name is gone. */
MUST_USE struct status tools_load(struct authority *a, const struct as_tool *m);
void tools_load_begin(struct tools *ts);
void tools_load_end(struct authority *a);

/* By what a user calls it; version 0: the current one. NULL: there is none. */
struct tool *tools_own(const struct user *user, struct span name);
struct tool_version *tool_version_of(const struct tool *t, uint32_t version);
struct tool_version *tools_by_id(const struct tools *ts, uint64_t id);

/* What the store has confirmed. */
void tools_marked(struct authority *a, struct tool_version *v, enum as_tool_marks mark);
void tools_removed(struct authority *a, struct tool_version *v, bool all);
/* Calls of it are granted, or over. */
void tools_hold(struct tool_version *v);
void tools_release(struct authority *a, struct tool_version *v);
struct tenant_tools *tools_tenant(const struct authority *a, struct span tenant);

/* ---- tool_access.c ---- */
/*
 * What a key calls by that name: its own tool, else the one that is shared. version 0: the
 * current one, or the one that was allowed. ERROR_TOOL_NOT_FOUND.
 */
enum error tools_find(struct authority *a, const struct key *key, struct span name,
    uint32_t version, struct tool_version **ret);
/* How it would run now: the smaller of what it asks for and what is configured. */
enum error tools_use(const struct authority *a, const struct tool_version *v, struct tool_use *ret);
/* The state of all that a key may see; 0: there is nothing. */
uint64_t tools_catalog(struct authority *a, const struct key *key);
/* The same for looking at: one's own of any name, or what tools_find() gives. */
enum error tools_see(struct authority *a, const struct key *key, struct span name, uint32_t version,
    struct tool_version **ret);
/* What the configuration says of a new version. */
void tools_limits(const struct authority *a, struct span name, uint8_t parts, struct tool_use *ret);
/* Does that key see the version of another user that was allowed? */
bool tools_is_shared_with(const struct authority *a, const struct key *key, const struct tool *t);
/* May it be stored? Names, counts, and the part that its sandbox needs. */
enum error tools_decide_push(
    const struct authority *a, const struct key *key, struct span name, uint8_t parts);

/* ---- tool_answers.c ---- */
/* Answers that end an ADMIT without a turn: E_… of link_send(). */
MUST_USE struct status tools_send_offer(
    struct authority *a, struct link *l, uint64_t id, const struct key *key, uint8_t attach);
MUST_USE struct status tools_send_one(struct authority *a, struct link *l, uint64_t id,
    const struct key *key, struct tool_version *v);
/* TOOL_PUSH is admitted: with what will become of it. */
MUST_USE struct status tools_send_push(struct turn *t, struct ga_admitted *m);
/* TOOL_LIST and TOOL_GET of the turn; `m` is the answer so far. */
MUST_USE struct status tools_send_page(struct turn *t, struct ga_admitted *m);

/* ---- tool_changes.c ---- */
/* The intent is durable: ask the store; the turn ends with its answer. */
MUST_USE struct status tool_change_begin(struct turn *t);

/* ---- tool_parts.c: handlers of the executor's link ---- */
void tools_on_built(struct link *l, uint64_t id, const void *msg, void *ctx);
void tools_on_artefact_get(struct link *l, uint64_t id, const void *msg, void *ctx);
void tools_on_rebuilt(struct link *l, uint64_t id, const void *msg, void *ctx);

#endif
