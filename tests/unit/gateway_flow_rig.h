/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GATEWAY_FLOW_RIG_H
#define TESTS_GATEWAY_FLOW_RIG_H

/*
 * Requests through a gateway, from their head to the end of their answer.
 */
#include "unit.h"

#include "gateway_rig.h"

static const struct model_script answer_42[] = { { 200, { WHOLE("{\"content\":\"42\"}", "stop") } },
	{ 200, { WHOLE("{\"content\":\"43\"}", "stop") } } };
static const struct model_script tool_whole[] = {
	{ 200,
	    { WHOLE(
		"{\"role\":\"assistant\",\"content\":null,"
		"\"tool_calls\":[{\"id\":\"c1\","
		"\"type\":\"function\",\"function\":{\"name\":\"code_interpreter\",\"arguments\":"
		"\"{\\\"code\\\":\\\"print(1)\\\"}\"}}]}",
		"tool_calls") } },
	{ 200, { WHOLE("{\"content\":\"42\"}", "stop") } },
};
static const struct model_script tool_stream[] = {
	{ 200, { CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null"),
		   CHUNK(OUR_CALL, "null"), CHUNK("{}", "\"tool_calls\""), "data: [DONE]\n\n" } },
	{ 200, { CHUNK("{\"content\":\"it is \"}", "null"), CHUNK("{\"content\":\"1\"}", "null"),
		   CHUNK("{}", "\"stop\""), "data: [DONE]\n\n" } },
};

#endif
