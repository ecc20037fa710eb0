/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signing.c: the log's signing key, and its rotation.
 *
 * Runs in: audit, jailed; of its own folder it may read and write all.
 * Trusts: that folder, and the log for which of two keys is in force.
 * Owns: both keys. Invariants: one key is in force at a time. The order is: the new key is
 * durable; the record that names it, signed by the old one, is durable: from here on the new
 * one signs; it has signed a checkpoint; its file takes the place of the old one's. A kill
 * before the record leaves the old key and a file to remove; one after it leaves the new key
 * and a file to move. So both are there as long as either may be wanted.
 * See: signing.h; recover.c (which key is it?); docs/audit-format.md, "The signing key".
 */
#include "signing.h"

#include <fcntl.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/encode.h>
#include <base/io.h>
#include <daemon/daemon.h>

#define DAY_NS (86400ULL * NS_PER_S)

static struct status next_write(const struct signing *k, const struct secret *raw);
static struct status record_put(struct server *s, const struct sign_key *next, const char *why);

static struct status
key_read(const struct signing *k, const char *name, struct sign_key **ret)
{
	auto_secret struct secret text = SECRET_NONE;
	auto_secret struct secret raw = SECRET_NONE;
	auto_fd int fd = -1;
	bool clear;

	TRY(key_file_carry(k->dirfd, name, &k->seal, AUDIT_KEY_NAME));
	fd = openat(k->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail_errno();
	TRY(key_file_read(fd, &k->seal, AUDIT_KEY_NAME, &text, &clear));
	TRY(secret_new(ED25519_KEY_LEN, &raw));
	if (!is_ok(hex_decode(secret_borrow(&text), raw.ptr, raw.len)))
		return fail(E_SYNTAX);
	return sign_key_new(&raw, ret);
}

static struct status
file_remove(int dirfd, const char *name)
{
	if (unlinkat(dirfd, name, 0) == 0)
		return fsync(dirfd) < 0 ? fail_errno() : OK;
	return errno == ENOENT ? OK : fail_errno();
}

struct status
signing_open(struct signing *k, int dirfd, struct secret *seal)
{
	struct status st;

	*k = (struct signing){ .dirfd = dirfd, .seal = secret_take(seal) };
	TRY(file_remove(dirfd, "next.tmp"));
	TRY(key_read(k, "key", &k->key));
	st = key_read(k, "next", &k->next);
	if (is_ok(st) || (st.code == E_SYS && st.err == ENOENT))
		return OK;
	/* It is written beside its place: one that is not whole was never named by a record. */
	return st.code == E_SYS || st.code == E_NOMEM ? st : file_remove(dirfd, "next");
}

void
signing_close(struct signing *k)
{
	sign_key_free(k->key);
	sign_key_free(k->next);
	secret_done(&k->seal);
	*k = SIGNING_NONE;
}

struct status
signing_settle(struct signing *k, struct log *l)
{
	if (k->next == NULL)
		return OK;
	if (l->key != k->next) {
		TRY(file_remove(k->dirfd, "next"));
		sign_key_free(k->next);
		k->next = NULL;
		return OK;
	}
	if (!l->key_signed)
		return OK;
	if (renameat(k->dirfd, "next", k->dirfd, "key") < 0 || fsync(k->dirfd) < 0)
		return fail_errno();
	sign_key_free(k->key);
	k->key = k->next;
	k->next = NULL;
	return OK;
}

struct status
signing_rotate(struct signing *k, struct server *s, const char *why, uint64_t *ret_seq)
{
	auto_secret struct secret raw = SECRET_NONE;
	struct status st;

	TRY(server_sync(s));
	TRY(signing_settle(k, s->log));
	if (k->next != NULL)
		return fail(E_EXISTS);
	TRY(log_usable(s->log));
	TRY(sign_key_generate(&raw));
	TRY(next_write(k, &raw));
	st = sign_key_new(&raw, &k->next);
	if (is_ok(st))
		st = record_put(s, k->next, why);
	if (!is_ok(st)) {
		/* Of a log that is dead nobody knows whether the record is in it. */
		if (!s->log->dead && !is_ok(signing_settle(k, s->log)))
			diag(DIAG_WARN, "a signing key that was not used could not be removed");
		return st;
	}
	*ret_seq = s->log->durable.size;
	st = log_key_set(s->log, k->next);
	if (!is_ok(st)) {
		s->log->dead = true; /* it would sign with the key that has handed over */
		return st;
	}
	st = server_sync(s);
	if (is_ok(st))
		st = signing_settle(k, s->log);
	/* It is on record, so it is done; what is left is tried again with each checkpoint. */
	if (!is_ok(st))
		diag(DIAG_WARN, "the new signing key: %s", status_text(st));
	return OK;
}

static struct status
next_write(const struct signing *k, const struct secret *raw)
{
	auto_secret struct secret hex = SECRET_NONE;

	TRY(secret_new(2 * raw->len, &hex));
	hex_encode(secret_borrow(raw), (char *)hex.ptr);
	return key_file_write(k->dirfd, "next", &k->seal, AUDIT_KEY_NAME, &hex);
}

/* The record that hands over, durable. */
static struct status
record_put(struct server *s, const struct sign_key *next, const char *why)
{
	auto_buf struct buf key = BUF_INIT(AUDIT_STR_MAX), previous = BUF_INIT(AUDIT_STR_MAX);
	auto_buf struct buf signature = BUF_INIT(AUDIT_STR_MAX);
	struct log *l = s->log;
	struct checkpoint before = { .origin = span_str(l->name.name), .size = l->durable.size };
	uint8_t public_key[ED25519_KEY_LEN];
	struct audit_value values[4] = { { .kind = AUDIT_V_STR }, { .kind = AUDIT_V_STR },
		{ .kind = AUDIT_V_STR }, { .kind = AUDIT_V_STR } };
	struct audit_rec r = { .event = EVENT_SIGNING_KEY_ROTATED,
		.outcome = AUDIT_SUCCESS,
		.values = { values, 4 } };
	struct note_verifier v;

	sign_key_public(next, public_key);
	TRY(note_verifier_init(&v, before.origin, public_key));
	TRY(merkle_root(&l->durable.tree, before.root));
	TRY(auditlog_rotation_sign(&before, &v, l->key, &signature));
	TRY(note_verifier_put(&v, &key));
	TRY(note_verifier_put(&l->name, &previous));
	values[0].str = buf_span(&key);
	values[1].str = buf_span(&previous);
	values[2].str = buf_span(&signature);
	values[3].str = span_str(why);
	return server_own(s, &r);
}

bool
signing_due(const struct log *l, uint64_t now_ns, uint64_t days)
{
	uint64_t age_ns = now_ns > l->key_since_ns ? now_ns - l->key_since_ns : 0;

	return days > 0 && l->key_since_ns > 0 && age_ns / DAY_NS >= days;
}
