/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_TOOLS_RIG_H
#define TESTS_AUTHORITY_TOOLS_RIG_H

/*
 * Users' tools in src/authority: versions, their parts, and calls, as gateway, executor and store
 * bring them about.
 */
#include "unit.h"

#define WORLD_KEYS 4
#define WORLD_YAML tools_yaml

static const char tools_yaml[] =
    "policies:\n"
    "  default: { endpoints: '*', models: '*', tools: '*', languages: '*',\n"
    "             requests_per_min: 1000, concurrent: 50 }\n"
    "  helped: { endpoints: [chat, tool_call, tools], models: '*',\n"
    "            tools: [code_interpreter, one], languages: [python] }\n"
    "providers: { d: { kind: demo } }\n"
    "models: { alpha: [ { provider: d, model: a } ] }\n"
    "sandboxes: { python: { pool: 1 } }\n"
    "engines: { runsc: /x/runsc, image: /x/image, manifest: /x/manifest }\n"
    "tools:\n"
    "  one: { limits: { time_ms: 700, output_kb: 9 }, capabilities: [files], allow: [default] }\n"
    "  native: { sandbox: gvisor }\n"
    "  python: { limits: { time_ms: 900 } }\n"
    "limits: { turn_steps: 16 }\n";

#include "authority_world.h"

#define MANIFEST(name, more)                                                                       \
	"{\"name\":\"" name "\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}" more \
	"}"

/* A version that the store tells of at a LOAD. */
static inline struct as_tool
version(uint64_t id, const char *tenant, const char *user, const char *name, uint32_t number,
    const char *manifest)
{
	struct as_tool m = { .id = id,
		.tenant = span_str(tenant),
		.user = span_str(user),
		.name = span_str(name),
		.version = number,
		.current = 1,
		.parts = TOOL_PARTS_ALL,
		.engine = SPAN_LIT("e"),
		.manifest = span_str(manifest) };

	m.digest[0] = (uint8_t)id;
	m.artefact[0] = (uint8_t)(id + 0x40);
	m.native[0] = (uint8_t)(id + 0x80);
	return m;
}

static inline void
load(const struct as_tool *m)
{
	assert_true(is_ok(tools_load(w.a, m)));
}

static inline struct ga_admit
tool_msg(size_t key, uint8_t endpoint, const char *name)
{
	struct ga_admit m = admit_msg(endpoint);

	m.credential = span_of(w.text[key], KEYTEXT_LEN);
	m.tools = 0;
	m.model = endpoint_rows[endpoint].asks_model ? SPAN_LIT("alpha") : SPAN_EMPTY;
	m.language = SPAN_EMPTY;
	m.tool_name = span_str(name);
	return m;
}

/* With the catalog that the first answer names. */
static inline struct reply *
call_tool(size_t key, const char *name)
{
	struct ga_admit m = tool_msg(key, ENDPOINT_TOOL_CALL, name);
	struct reply *r = call(w.gw, GA_ADMIT, &m);

	if (r->error != ERROR_NONE)
		return r;
	assert_int_equal(r->admitted.turn, 0);
	assert_int_equal(r->ntools, 1);
	assert_true(r->tools[0].manifest.len > 0);
	m.catalog = r->admitted.catalog;
	return call(w.gw, GA_ADMIT, &m);
}

static inline struct reply *
ask(size_t key, uint8_t endpoint, const char *name, uint32_t number)
{
	struct ga_admit m = tool_msg(key, endpoint, name);

	m.tool_version = number;
	return call(w.gw, GA_ADMIT, &m);
}

static inline struct reply *
chat(size_t key, uint64_t catalog)
{
	struct ga_admit m = tool_msg(key, ENDPOINT_CHAT, "");

	m.catalog = catalog;
	return call(w.gw, GA_ADMIT, &m);
}

static inline struct reply *
step_tool(uint64_t turn, const char *name, uint32_t number)
{
	const struct ga_step m = { .turn = turn,
		.kind = STEP_TOOL,
		.tool_name = span_str(name),
		.tool_version = number,
		.size_bytes = 10,
		.body_len = 20 };

	return call(w.gw, GA_STEP, &m);
}

static inline void
done_with(const struct grant *g, enum error error, enum run_status status)
{
	struct ae_done m = { .turn = g->turn,
		.error = (uint16_t)error,
		.status = (uint8_t)status,
		.duration_ms = 7 };

	memcpy(m.grant, g->grant, GRANT_LEN);
	assert_true(is_ok(link_send(w.executor, 0, AE_DONE, &m)));
	spin();
}

/* ---- what the executor asks ---- */
static struct {
	bool come;
	uint16_t type;
	struct ae_kept kept;
	struct ae_artefact artefact;
	char env[64];
	bool fd;
} told;

static inline void
on_told(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	int fd = link_take_fd(l);

	(void)ctx;
	told.come = is_ok(st);
	told.type = type;
	told.fd = fd >= 0;
	if (fd >= 0)
		(void)close(fd);
	if (type == AE_KEPT)
		told.kept = *(const struct ae_kept *)msg;
	if (type == AE_ARTEFACT) {
		told.artefact = *(const struct ae_artefact *)msg;
		(void)snprintf(told.env, sizeof(told.env), "%.*s", SPAN_FMT(told.artefact.env));
	}
}

static inline void
tell(uint16_t type, const void *msg, size_t nfds)
{
	int fds[2] = { open("/dev/null", O_RDONLY | O_CLOEXEC),
		open("/dev/null", O_RDONLY | O_CLOEXEC) };

	memset(&told, 0, sizeof(told));
	assert_true(
	    is_ok(link_call_fds(w.executor, type, msg, fds, nfds, 60000, on_told, NULL, NULL)));
	(void)close(fds[0]);
	(void)close(fds[1]);
	spin();
}

static inline enum error
artefact(uint64_t id, uint8_t part)
{
	const struct ae_artefact_get m = { .id = id, .part = part };

	tell(AE_ARTEFACT_GET, &m, 0);
	assert_true(told.come && told.type == AE_ARTEFACT);
	assert_int_equal(told.fd, told.artefact.error == ERROR_NONE);
	return (enum error)told.artefact.error;
}

static inline void
load_two(void)
{
	struct as_tool one = version(1, "t", "u", "one", 1, MANIFEST("one", "")),
		       two = version(2, "t", "u", "two", 4, MANIFEST("two", ""));

	load(&one);
	load(&two);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
