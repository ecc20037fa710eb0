/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_KEPT_H
#define CLI_KEPT_H

/*
 * The session that `sallyport login` keeps for the client commands, one a person:
 * XDG_CONFIG_HOME/sallyport/session, or HOME/.config/sallyport/session, 0600.
 */
#include <crypto/secret.h>

#include "cli.h"

#define KEPT_URL_MAX 512
#define KEPT_TOKEN_MAX 8192

struct kept {
	char url[KEPT_URL_MAX];
	char ca[CLI_PATH_MAX];
	uint64_t expires_s;  /* Unix time */
	struct secret token; /* its text, with a NUL behind it */
};
#define auto_kept __attribute__((cleanup(kept_done)))

/* E_NOTFOUND: there is none, or no place for it. E_DENIED: others could have written or read it.
 * E_SYNTAX. */
MUST_USE struct status kept_load(struct kept *ret);
/* The old one, if there is one, goes, and what a crash left; nothing but the whole new one is ever
 * there. E_RANGE: it could not be read again. */
MUST_USE struct status kept_save(const struct kept *k);
MUST_USE struct status kept_remove(void); /* E_NOTFOUND */
/* 1 to KEPT_TOKEN_MAX printable characters, no blank: it may stand in a header. */
bool kept_token_ok(struct span token);
/* What the file has: the service, its authorities' file and the end of it, a line each; the token.
 * E_SYNTAX, E_RANGE. */
MUST_USE struct status kept_parse(struct span text, struct kept *ret);
void kept_done(struct kept *k);

#endif
