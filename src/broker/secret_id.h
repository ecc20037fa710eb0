/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_SECRET_ID_H
#define BROKER_SECRET_ID_H

/*
 * What a broker leaves to the one that takes its place when it dies: the secret
 * id that it unwrapped, which nobody can unwrap again. It lies in memory that the
 * supervisor holds, sealed under a key that the supervisor does not derive; it
 * ends with the service.
 */
#include <crypto/secret.h>

#define SECRET_ID_LEN_MAX 16384

/* State: in init(), as root. `fd` is borrowed for the life of the process; -1: nothing is kept. */
MUST_USE struct status secret_id_init(const struct secret *master, int fd);
/* The wrapping token and what was in it. E_NOTFOUND (no descriptor), E_RANGE, E_SYS, E_CRYPTO. */
MUST_USE struct status secret_id_put(const struct secret *wrapping, const struct secret *secret_id);
/* State: both SECRET_NONE. E_NOTFOUND: nothing was kept. E_CRYPTO, E_SYNTAX: not by us. */
MUST_USE struct status secret_id_get(struct secret *ret_wrapping, struct secret *ret_secret_id);

#endif
