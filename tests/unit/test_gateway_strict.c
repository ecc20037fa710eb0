/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that no schema of ours names: passed on or refused, as a provider's entry says. */
#include "gateway_rig.h"

#include <strict.h>

static const char providers[] =
    "policies: { default: { endpoints: \"*\", models: \"*\" } }\n"
    "providers:\n"
    "  open: { kind: openai, base_url: \"https://a.example\", credential: \"file:a\" }\n"
    "  shut: { kind: openai, base_url: \"https://b.example\", credential: \"file:a\","
    " unknown_fields: refuse }\n"
    "  claude: { kind: anthropic, base_url: \"https://c.example\", credential: \"file:a\","
    " unknown_fields: refuse }\n"
    "models:\n"
    "  open: [ { provider: open, model: up } ]\n"
    "  shut: [ { provider: shut, model: up } ]\n"
    "  both: [ { provider: open, model: up, weight: 9 }, { provider: shut, model: up } ]\n"
    "  other: [ { provider: open, model: up }, { provider: claude, model: up } ]\n"
    "  two: [ { provider: shut, model: up }, { provider: claude, model: up } ]\n";

/* What passes is asked of a provider, which says nothing that a client could use. */
static const struct model_script teapot[] = { { 418, { "{}" } } };

static const struct {
	const char *path, *model;
	bool refuses;
} rows[] = {
	{ CHAT_PATH, "open", false },
	{ CHAT_PATH, "shut", true },
	{ CHAT_PATH, "both", true },
	{ CHAT_PATH, "other", false }, /* the entry that refuses does not speak it */
	{ CHAT_PATH, "two", true },    /* and so does another, of what it speaks */
	{ "/v1/responses", "open", false },
	{ "/v1/responses", "both", true },
	{ "/v1/embeddings", "open", false },
	{ "/v1/embeddings", "shut", true },
	{ "/v1/messages", "other", true },
	{ "/v1/messages/count_tokens", "other", true },
};

static const char *
rest_of(const char *path)
{
	if (strcmp(path, CHAT_PATH) == 0)
		return MESSAGES;
	if (strcmp(path, "/v1/messages") == 0)
		return MESSAGES ",\"max_tokens\":9";
	return strcmp(path, "/v1/messages/count_tokens") == 0 ? MESSAGES : "\"input\":\"a\"";
}

static void
ask(size_t row, const char *member, const char *want)
{
	struct client c;
	char body[4096];

	(void)snprintf(body, sizeof(body), "{\"model\":\"%s\",%s%s}", rows[row].model,
	    rest_of(rows[row].path), member);
	peers.models = teapot;
	peers.calls = 0;
	client_open(&c);
	request(&c, "POST", rows[row].path, key, body);
	wait_for(&c, want);
	client_close(&c);
}

static void
as_its_entry_says(void **state)
{
	static const char *const members[] = { ",\"x_new\":{\"a\":1}", ",\"\":null",
		",\"sal\\u006cy\":1" };
	static const char *const pointers[] = { "\"param\":\"/x_new\"", "\"param\":\"/\"",
		"\"param\":\"/sally\"" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		ask(i, "", "HTTP/1.1 502 ");
		for (size_t m = 0; m < COUNT(members); m++) {
			ask(i, members[m], rows[i].refuses ? "HTTP/1.1 400 " : "HTTP/1.1 502 ");
			if (rows[i].refuses)
				ask(i, members[m], pointers[m]);
		}
	}
}

/* Known ones pass, however they are written; what was refused before still is. */
static void
known_ones_pass(void **state)
{
	(void)state;
	ask(1, ",\"temper\\u0061ture\":1,\"seed\":4,\"prompt_cache_key\":\"k\"", "HTTP/1.1 502 ");
	ask(1, ",\"metadata\":{\"x_new\":\"1\"}", "HTTP/1.1 502 ");
	ask(1, ",\"Seed\":4", "\"param\":\"/Seed\"");
	ask(0, ",\"Seed\":4", "\"param\":\"/Seed\"");
	ask(0, ",\"api_key\":\"k\"", "\"param\":\"/api_key\"");
}

/* Names that are longer than any we know, and longer than a pointer may be. */
static void
long_names(void **state)
{
	char member[1024];

	(void)state;
	for (size_t len = 60; len < 900; len = len * 3 / 2) {
		(void)snprintf(member, sizeof(member), ",\"\\u0061%0*d\":1", (int)len, 7);
		ask(1, member, "is unknown, and this model takes no unknown fields");
		ask(0, member, "HTTP/1.1 502 ");
	}
}

/* The first of several is named; a request without a key is told nothing. */
static void
no_word_without_a_key(void **state)
{
	struct client c;

	(void)state;
	peers.admit_error = ERROR_INVALID_KEY;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key, "{\"model\":\"shut\"," MESSAGES ",\"x_new\":1}");
	wait_for(&c, "HTTP/1.1 401 ");
	assert_false(has(&c, "x_new"));
	client_close(&c);
}

/* A policy may name an endpoint if the kind of its model's provider speaks it, and only then. */
static void
inert_policies_are_refused(void **state)
{
	(void)state;
	for (size_t k = 0; k < PROVIDER_KINDS; k++) {
		bool demo = strcmp(provider_kinds[k].name, "demo") == 0;

		for (unsigned e = 1; e < ENDPOINT_COUNT; e++) {
			char yaml[512], error[CONF_ERROR_MAX];
			struct conf *conf = NULL;

			if (!endpoint_rows[e].asks_model)
				continue;
			(void)snprintf(yaml, sizeof(yaml),
			    "policies: { p: { endpoints: [%s], models: '*' } }\n"
			    "providers: { p: { kind: %s%s } }\n"
			    "models: { m: [ { provider: p, model: m } ] }\n",
			    endpoint_rows[e].name, provider_kinds[k].name,
			    demo ? "" : ", base_url: 'https://h', credential: 'file:k'");
			assert_int_equal(is_ok(conf_parse(span_str(yaml), &conf, error)),
			    provider_kinds[k].paths[e] != NULL);
			conf_free(conf);
		}
	}
}

static int
start_with_providers(void **state)
{
	char error[CONF_ERROR_MAX];
	struct conf *conf = NULL, *old;

	if (start(state) != 0)
		return -1;
	old = d.conf;
	if (!is_ok(conf_parse(span_str(providers), &conf, error))) {
		print_error("%s\n", error);
		return -1;
	}
	conf_free(old);
	d.conf = conf;
	gateway_configure(&g);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(as_its_entry_says),
		FLOW(known_ones_pass),
		FLOW(long_names),
		FLOW(no_word_without_a_key),
		cmocka_unit_test(inert_policies_are_refused),
	};

	return cmocka_run_group_tests(tests, start_with_providers, NULL);
}
