/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kek.c: key-encryption keys under a key of Vault or KMS: opened, made, carried over.
 *
 * Runs in: store, from its loop. Trusts: nothing that the broker brings: what was unwrapped has a
 * seal of the root; what was wrapped is unwrapped once more before it takes anything's place.
 * Owns: the state of all that: kek_self.
 * Invariants: one step at a time, and each leaves rows that can be opened; which step is next
 * follows from the rows and the configuration, so that what was cut off goes on; before all
 * keys are open nothing is served; a wrapping that was replaced is gone from the log, too.
 * See: kek.h, kek_step.c (a step), keyring_kek.c (keys and rows).
 */
#include "kek.h"

#include <stdio.h>

#include <conf/reference.h>

#include "kek_internal.h"
#include "rotate.h"

struct kek_machine kek_self;

static struct status finish_open(struct span answer);
static struct status finish_first(struct span answer);
static struct status finish_row(struct span answer);
static struct status finish_rotate(struct span answer);

const struct kek_kind kek_kinds[] = {
	[STEP_OPEN] = { SB_UNWRAP, finish_open },
	[STEP_FIRST] = { SB_WRAP, finish_first },
	[STEP_MOVE] = { SB_WRAP, finish_row },
	[STEP_REWRAP] = { SB_REWRAP, finish_row },
	[STEP_ROTATE] = { SB_WRAP, finish_rotate },
};

static bool
is_local(const char *wrapper)
{
	return strcmp(wrapper, KEK_WRAPPER_LOCAL) == 0;
}

/* ---- opening ---- */

static struct status
finish_open(struct span answer)
{
	const struct kek_row *row = &kek_self.step.row;
	struct status st = keyring_kek_opened(kek_self.db, row->version, row->wrapper, answer);

	if (st.code == E_CRYPTO && kek_self.fault != SECRET_TAMPERED)
		diag(DIAG_ERROR,
		    "what %s gave for key-encryption key %llu does not open under this master.key",
		    row->wrapper, (unsigned long long)row->version);
	return st;
}

static struct status
make_first(void)
{
	TRY(db_begin(kek_self.db));
	return db_end(kek_self.db, keyring_kek_make(kek_self.db, 1));
}

static struct status
finish_first(struct span answer)
{
	struct status st = keyring_kek_prepared(kek_self.db, answer);

	if (is_ok(st))
		st = make_first();
	keyring_kek_unprepare(kek_self.db);
	return st;
}

static void
end_open(struct status st)
{
	kek_opened *opened = kek_self.opened;

	if (is_ok(st))
		st = db_open_rest(kek_self.db);
	if (is_ok(st) && !is_ok(db_settle_owed(kek_self.db)))
		diag(DIAG_WARN, "the log still holds what was replaced; it is cut later");
	kek_self.open = is_ok(st);
	kek_self.opened = NULL;
	kek_show();
	opened(kek_self.ctx, st);
	if (kek_self.open)
		kek_go_on(); /* what is to be carried over */
}

/* There is none yet, in a database that is new. */
static void
open_first(void)
{
	struct kek_row row = { .version = 1 };
	uint64_t secrets = 1;
	struct status st = db_count(kek_self.db, SQL_COUNT_SECRETS, 0, &secrets);

	if (is_ok(st) && secrets > 0)
		st = fail(E_CORRUPT);
	if (is_ok(st) && is_local(kek_self.db->kek.wrapper))
		st = make_first();
	else if (is_ok(st))
		st = keyring_kek_prepare(kek_self.db, 1);
	if (!is_ok(st) || is_local(kek_self.db->kek.wrapper)) {
		end_open(st);
		return;
	}
	memcpy(row.wrapper, kek_self.db->kek.wrapper, sizeof(row.wrapper));
	kek_begin(STEP_FIRST, &row);
}

static struct status
check_row(const struct kek_row *row)
{
	struct kek_reference ref;
	struct data_key key;
	const char *why;

	if (is_local(row->wrapper))
		return keyring_kek_get(kek_self.db, row->version, &key);
	return is_ok(kek_reference_parse(span_str(row->wrapper), &ref, &why)) ? OK
									      : fail(E_CORRUPT);
}

/* The next one that is closed; when there is none, it is all open. */
static void
open_next(void)
{
	struct kek_row row = { .version = 0 };
	struct status st;
	unsigned n = 0;

	while (is_ok(st = keyring_kek_next(kek_self.db, row.version, &row, &kek_self.wrapped))) {
		st = ++n > KEYRING_KEKS_MAX ? fail(E_CORRUPT) : check_row(&row);
		if (!is_ok(st))
			break;
		if (!keyring_kek_is_open(kek_self.db, row.version)) {
			kek_begin(STEP_OPEN, &row);
			return;
		}
	}
	if (st.code != E_NOTFOUND)
		end_open(st);
	else if (n == 0)
		open_first();
	else
		end_open(OK);
}

/* ---- carrying over ---- */

static struct status
row_set(struct span wrapped)
{
	const struct kek_row *row = &kek_self.step.row;

	TRY(db_begin(kek_self.db));
	return db_end(
	    kek_self.db, keyring_kek_set(kek_self.db, row->version, row->wrapper, wrapped));
}

/* The wrapping before is in no page any more; where the log could not be cut, a sweep will. */
static struct status
finish_row(struct span answer)
{
	const struct kek_row *row = &kek_self.step.row;

	TRY(row_set(answer));
	kek_self.db->settle_owed = true;
	if (!is_ok(db_settle_owed(kek_self.db)))
		diag(DIAG_WARN, "the log still holds what was replaced; it is cut later");
	if (kek_self.step.kind == STEP_REWRAP)
		kek_self.rewrapped = row->version;
	else
		diag(DIAG_INFO, "key-encryption key %llu is wrapped by %s now",
		    (unsigned long long)row->version, row->wrapper);
	return OK;
}

/* The first row of another wrapper. E_NOTFOUND: none. */
static struct status
find_foreign(struct kek_row *row)
{
	*row = (struct kek_row){ .version = 0 };
	do {
		TRY(keyring_kek_next(kek_self.db, row->version, row, &kek_self.wrapped));
	} while (strcmp(row->wrapper, kek_self.db->kek.wrapper) == 0);
	return OK;
}

static void
move_next(void)
{
	struct kek_row row;
	struct status st = find_foreign(&row);

	if (st.code == E_NOTFOUND)
		return;
	memcpy(row.wrapper, kek_self.db->kek.wrapper, sizeof(row.wrapper));
	if (is_ok(st) && !is_local(row.wrapper)) {
		kek_begin(STEP_MOVE, &row);
		return;
	}
	kek_self.step = (struct kek_step){ .kind = STEP_MOVE, .row = row };
	if (is_ok(st))
		kek_step_over(SPAN_EMPTY);
	else
		kek_failed(kek_fault_of(st), 0);
}

/* ---- a rotation ---- */

static struct status
finish_rotate(struct span answer)
{
	struct status st = keyring_kek_prepared(kek_self.db, answer);

	if (is_ok(st))
		st = db_rotate(kek_self.db, AS_ROTATE_KEK, kek_self.rotate_s);
	kek_rotation_over(st, SECRET_FAULT_NONE);
	return OK;
}

static void
rotate_last(void)
{
	struct kek_row row = { .version = 0 };
	struct status st = keyring_kek_version(kek_self.db, &row.version);

	if (is_ok(st))
		st = keyring_kek_prepare(kek_self.db, ++row.version);
	if (!is_ok(st)) {
		kek_rotation_over(st, SECRET_FAULT_NONE);
		return;
	}
	memcpy(row.wrapper, kek_self.db->kek.wrapper, sizeof(row.wrapper));
	kek_begin(STEP_ROTATE, &row);
}

/* Those that are there first, each under the newest version of the key that wraps them. */
static void
rotate_next(void)
{
	struct kek_row row = { .version = kek_self.rewrapped };
	struct status st;

	do {
		st = keyring_kek_next(kek_self.db, row.version, &row, &kek_self.wrapped);
	} while (is_ok(st) && strcmp(row.wrapper, kek_self.db->kek.wrapper) != 0);
	if (is_ok(st))
		kek_begin(STEP_REWRAP, &row);
	else if (st.code == E_NOTFOUND)
		rotate_last();
	else
		kek_rotation_over(st, SECRET_FAULT_NONE);
}

static void
on_limit(uv_timer_t *t)
{
	(void)t;
	kek_self.asking = false; /* what comes now is too late */
	if (kek_self.rotated != NULL)
		kek_rotation_over(fail(E_AGAIN),
		    kek_self.fault != SECRET_FAULT_NONE ? kek_self.fault : SECRET_UNREACHABLE);
	kek_go_on();
}

void
kek_rotate(uint64_t now_s, kek_rotated *done, void *ctx)
{
	if (kek_self.rotated != NULL || db_rotate_is_under_way(kek_self.db)) {
		done(ctx, fail(E_EXISTS), SECRET_FAULT_NONE);
		return;
	}
	if (is_local(kek_self.db->kek.wrapper)) {
		done(ctx, db_rotate(kek_self.db, AS_ROTATE_KEK, now_s), SECRET_FAULT_NONE);
		return;
	}
	kek_self.rotated = done;
	kek_self.rotated_ctx = ctx;
	kek_self.rotate_s = now_s;
	kek_self.rewrapped = 0;
	(void)uv_timer_start(&kek_self.limit, on_limit, KEK_ROTATE_MS, 0);
	(void)uv_timer_stop(&kek_self.timer); /* somebody waits: now */
	kek_go_on();
}

/* ---- what is next ---- */

void
kek_go_on(void)
{
	if (kek_self.db == NULL || kek_self.asking ||
	    uv_is_active((const uv_handle_t *)&kek_self.timer))
		return;
	if (!kek_self.open && kek_self.opened != NULL)
		open_next();
	else if (kek_self.open && kek_self.rotated != NULL)
		rotate_next();
	else if (kek_self.open)
		move_next();
}

const char *
kek_wrapper(const struct daemon *d)
{
	const char *kek = conf_str(d->conf, "store.kek");

	return kek != NULL ? kek : KEK_WRAPPER_LOCAL;
}

void
kek_start(struct daemon *d, struct db *db, kek_opened *opened, void *ctx)
{
	struct status st;

	kek_self.d = d;
	kek_self.db = db;
	kek_self.opened = opened;
	kek_self.ctx = ctx;
	kek_self.open = false;
	kek_self.fault = SECRET_FAULT_NONE;
	kek_self.wrapped = BUF_INIT(SB_CIPHERTEXT_MAX);
	(void)uv_timer_init(d->loop, &kek_self.timer);
	(void)uv_timer_init(d->loop, &kek_self.limit);
	kek_show();
	st = keyring_state_name(db, kek_self.state);
	if (is_ok(st))
		kek_go_on();
	else
		end_open(st);
	if (!kek_self.open && kek_self.opened != NULL)
		diag(DIAG_INFO, "the database waits for %s", kek_self.step.row.wrapper);
}

void
kek_configure(struct daemon *d)
{
	const char *wrapper = kek_wrapper(d);

	if (kek_self.db == NULL)
		return;
	if (strcmp(wrapper, kek_self.db->kek.wrapper) != 0) {
		kek_self.asking = false; /* it was about another one */
		if (kek_self.rotated != NULL)
			kek_rotation_over(fail(E_AGAIN), SECRET_UNREACHABLE);
		(void)snprintf(
		    kek_self.db->kek.wrapper, sizeof(kek_self.db->kek.wrapper), "%s", wrapper);
	}
	kek_broker_came(); /* what was refused may be allowed now */
}

void
kek_broker_came(void)
{
	if (kek_self.db == NULL)
		return;
	(void)uv_timer_stop(&kek_self.timer);
	kek_go_on();
}

void
kek_stop(void)
{
	if (kek_self.db == NULL)
		return;
	(void)uv_timer_stop(&kek_self.timer);
	(void)uv_timer_stop(&kek_self.limit);
	kek_self.db = NULL;
	kek_self.asking = false;
	buf_done(&kek_self.wrapped);
}

struct status
kek_put_status(struct as_kek *ret)
{
	ret->wrapper = span_str(kek_self.db->kek.wrapper);
	ret->fault = (uint8_t)kek_self.fault;
	sql_text(kek_self.db, SQL_COUNT_KEK_FOREIGN, 1, ret->wrapper);
	return sql_number(kek_self.db, SQL_COUNT_KEK_FOREIGN, &ret->foreign);
}
