/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_SIGNING_H
#define AUDIT_SIGNING_H

/*
 * The log's signing key on disk, and how another one takes its place. Two files below one
 * folder that holds nothing else:
 *	key	the key in force, until `next` has signed a checkpoint
 *	next	a key that was made; in force once a durable record names it
 * Each is replaced whole. Which of the two signs is the log's to say (log_open()).
 */
#include <crypto/key_file.h>
#include <crypto/sign.h>

#include "server.h"

struct signing {
	int dirfd;             /* borrowed; -1: none */
	struct secret seal;    /* of key_file_key(): both files are sealed under it */
	struct sign_key *key;  /* of the file `key` */
	struct sign_key *next; /* of the file `next`; NULL: there is none */
};
#define SIGNING_NONE ((struct signing){ .dirfd = -1 })

/*
 * Read both files, and seal one that an earlier version has left in the clear; what is no whole
 * key in `next` is removed. Takes `seal`. Owner: signing_close().
 * Errors: E_SYS (`key` is missing), E_SYNTAX, E_NOMEM, E_CRYPTO.
 */
MUST_USE struct status signing_open(struct signing *k, int dirfd, struct secret *seal);
void signing_close(struct signing *k);
/*
 * After log_open(), and after each checkpoint: `next` takes the place of `key` once it has
 * signed; one that no record names is removed. E_SYS: to be called again.
 */
MUST_USE struct status signing_settle(struct signing *k, struct log *l);
/*
 * Sign with a new key from now on. State: nothing else is being appended.
 * Units: *ret_seq is of the record that names it. `why`: "demand", "schedule".
 * Errors: E_EXISTS (the rotation before is not over), those of the log and of the disk: nothing
 * has changed, unless s->log->dead.
 */
MUST_USE struct status signing_rotate(
    struct signing *k, struct server *s, const char *why, uint64_t *ret_seq);
/* Is the key in force as old as that? days 0: never. A clock that went back makes nothing due. */
bool signing_due(const struct log *l, uint64_t now_ns, uint64_t days);

#endif
