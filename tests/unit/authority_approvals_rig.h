/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_APPROVALS_RIG_H
#define TESTS_AUTHORITY_APPROVALS_RIG_H

/* Acts that need two people, asked for by v, an owner. */
#include "approvals.h"
#include "authority_acts_rig.h"

UNUSED static const char lift[] = "{\"hold\":false}", yes[] = "{\"decision\":\"approve\"}",
			 no[] = "{\"decision\":\"refuse\"}";

/* v, an owner, asks for that; its path is `ret`. */
UNUSED static void
wait_for(const char *method, const char *path, const char *body, char ret[128])
{
	assert_int_equal(ask(w.key[2], method, path, body), 202);
	(void)snprintf(ret, 128, "/admin/v1/approvals/%.32s", strstr(said.body, "\"id\":\"") + 6);
}

/* v, which asked, and whoever else: what is told of the one of this path; NULL: nothing. */
UNUSED static const char *
state_of(struct key *by, const char *path)
{
	static char text[16];
	const char *at;

	if (ask(by, "GET", path, "") != 200)
		return said.http == 0 && strcmp(said.body, "not_found") == 0 ? NULL : said.body;
	at = strstr(said.body, "\"state\":\"") + 9;
	(void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(at, "\""), at);
	return text;
}

#endif
