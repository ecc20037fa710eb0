/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lists.c: options that are lists, "a,b": roles and what narrows a key.
 *
 * Runs in: CLI. Trusts: nothing.
 * Owns: the table. Invariants: a word of a fixed set that is not in it is refused here, by its
 * name: the service would take a scope of what never is, and its key could do nothing.
 * See: keys.c, identity.c; wire/role.h, wire/endpoint.h, src/authority/scope.c.
 */
#include "operate.h"

#include <arpa/inet.h>

#include <base/cleanup.h>
#include <wire/endpoint.h>
#include <wire/role.h>

#define WORD_LEN 40 /* of a word in a message */

typedef const char *word_fn(size_t i); /* the i-th word of a set; NULL: none */
typedef bool good_fn(struct span word);

static word_fn role_word, endpoint_word, language_word;
static good_fn is_network;

static const struct list_row {
	enum option_id id;
	const char *member; /* of the request */
	const char *none;   /* why it must not be empty; NULL: it may */
	const char *wrong;  /* what a word that is not good is not */
	word_fn *word;
	good_fn *good;
} list_rows[] = {
	{ OPT_ROLES, "roles", "who has no role may nothing", "is no role", role_word, NULL },
	{ OPT_SCOPE_ENDPOINTS, "endpoints", "the key could do nothing", "is no endpoint",
	    endpoint_word, NULL },
	{ OPT_SCOPE_MODELS, "models", NULL, NULL, NULL, NULL },
	{ OPT_SCOPE_TOOLS, "tools", NULL, NULL, NULL, NULL },
	{ OPT_SCOPE_LANGUAGES, "languages", NULL, "is no language", language_word, NULL },
	{ OPT_NETWORK, "networks", "the key would be none anywhere",
	    "is no address or network such as 10.0.0.0/8, without bits behind its prefix", NULL,
	    is_network },
};
#define LIST_ROWS (sizeof(list_rows) / sizeof(list_rows[0]))

/* ---- sets ---- */

static const char *
role_word(size_t i)
{
	return i < ROLE_COUNT ? role_names[i] : NULL;
}

/* Those of a policy: `openapi` is for every key, `other` for none, and some share a name. */
static const char *
endpoint_word(size_t i)
{
	static const uint8_t those[] = { ENDPOINT_CHAT, ENDPOINT_RESPONSES, ENDPOINT_MESSAGES,
		ENDPOINT_COUNT_TOKENS, ENDPOINT_EMBEDDINGS, ENDPOINT_MODELS, ENDPOINT_EXECUTE,
		ENDPOINT_TOOL_PUSH, ENDPOINT_TOOL_CALL, ENDPOINT_CONVERSATIONS,
		ENDPOINT_STORED_RESPONSES, ENDPOINT_FILES };

	if (i == sizeof(those))
		return "admin"; /* not of the public API, but a policy's all the same */
	return i < sizeof(those) ? endpoint_rows[those[i]].name : NULL;
}

static const char *
language_word(size_t i)
{
	static const char *const those[] = { "python", "javascript", "sh" };

	return i < sizeof(those) / sizeof(those[0]) ? those[i] : NULL;
}

static bool
in_set(word_fn *set, struct span word)
{
	const char *one;

	for (size_t i = 0; (one = set(i)) != NULL; i++) {
		if (span_eq_str(word, one))
			return true;
	}
	return false;
}

/* As the service reads it. */
static bool
is_network(struct span word)
{
	const uint8_t *slash = word.len > 0 ? memchr(word.ptr, '/', word.len) : NULL;
	size_t len = slash == NULL ? word.len : (size_t)(slash - word.ptr);
	char address[INET6_ADDRSTRLEN];
	uint8_t base[16];
	uint64_t most, bits;

	if (!is_ok(span_to_cstr(span_of(word.ptr, len), address, sizeof(address))))
		return false;
	if (inet_pton(AF_INET, address, base) == 1)
		most = 32;
	else if (inet_pton(AF_INET6, address, base) == 1)
		most = 128;
	else
		return false;
	bits = most;
	if (slash != NULL && !is_ok(span_u64(span_from(word, len + 1), most, &bits)))
		return false;
	for (uint64_t i = bits; i < most; i++) {
		if ((base[i / 8] >> (7 - i % 8) & 1) != 0)
			return false;
	}
	return true;
}

/* ---- lists ---- */

/* The next word of `text`, which goes on behind it; false: there is none. */
static bool
next_word(const char **text, struct span *ret)
{
	size_t len;

	if (*text == NULL || **text == '\0')
		return false;
	len = strcspn(*text, ",");
	*ret = span_of(*text, len);
	*text += len + ((*text)[len] == ',');
	return true;
}

static void
refuse_word(const struct list_row *row, struct span word)
{
	char what[WORD_LEN + 1], set[256] = "";
	size_t used = 0;
	const char *one;

	(void)snprintf(what, sizeof(what), "%.*s", SPAN_FMT(word));
	for (size_t i = 0; row->word != NULL && (one = row->word(i)) != NULL; i++)
		used += (size_t)snprintf(
		    set + used, sizeof(set) - used, "%s%s", i == 0 ? ": " : ", ", one);
	(void)cli_error(what, "%s%s", row->wrong, set);
}

static bool
row_ok(const struct list_row *row, const char *text)
{
	struct span word;

	if (text[0] == '\0' && row->none != NULL) {
		(void)cli_error(row->member, "the list is empty: %s", row->none);
		return false;
	}
	while (next_word(&text, &word)) {
		if ((row->word == NULL || in_set(row->word, word)) &&
		    (row->good == NULL || row->good(word)))
			continue;
		refuse_word(row, word);
		return false;
	}
	return true;
}

bool
lists_ok(const struct invocation *inv)
{
	for (size_t i = 0; i < LIST_ROWS; i++) {
		const char *text = inv->options[list_rows[i].id];

		if (text != NULL && !row_ok(&list_rows[i], text))
			return false;
	}
	return true;
}

static void
put_list(struct json_writer *w, const struct list_row *row, const char *text)
{
	struct span word;

	json_put_key(w, row->member);
	json_put_array(w);
	while (next_word(&text, &word))
		json_put_str(w, word);
	json_put_end(w);
}

void
lists_put_roles(const struct invocation *inv, struct json_writer *w)
{
	if (inv->options[OPT_ROLES] != NULL)
		put_list(w, &list_rows[0], inv->options[OPT_ROLES]);
}

void
lists_put_scopes(const struct invocation *inv, struct json_writer *w)
{
	bool any = false;

	for (size_t i = 1; i < LIST_ROWS; i++) {
		if (inv->options[list_rows[i].id] == NULL)
			continue;
		if (!any) {
			json_put_key(w, "scopes");
			json_put_object(w);
		}
		any = true;
		put_list(w, &list_rows[i], inv->options[list_rows[i].id]);
	}
	if (any)
		json_put_end(w);
}

/* Is it one of the configuration's? */
static bool
is_configured(const struct conf *c, struct span model)
{
	struct span name;
	size_t iter = 0;

	while (conf_each(c, "models", &iter, &name)) {
		if (span_eq(name, model))
			return true;
	}
	return false;
}

void
lists_warn(const struct invocation *inv, const struct state *s)
{
	const char *text = inv->options[OPT_SCOPE_MODELS];
	struct span model;

	while (next_word(&text, &model)) {
		char what[WORD_LEN + 1];

		if (is_configured(s->conf, model))
			continue;
		(void)snprintf(what, sizeof(what), "%.*s", SPAN_FMT(model));
		(void)cli_error(what, "warning: no model of that name is configured");
	}
}
