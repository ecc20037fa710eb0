/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_FIRST_KEY_H
#define STORE_FIRST_KEY_H

#include "db.h"

#define FIRST_KEY_FILE "first-key"
#define FIRST_KEY_LEN_MAX 512 /* bytes of the file */

/*
 * Take in the key that `sallyport init` left in the current directory, if there
 * is one: "TENANT USER POLICY KEY" LF. Its file goes when it is durable.
 * *ret_done tells whether there was one. E_SYNTAX: not such a file; E_EXISTS: the
 * id is taken by another key; and what db_key_put() says.
 */
MUST_USE struct status first_key_import(struct db *db, uint64_t now_s, bool *ret_done);

#endif
