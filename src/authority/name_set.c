/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name_set.c: lists of names of the configuration.
 *
 * Runs in: authority. Trusts: the configuration slice, which was checked.
 * Owns: copies of the names. Invariants: an empty set has nothing in it.
 * See: name_set.h.
 */
#include "name_set.h"

#include <stdlib.h>

bool
name_set_has(const struct name_set *s, struct span name)
{
	if (s->all)
		return true;
	for (size_t i = 0; i < s->n; i++) {
		if (span_eq(s->names[i], name))
			return true;
	}
	return false;
}

struct status
name_set_parse(const char *text, struct name_set *ret)
{
	struct name_set s = { 0 };
	size_t len = text == NULL ? 0 : strlen(text), count = 1, start = 0;

	*ret = s;
	if (len == 0)
		return OK;
	if (len == 1 && text[0] == '*') {
		ret->all = true;
		return OK;
	}
	for (size_t i = 0; i < len; i++)
		count += text[i] == ' ';
	s.text = malloc(len);
	s.names = calloc(count, sizeof(s.names[0]));
	if (s.text == NULL || s.names == NULL) {
		name_set_done(&s);
		return fail(E_NOMEM);
	}
	memcpy(s.text, text, len);
	for (size_t i = 0; i <= len; i++) {
		if (i < len && text[i] != ' ')
			continue;
		if (i > start)
			s.names[s.n++] = span_of(s.text + start, i - start);
		start = i + 1;
	}
	*ret = s;
	return OK;
}

void
name_set_done(struct name_set *s)
{
	free(s->text);
	free(s->names);
	*s = (struct name_set){ 0 };
}
