/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_RIG_H
#define TESTS_AUTHORITY_RIG_H

/*
 * Policies and keys of src/authority, without a process.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <base/encode.h>
#include <crypto/crypto.h>
#include <keytext/keytext.h>

#include "admin_json.h"
#include "failures.h"
#include "keys.h"
#include "quota.h"
#include "policy.h"
#include "record.h"

#define NOW_S 1800000000ULL
#define die(...)                          \
	do {                              \
		print_error(__VA_ARGS__); \
		assert_true(false);       \
	} while (0)

static const char yaml[] =
    "policies:\n"
    "  all: { endpoints: '*', models: '*', tools: '*', languages: '*' }\n"
    "  chatty: { endpoints: [chat, models], models: [alpha],\n"
    "            requests_per_min: 5, concurrent: 2 }\n"
    "  runner: { endpoints: [execute], languages: [python] }\n"
    "  helped: { endpoints: [chat], models: '*', tools: [code_interpreter], languages: [python],\n"
    "            attach: [code_interpreter] }\n"
    "providers: { d: { kind: demo } }\n"
    "models:\n"
    "  alpha: [ { provider: d, model: a } ]\n"
    "  beta: [ { provider: d, model: b } ]\n"
    "sandboxes: { python: { pool: 1 }, sh: { pool: 1 } }\n"
    "engines: { runsc: /x/runsc, image: /x/image, manifest: /x/manifest }\n";

static inline struct policies
load(void)
{
	struct policies p = { 0 };
	struct conf *conf = NULL;
	char error[CONF_ERROR_MAX] = "";

	if (!is_ok(conf_parse(span_str(yaml), &conf, error)))
		die("%s", error);
	assert_true(is_ok(policies_load(conf, &p)));
	conf_free(conf);
	return p;
}

/* ---- policy: each cell of {policy} x {demand} ---- */
static const struct demand demands[] = {
	{ ENDPOINT_CHAT, SPAN_LIT("alpha"), { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, SPAN_LIT("beta"), { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, SPAN_LIT("gamma"), { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, SPAN_LIT("alph"), { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, SPAN_LIT("Alpha"), { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, { NULL, 0 }, { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, SPAN_LIT("alpha"), { NULL, 0 }, TOOL_CODE_INTERPRETER },
	{ ENDPOINT_CHAT, SPAN_LIT("alpha"), { NULL, 0 }, 0x80 },
	{ ENDPOINT_MODELS, { NULL, 0 }, { NULL, 0 }, 0 },
	{ ENDPOINT_EXECUTE, { NULL, 0 }, SPAN_LIT("python"), 0 },
	{ ENDPOINT_EXECUTE, { NULL, 0 }, SPAN_LIT("sh"), 0 },
	{ ENDPOINT_EXECUTE, { NULL, 0 }, SPAN_LIT("perl"), 0 },
	{ ENDPOINT_OTHER, { NULL, 0 }, { NULL, 0 }, 0 },
	{ 0, { NULL, 0 }, { NULL, 0 }, 0 },
};
#define N ERROR_NONE
#define D ERROR_DENIED
#define M ERROR_MODEL_NOT_FOUND
#define L ERROR_LANGUAGE
#define R ERROR_NO_ROUTE
static const struct {
	const char *name;
	enum error expect[COUNT(demands)];
} cells[] = {
	{ "all", { N, N, M, M, M, M, N, D, N, N, N, L, R, R } },
	{ "chatty", { N, M, M, M, M, M, D, D, N, D, D, D, R, R } },
	{ "runner", { D, D, D, D, D, D, D, D, D, N, D, L, R, R } },
	{ "helped", { N, N, M, M, M, M, N, D, D, D, D, D, R, R } },
	{ "nobody", { D, D, D, D, D, D, D, D, D, D, D, D, R, R } },
};

static inline int
setup(void **state)
{
	(void)state;
	return is_ok(crypto_init()) ? 0 : -1;
}

#endif
