/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state beside the audit log, whatever stands in it, signed or not: the log opens, and is the
 * one that its records and its checkpoint say.
 *	byte 0: bit 0: how the rest is meant; bit 1: the state is not signed
 *	rest:   the state's text; or what is changed in one that was made here: two bytes where, one
 *	        byte what, as often as there is input, and one byte at the end how much is cut off
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/crypto.h>
#include <log.h>
#include <state.h>

#define RECORDS 24U
#define AS_IT_IS 1U
#define UNSIGNED 2U
#define INSTANCE "0123456789ab"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct log_opts opts = { .segment_max = 2048, .state_every = 1U << 20 };
static struct sign_key *key;
static struct buf made = BUF_INIT(STATE_FILE_MAX); /* without its signature */
static struct log whole;                           /* as all its records say that it is */
static int dir = -1;

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

static void
open_log(struct log *l)
{
	const struct log_keys keys = { key, NULL };
	const char *why = "";

	expect(is_ok(log_open(l, dir, INSTANCE, &keys, &opts, &why)));
}

static void
append(struct log *l, uint64_t n)
{
	const struct audit_value error[] = { { AUDIT_V_STR, 0, SPAN_LIT("internal_error") },
		{ AUDIT_V_STR, 0, SPAN_LIT("Something failed inside.") } };
	const struct audit_value prompt[] = { { AUDIT_V_STR, 0, SPAN_LIT("demo") },
		{ AUDIT_V_U64, 5, SPAN_EMPTY }, { AUDIT_V_BOOL, 1, SPAN_EMPTY },
		{ AUDIT_V_U64, 20, SPAN_EMPTY }, { AUDIT_V_NULL, 0, SPAN_EMPTY } };
	const struct audit_rec plain = { .event = EVENT_ERROR,
		.outcome = AUDIT_FAILURE,
		.proc_seq = n,
		.values = { error, 2 } };
	const struct audit_rec intent = { .event = EVENT_PROMPT_SUBMITTED,
		.phase = AUDIT_PHASE_INTENT,
		.proc_seq = n,
		.values = { prompt, 5 } };
	const struct audit_rec *r = n % 3 == 0 ? &intent : &plain;
	const struct record_sender from = { .name = "authority", .id = 4 };

	expect(is_ok(log_admit(l, r, 1, 1)));
	log_append(l, r, &from, 1, false);
	expect(is_ok(log_commit(l)));
}

static void
make_key(void)
{
	auto_secret struct secret raw = SECRET_NONE;

	expect(is_ok(sign_key_generate(&raw)) && is_ok(sign_key_new(&raw, &key)));
}

/* A log of some segments, with open intents, whose state has not its last records. */
static void
make(void)
{
	static char path[] = "/dev/shm/sallyport-fuzz-XXXXXX";
	struct log l;

	expect(is_ok(crypto_init()) && mkdtemp(path) != NULL);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_key();
	open_log(&l);
	for (uint64_t n = 1; n <= RECORDS; n++) {
		append(&l, n);
		if (n == RECORDS - 4)
			expect(is_ok(log_checkpoint(&l)) && is_ok(state_keep(&l, true)));
	}
	expect(is_ok(log_checkpoint(&l)));
	log_close(&l);
	expect(is_ok(io_read_file(dir, "state", &made)) && made.len > ED25519_SIG_LEN);
	made.len -= ED25519_SIG_LEN;
	expect(unlinkat(dir, "state", 0) == 0);
	open_log(&whole);
	expect(whole.durable.size == RECORDS && whole.intents.count == RECORDS / 3);
}

static void
put_state(uint8_t how, struct span in)
{
	auto_buf struct buf text = BUF_INIT(STATE_FILE_MAX);
	uint8_t signature[ED25519_SIG_LEN] = { 0 };

	expect(is_ok(buf_put_span(&text, (how & AS_IT_IS) != 0 ? in : buf_span(&made))));
	for (size_t i = 0; (how & AS_IT_IS) == 0 && i + 2 < in.len; i += 3)
		text.ptr[((size_t)in.ptr[i] << 8 | in.ptr[i + 1]) % text.len] ^= in.ptr[i + 2];
	if ((how & AS_IT_IS) == 0 && in.len % 3 == 1)
		text.len -= in.ptr[in.len - 1] % text.len;
	if ((how & UNSIGNED) == 0)
		expect(is_ok(ed25519_sign(key, buf_span(&text), signature)));
	expect(is_ok(buf_put(&text, signature, sizeof(signature))));
	expect(is_ok(io_replace_file(dir, "state", buf_span(&text), 0600)));
}

/* What a signed root binds is as it is; what only a signed state says has its bounds. */
static void
check(const struct log *l)
{
	const struct log_chain *a = &l->durable, *b = &whole.durable;

	expect(
	    a->size == b->size && a->tree.depth == b->tree.depth && a->tree.size == b->tree.size);
	expect(memcmp(a->leaf, b->leaf, SHA256_LEN) == 0);
	expect(memcmp(a->tree.stack, b->tree.stack, a->tree.depth * SHA256_LEN) == 0);
	expect(l->segment == whole.segment && l->len == whole.len && l->before == whole.before);
	expect(l->signed_size == whole.signed_size && l->key == key && l->senders.n > 0);
	if (l->state_misfit)
		expect(l->scanned == RECORDS && l->intents.count == whole.intents.count);
	for (uint32_t i = 0; i < l->intents.cap; i++) {
		const struct intent *one = &l->intents.slots[i];

		if (one->seq != 0)
			expect(one->seq <= RECORDS && intents_find(&l->intents, one->seq) == one);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct log l;

	if (size == 0 || size > STATE_FILE_MAX - ED25519_SIG_LEN)
		return 0;
	if (dir < 0)
		make();
	put_state(data[0], span_of(data + 1, size - 1));
	open_log(&l);
	check(&l);
	expect((data[0] & UNSIGNED) == 0 || l.state_misfit);
	log_close(&l);
	return 0;
}
