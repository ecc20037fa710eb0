/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privacy_requests.c: the authority's requests for exports, and the timer of sweeps.
 *
 * Runs in: store, jailed. Trusts: the authority, within the tables of the edge.
 * Owns: the timer. Invariants: an answer leaves after the commit; the authority hears of what
 * went for its age once a pass is over, and again later where it was away.
 * See: privacy.h, erase_requests.c, wire/authority_store.h.
 */
#include "privacy.h"

#include <base/cleanup.h>
#include <base/clock.h>

#include "backup.h"

static struct {
	struct db *db;
	struct link *authority; /* NULL: away */
	uv_timer_t timer;
	struct sweep_clock clock;
	bool started;
} self;

static void on_timer(uv_timer_t *t);

void
privacy_configure(struct daemon *d)
{
	static const char *const keys[RETAINED_COUNT] = { "retention.conversations_days",
		"retention.responses_days", "retention.files_days", "retention.usage_days" };

	if (self.db == NULL)
		return;
	self.db->content.user_bytes_max = conf_u64(d->conf, "store.user_mb") << 20;
	self.db->content.reserve = DB_RESERVE;
	for (size_t i = 0; i < RETAINED_COUNT; i++)
		self.db->content.days[i] = (uint32_t)conf_u64(d->conf, keys[i]);
}

static uint64_t
boot_s(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec;
}

/* What is counted goes by the same time as what is kept. */
static void
on_day(uint64_t now_s)
{
	self.db->content.today = (uint32_t)(now_s / 86400);
}

void
privacy_start(struct daemon *d, struct db *db)
{
	bool jumped = false; /* the first sweep says it */
	struct status st = db_sweep_clock_start(
	    db, clock_real_ns() / NS_PER_S, boot_s(), &self.clock);

	if (!is_ok(st))
		diag(DIAG_WARN, "the time that ages went by is not known: %s", status_text(st));
	self.db = db;
	on_day(sweep_clock_now(&self.clock, clock_real_ns() / NS_PER_S, boot_s(), &jumped));
	privacy_configure(d);
	(void)uv_timer_init(d->loop, &self.timer);
	(void)uv_timer_start(&self.timer, on_timer, SWEEP_BUSY_MS, 0);
	self.started = true;
	erase_requests_start(d, db);
}

void
privacy_stop(void)
{
	if (self.started)
		(void)uv_timer_stop(&self.timer);
	self.db = NULL;
	erase_requests_stop();
}

void
privacy_authority(struct link *l)
{
	self.authority = l;
}

void
privacy_authority_closed(struct link *l)
{
	if (self.authority == l)
		self.authority = NULL;
	erase_requests_closed(l);
}

static void
tell(uint8_t kind, uint32_t days, uint64_t *rows)
{
	const struct as_retention m = { .kind = kind, .rows = *rows, .days = days };

	if (*rows > 0 && self.authority != NULL &&
	    is_ok(link_send(self.authority, 0, AS_RETENTION, &m)))
		*rows = 0;
}

static void
on_timer(uv_timer_t *t)
{
	bool more = false, jumped = false;
	uint64_t now_s = sweep_clock_now(
	    &self.clock, clock_real_ns() / NS_PER_S, boot_s(), &jumped);
	struct status kept = db_sweep_clock_keep(self.db, &self.clock);
	struct status st, settled;

	on_day(now_s);
	db_backup_before_expire(now_s);
	st = db_sweep(self.db, now_s, &more);
	settled = db_settle_owed(self.db);
	if (!is_ok(kept))
		diag(DIAG_WARN, "the time that ages go by is not kept: %s", status_text(kept));
	if (jumped)
		diag(DIAG_WARN,
		    "the clock is ahead: nothing goes for its age by it before a day is over");
	if (!is_ok(settled))
		diag(DIAG_WARN, "the log still holds what is destroyed: %s", status_text(settled));
	if (!is_ok(st))
		diag(DIAG_WARN, "what is too old could not be deleted: %s", status_text(st));
	for (uint8_t i = 0; i < RETAINED_COUNT && !more; i++)
		tell(i, self.db->content.days[i], &self.db->content.gone[i]);
	if (!more)
		tell(RETAINED_FILES, 0, &self.db->content.ended);
	(void)uv_timer_start(t, on_timer, is_ok(st) && more ? SWEEP_BUSY_MS : SWEEP_IDLE_MS, 0);
}

void
privacy_sweep_soon(void)
{
	/* One that is due is not put off by who comes again and again. */
	if (self.started && uv_timer_get_due_in(&self.timer) > SWEEP_BUSY_MS)
		(void)uv_timer_start(&self.timer, on_timer, SWEEP_BUSY_MS, 0);
}

void
privacy_on_export(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	auto_buf struct buf page = BUF_INIT(AS_EXPORT_PAGE_MAX);
	struct as_exported r = { .more = 0 };
	struct status st = db_user_export(self.db, msg, &page, &r);

	(void)ctx;
	if (!is_ok(st))
		r = (struct as_exported){ .more = 0 };
	else
		r.page = buf_span(&page);
	r.code = st.code;
	if (!is_ok(st) && st.code != E_NOTFOUND && st.code != E_AGAIN)
		diag(DIAG_ERROR, "a user could not be exported: %s", status_text(st));
	if (!is_ok(link_send(l, id, AS_EXPORTED, &r)))
		diag(DIAG_WARN, "the authority does not read its answers");
}
