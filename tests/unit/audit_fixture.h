/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUDIT_FIXTURE_H
#define TESTS_AUDIT_FIXTURE_H

/* A state directory of its own, with key, audit.pub and audit/. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <auditlog/auditlog.h>
#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/crypto.h>
#include <log.h>

#define INSTANCE "0123456789ab"
/* cmocka's fail_msg(), which needs its fail(). */
#define test_fail(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

struct state {
	char path[64];
	int dir;   /* the state directory */
	int audit; /* DIR/audit */
	struct sign_key *key;
};

static inline void
assert_is_ok(struct status st)
{
	if (!is_ok(st))
		test_fail("%s", status_text(st));
}

static inline struct sign_key *
fixture_key(void)
{
	auto_secret struct secret raw = SECRET_NONE;
	struct sign_key *key = NULL;

	assert_is_ok(secret_new(ED25519_KEY_LEN, &raw));
	memset(raw.ptr, 7, raw.len);
	assert_is_ok(sign_key_new(&raw, &key));
	return key;
}

static inline void
state_make(struct state *s)
{
	auto_buf struct buf pub = BUF_INIT(AUDITLOG_NOTE_MAX);
	char origin[AUDITLOG_ORIGIN_MAX + 1];
	uint8_t public_key[ED25519_KEY_LEN];

	assert_is_ok(crypto_init());
	/* In memory where there is such a place: a kill loses no page, and CRASH_LOSE plays that.
	 */
	(void)snprintf(s->path, sizeof(s->path), "%s/sallyport-unit-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(s->path));
	s->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(s->dir, "audit", 0700), 0);
	s->audit = openat(s->dir, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->audit >= 0);
	s->key = fixture_key();
	sign_key_public(s->key, public_key);
	assert_is_ok(auditlog_origin(INSTANCE, origin));
	assert_is_ok(auditlog_pub_put(origin, public_key, &pub));
	assert_is_ok(io_replace_file(s->dir, "audit.pub", buf_span(&pub), 0644));
}

static inline void
dir_empty(int fd)
{
	DIR *dir = fdopendir(dup(fd));

	rewinddir(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		if (e->d_name[0] != '.' && unlinkat(fd, e->d_name, 0) < 0)
			(void)unlinkat(fd, e->d_name, AT_REMOVEDIR);
	}
	(void)closedir(dir);
}

static inline void
state_remove(struct state *s)
{
	dir_empty(s->audit);
	dir_empty(s->dir);
	(void)close(s->audit);
	(void)close(s->dir);
	(void)rmdir(s->path);
	sign_key_free(s->key);
}

/* What the supervisor does with CTL_HEAD. */
static inline void
head_keep(const struct state *s, const struct log *l)
{
	assert_is_ok(io_replace_file(s->dir, "audit.head", buf_span(&l->note), 0644));
}

/* A record like those of the authority: event 'Error', with a text of its own. */
static inline struct audit_rec
record_plain(const struct audit_value values[2], uint64_t proc_seq)
{
	return (struct audit_rec){ .event = EVENT_ERROR,
		.outcome = AUDIT_FAILURE,
		.request_id = { 1, 2, 3 },
		.subject = { 9 },
		.key = { 8 },
		.resource = SPAN_LIT("chat"),
		.source_ip = SPAN_LIT("c2VhbGVk"),
		.config = 1,
		.proc_seq = proc_seq,
		.values = { values, 2 } };
}

static inline void
append_plain(struct log *l, uint64_t proc_seq, bool more)
{
	const struct audit_value values[] = { { AUDIT_V_STR, 0, SPAN_LIT("internal_error") },
		{ AUDIT_V_STR, 0, SPAN_LIT("Something failed inside.") } };
	const struct audit_rec r = record_plain(values, proc_seq);
	const struct record_sender from = { .name = "authority", .id = 4 };

	assert_is_ok(log_admit(l, &r, 1, 1));
	log_append(l, &r, &from, 1, more);
}

static inline void
append_intent(struct log *l, uint64_t proc_seq, uint64_t owner, bool more)
{
	const struct audit_value values[] = { { AUDIT_V_STR, 0, SPAN_LIT("demo") },
		{ AUDIT_V_U64, 5, SPAN_EMPTY }, { AUDIT_V_BOOL, 1, SPAN_EMPTY },
		{ AUDIT_V_U64, 20, SPAN_EMPTY }, { AUDIT_V_NULL, 0, SPAN_EMPTY } };
	const struct audit_rec r = { .event = EVENT_PROMPT_SUBMITTED,
		.phase = AUDIT_PHASE_INTENT,
		.request_id = { 1, 2, 3 },
		.subject = { 9 },
		.proc_seq = proc_seq,
		.values = { values, 5 } };
	const struct record_sender from = { .name = "authority", .id = 4 };

	assert_is_ok(log_admit(l, &r, 1, owner));
	log_append(l, &r, &from, owner, more);
}

static inline void
append_outcome(struct log *l, uint64_t proc_seq, uint64_t owner, uint64_t intent_seq)
{
	const struct audit_value values[] = { { AUDIT_V_U64, 5, SPAN_EMPTY },
		{ AUDIT_V_BOOL, 1, SPAN_EMPTY }, { AUDIT_V_U64, 200, SPAN_EMPTY } };
	const struct audit_rec r = { .event = EVENT_RESPONSE_RETURNED,
		.phase = AUDIT_PHASE_OUTCOME,
		.outcome = AUDIT_SUCCESS,
		.intent_seq = intent_seq,
		.proc_seq = proc_seq,
		.values = { values, 3 } };
	const struct record_sender from = { .name = "authority", .id = 4 };

	assert_is_ok(log_admit(l, &r, 1, owner));
	log_append(l, &r, &from, owner, false);
}

static inline struct log_opts
opts_small(void)
{
	return (struct log_opts){ .segment_max = 4096, .reserve = 65536 };
}

/* Two logs that were opened agree in all that matters for going on. */
static inline bool
logs_are_equal(const struct log *a, const struct log *b)
{
	bool same = a->durable.size == b->durable.size && a->durable.ts_ns == b->durable.ts_ns &&
		    memcmp(a->durable.leaf, b->durable.leaf, SHA256_LEN) == 0 &&
		    a->durable.tree.size == b->durable.tree.size &&
		    a->durable.tree.depth == b->durable.tree.depth &&
		    memcmp(a->durable.tree.stack, b->durable.tree.stack,
			a->durable.tree.depth * SHA256_LEN) == 0 &&
		    a->segment == b->segment && a->len == b->len && a->before == b->before &&
		    a->key == b->key && a->key_version == b->key_version &&
		    a->key_since_ns == b->key_since_ns && a->signed_size == b->signed_size &&
		    a->senders.n == b->senders.n && a->intents.count == b->intents.count;

	for (uint32_t i = 0; same && i < a->senders.n; i++)
		same = a->senders.rows[i].id == b->senders.rows[i].id &&
		       a->senders.rows[i].seq == b->senders.rows[i].seq &&
		       strcmp(a->senders.rows[i].name, b->senders.rows[i].name) == 0;
	for (uint32_t i = 0; same && i < a->intents.cap; i++) {
		const struct intent *x = &a->intents.slots[i];
		const struct intent *y = intents_find(&b->intents, x->seq);

		if (x->seq == 0)
			continue;
		same = y != NULL && x->event == y->event && y->owner == 0 && x->owner == 0 &&
		       x->cause == y->cause &&
		       memcmp(x->request_id, y->request_id, REQUEST_ID_LEN) == 0 &&
		       memcmp(x->subject, y->subject, SUBJECT_LEN) == 0 &&
		       memcmp(x->key, y->key, SUBJECT_LEN) == 0;
	}
	return same;
}

static inline void
log_open_ok(const struct state *s, struct log *l, const struct log_opts *opts)
{
	const char *why = "";
	const struct log_keys keys = { s->key, NULL };
	struct status st = log_open(l, s->audit, INSTANCE, &keys, opts, &why);

	if (!is_ok(st))
		test_fail("%s: %s", status_text(st), why);
}

#endif
