/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyring_columns.c: every column with values under users' data keys.
 *
 * Runs in: store. Trusts: nothing. Owns: nothing.
 * Invariants: a column that is missing here would keep old keys from ever going away,
 * and one that is here wrongly would be sealed for another place than it is read at.
 * See: keyring.h; rotate.c.
 */
#include "keyring.h"

const struct keyring_column keyring_columns[] = {
	KEYRING_COLUMN("users", "id", "tenant", "version", "key", "value"),
	KEYRING_COLUMN("keys", "id", "user", "version", "key", "value"),
	KEYRING_COLUMN("tools", "id", "user", "0", "key", "name"),
	KEYRING_COLUMN("objects", "id", "user", "version", "key", "value"),
	KEYRING_COLUMN("items", "id", "user", "0", "key", "value"),
	KEYRING_COLUMN("sessions", "id", "user", "0", "key", "value"),
	KEYRING_COLUMN("chunks", "file", "n", "0", "key", "value"),
};
const size_t keyring_columns_n = sizeof(keyring_columns) / sizeof(keyring_columns[0]);
