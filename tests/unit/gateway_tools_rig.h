/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GATEWAY_TOOLS_RIG_H
#define TESTS_GATEWAY_TOOLS_RIG_H

/*
 * Users' tools at a gateway: what an authority answers and an executor does.
 */
#include "unit.h"

#include "gateway_rig.h"

#define MANIFEST                                                                       \
	"{\"name\":\"add\",\"description\":\"Adds two numbers.\",\"input_schema\":"    \
	"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":"     \
	"{\"type\":\"integer\"}},\"required\":[\"a\",\"b\"],\"additionalProperties\":" \
	"false},\"output_schema\":{\"type\":\"integer\"},\"limits\":{\"time_ms\":100}}"

static struct ga_tool add;

static inline void
have_tool(const char *manifest)
{
	add = (struct ga_tool){
		.name = SPAN_LIT("add"),
		.user = SPAN_LIT("alice"),
		.version = 3,
		.current = 1,
		.sandbox = TOOL_WASM,
		.parts = TOOL_HAS_MODULE,
		.created_s = 1764000000,
		.manifest = span_str(manifest),
	};
	assert_int_equal(sha256(span_str(manifest), add.digest).code, E_OK);
	peers.tools = &add;
	peers.ntools = 1;
	peers.catalog = 41;
}

static inline void
exchange(
    const char *method, const char *path, const char *body, const char *wanted, const char *also)
{
	struct client c;

	client_open(&c);
	request(&c, method, path, key, body);
	wait_for(&c, wanted);
	wait_for(&c, also);
	client_close(&c);
}

#endif
