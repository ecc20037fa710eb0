/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.c: the names behind the pseudonyms of the audit log.
 *
 * Runs in: CLI, as root. Trusts: the service's answers no further than their form.
 * Owns: one table, for as long as the command runs.
 * Invariants: a name that is shown has the form of names, so that it may stand in JSON.
 * See: audit.c; src/authority/admin_users.c, which tells a user's pseudonym.
 */
#include "names.h"

#include <stdlib.h>

#include <base/cleanup.h>
#include <wire/limits.h>

#include "operate.h"

#define SUBJECT_HEX ((size_t)2 * SUBJECT_LEN)

struct name {
	char subject[SUBJECT_HEX];
	char who[NAMES_WHO_MAX];
};

static struct {
	struct name *all;
	size_t n, cap;
} names;

static int
by_subject(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return memcmp(x->subject, y->subject, SUBJECT_HEX);
}

static bool
make_room(void)
{
	size_t cap = names.cap == 0 ? 1024 : 2 * names.cap;
	struct name *more;

	if (names.n < names.cap)
		return true;
	more = cap > NAMES_MAX ? NULL : reallocarray(names.all, cap, sizeof(*more));
	if (more == NULL)
		return false;
	names.all = more;
	names.cap = cap;
	return true;
}

static bool
plain(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || s.ptr[i] == '"' || s.ptr[i] == '\\')
			return false;
	}
	return s.len > 0 && s.len <= TENANT_MAX;
}

/* One user of the list; what has not its form is left out. */
static void
take(const struct json_doc *d, uint32_t row)
{
	auto_arena struct arena a = ARENA_INIT(4096);
	struct span subject, tenant, id;
	struct name *name;

	if (!is_ok(json_str(d, json_get_str(d, row, "subject"), &a, &subject)) ||
	    !is_ok(json_str(d, json_get_str(d, row, "tenant"), &a, &tenant)) ||
	    !is_ok(json_str(d, json_get_str(d, row, "id"), &a, &id)) ||
	    subject.len != SUBJECT_HEX || !plain(tenant) || !plain(id) || !make_room())
		return;
	name = &names.all[names.n++];
	memcpy(name->subject, subject.ptr, SUBJECT_HEX);
	(void)snprintf(name->who, sizeof(name->who), "%.*s/%.*s", SPAN_FMT(tenant), SPAN_FMT(id));
}

bool
names_load(const struct invocation *inv, const struct state *s)
{
	free(names.all);
	names.all = NULL;
	names.n = names.cap = 0;
	if (!operate_pages(inv, s, "/admin/v1/users", "users", NULL, take))
		return false;
	if (names.n > 0)
		qsort(names.all, names.n, sizeof(names.all[0]), by_subject);
	return true;
}

const char *
names_find(struct span subject)
{
	const struct name *found;
	struct name wanted;

	if (names.n == 0 || subject.len != SUBJECT_HEX)
		return NULL;
	memcpy(wanted.subject, subject.ptr, SUBJECT_HEX);
	found = bsearch(&wanted, names.all, names.n, sizeof(names.all[0]), by_subject);
	return found == NULL ? NULL : found->who;
}
