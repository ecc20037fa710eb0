/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit and store binaries in their jails, driven over their real links.
 */
#include "process.h"

#include <base/clock.h>
#include <base/encode.h>
#include <base/io.h>
#include <base/memfd.h>
#include <base/rand.h>
#include <conf/conf.h>
#include <daemon/daemon.h>
#include <keytext/keytext.h>
#include <wire/authority_audit.h>
#include <wire/authority_store.h>

#include "audit_fixture.h"

#define KEY_HEX "0707070707070707070707070707070707070707070707070707070707070707\n"

static uv_loop_t loop;
static struct state state;

static struct {
	uint64_t receipts, records, refused, rotated, version;
	uint16_t code;
	uint64_t first_seq;
	bool closed;
	unsigned up, users, keys, loaded, done;
	uint16_t done_code;
} got;

/* ---- audit ---- */

static void
on_receipt(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct aa_receipt *m = msg;

	(void)l, (void)id, (void)ctx;
	got.receipts++;
	got.records += m->count;
	got.first_seq = m->first_seq;
}

static void
on_refused(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct aa_refused *m = msg;

	(void)l, (void)id, (void)ctx;
	got.refused++;
	got.code = m->code;
}

static void
on_peer_closed(struct link *l, struct status why, void *ctx)
{
	(void)why;
	got.closed = true;
	((struct process *)ctx)->peer = NULL;
	link_free(l);
}

static void
on_rotated(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct aa_rotated *m = msg;

	(void)l, (void)ctx;
	assert_int_equal(id, 1000 + got.rotated + 1);
	assert_int_equal(span_starts(m->key, SPAN_LIT("sallyport/")), true);
	got.rotated++;
	got.version = m->version;
}

/* The first word on a link. */
static void
on_up(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	assert_int_equal(got.receipts + got.refused, 0);
	got.up++;
}

static const struct link_rule aa_rules[] = {
	{ AA_UP, 0, on_up },
	{ AA_ROTATED, 0, on_rotated },
	{ AA_RECEIPT, 0, on_receipt },
	{ AA_REFUSED, 0, on_refused },
};
static const struct link_ops aa_ops = { aa_rules, COUNT(aa_rules), on_peer_closed };

/* A folder with the one file `key`. */
static int
key_folder(void)
{
	int fd;

	if (mkdirat(state.dir, "keys", 0700) < 0)
		assert_int_equal(errno, EEXIST);
	fd = openat(state.dir, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	if (faccessat(fd, "key", F_OK, 0) < 0)
		assert_is_ok(io_replace_file(fd, "key", SPAN_LIT(KEY_HEX), 0600));
	assert_int_equal(fchown(fd, PROCESS_UID, PROCESS_UID), 0);
	assert_int_equal(fchownat(fd, "key", PROCESS_UID, PROCESS_UID, 0), 0);
	return fd;
}

static int
file_with(const char *name, const char *text)
{
	int fd;

	assert_is_ok(io_replace_file(state.dir, name, span_str(text), 0600));
	fd = openat(state.dir, name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* What its key is sealed under, as the supervisor gives it. */
static int
seal_fd(void)
{
	int fd;

	assert_is_ok(memfd_of("audit-seal", SPAN_LIT(KEY_HEX), &fd));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* What the supervisor gives a process of the configuration. */
static void
slice_of(const char *const *keys, struct buf *slice)
{
	static const char yaml[] =
	    "policies: { default: { endpoints: \"*\", models: \"*\", tools: \"*\", "
	    "languages: \"*\" } }\n"
	    "engines: { runsc: /bin/true, image: /bin/true, manifest: /bin/true }\n"
	    "sandboxes: { sh: { pool: 1 } }\n";
	char error[CONF_ERROR_MAX];
	struct conf *conf = NULL;

	assert_is_ok(conf_parse(span_str(yaml), &conf, error));
	assert_is_ok(conf_slice(conf, keys, slice));
	conf_free(conf);
}

static void
audit_up(struct process *p, uint32_t peer_id)
{
	static const char *const keys[] = { "audit", NULL };
	auto_fd int key = key_folder(), seal = seal_fd();
	auto_buf struct buf slice = BUF_INIT(65536);

	memset(&got, 0, sizeof(got));
	slice_of(keys, &slice);
	process_config = buf_span(&slice);
	process_start(p, &loop, "audit");
	process_send_fd(p, "audit-dir", state.audit);
	process_send_fd(p, "audit-key", key);
	process_send_fd(p, "audit-seal", seal);
	process_peer(p, EDGE_AUTHORITY_AUDIT, &aa_edge, peer_id, &aa_ops);
	process_go(p);
	process_config = SPAN_EMPTY;
}

static const struct audit_value method_ok[] = { { AUDIT_V_STR, 0, SPAN_EMPTY },
	{ AUDIT_V_BOOL, 1, SPAN_EMPTY }, { AUDIT_V_NULL, 0, SPAN_EMPTY } };
static const struct audit_value prompt[] = { { AUDIT_V_STR, 0, SPAN_EMPTY },
	{ AUDIT_V_U64, 12, SPAN_EMPTY }, { AUDIT_V_BOOL, 1, SPAN_EMPTY },
	{ AUDIT_V_U64, 420, SPAN_EMPTY }, { AUDIT_V_STR, 0, SPAN_EMPTY } };
static uint64_t proc_seq;

/* [Authentication, PromptSubmitted(intent)], as each chat request begins. */
static struct status
send_batch(struct process *p, const char *model)
{
	struct audit_value auth[3], values[5];
	struct audit_rec recs[2] = {
		{ .event = EVENT_AUTHENTICATION, .outcome = AUDIT_SUCCESS, .values = { auth, 3 } },
		{ .event = EVENT_PROMPT_SUBMITTED,
		    .phase = AUDIT_PHASE_INTENT,
		    .values = { values, 5 } }
	};
	const struct aa_append m = { { recs, 2 } };

	memcpy(auth, method_ok, sizeof(auth));
	memcpy(values, prompt, sizeof(values));
	auth[0].str = SPAN_LIT("api_key");
	values[0].str = span_str(model);
	values[4].str = SPAN_LIT(
	    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	for (size_t i = 0; i < 2; i++) {
		recs[i].proc_seq = ++proc_seq;
		memset(recs[i].request_id, 0x42, REQUEST_ID_LEN);
		memset(recs[i].subject, 0x23, SUBJECT_LEN);
		memset(recs[i].key, 0x24, SUBJECT_LEN);
		recs[i].resource = SPAN_LIT("chat");
		recs[i].source_ip = SPAN_LIT("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8=");
	}
	return link_send(p->peer, proc_seq, AA_APPEND, &m);
}

static void
run_until_receipts(uint64_t n)
{
	while (got.receipts + got.refused < n && !got.closed)
		(void)uv_run(&loop, UV_RUN_ONCE);
}

static struct auditlog_result
verify_with_head(const struct process *p)
{
	struct auditlog_result r;

	assert_is_ok(io_replace_file(state.dir, "audit.head", buf_span(&p->head_note), 0644));
	auditlog_verify(state.dir, &r);
	return r;
}

static unsigned
lines_with(const char *text)
{
	auto_auditlog struct auditlog_reader *r = NULL;
	struct span line;
	unsigned n = 0;

	assert_is_ok(auditlog_open(state.audit, &r));
	while (is_ok(auditlog_next(r, &line)))
		n += memmem(line.ptr, line.len, text, strlen(text)) != NULL ? 1 : 0;
	return n;
}

static void
audit_serves(void **arg)
{
	const struct audit_value started[] = { { AUDIT_V_STR, 0, SPAN_LIT("store") },
		{ AUDIT_V_U64, 0, SPAN_EMPTY }, { AUDIT_V_U64, 1234, SPAN_EMPTY } };
	const struct audit_rec rec = { .event = EVENT_PROCESS_STARTED,
		.outcome = AUDIT_SUCCESS,
		.proc_seq = 1,
		.values = { started, 3 } };
	struct auditlog_result r;
	struct process p;
	uint8_t key[KEYTEXT_LEN + 1] = { 0 };

	(void)arg;
	audit_up(&p, 4);
	assert_true(p.heads >= 1); /* before READY: so audit.head is there from the first moment */
	for (int i = 0; i < 10; i++)
		assert_is_ok(send_batch(&p, "demo"));
	run_until_receipts(10);
	assert_int_equal(got.up, 1);
	assert_int_equal(got.records, 20);
	assert_int_equal(got.first_seq, 20);
	/* One of our keys in a string: refused, nothing of the batch is written. */
	assert_is_ok(keytext_create(key));
	assert_is_ok(send_batch(&p, (const char *)key));
	run_until_receipts(11);
	assert_int_equal(got.refused, 1);
	assert_int_equal(got.code, E_DENIED);
	assert_int_equal(lines_with((const char *)key), 0);
	assert_is_ok(link_send(p.control, 0, CTL_RECORD, &rec));
	while (p.recorded == 0)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(p.recorded, 22);
	/* The refused two are seen in the sender's count. */
	assert_is_ok(send_batch(&p, "demo"));
	run_until_receipts(12);
	assert_int_equal(lines_with("\"missed\":2"), 1);
	/* The sender goes: its eleven intents get their outcome. */
	link_free(p.peer);
	p.peer = NULL;
	while (p.head.size < 24 + 11)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(lines_with("\"cause\":\"process_died\""), 11);
	r = verify_with_head(&p);
	assert_int_equal(r.verdict, AUDITLOG_INTACT);
	assert_int_equal(process_drain(&p), 0);
}

static void
audit_drops_liars(void **arg)
{
	struct process p;

	(void)arg;
	audit_up(&p, 5);
	proc_seq = 0;
	assert_is_ok(send_batch(&p, "demo"));
	run_until_receipts(1);
	proc_seq = 1; /* counts backwards */
	assert_is_ok(send_batch(&p, "demo"));
	run_until_receipts(2);
	assert_true(got.closed);
	assert_int_equal(got.receipts, 1);
	assert_int_equal(process_drain(&p), 0);
}

static void
audit_killed(void **arg)
{
	struct auditlog_result r;
	struct process p;
	unsigned open;

	(void)arg;
	audit_up(&p, 6);
	proc_seq = 0;
	for (int i = 0; i < 3; i++)
		assert_is_ok(send_batch(&p, "demo"));
	run_until_receipts(3);
	assert_int_equal(kill(p.pid, SIGKILL), 0);
	link_free(p.peer);
	assert_true(WIFSIGNALED(process_end(&p)));
	audit_up(&p, 6);
	open = lines_with("\"cause\":\"recovery\"");
	assert_int_equal(open, 3);
	r = verify_with_head(&p);
	assert_int_equal(r.verdict, AUDITLOG_INTACT);
	assert_int_equal(process_drain(&p), 0);
}

/* In its jail it makes a key, puts it in the place of the old one, and says so; over a kill, too.
 */
static void
audit_rotates(void **arg)
{
	const struct wire_none none = { 0 };
	struct auditlog_result r;
	struct process p;

	(void)arg;
	audit_up(&p, 8);
	proc_seq = 0;
	for (uint64_t i = 1; i <= 3; i++) {
		assert_is_ok(send_batch(&p, "demo"));
		assert_is_ok(link_send(p.peer, 1000 + i, AA_ROTATE, &none));
		while (got.rotated < i && !got.closed)
			(void)uv_run(&loop, UV_RUN_ONCE);
		assert_int_equal(got.version, i + 1);
	}
	assert_int_equal(got.receipts, 3);
	assert_int_equal(kill(p.pid, SIGKILL), 0);
	link_free(p.peer);
	assert_true(WIFSIGNALED(process_end(&p)));
	audit_up(&p, 8);
	r = verify_with_head(&p);
	assert_int_equal(r.verdict, AUDITLOG_INTACT);
	assert_int_equal(r.keys, 4);
	assert_int_equal(lines_with("SigningKeyRotated"), 3);
	assert_int_equal(process_drain(&p), 0);
}

/* The rate through the link, with as much in flight as a busy authority has. */
static void
audit_rate(void **arg)
{
	const uint64_t total = 40000, window = 512;
	uint64_t sent = 0, began, took;
	struct process p;

	(void)arg;
	audit_up(&p, 7);
	proc_seq = 0;
	began = clock_mono_ns();
	while (got.receipts < total && !got.closed) {
		while (sent < total && sent - got.receipts < window) {
			assert_is_ok(send_batch(&p, "demo"));
			sent++;
		}
		(void)uv_run(&loop, UV_RUN_ONCE);
	}
	took = clock_mono_ns() - began;
	print_message("%llu records/s through the link\n",
	    (unsigned long long)(got.records * NS_PER_S / took));
	assert_int_equal(got.records, 2 * total);
	assert_int_equal(process_drain(&p), 0);
}

/* ---- store ---- */

static void
on_user(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	got.users++;
}

static void
on_key(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	got.keys++;
}

static void
on_loaded(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	got.loaded++;
}

static void
on_done(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_done *m = msg;

	(void)l, (void)id, (void)ctx;
	got.done++;
	got.done_code = m->code;
}

static struct as_keyset keyset;

static void
on_keyset(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	keyset = *(const struct as_keyset *)msg;
	got.done++;
}

/* Said before a load: all rows are the store's own. */
static void
on_unfit(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_unfit *m = msg;

	(void)l, (void)id, (void)ctx;
	assert_int_equal(m->sums, 0);
}

static const struct link_rule as_rules[] = {
	{ AS_KEYSET, 0, on_keyset },
	{ AS_UNFIT, 0, on_unfit },
	{ AS_USER, 0, on_user },
	{ AS_KEY, 0, on_key },
	{ AS_LOADED, 0, on_loaded },
	{ AS_DONE, 0, on_done },
	{ AS_DAY_KEY, 0, on_loaded },
};
static const struct link_ops as_ops = { as_rules, COUNT(as_rules), on_peer_closed };

static void
store_up(struct process *p, int dir)
{
	static const char *const keys[] = { "store", "retention", NULL };
	auto_fd int key = file_with("master.key", KEY_HEX);
	auto_buf struct buf slice = BUF_INIT(65536);

	memset(&got, 0, sizeof(got));
	slice_of(keys, &slice);
	process_config = buf_span(&slice);
	process_start(p, &loop, "store");
	process_send_fd(p, "store-dir", dir);
	process_send_fd(p, "master-key", key);
	process_peer(p, EDGE_AUTHORITY_STORE, &as_edge, 4, &as_ops);
	process_go(p);
	process_config = SPAN_EMPTY;
}

static void
store_put(struct process *p, unsigned n, const char *policy)
{
	char id[32];
	struct as_key k = {
		.tenant = SPAN_LIT("t"), .user = SPAN_LIT("u"), .policy = span_str(policy)
	};

	(void)snprintf(id, sizeof(id), "%012u", n);
	memcpy(k.id, id, KEY_ID_LEN);
	k.hash[0] = (uint8_t)n;
	assert_is_ok(link_send(p->peer, n, AS_KEY_PUT, &k));
}

/* The key that was made just now goes to the authority; one that is only looked at does not. */
static void
store_shows_no_key(struct process *p)
{
	const struct as_keyset_ref m = { .what = KEYSET_PEPPER };
	const uint8_t none[AS_SECRET_LEN] = { 0 };
	unsigned done = got.done;

	assert_is_ok(link_send(p->peer, 1, AS_KEYSET_ROTATE, &m));
	while (got.done == done && !got.closed)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_true(keyset.code == E_OK && keyset.version == 2);
	assert_memory_not_equal(keyset.key, none, sizeof(none));
	assert_is_ok(link_send(p->peer, 1, AS_KEYSET_STATUS, &m));
	while (got.done == done + 1 && !got.closed)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_true(keyset.code == E_OK && keyset.version == 2);
	assert_memory_equal(keyset.key, none, sizeof(none));
}

static void
store_serves(void **arg)
{
	const struct wire_none none = { 0 };
	const unsigned many = 300;
	/* One that ended long ago would go with the next sweep. */
	struct as_key_revoke revoke = { .revoked_s = clock_real_ns() / NS_PER_S };
	struct as_day day = { .day = "2020-01-01" };
	struct process p;
	int dir;

	(void)arg;
	assert_int_equal(mkdirat(state.dir, "store", 0700), 0);
	assert_int_equal(fchownat(state.dir, "store", PROCESS_UID, PROCESS_UID, 0), 0);
	dir = openat(state.dir, "store", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	store_up(&p, dir);
	for (unsigned n = 1; n <= many; n++)
		store_put(&p, n, "p");
	while (got.done < many && !got.closed)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(got.done_code, E_OK);
	store_put(&p, 1, "q"); /* what it has would be done: this is another's */
	while (got.done < many + 1 && !got.closed)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(got.done_code, E_EXISTS);
	memcpy(revoke.id, "000000000007", KEY_ID_LEN);
	assert_is_ok(link_send(p.peer, 1, AS_KEY_REVOKE, &revoke));
	while (got.done < many + 2 && !got.closed)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(got.done_code, E_OK);
	assert_is_ok(link_send(p.peer, 1, AS_DAY, &day));
	while (got.done < many + 3 && !got.closed)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(got.done_code, E_RANGE);
	store_shows_no_key(&p);
	assert_int_equal(kill(p.pid, SIGKILL), 0);
	link_free(p.peer);
	assert_true(WIFSIGNALED(process_end(&p)));
	store_up(&p, dir);
	assert_is_ok(link_send(p.peer, 1, AS_LOAD, &none));
	while (got.loaded == 0 && !got.closed)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(got.users, 1);
	assert_int_equal(got.keys, many);
	assert_int_equal(process_drain(&p), 0);
	dir_empty(dir);
	(void)close(dir);
}

static int
setup(void **arg)
{
	(void)arg;
	(void)uv_loop_init(&loop);
	state_make(&state);
	assert_int_equal(fchown(state.audit, PROCESS_UID, PROCESS_UID), 0);
	return 0;
}

static int
teardown(void **arg)
{
	(void)arg;
	state_remove(&state);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(audit_serves),
		cmocka_unit_test(audit_drops_liars),
		cmocka_unit_test(audit_killed),
		cmocka_unit_test(audit_rotates),
		cmocka_unit_test(audit_rate),
		cmocka_unit_test(store_serves),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
