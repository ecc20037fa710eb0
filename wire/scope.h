/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_SCOPE_H
#define WIRE_SCOPE_H

/*
 * What the lists of a scope may name, once: for who writes one and for who takes one. What could
 * never be is refused, since its key could do nothing, and nobody would be told; a model or tool
 * that is not there yet may come.
 */
#include <arpa/inet.h>

#include <base/span.h>
#include <wire/endpoint.h>
#include <wire/limits.h>

typedef const char *scope_word_fn(size_t i); /* the i-th word of a set; NULL: none */
typedef bool scope_form_fn(struct span word);

struct scope_rule {
	const char *member;  /* of the scope */
	const char *none;    /* why it must not be empty; NULL: it may */
	const char *wrong;   /* what a word that is not good is not */
	const char *refusal; /* all of that, without the word */
	scope_word_fn *word; /* NULL: there is no set, but a form */
	scope_form_fn *form;
};

/* Those of a policy: `openapi` is for every key, `other` for none, and some share a name. */
static inline const char *
scope_endpoint(size_t i)
{
	static const uint8_t those[] = { ENDPOINT_CHAT, ENDPOINT_RESPONSES, ENDPOINT_MESSAGES,
		ENDPOINT_COUNT_TOKENS, ENDPOINT_EMBEDDINGS, ENDPOINT_MODELS, ENDPOINT_EXECUTE,
		ENDPOINT_TOOL_PUSH, ENDPOINT_TOOL_CALL, ENDPOINT_CONVERSATIONS,
		ENDPOINT_STORED_RESPONSES, ENDPOINT_FILES };

	if (i == sizeof(those))
		return "admin"; /* not of the public API, but a policy's all the same */
	return i < sizeof(those) ? endpoint_rows[those[i]].name : NULL;
}

static inline const char *
scope_language(size_t i)
{
	static const char *const those[] = { "python", "javascript", "sh" };

	return i < sizeof(those) / sizeof(those[0]) ? those[i] : NULL;
}

static inline bool
scope_chars_ok(struct span word, size_t len_max, const char *more)
{
	for (size_t i = 0; i < word.len; i++) {
		uint8_t c = word.ptr[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') &&
		    (c == '\0' || strchr(more, c) == NULL))
			return false;
	}
	return word.len > 0 && word.len <= len_max;
}

/* As the configuration has names of models. */
static inline bool
scope_model_ok(struct span word)
{
	return scope_chars_ok(word, MODEL_MAX, "_.-/:@+");
}

static inline bool
scope_tool_ok(struct span word)
{
	return scope_chars_ok(word, TOOL_MAX, "_-");
}

/*
 * "a.b.c.d/n", or an IPv6 one; without "/n" one address; IPv4 as ::ffff:a.b.c.d. No bit is set
 * beyond the prefix. E_RANGE, E_SYNTAX.
 */
MUST_USE static inline struct status
scope_network(struct span text, uint8_t base[SOURCE_LEN], uint8_t *ret_bits)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *slash = text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
	size_t len = slash == NULL ? text.len : (size_t)(slash - text.ptr);
	char address[INET6_ADDRSTRLEN];
	uint64_t bits = 128, before = 0;

	TRY(span_to_cstr(span_of(text.ptr, len), address, sizeof(address)));
	if (inet_pton(AF_INET, address, base + 12) == 1) {
		memcpy(base, mapped, sizeof(mapped));
		before = 96;
	} else if (inet_pton(AF_INET6, address, base) != 1) {
		return fail(E_RANGE);
	}
	if (slash != NULL) {
		TRY(span_u64(span_from(text, len + 1), 128 - before, &bits));
		bits += before;
	}
	for (size_t i = bits; i < 128; i++) {
		if ((base[i / 8] >> (7 - i % 8) & 1) != 0)
			return fail(E_RANGE);
	}
	*ret_bits = (uint8_t)bits;
	return OK;
}

/* One that somebody could come from: not "0.0.0.0", which is not "0.0.0.0/0", nor "::". */
static inline bool
scope_network_ok(struct span word)
{
	static const uint8_t none[SOURCE_LEN], none4[SOURCE_LEN] = { [10] = 0xff, [11] = 0xff };
	uint8_t base[SOURCE_LEN], bits;

	if (!is_ok(scope_network(word, base, &bits)))
		return false;
	return bits < 128 ||
	       (memcmp(base, none, sizeof(none)) != 0 && memcmp(base, none4, sizeof(none4)) != 0);
}

static const struct scope_rule scope_rules[] = {
	{ "endpoints", "the key could do nothing", "is no endpoint",
	    "scopes.endpoints names what is no endpoint, or nothing.", scope_endpoint, NULL },
	{ "models", NULL, "is no name of a model", "scopes.models names what can be no model.",
	    NULL, scope_model_ok },
	{ "tools", NULL, "is no name of a tool", "scopes.tools names what can be no tool.", NULL,
	    scope_tool_ok },
	{ "languages", NULL, "is no language", "scopes.languages names what is no language.",
	    scope_language, NULL },
	{ "networks", "the key would be none anywhere",
	    "is no address or network such as 10.0.0.0/8, without bits behind its prefix",
	    "scopes.networks names what is no address or network such as 10.0.0.0/8, without bits "
	    "behind its prefix, or nothing.",
	    NULL, scope_network_ok },
};
#define SCOPE_RULES (sizeof(scope_rules) / sizeof(scope_rules[0]))

static inline bool
scope_word_ok(const struct scope_rule *rule, struct span word)
{
	const char *one;

	if (rule->word == NULL)
		return rule->form(word);
	for (size_t i = 0; (one = rule->word(i)) != NULL; i++) {
		if (span_eq_str(word, one))
			return true;
	}
	return false;
}

#endif
