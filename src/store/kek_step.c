/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kek_step.c: one step with a key-encryption key: the questions to the broker, and what failed.
 *
 * Runs in: store, from its loop. Trusts: nothing that the broker brings.
 * Owns: the one question that is under way, and when the step is tried again.
 * Invariants: what was wrapped is unwrapped once more, and is our key, before it takes anything's
 * place; an answer to a question that nobody waits for any more is nothing; tries wait longer
 * each time; a fault is told when it is another one.
 * See: kek_internal.h, kek.c (which steps there are), broker_link.h.
 */
#include <base/rand.h>

#include "broker_link.h"
#include "kek_internal.h"

static void ask(enum sb_type type);

static bool
is_rotating(const struct kek_step *s)
{
	return s->kind == STEP_REWRAP || s->kind == STEP_ROTATE;
}

static void
on_timer(uv_timer_t *t)
{
	(void)t;
	kek_go_on();
}

void
kek_show(void)
{
	daemon_metric_set(METRIC_STORE_KEK_WAIT, kek_self.open ? 0 : 1U + kek_self.fault);
}

/* ---- failures ---- */

static uint64_t
pause_ms(uint32_t retry_after_ms)
{
	uint64_t cap = KEK_BACKOFF_MIN_MS;
	uint32_t roll = 0;

	for (unsigned i = 1; i < kek_self.failures && cap < KEK_BACKOFF_MAX_MS; i++)
		cap *= 2;
	if (cap > KEK_BACKOFF_MAX_MS)
		cap = KEK_BACKOFF_MAX_MS;
	if (!is_ok(rand_bytes(&roll, sizeof(roll))))
		roll = 0;
	if (retry_after_ms > KEK_RETRY_AFTER_MAX_MS)
		retry_after_ms = KEK_RETRY_AFTER_MAX_MS;
	return KEK_BACKOFF_MIN_MS / 2 + roll % cap + retry_after_ms;
}

void
kek_rotation_over(struct status st, enum secret_fault fault)
{
	kek_rotated *done = kek_self.rotated;

	(void)uv_timer_stop(&kek_self.limit);
	keyring_kek_unprepare(kek_self.db);
	kek_self.rotated = NULL;
	done(kek_self.rotated_ctx, st, fault);
}

/* The step will be tried again; but who waits for a rotation is told, and may ask again. */
void
kek_failed(enum secret_fault fault, uint32_t retry_after_ms)
{
	kek_self.failures++;
	if (fault != kek_self.fault)
		diag(DIAG_ERROR, "key-encryption key %llu: %s: %s%s",
		    (unsigned long long)kek_self.step.row.version, kek_self.step.row.wrapper,
		    secret_fault_names[fault],
		    kek_self.open ? "" : "; the database stays closed, it is tried again");
	kek_self.fault = fault;
	kek_show();
	if (kek_self.rotated != NULL && is_rotating(&kek_self.step))
		kek_rotation_over(fail(E_AGAIN), fault);
	(void)uv_timer_start(&kek_self.timer, on_timer, pause_ms(retry_after_ms), 0);
}

/* ---- a question ---- */

enum secret_fault
kek_fault_of(struct status st)
{
	if (st.code == E_CRYPTO)
		return SECRET_TAMPERED;
	return st.code == E_CLOSED ? SECRET_UNREACHABLE : SECRET_FAILED;
}

void
kek_step_over(struct span answer)
{
	struct status st = kek_kinds[kek_self.step.kind].finish(answer);

	if (!is_ok(st)) {
		kek_failed(kek_fault_of(st), 0);
		return;
	}
	kek_self.failures = 0;
	kek_self.fault = SECRET_FAULT_NONE;
	kek_show();
	kek_go_on();
}

static struct status
take_wrapped(struct span answer)
{
	buf_clear(&kek_self.wrapped);
	return buf_put_span(&kek_self.wrapped, answer);
}

static void
on_answer(void *ctx, enum secret_fault fault, uint32_t retry_after_ms, struct span answer)
{
	struct kek_step *s = &kek_self.step;
	struct status st;

	if ((uintptr_t)ctx != kek_self.questions || !kek_self.asking)
		return; /* nobody waits for it any more */
	kek_self.asking = false;
	if (fault != SECRET_FAULT_NONE) {
		kek_failed(fault, retry_after_ms);
		return;
	}
	if (s->kind == STEP_OPEN) {
		kek_step_over(answer);
		return;
	}
	if (s->proving) {
		st = keyring_kek_same(kek_self.db, s->row.version, s->row.wrapper, answer);
		if (is_ok(st))
			kek_step_over(buf_span(&kek_self.wrapped));
	} else {
		st = take_wrapped(answer);
		s->proving = true;
		if (is_ok(st))
			ask(SB_UNWRAP);
	}
	if (!is_ok(st))
		kek_failed(kek_fault_of(st), 0);
}

static struct status
ask_wrap(void)
{
	const struct kek_step *s = &kek_self.step;
	struct sb_wrap m = { .reference = span_str(s->row.wrapper), .version = s->row.version };
	struct status st;

	memcpy(m.state, kek_self.state, sizeof(m.state));
	st = keyring_kek_inner(kek_self.db, s->row.version, s->row.wrapper, m.key);
	if (is_ok(st))
		st = broker_wrap(&m, on_answer, (void *)kek_self.questions);
	secret_wipe(m.key, sizeof(m.key));
	return st;
}

static struct status
ask_unwrap(enum sb_type type)
{
	const struct kek_step *s = &kek_self.step;
	struct sb_unwrap m = { .reference = span_str(s->row.wrapper),
		.version = s->row.version,
		.ciphertext = buf_span(&kek_self.wrapped) };

	memcpy(m.state, kek_self.state, sizeof(m.state));
	return broker_unwrap(type, &m, on_answer, (void *)kek_self.questions);
}

static void
ask(enum sb_type type)
{
	struct status st;

	kek_self.questions++;
	st = type == SB_WRAP ? ask_wrap() : ask_unwrap(type);
	kek_self.asking = is_ok(st);
	if (!is_ok(st))
		kek_failed(kek_fault_of(st), 0);
}

/* The broker would refuse it, too: only this end knows what to say. */
static bool
is_named(const char *wrapper)
{
	static const char *const keys[] = { "store.kek", "store.kek_before" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *is = conf_str(kek_self.d->conf, keys[i]);

		if (is != NULL && strcmp(is, wrapper) == 0)
			return true;
	}
	return false;
}

void
kek_begin(enum step_kind kind, const struct kek_row *row)
{
	kek_self.step = (struct kek_step){ .kind = kind, .row = *row };
	if (!broker_is_there())
		return; /* kek_broker_came() */
	if (is_named(row->wrapper)) {
		ask(kek_kinds[kind].ask);
		return;
	}
	if (kek_self.fault != SECRET_DENIED)
		diag(DIAG_ERROR,
		    "key-encryption key %llu is wrapped by %s, which is neither store.kek nor "
		    "store.kek_before",
		    (unsigned long long)row->version, row->wrapper);
	kek_self.fault = SECRET_DENIED;
	kek_failed(SECRET_DENIED, 0);
}
