/* SPDX-License-Identifier: Apache-2.0 */
/*
 * first_key.c: the key that `sallyport init` printed becomes a row.
 *
 * Runs in: store, jailed, at start. Trusts: nothing in the file.
 * Owns: the text of the key while it is hashed, wiped afterwards.
 * Invariants: the file is removed only after its key is durable; a crash between
 * the two is found again and ends the same way.
 * See: first_key.h; src/cli/init.c.
 */
#include "first_key.h"

#include <fcntl.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <crypto/hash.h>
#include <keytext/keytext.h>

#define NAMES 3

static bool
name_ok(struct span s)
{
	if (s.len == 0 || s.len > TENANT_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			c == '_' || c == '.' || c == '-'))
			return false;
	}
	return true;
}

static struct status
split(struct span text, struct span names[NAMES], struct span *ret_key)
{
	for (size_t i = 0; i < NAMES; i++) {
		const uint8_t *end = text.len > 0 ? memchr(text.ptr, ' ', text.len) : NULL;

		if (end == NULL)
			return fail(E_SYNTAX);
		names[i] = span_of(text.ptr, (size_t)(end - text.ptr));
		text = span_from(text, names[i].len + 1);
		if (!name_ok(names[i]))
			return fail(E_SYNTAX);
	}
	*ret_key = text;
	return keytext_ok(text) ? OK : fail(E_SYNTAX);
}

static struct status
hash_key(struct db *db, struct span text, struct as_key *k)
{
	struct as_keyset pepper = { .version = 0 };
	struct hmac_key *key = NULL;
	struct status st = db_keyset_status(db, KEYSET_PEPPER, &pepper);

	k->pepper = pepper.version;
	if (is_ok(st))
		st = db_keyset_newest(db, KEYSET_PEPPER, pepper.key);
	if (is_ok(st))
		st = hmac_key_new(span_of(pepper.key, sizeof(pepper.key)), &key);
	if (is_ok(st))
		st = hmac_sha256(key, text, k->hash);
	hmac_key_free(key);
	explicit_bzero(&pepper, sizeof(pepper));
	return st;
}

static struct status
import(struct db *db, struct span text, uint64_t now_s)
{
	uint8_t subject_key[AS_SECRET_LEN];
	struct as_key key = { .created_s = now_s };
	struct as_user_put owner = { .roles = ROLE_USER | ROLE_OWNER, .state = USER_ACTIVE };
	struct span names[NAMES], key_text;
	struct status st;

	TRY(split(text, names, &key_text));
	TRY(hash_key(db, key_text, &key));
	memcpy(key.id, keytext_id(key_text).ptr, KEY_ID_LEN);
	key.tenant = names[0];
	key.user = names[1];
	key.policy = names[2];
	owner.tenant = names[0];
	owner.user = names[1];
	st = db_key_same(db, &key);
	if (st.code != E_NOTFOUND)
		return st; /* OK: a crash came after the commit and before the removal */
	/* Before the key: a crash in between must not leave it with less. */
	st = db_user_put(db, &owner, subject_key);
	if (is_ok(st))
		st = db_key_put(db, &key, subject_key);
	explicit_bzero(subject_key, sizeof(subject_key));
	return st;
}

struct status
first_key_import(struct db *db, uint64_t now_s, bool *ret_done)
{
	auto_fd int fd = open(FIRST_KEY_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_fd int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_secret struct secret file = SECRET_NONE;
	struct status st;

	*ret_done = false;
	if (fd < 0)
		return errno == ENOENT ? OK : fail_errno();
	if (dir < 0)
		return fail_errno();
	st = secret_read_fd(fd, FIRST_KEY_LEN_MAX, &file);
	if (st.code == E_FULL || st.code == E_RANGE)
		return fail(E_SYNTAX);
	TRY(st);
	TRY(import(db, secret_borrow(&file), now_s));
	if (unlink(FIRST_KEY_FILE) < 0 || fsync(dir) < 0)
		return fail_errno();
	*ret_done = true;
	return OK;
}
