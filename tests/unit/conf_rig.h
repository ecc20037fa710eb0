/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CONF_RIG_H
#define TESTS_CONF_RIG_H

/*
 * Configurations as texts, and what is wrong with them.
 */
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

static inline struct conf *
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

#endif
