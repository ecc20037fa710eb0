/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log's signing key was replaced: the verifier follows from any key that was ever in force,
 * and takes no hand-over by a stranger.
 */
#include "audit_rotation_rig.h"

#define VKEYS 5

static void
from_any_key(void **arg)
{
	char name[8];

	(void)arg;
	state_clear();
	up();
	for (int i = 0; i < VKEYS; i++) {
		write_some(3);
		(void)snprintf(name, sizeof(name), "pub%d", i);
		pub_save(name);
		expect_intact("audit.pub", (uint64_t)i + 1);
		(void)rotate();
		assert_is_ok(server_sync(&one.server));
		if (i % 2 == 0) { /* and over a restart */
			down();
			up();
		}
	}
	write_some(3);
	assert_is_ok(server_sync(&one.server));
	pub_save("pub");
	assert_int_equal(one.log.key_version, VKEYS + 1);
	expect_intact("pub", VKEYS + 1);
	for (int i = 0; i < VKEYS; i++) {
		(void)snprintf(name, sizeof(name), "pub%d", i);
		expect_intact(name, VKEYS + 1);
	}
	down();
}

/* audit.head is that of before the rotation: its signer is known from the record. */
static void
head_behind(void **arg)
{
	(void)arg;
	state_clear();
	up();
	write_some(3);
	assert_is_ok(server_sync(&one.server));
	pub_save("old");
	head_stays = true;
	(void)rotate();
	write_some(2);
	assert_is_ok(server_sync(&one.server));
	pub_save("new");
	head_stays = false;
	expect_intact("old", 2);
	expect_intact("new", 2);
	/* A head that was changed is noticed, also where only the record says who signed it. */
	{
		auto_buf struct buf head = BUF_INIT(AUDITLOG_NOTE_MAX);

		assert_is_ok(io_read_file(state.dir, "audit.head", &head));
		for (size_t i = 0; i < head.len; i++) {
			head.ptr[i] ^= 1;
			assert_is_ok(
			    io_replace_file(state.dir, "audit.head", buf_span(&head), 0600));
			head.ptr[i] ^= 1;
			assert_int_equal(verify("old").verdict, AUDITLOG_TAMPERED);
			assert_int_equal(verify("new").verdict, AUDITLOG_TAMPERED);
		}
	}
	down();
}

/* A key that the log does not know is no start. */
static void
a_stranger_is_no_start(void **arg)
{
	auto_buf struct buf text = BUF_INIT(AUDITLOG_NOTE_MAX);
	const uint8_t stranger[ED25519_KEY_LEN] = { 1 };

	(void)arg;
	state_clear();
	up();
	write_some(2);
	(void)rotate();
	assert_is_ok(auditlog_pub_put(one.log.name.name, stranger, &text));
	assert_is_ok(io_replace_file(state.dir, "stranger", buf_span(&text), 0600));
	assert_int_equal(verify("stranger").verdict, AUDITLOG_TAMPERED);
	down();
}

static struct sign_key *
key_of(uint8_t fill)
{
	auto_secret struct secret raw = SECRET_NONE;
	struct sign_key *key = NULL;

	assert_is_ok(secret_new(ED25519_KEY_LEN, &raw));
	memset(raw.ptr, fill, raw.len);
	assert_is_ok(sign_key_new(&raw, &key));
	return key;
}

/* What a thief does who has the disk and a key of his own: he hands over to himself. */
static void
hand_over(const struct sign_key *by, const struct note_verifier *previous, uint64_t size,
    const char *mend)
{
	auto_buf struct buf key = BUF_INIT(AUDIT_STR_MAX), old = BUF_INIT(AUDIT_STR_MAX),
			    sig = BUF_INIT(AUDIT_STR_MAX);
	struct sign_key *thief = key_of(66);
	struct checkpoint before = { .origin = span_str(previous->name), .size = size };
	uint8_t public_key[ED25519_KEY_LEN];
	struct audit_value values[4];
	struct audit_rec r = { .event = EVENT_SIGNING_KEY_ROTATED,
		.outcome = AUDIT_SUCCESS,
		.values = { values, 4 } };
	struct note_verifier v;

	sign_key_public(thief, public_key);
	assert_is_ok(note_verifier_init(&v, before.origin, public_key));
	assert_is_ok(merkle_root(&one.log.durable.tree, before.root));
	assert_is_ok(auditlog_rotation_sign(&before, &v, by, &sig));
	if (mend != NULL)
		memcpy(sig.ptr, mend, 5); /* the key id that the signature should have */
	assert_is_ok(note_verifier_put(&v, &key));
	assert_is_ok(note_verifier_put(previous, &old));
	values[0] = (struct audit_value){ AUDIT_V_STR, 0, buf_span(&key) };
	values[1] = (struct audit_value){ AUDIT_V_STR, 0, buf_span(&old) };
	values[2] = (struct audit_value){ AUDIT_V_STR, 0, buf_span(&sig) };
	values[3] = (struct audit_value){ AUDIT_V_STR, 0, SPAN_LIT("demand") };
	assert_is_ok(server_own(&one.server, &r));
	assert_is_ok(log_key_set(&one.log, thief));
	write_some(2);
	assert_is_ok(server_sync(&one.server));
	one.log.key = signing.key;
	sign_key_free(thief);
}

static void
forged(void **arg)
{
	static const struct {
		uint8_t by; /* 7: our own key */
		bool as_himself;
		bool mend;
		int size; /* beside the true one */
		bool good;
	} rows[] = {
		{ 7, false, false, 0, true }, /* the test's own way is right */
		{ 66, false, false, 0, false },
		{ 66, false, true, 0, false },
		{ 66, true, false, 0, false },
		{ 7, false, false, 1, false }, /* a hand-over that was made for another length */
		{ 7, false, false, -1, false },
		{ 7, true, false, 0, false },
	};

	(void)arg;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf own = BUF_INIT(256);
		struct sign_key *by = key_of(rows[i].by), *thief = key_of(66);
		struct auditlog_result r;
		struct note_verifier previous;
		uint8_t blob[NOTE_KEY_ID_LEN + 1] = { 0 }, public_key[ED25519_KEY_LEN];
		uint64_t seq;

		state_clear();
		up();
		write_some(3);
		assert_is_ok(server_sync(&one.server));
		seq = one.log.durable.size + 1;
		previous = one.log.name;
		memcpy(blob, previous.key_id, NOTE_KEY_ID_LEN);
		assert_is_ok(base64_encode(span_of(blob, sizeof(blob)), &own));
		if (rows[i].as_himself) {
			sign_key_public(thief, public_key);
			assert_is_ok(
			    note_verifier_init(&previous, span_str(one.log.name.name), public_key));
		}
		hand_over(by, &previous, seq - 1 + (uint64_t)rows[i].size,
		    rows[i].mend ? (const char *)own.ptr : NULL);
		sign_key_free(by);
		sign_key_free(thief);
		auditlog_verify(state.dir, &r);
		if ((r.verdict == AUDITLOG_INTACT) != rows[i].good)
			test_fail("row %zu: verdict %d: %s", i, (int)r.verdict, r.why);
		if (!rows[i].good) {
			assert_int_equal(r.verdict, AUDITLOG_TAMPERED);
			assert_int_equal(r.seq, seq);
			assert_non_null(strstr(r.why, "vouch"));
		}
		down();
	}
}

/* The old key signs no more: not even who has it can add to the log. */
static void
the_old_key_is_over(void **arg)
{
	struct auditlog_result r;
	struct sign_key *old = key_of(7);

	(void)arg;
	state_clear();
	up();
	write_some(3);
	(void)rotate();
	write_some(1);
	assert_is_ok(log_key_set(&one.log, old));
	assert_is_ok(server_sync(&one.server));
	auditlog_verify(state.dir, &r);
	assert_int_equal(r.verdict, AUDITLOG_TAMPERED);
	one.log.key = signing.key;
	down();
	/* And the log does not open: not by its key, and not where the old one is still there. */
	for (int both = 0; both < 2; both++) {
		const struct log_opts opts = opts_small();
		struct log_keys keys;
		const char *why = "";

		signing_up();
		keys = both == 0 ? (struct log_keys){ signing.key, NULL }
				 : (struct log_keys){ old, signing.key };
		assert_int_equal(
		    log_open(&one.log, state.audit, INSTANCE, &keys, &opts, &why).code, E_CORRUPT);
		log_close(&one.log);
		signing_close(&signing);
	}
	sign_key_free(old);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_any_key),
		cmocka_unit_test(head_behind),
		cmocka_unit_test(a_stranger_is_no_start),
		cmocka_unit_test(forged),
		cmocka_unit_test(the_old_key_is_over),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
