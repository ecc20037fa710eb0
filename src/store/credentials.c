/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials.c: no credential of a provider gets into a table, of whatever form it is.
 *
 * Runs in: store. Trusts: the broker, for which credentials are in use.
 * Owns: their marks, and those that the broker before this one had.
 * Invariants: the store never has a credential in plain; a broker that came anew and has not read
 * its credentials yet takes nothing away of what the one before it knew.
 * See: pasted/known.h, wire/store_broker.h, content.c (the door), src/broker/marks.c.
 */
#include "credentials.h"

#include <daemon/daemon.h>

static struct {
	struct known *now, *before;
	uint8_t key[KNOWN_KEY_LEN]; /* of `now`; each broker has its own */
} self;

static struct status
read_marks(const struct sb_credentials *m, struct known **ret)
{
	const struct known_mark *marks = m->marks.items;

	TRY(known_new(m->key, ret));
	for (uint32_t i = 0; i < m->marks.count; i++)
		TRY(known_add(*ret, &marks[i]));
	return OK;
}

void
credentials_take(const struct sb_credentials *m)
{
	bool another = self.now != NULL && memcmp(self.key, m->key, sizeof(self.key)) != 0;
	struct known *fresh = NULL;
	struct status st = read_marks(m, &fresh);

	if (!is_ok(st)) {
		diag(DIAG_ERROR, "credentials in use: %s", status_text(st));
		known_free(fresh);
		return;
	}
	if (another && known_count(self.now) > 0) {
		known_free(self.before);
		self.before = self.now;
	} else { /* or that one went before it had read any */
		known_free(self.now);
	}
	self.now = fresh;
	memcpy(self.key, m->key, sizeof(self.key));
}

bool
credentials_in(struct span text)
{
	return known_in(self.now, text) || known_in(self.before, text);
}

void
credentials_forget(void)
{
	known_free(self.now);
	known_free(self.before);
	self.now = self.before = NULL;
}
