/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SESSION_FILE_H
#define CLI_SESSION_FILE_H

/*
 * The session that `sallyport login` keeps for the client commands, one a person:
 * XDG_CONFIG_HOME/sallyport/session, or HOME/.config/sallyport/session, 0600.
 */
#include <crypto/secret.h>

#include "cli.h"

#define SESSION_FILE_URL_MAX 512
#define SESSION_FILE_TOKEN_MAX 8192

struct session_file {
	char url[SESSION_FILE_URL_MAX];
	char ca[CLI_PATH_MAX];
	uint64_t expires_s;  /* Unix time */
	struct secret token; /* its text, with a NUL behind it */
};
#define auto_session_file __attribute__((cleanup(session_file_done)))

/* E_NOTFOUND: there is none, or no place for it. E_DENIED: others could have written or read it.
 * E_SYNTAX. */
MUST_USE struct status session_file_load(struct session_file *ret);
/* The old one, if there is one, goes, and what a crash left; nothing but the whole new one is ever
 * there. E_RANGE: it could not be read again. */
MUST_USE struct status session_file_save(const struct session_file *k);
MUST_USE struct status session_file_remove(void); /* E_NOTFOUND */
/* 1 to SESSION_FILE_TOKEN_MAX printable characters, no blank: it may stand in a header. */
bool session_file_token_ok(struct span token);
/* What the file has: the service, its authorities' file and the end of it, a line each; the token.
 * E_SYNTAX, E_RANGE. */
MUST_USE struct status session_file_parse(struct span text, struct session_file *ret);
void session_file_done(struct session_file *k);

#endif
