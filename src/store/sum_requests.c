/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sum_requests.c: the authority hears which rows do not fit, and says when they are accepted.
 *
 * Runs in: store, jailed. Trusts: the authority, within the tables of the edge.
 * Owns: nothing. Invariants: before it is told of people, the authority hears whether their sum
 * fits; each load but the first looks at all rows once more, since the file is another one's to
 * write, too (below SQLite: the connection is exclusive, and no counter of its tells of that);
 * they are looked at in pieces, and others are answered in between.
 * See: sum.h; wire/authority_store.h.
 */
#include "requests.h"

#include <base/clock.h>
#include <daemon/daemon.h>

#define LOOK_BUDGET_NS                                                            \
	(3 * NS_PER_MS) /* a piece; whoever asks something meanwhile waits for it \
			 */

static struct db *db;
static bool fresh; /* the sums were looked at as the database was opened */

static void
show(void)
{
	uint8_t unfit = db_sums_unfit(db);

	daemon_metric_set(METRIC_STORE_UNFIT, unfit);
	for (enum as_sum sum = SUM_PEOPLE; sum < SUM_COUNT; sum++) {
		if ((unfit & 1U << sum) != 0)
			diag(DIAG_ERROR,
			    "rows in the database (%s) were changed, put back or removed by "
			    "others: nothing that they say is done until a backup is restored, or "
			    "`sallyport store accept` says that they are true",
			    as_sum_names[sum]);
	}
}

void
sum_requests_init(struct db *with)
{
	db = with;
	fresh = true;
	show();
}

static struct status
look_again(bool *ret_more)
{
	uint8_t before = db_sums_unfit(db);
	struct status st = OK;

	*ret_more = false;
	if (!fresh && (before & 1U << SUM_PEOPLE) == 0)
		st = db_sums_look(db, LOOK_BUDGET_NS, ret_more);
	fresh = false;
	if (db_sums_unfit(db) != before)
		show();
	return st;
}

struct status
sums_before_load(struct link *l, bool *ret_more)
{
	struct status st = look_again(ret_more);
	struct as_unfit m = { .sums = db_sums_unfit(db) };

	TRY(st);
	if (*ret_more)
		return OK;
	return link_send(l, 0, AS_UNFIT, &m);
}

void
requests_on_accept(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_unfit *m = msg;
	struct status st = db_sums_accept(db, m->sums);
	struct as_done done = { .code = st.code };

	(void)ctx;
	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	if (is_ok(st)) {
		daemon_metric_set(METRIC_STORE_UNFIT, 0);
		diag(DIAG_WARN, "an operator has accepted what others changed in the database");
	} else {
		diag(DIAG_WARN, "what others changed is not accepted: %s", status_text(st));
	}
	if (!is_ok(link_send(l, id, AS_DONE, &done)))
		diag(DIAG_WARN, "the authority does not read its answers");
}
