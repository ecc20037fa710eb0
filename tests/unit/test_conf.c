/* SPDX-License-Identifier: Apache-2.0 */
/* lib/conf: parsing, defaults, refusals with their lines, slices, look-ups of names with dots. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include <conf/conf.h>

#include <base/cleanup.h>
#include <base/io.h>

#define ENGINES "engines: {runsc: /r, image: /i, manifest: /m}\n"
#define POLICY                                                                            \
	"policies: {default: {endpoints: \"*\", models: \"*\", tools: \"*\", languages: " \
	"\"*\"}}\n"
#define DEMO "providers: {demo: {kind: demo}}\nmodels: {demo: [{provider: demo, model: demo}]}\n"
#define CLAUDE                                                                                 \
	"providers: {demo: {kind: demo}, c: {kind: anthropic, base_url: 'https://c.example', " \
	"credential: 'file:c'}}\nmodels: {demo: [{provider: demo, model: demo}], "             \
	"c: [{provider: c, model: c}]}\n"
#define GOOD POLICY DEMO ENGINES "sandboxes: {python: {pool: 2}, sh: {}}\n"

static struct conf *
parse_good(const char *yaml)
{
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;
	struct status st = conf_parse(span_str(yaml), &c, error);

	if (!is_ok(st))
		print_error("%s\n", error);
	assert_true(is_ok(st));
	assert_string_equal(error, "");
	return c;
}

static void
defaults_are_filled_in(void **state)
{
	struct conf *c = parse_good(GOOD);

	(void)state;
	assert_string_equal(conf_str(c, "listen"), "127.0.0.1:8443");
	assert_int_equal(conf_u64(c, "uid_base"), 700000);
	assert_int_equal(conf_u64(c, "sandboxes.python.pool"), 2);
	assert_int_equal(conf_u64(c, "sandboxes.sh.pool"), 4);
	assert_int_equal(conf_u64(c, "sandboxes.sh.memory_mb"), 512);
	assert_int_equal(conf_u64(c, "limits.turn_steps"), 8);
	assert_int_equal(conf_u64(c, "models.demo.0.weight"), 0);
	assert_int_equal(conf_u64(c, "policies.default.requests_per_min"), 6000);
	assert_string_equal(conf_str(c, "policies.default.attach"), "");
	assert_false(conf_bool(c, "providers.demo.allow_plain_loopback"));
	assert_null(conf_str(c, "providers.demo.ca_file"));
	assert_null(conf_str(c, "sandboxes.javascript.pool"));
	assert_null(conf_str(c, "sandboxes.python")); /* mappings are no values */
	conf_free(c);
}

static void
tools_have_their_table(void **state)
{
	struct conf *c = parse_good(
	    GOOD "tools:\n"
		 "  adder: {sandbox: wasm, limits: {time_ms: 100}, capabilities: [files], allow: "
		 "[default]}\n"
		 "  python: {sandbox: gvisor, limits: {time_ms: 30000}, allow: []}\n"
		 "wasm: {workers: 3}\n");

	(void)state;
	assert_string_equal(conf_str(c, "tools.adder.sandbox"), "wasm");
	assert_string_equal(conf_str(c, "tools.adder.limits.time_ms"), "100");
	assert_null(conf_str(c, "tools.adder.limits.memory_mb"));
	assert_string_equal(conf_str(c, "tools.adder.allow"), "default");
	assert_string_equal(conf_str(c, "tools.python.allow"), ""); /* nobody, not everybody */
	assert_int_equal(conf_u64(c, "wasm.workers"), 3);
	assert_int_equal(conf_u64(c, "wasm.idle_s"), 60);
	conf_free(c);
	c = parse_good("policies: {p: {endpoints: [tools, tool_call], tools: [a_b-C1]}}\n");
	conf_free(c);
	c = parse_good("policies: {p: {endpoints: '*', tools: '*'}}\n"
		       "tools: {a: {limits: {time_ms: 1}, allow: '*'}}\n");
	assert_null(conf_str(c, "tools.a.sandbox"));
	conf_free(c);
}

static void
names_with_dots_are_found(void **state)
{
	struct conf *c = parse_good(POLICY ENGINES "providers: {a.b: {kind: demo}}\n"
						   "models:\n"
						   "  gpt-4.1: [{provider: a.b, model: x.y}]\n"
						   "  Qwen/Qwen3:\n"
						   "  - provider: a.b\n"
						   "    model: q\n"
						   "  - {provider: a.b, model: r, weight: 7}\n");
	static const char *const want[] = { "Qwen/Qwen3", "gpt-4.1" };
	struct span name;
	size_t n = 0;

	(void)state;
	assert_string_equal(conf_strf(c, "models.%s.%u.model", "gpt-4.1", 0U), "x.y");
	assert_string_equal(conf_strf(c, "models.%.*s.0.provider", 7, "gpt-4.1"), "a.b");
	assert_int_equal(conf_u64f(c, "models.%s.1.weight", "Qwen/Qwen3"), 7);
	assert_null(conf_str(c, "models.gpt-4.1.0.model")); /* that dot is a separator */
	for (size_t i = 0; conf_each(c, "models", &i, &name); n++)
		assert_true(n < 2 && span_eq_str(name, want[n]));
	assert_int_equal(n, 2);
	n = 0;
	for (size_t i = 0; conf_each(c, "models.Qwen/Qwen3", &i, &name);)
		n++;
	assert_int_equal(n, 2);
	conf_free(c);
}

static void
each_stops_at_the_end_of_a_prefix(void **state)
{
	struct conf *c = parse_good(GOOD);
	struct span name;
	size_t n = 0, i;

	(void)state;
	for (i = 0; conf_each(c, "sandboxes", &i, &name);)
		n++;
	assert_int_equal(n, 2);
	i = 0;
	assert_false(conf_each(c, "sandbox", &i, &name));
	i = 0;
	assert_false(conf_each(c, "listen", &i, &name));
	i = 0;
	assert_false(conf_each(c, "zzz", &i, &name));
	n = 0;
	for (i = 0; conf_each(c, "", &i, &name);)
		n++;
	assert_int_equal(n, 21); /* the top-level keys, defaults included */
	conf_free(c);
}

static void
lists_are_one_value(void **state)
{
	struct conf *c = parse_good(
	    "policies:\n  p:\n    endpoints: [execute, models]\n"
	    "    models: '*'\n    languages: [sh]\n" DEMO ENGINES "sandboxes: {sh: {pool: 0}}\n");
	struct span item;
	size_t i = 0;

	(void)state;
	assert_string_equal(conf_str(c, "policies.p.endpoints"), "execute models");
	assert_true(conf_list_next("a b", &i, &item) && span_eq_str(item, "a"));
	assert_true(conf_list_next("a b", &i, &item) && span_eq_str(item, "b"));
	assert_false(conf_list_next("a b", &i, &item));
	assert_true(conf_list_has(conf_str(c, "policies.p.languages"), SPAN_LIT("sh")));
	assert_false(conf_list_has(conf_str(c, "policies.p.languages"), SPAN_LIT("s")));
	assert_true(conf_list_has("*", SPAN_LIT("anything")));
	assert_false(conf_list_has("", SPAN_LIT("a")));
	assert_false(conf_list_has(NULL, SPAN_LIT("a")));
	conf_free(c);
}

static const struct {
	const char *yaml, *error; /* the beginning of it */
} refused[] = {
	{ "", "line 1: the file is empty" },
	{ "- a\n", "line 1: expects keys at the top" },
	{ GOOD "wat: 1\n", "line 6: wat: unknown key" },
	{ "vault: {address: x}\n", "line 1: vault.address: expects https://HOST" },
	{ "saml: {issuer: x}\n", "line 1: saml: unknown key" },
	{ "oidc: []\n", "line 1: oidc: the list is empty" },
	{ "mcp: {}\n", "line 1: mcp: unknown key" },
	{ "limits:\n  body_bytes: 1024\n  nope: 1\n", "line 3: limits.nope: unknown key" },
	{ "policies: {p: {rpm: 1}}\n", "line 1: policies.p.rpm: unknown key" },
	{ "workers: 1\nworkers: 2\n" GOOD, "line 2: workers: is here twice" },
	{ GOOD "limits: {}\nlimits: {}\n", "line 7: limits: is here twice" },
	{ "workers: 0x1\n", "line 1: workers: expects a whole number" },
	{ "workers: -1\n", "line 1: workers: expects a whole number" },
	{ "workers: 007\n", "line 1: workers: a number has no leading zero" },
	{ "workers: \"1\"\n", "line 1: workers: is quoted text" },
	{ "workers: 17\n", "line 1: workers: is out of its range (0 to 16)" },
	{ "workers: 99999999999999999999999\n", "line 1: workers: expects a whole number" },
	{ "workers:\n", "line 1: workers: has no value" },
	{ "workers: [1]\n", "line 1: workers: expects no list" },
	{ "workers: {a: 1}\n", "line 1: workers: expects one value" },
	{ "limits: 1\n", "line 1: limits: expects keys below it" },
	{ "policies: [{endpoints: '*'}]\n", "line 1: policies: expects no list" },
	{ "models: {m: {0: {provider: a, model: b}}}\n", "line 1: models.m: expects a list" },
	{ "models: {m: []}\n", "line 1: models.m: the list is empty" },
	{ "models: {m: [{model: b}]}\n" POLICY, "line 1: models.m.0.provider: is missing" },
	{ "providers: {x: {}}\n" POLICY, "line 1: providers.x.kind: is missing" },
	{ "providers: {x: {kind: wat}}\n", "line 1: providers.x.kind: is not one of its choices" },
	{ "policies: &a {}\n", "line 1: policies: anchors, aliases and tags" },
	{ "policies: *a\n", "line 1: policies: anchors, aliases and tags" },
	{ "workers: !!int 1\n", "line 1: workers: anchors, aliases and tags" },
	{ "%TAG ! tag:x,2000:\n---\nworkers: 1\n", "line 1: directives" },
	{ GOOD "---\nworkers: 1\n", "line 6: only one document" },
	{ "a: [\n", "line " },
	{ "? [a]\n: b\n", "line 1: a key must be text" },
	{ "\"lis\\x1ften\": x\n", "line 1: lis?ten: unknown key" },
	{ "policies: {\"a b\": {}}\n", "line 1: policies.a b: unknown key" },
	{ "policies: {\"a\\0b\": {}}\n", "line 1: policies.a?b: unknown key" },
	{ "listen: 127.0.0.1\n", "line 1: listen: expects HOST:PORT" },
	{ "listen: example.org:443\n", "line 1: listen: expects HOST:PORT" },
	{ "management_socket: \"a\\nb\"\n", "line 1: management_socket: holds a control" },
	{ "policies: {p: {endpoints: [chat, '*']}}\n",
	    "line 1: policies.p.endpoints: \"*\" stands alone" },
	{ "policies: {p: {endpoints: [nope]}}\n",
	    "line 1: policies.p.endpoints: names something that does not exist" },
	{ DEMO, "policies: is missing" },
	/* what only the whole can tell */
	{ "policies:\n  p: {}\n", "line 2: policies.p.endpoints: the policy allows no endpoint" },
	{ "policies:\n  p:\n    endpoints: chat\n",
	    "line 3: policies.p.endpoints: can never match: chat" },
	{ "policies: {p: {endpoints: [models, embeddings]}}\n",
	    "line 1: policies.p.endpoints: can never match: embeddings" },
	{ "policies: {p: {endpoints: embeddings, models: demo, tools: code_interpreter}}\n" DEMO,
	    "line 1: policies.p.tools: can never match" },
	{ "policies: {p: {endpoints: [count_tokens, execute], models: demo, languages: sh,\n"
	  " attach: code_interpreter, tools: '*'}}\n" ENGINES DEMO "sandboxes: {sh: {}}\n",
	    "line 2: policies.p.attach: can never match" },
	{ "policies:\n  p:\n    endpoints: execute\n    languages: '*'\n",
	    "line 3: policies.p.endpoints: can never match: execute" },
	{ "policies: {p: {endpoints: '*', models: '*', languages: '*'}}\n",
	    "line 1: policies.p.endpoints: no model and no language" },
	{ "policies: {p: {endpoints: chat, models: [nope]}}\n" DEMO,
	    "line 1: policies.p.models: names one that does not exist" },
	{ "policies: {p: {endpoints: execute, languages: [javascript]}}\n" ENGINES
	  "sandboxes: {sh: {}}\n",
	    "line 1: policies.p.languages: names one that does not exist" },
	{ "policies: {p: {endpoints: execute, languages: sh, models: demo}}\n" ENGINES DEMO
	  "sandboxes: {sh: {}}\n",
	    "line 1: policies.p.models: can never match" },
	{ "policies: {p: {endpoints: chat, models: demo, languages: sh}}\n" ENGINES DEMO
	  "sandboxes: {sh: {}}\n",
	    "line 1: policies.p.languages: can never match" },
	{ "policies: {p: {endpoints: chat, models: demo, attach: code_interpreter}}\n" DEMO,
	    "line 1: policies.p.attach: can never match" },
	/* what no model speaks */
	{ "policies: {p: {endpoints: [chat, embeddings], models: demo}}\n" DEMO,
	    "line 1: policies.p.endpoints: can never match: no model that the policy allows speaks "
	    "embeddings" },
	{ "policies: {p: {endpoints: [messages], models: '*'}}\n" DEMO,
	    "line 1: policies.p.endpoints: can never match: no model that the policy allows speaks "
	    "messages" },
	{ "policies: {p: {endpoints: [chat, messages], models: [demo]}}\n" CLAUDE,
	    "line 1: policies.p.endpoints: can never match: no model that the policy allows speaks "
	    "messages" },
	{ "policies: {p: {endpoints: [chat], models: [demo, c]}}\n" CLAUDE,
	    "line 1: policies.p.models: can never match: names one that no endpoint" },
	/* tools */
	{ "policies: {p: {endpoints: chat, models: demo, tools: [a.b]}}\n" DEMO,
	    "line 1: policies.p.tools: names no tool" },
	{ "policies: {p: {endpoints: tool_call}}\n",
	    "line 1: policies.p.endpoints: can never match: tool_call" },
	{ "policies: {p: {endpoints: [tools, tool_call], tools: code_interpreter}}\n",
	    "line 1: policies.p.tools: can never match" },
	{ "policies: {p: {endpoints: [models], models: demo, tools: [a]}}\n" DEMO,
	    "line 1: policies.p.tools: can never match" },
	{ GOOD "tools: {a.b: {sandbox: wasm}}\n", "line 6: tools.a.b: is no name of a tool" },
	{ GOOD "tools: {code_interpreter: {sandbox: gvisor}}\n",
	    "line 6: tools.code_interpreter: is no name" },
	{ GOOD "tools: {a: {sandbox: docker}}\n", "line 6: tools.a.sandbox: is not one of" },
	{ GOOD "tools: {a: {limits: {time_ms: 60001}}}\n",
	    "line 6: tools.a.limits.time_ms: is out of its range" },
	{ GOOD "tools: {a: {limits: {memory_mb: 0}}}\n",
	    "line 6: tools.a.limits.memory_mb: is out of its range" },
	{ GOOD "tools: {a: {capabilities: [network]}}\n",
	    "line 6: tools.a.capabilities: names something that does not exist" },
	{ GOOD "tools: {a: {sandbox: gvisor, capabilities: [files]}}\n",
	    "line 6: tools.a.capabilities: can never match" },
	{ GOOD "tools: {a: {allow: [nobody]}}\n",
	    "line 6: tools.a.allow: names a policy that does not exist" },
	{ "policies: {p: {endpoints: [chat, execute], models: demo, tools: [b], languages: "
	  "sh}}\n" DEMO ENGINES "sandboxes: {sh: {}}\ntools: {a: {allow: [p]}}\n",
	    "line 6: tools.a.allow: can never match" },
	{ "policies: {p: {endpoints: [tools], tools: [a]}}\ntools: {a: {allow: [p]}}\n",
	    "line 2: tools.a.allow: can never match" },
	{ GOOD "tools: {python: {sandbox: wasm}}\n",
	    "line 6: tools.python.sandbox: code runs in gVisor only" },
	{ GOOD "tools: {python: {capabilities: [files]}}\n",
	    "line 6: tools.python.capabilities: is not for code" },
	{ GOOD "tools: {python: {limits: {memory_mb: 5}}}\n",
	    "line 6: tools.python.limits.memory_mb: is not for code" },
	{ GOOD "tools: {python: {limits: {time_ms: 30001}}}\n",
	    "line 6: tools.python.limits.time_ms: can never match" },
	{ GOOD "tools: {javascript: {limits: {time_ms: 5}}}\n",
	    "line 6: tools.javascript: can never match: there is no sandbox" },
	{ POLICY DEMO "models: {}\n", "line 4: models: is here twice" },
	{ POLICY "models: {m: [{provider: x, model: y}]}\n",
	    "line 2: models.m.0.provider: names a provider that is not there" },
	{ POLICY DEMO "sandboxes: {sh: {}}\n", "engines.runsc: is missing" },
	{ POLICY DEMO ENGINES "sandboxes: {ruby: {}}\n", "line 5: sandboxes.ruby: is no language" },
	{ POLICY DEMO ENGINES
	    "sandboxes:\n  python: {pool: 256, pool_data: 200}\n  sh: {pool: 57}\n",
	    "line 7: sandboxes.sh.pool: all pools together have more than 512" },
	{ POLICY DEMO ENGINES "sandboxes: {sh: {pool_data: 1}}\n",
	    "line 5: sandboxes.sh.pool_data: is for python only" },
	{ POLICY "providers: {demo: {kind: demo, base_url: 'https://x'}}\n",
	    "line 2: providers.demo.base_url: is not for kind demo" },
	{ POLICY "providers: {demo: {kind: demo, credential: 'file:x'}}\n",
	    "line 2: providers.demo.credential: kind demo takes none" },
	{ GOOD "limits: {bodies_total_bytes: 1048576}\n",
	    "line 6: limits.bodies_total_bytes: is less" },
	{ GOOD "limits: {connections: 10, connections_per_source: 11}\n",
	    "line 6: limits.connections_per_source: can never match" },
};

static void
faults_are_refused_with_their_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++) {
		char error[CONF_ERROR_MAX];
		struct conf *c = NULL;
		struct status st = conf_parse(span_str(refused[i].yaml), &c, error);

		if (is_ok(st) || strncmp(error, refused[i].error, strlen(refused[i].error)) != 0)
			print_error("case %zu: %s\n got:  %s\n want: %s\n", i, refused[i].yaml,
			    error, refused[i].error);
		assert_false(is_ok(st));
		assert_null(c);
		assert_true(strncmp(error, refused[i].error, strlen(refused[i].error)) == 0);
		assert_null(strchr(error, '\n'));
	}
}

#define OPENAI(keys) POLICY "providers: {x: {kind: openai, " keys "}}\n"
static const struct {
	const char *yaml, *why;
} providers[] = {
	{ OPENAI("credential: 'file:k'"), "base_url: is missing" },
	{ OPENAI("base_url: 'https://h', credential: sk-canary-1234"), "a key itself is refused" },
	{ OPENAI("base_url: 'https://h', credential: 'env:KEY'"), "a key itself is refused" },
	{ OPENAI("base_url: 'https://h', credential: 'vault:x#y'"), "expects vault:" },
	{ OPENAI("base_url: 'https://h', credential: 'vault:x/#'"), "expects vault:" },
	{ OPENAI("base_url: 'https://h', credential: 'aws-sm:#f'"), "expects aws-sm:" },
	{ OPENAI("base_url: 'https://h', credential: 'file:../k'"), "expects file:NAME" },
	{ OPENAI("base_url: 'https://h', credential: none"), "loopback address only" },
	{ OPENAI("base_url: 'http://h', credential: 'file:k', allow_plain_loopback: true"),
	    "needs a loopback address" },
	{ OPENAI("base_url: 'http://127.0.0.1:1', credential: none"),
	    "allow_plain_loopback: true" },
	{ OPENAI("base_url: 'http://127.0.0.1.evil.example', credential: none, "
		 "allow_plain_loopback: true"),
	    "needs a loopback address" },
	{ OPENAI("base_url: 'https://h:0', credential: 'file:k'"), "host and port" },
	{ OPENAI("base_url: 'https://h:65536', credential: 'file:k'"), "host and port" },
	{ OPENAI("base_url: 'https://[::1', credential: none"), "host and port" },
	{ OPENAI("base_url: 'https://2130706433', credential: none"), "four decimal numbers" },
	{ OPENAI("base_url: 'https://127.1', credential: none"), "four decimal numbers" },
	{ OPENAI("base_url: 'https://0x7f.0.0.0x1', credential: none"), "four decimal numbers" },
	{ OPENAI("base_url: 'https://10.0.0.1', credential: 'file:k'"), "allow_private: true" },
	{ OPENAI("base_url: 'https://169.254.169.254', allow_private: true, credential: 'file:k'"),
	    "no provider can have" },
	{ OPENAI("base_url: 'https://[::ffff:1.1.1.1]', credential: 'file:k'"),
	    "no provider can have" },
	{ OPENAI("base_url: 'https://localhost', allow_private: true, credential: none"),
	    "allow_private: can never match" },
	{ OPENAI("base_url: 'http://localhost', allow_plain_loopback: true, ca_file: x, "
		 "credential: none"),
	    "ca_file: can never match" },
	{ OPENAI("base_url: 'https://h', pin_sha256: "
		 "'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!', credential: 'file:k'"),
	    "base64 of 32 bytes" },
	{ OPENAI("base_url: 'https://u:p@h', credential: none"), "character that is not allowed" },
	{ OPENAI("base_url: 'ftp://h', credential: none"), "expects https://" },
	{ OPENAI("base_url: 'https://h', credential: 'file:k', allow_plain_loopback: true"),
	    "can never match" },
	{ OPENAI("base_url: 'https://h', credential: 'vault:kv/openai#key'"),
	    "a credential is in Vault" },
};

#define USED "models: {m: [{provider: x, model: y}]}\n"

static void
providers_are_taken(void **state)
{
	static const char *const good[] = {
		OPENAI("base_url: 'http://[::1]:1', credential: none, allow_plain_loopback: true")
		    USED,
		OPENAI("base_url: 'https://localhost:8443/v1', credential: none, tls_min: '1.2'")
		    USED,
		POLICY "providers: {x: {kind: anthropic, base_url: 'https://127.0.0.2', "
		       "credential: none, pin_sha256: "
		       "'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='}}\n" USED,
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		conf_free(parse_good(good[i]));
}

static void
entries_of_a_model_are_bounded(void **state)
{
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;

	(void)state;
#define E "{provider: demo, model: m}, "
	conf_free(parse_good(POLICY "providers: {demo: {kind: demo}}\n"
				    "models: {m: [" E E E E E E E E "]}\n"));
	assert_false(is_ok(conf_parse(SPAN_LIT(POLICY "providers: {demo: {kind: demo}}\n"
						      "models: {m: [" E E E E E E E E E "]}\n"),
	    &c, error)));
	assert_non_null(strstr(error, "one entry too many"));
}

static void
credentials_are_references(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(providers); i++) {
		char error[CONF_ERROR_MAX];
		struct conf *c = NULL;

		assert_false(is_ok(conf_parse(span_str(providers[i].yaml), &c, error)));
		if (strstr(error, providers[i].why) == NULL)
			print_error("case %zu: got %s\n want %s\n", i, error, providers[i].why);
		assert_non_null(strstr(error, providers[i].why));
		assert_null(strstr(error, "canary")); /* never the value */
	}
}

static void
addresses_are_parsed(void **state)
{
	static const struct {
		const char *text;
		int family; /* 0: refused */
	} rows[] = {
		{ "127.0.0.1:8443", AF_INET },
		{ "0.0.0.0:1", AF_INET },
		{ "localhost:65535", AF_INET },
		{ "[::1]:443", AF_INET6 },
		{ "[::]:443", AF_INET6 },
		{ "::1:443", 0 },
		{ "[::1]", 0 },
		{ "[]:1", 0 },
		{ "127.0.0.1:0", 0 },
		{ "127.0.0.1:65536", 0 },
		{ "127.0.0.1:", 0 },
		{ ":443", 0 },
		{ "", 0 },
		{ "[127.0.0.1]:1", 0 },
		{ "[::1:443", 0 },
		{ "127.1:443", 0 },
	};
	struct sockaddr_storage ss;
	socklen_t len;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct status st = conf_address(span_str(rows[i].text), &ss, &len);

		assert_int_equal(is_ok(st), rows[i].family != 0);
		if (rows[i].family != 0)
			assert_int_equal(ss.ss_family, rows[i].family);
	}
	assert_true(is_ok(conf_address(SPAN_LIT("127.0.0.1:8443"), &ss, &len)));
	assert_int_equal(((struct sockaddr_in *)&ss)->sin_port, htons(8443));
}

static void
slices_load_back(void **state)
{
	static const char *const prefixes[] = { "models", "sandboxes.sh", "listen", NULL };
	struct conf *c = parse_good(GOOD), *all = NULL, *part = NULL;
	auto_buf struct buf a = BUF_INIT(CONF_SLICE_MAX), b = BUF_INIT(CONF_SLICE_MAX),
			    p = BUF_INIT(CONF_SLICE_MAX);

	(void)state;
	assert_true(is_ok(conf_slice(c, NULL, &a)));
	assert_true(is_ok(conf_load(buf_span(&a), &all)));
	assert_true(is_ok(conf_slice(all, NULL, &b)));
	assert_true(span_eq(buf_span(&a), buf_span(&b)));
	assert_true(is_ok(conf_slice(c, prefixes, &p)));
	assert_true(is_ok(conf_load(buf_span(&p), &part)));
	assert_string_equal(conf_str(part, "models.demo.0.provider"), "demo");
	assert_int_equal(conf_u64(part, "sandboxes.sh.pool"), 4);
	assert_string_equal(conf_str(part, "listen"), "127.0.0.1:8443");
	assert_null(conf_str(part, "sandboxes.python.pool"));
	assert_null(conf_str(part, "providers.demo.kind"));
	conf_free(part);
	for (size_t cut = 1; cut < a.len; cut++) { /* a whole prefix of entries, or refused */
		struct conf *broken = NULL;

		if (is_ok(conf_load(span_of(a.ptr, cut), &broken)))
			conf_free(broken);
	}
	conf_free(all);
	conf_free(c);
}

static void
bad_slices_are_refused(void **state)
{
	static const struct span rows[] = {
		{ (const uint8_t *)"\0", 1 },
		{ (const uint8_t *)"\0\0\0\0", 4 },            /* an empty path */
		{ (const uint8_t *)"\0\1a\0\5b", 6 },          /* a value that is cut */
		{ (const uint8_t *)"\0\1b\0\0\0\1a\0\0", 10 }, /* not sorted */
		{ (const uint8_t *)"\0\1a\0\0\0\1a\0\0", 10 }, /* twice */
		{ (const uint8_t *)"\0\2a\0\0\0", 6 },         /* a NUL in it */
		{ (const uint8_t *)"\377\377a", 3 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct conf *c = NULL;

		assert_int_equal(conf_load(rows[i], &c).code, E_PROTO);
		assert_null(c);
	}
}

static void
size_is_bounded(void **state)
{
	auto_buf struct buf b = BUF_INIT(CONF_FILE_MAX + 64);
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;

	(void)state;
	while (b.len <= CONF_FILE_MAX)
		assert_true(is_ok(buf_put_str(&b, "# padding\n")));
	assert_int_equal(conf_parse(buf_span(&b), &c, error).code, E_RANGE);
	buf_clear(&b);
	assert_true(is_ok(buf_put_str(&b, "policies: {")));
	for (unsigned i = 0; i < 9000; i++)
		assert_true(is_ok(buf_printf(&b, "p%u: {},\n", i)));
	assert_true(is_ok(buf_put_str(&b, "}\n")));
	assert_false(is_ok(conf_parse(buf_span(&b), &c, error)));
	assert_non_null(strstr(error, "too many entries"));
	buf_clear(&b);
	while (b.len < 100000)
		assert_true(is_ok(buf_put_u8(&b, '[')));
	assert_false(is_ok(conf_parse(buf_span(&b), &c, error)));
}

/* docs/configuration.md holds exactly the table of this build. */
static void
the_document_is_the_table(void **state)
{
	auto_buf struct buf want = BUF_INIT(1 << 20), doc = BUF_INIT(1 << 20);
	const char *data = getenv("SALLYPORT_TEST_DATA");
	char path[4096];

	(void)state;
	if (data == NULL)
		skip();
	(void)snprintf(path, sizeof(path), "%s/../docs/configuration.md", data);
	assert_true(is_ok(io_read_file(AT_FDCWD, path, &doc)));
	assert_true(is_ok(conf_describe(&want)));
	assert_non_null(memmem(doc.ptr, doc.len, want.ptr, want.len));
}

/* ---- what may be in clear ---- */
struct pair {
	const char *path, *value; /* dots separate; in their order */
};

static void
add_weak(void *ctx, struct span name)
{
	char *out = ctx;

	(void)snprintf(out + strlen(out), 256 - strlen(out), "%.*s ", SPAN_FMT(name));
}

static void
assert_weak(const struct pair *pairs, size_t n, const char *want)
{
	auto_buf struct buf slice = BUF_INIT(4096);
	struct conf *c = NULL;
	char got[256] = "";

	for (size_t i = 0; i < 2 * n; i++) {
		const char *text = i % 2 == 0 ? pairs[i / 2].path : pairs[i / 2].value;

		assert_true(is_ok(buf_put_u8(&slice, 0)));
		assert_true(is_ok(buf_put_u8(&slice, (uint8_t)strlen(text))));
		for (const char *p = text; *p != '\0'; p++)
			assert_true(is_ok(buf_put_u8(
			    &slice, i % 2 == 0 && *p == '.' ? (uint8_t)CONF_SEP : (uint8_t)*p)));
	}
	assert_true(is_ok(conf_load(buf_span(&slice), &c)));
	conf_each_weak(c, add_weak, got);
	assert_string_equal(got, want);
	conf_free(c);
}
#define WEAK(want, ...)                                   \
	assert_weak((const struct pair[]){ __VA_ARGS__ }, \
	    COUNT(((const struct pair[]){ __VA_ARGS__ })), want)

static void
weak_connections_are_named(void **state)
{
	(void)state;
	WEAK("", { "providers.d.kind", "demo" }, { "providers.d.tls_min", "1.3" });
	WEAK("b c ", { "providers.a.base_url", "https://h" }, { "providers.a.tls_min", "1.3" },
	    { "providers.b.base_url", "https://h" }, { "providers.b.tls_min", "1.2" },
	    { "providers.c.base_url", "http://localhost" }, { "providers.c.tls_min", "1.3" });
	/* Of Vault and AWS only what a credential needs. */
	WEAK("", { "vault.address", "http://localhost" });
	WEAK("vault ", { "providers.a.credential", "vault:kv/a#k" },
	    { "vault.address", "http://localhost" });
	WEAK("vault ", { "providers.a.credential", "vault:kv/a#k" },
	    { "vault.address", "https://v" }, { "vault.tls_min", "1.2" });
	WEAK("aws aws.imds ", { "aws.credentials", "auto" }, { "aws.endpoint", "http://localhost" },
	    { "providers.a.credential", "aws-sm:x#k" });
	WEAK("aws.container ", { "aws.container.uri", "http://169.254.170.2/v2" },
	    { "aws.credentials", "auto" }, { "providers.a.credential", "aws-sm:x#k" });
	WEAK("", { "aws.credentials", "shared_file" }, { "aws.shared_file", "/x" },
	    { "providers.a.credential", "aws-sm:x#k" });
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_filled_in),
		cmocka_unit_test(tools_have_their_table),
		cmocka_unit_test(names_with_dots_are_found),
		cmocka_unit_test(each_stops_at_the_end_of_a_prefix),
		cmocka_unit_test(lists_are_one_value),
		cmocka_unit_test(faults_are_refused_with_their_line),
		cmocka_unit_test(credentials_are_references),
		cmocka_unit_test(providers_are_taken),
		cmocka_unit_test(entries_of_a_model_are_bounded),
		cmocka_unit_test(addresses_are_parsed),
		cmocka_unit_test(slices_load_back),
		cmocka_unit_test(bad_slices_are_refused),
		cmocka_unit_test(size_is_bounded),
		cmocka_unit_test(weak_connections_are_named),
		cmocka_unit_test(the_document_is_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
