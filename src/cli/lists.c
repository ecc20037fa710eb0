/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lists.c: options that are lists, "a,b": roles and what narrows a key.
 *
 * Runs in: CLI. Trusts: nothing.
 * Owns: nothing. Invariants: a word that could never be is refused here, by its name, and by the
 * service's own table.
 * See: keys.c, identity.c; wire/role.h, wire/scope.h, src/authority/scope.c.
 */
#include "operate.h"

#include <base/cleanup.h>
#include <wire/role.h>
#include <wire/scope.h>

#define WORD_LEN 40 /* of a word in a message */

static const char *
role_word(size_t i)
{
	return i < ROLE_COUNT ? role_names[i] : NULL;
}

static const struct scope_rule roles_rule = { "roles", "who has no role may nothing", "is no role",
	NULL, role_word, NULL };

static const struct list_row {
	enum option_id id;
	const struct scope_rule *rule;
} list_rows[] = {
	{ OPT_ROLES, &roles_rule },
	{ OPT_SCOPE_ENDPOINTS, &scope_rules[0] },
	{ OPT_SCOPE_MODELS, &scope_rules[1] },
	{ OPT_SCOPE_TOOLS, &scope_rules[2] },
	{ OPT_SCOPE_LANGUAGES, &scope_rules[3] },
	{ OPT_NETWORK, &scope_rules[4] },
};
#define LIST_ROWS (sizeof(list_rows) / sizeof(list_rows[0]))

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
refuse_word(const struct scope_rule *rule, struct span word)
{
	char what[WORD_LEN + 1], set[256] = "";
	size_t used = 0;
	const char *one;

	(void)snprintf(what, sizeof(what), "%.*s", SPAN_FMT(word));
	for (size_t i = 0; rule->word != NULL && (one = rule->word(i)) != NULL; i++)
		used += (size_t)snprintf(
		    set + used, sizeof(set) - used, "%s%s", i == 0 ? ": " : ", ", one);
	(void)cli_error(what, "%s%s", rule->wrong, set);
}

static bool
list_ok(const struct scope_rule *rule, const char *text)
{
	struct span word;

	if (text[0] == '\0' && rule->none != NULL) {
		(void)cli_error(rule->member, "the list is empty: %s", rule->none);
		return false;
	}
	while (next_word(&text, &word)) {
		if (scope_word_ok(rule, word))
			continue;
		refuse_word(rule, word);
		return false;
	}
	return true;
}

bool
lists_ok(const struct invocation *inv)
{
	for (size_t i = 0; i < LIST_ROWS; i++) {
		const char *text = inv->options[list_rows[i].id];

		if (text != NULL && !list_ok(list_rows[i].rule, text))
			return false;
	}
	return true;
}

static void
put_list(struct json_writer *w, const struct list_row *row, const char *text)
{
	struct span word;

	json_put_key(w, row->rule->member);
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
