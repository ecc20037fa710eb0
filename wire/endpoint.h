/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_ENDPOINT_H
#define WIRE_ENDPOINT_H

/*
 * The endpoints of the public API, and which kind of provider speaks which of
 * them, where. A grant names the endpoint: nobody else says where a body goes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ga_endpoint {
	ENDPOINT_CHAT = 1,
	ENDPOINT_MODELS,
	ENDPOINT_EXECUTE,
	ENDPOINT_RESPONSES,
	ENDPOINT_EMBEDDINGS,
	ENDPOINT_MESSAGES,
	ENDPOINT_COUNT_TOKENS,
	ENDPOINT_TOOL_PUSH,
	ENDPOINT_TOOL_LIST,
	ENDPOINT_TOOL_GET,
	ENDPOINT_TOOL_REMOVE,
	ENDPOINT_TOOL_CURRENT, /* choose the version that calls get */
	ENDPOINT_TOOL_CALL,
	ENDPOINT_CONVERSATIONS, /* and their items: which operation, `content_op` says */
	ENDPOINT_STORED_RESPONSES,
	ENDPOINT_FILES,
	ENDPOINT_OPENAPI, /* for every valid key, whatever its policy */
	ENDPOINT_OTHER,
	ENDPOINT_COUNT,
};

struct endpoint_row {
	const char *name; /* in policies and records */
	bool asks_model;  /* a turn with a model call */
	bool takes_tools; /* and perhaps with tools of ours */
};

static const struct endpoint_row endpoint_rows[ENDPOINT_COUNT] = {
	[0] = { "none", false, false },
	[ENDPOINT_CHAT] = { "chat", true, true },
	[ENDPOINT_MODELS] = { "models", false, false },
	[ENDPOINT_EXECUTE] = { "execute", false, false },
	[ENDPOINT_RESPONSES] = { "responses", true, true },
	[ENDPOINT_EMBEDDINGS] = { "embeddings", true, false },
	[ENDPOINT_MESSAGES] = { "messages", true, true },
	[ENDPOINT_COUNT_TOKENS] = { "count_tokens", true, false },
	[ENDPOINT_TOOL_PUSH] = { "tools", false, false },
	[ENDPOINT_TOOL_LIST] = { "tools", false, false },
	[ENDPOINT_TOOL_GET] = { "tools", false, false },
	[ENDPOINT_TOOL_REMOVE] = { "tools", false, false },
	[ENDPOINT_TOOL_CURRENT] = { "tools", false, false },
	[ENDPOINT_TOOL_CALL] = { "tool_call", false, false },
	[ENDPOINT_CONVERSATIONS] = { "conversations", false, false },
	[ENDPOINT_STORED_RESPONSES] = { "stored_responses", false, false },
	[ENDPOINT_FILES] = { "files", false, false },
	[ENDPOINT_OPENAPI] = { "openapi", false, false },
	[ENDPOINT_OTHER] = { "other", false, false },
};

/* A kind of provider: the path of each endpoint that it speaks, behind its base URL. */
struct provider_kind {
	const char *name;
	const char *paths[ENDPOINT_COUNT]; /* NULL: does not speak it */
};

static const struct provider_kind provider_kinds[] = {
	{ "demo", { [ENDPOINT_CHAT] = "/chat/completions" } },
	{ "openai", { [ENDPOINT_CHAT] = "/chat/completions",
			[ENDPOINT_RESPONSES] = "/responses",
			[ENDPOINT_EMBEDDINGS] = "/embeddings" } },
	{ "anthropic", { [ENDPOINT_MESSAGES] = "/messages",
			   [ENDPOINT_COUNT_TOKENS] = "/messages/count_tokens" } },
};
#define PROVIDER_KINDS (sizeof(provider_kinds) / sizeof(provider_kinds[0]))

#endif
