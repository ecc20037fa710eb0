/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PASSPHRASE_H
#define CLI_PASSPHRASE_H

/* The master key for commands that need it, and the passphrase over it. */
#include <crypto/passphrase.h>

#include "cli.h"

/* Where a passphrase comes from: never from an argument or the environment. */
struct passphrase_from {
	const char *file; /* "-": standard input; NULL: a credential of systemd, or the terminal */
	const char *prompt; /* on the terminal */
	bool is_new;        /* asked twice, and not too short; no credential */
};
/* False after a message. One LF at the end is not of it. */
bool passphrase_read(const struct passphrase_from *from, struct secret *ret);
/* DIR/master.key as it lies there, root's alone; false after a message. */
bool master_text_read(int dir_fd, struct secret *ret);
/*
 * The master key of this state: in the clear, or by --passphrase-file or a question. False after
 * a message.
 */
bool master_key_open(const struct invocation *inv, int dir_fd, struct secret *ret);

#endif
