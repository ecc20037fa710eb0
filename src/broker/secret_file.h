/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_SECRET_FILE_H
#define BROKER_SECRET_FILE_H

/* A file with a secret, by the descriptor that the supervisor gave (daemon_filef). */
#include <unistd.h>

#include <crypto/secret.h>

#define SECRET_FILE_LEN_MAX 16384

/* All of it, from its beginning, without its last LF. E_NOTFOUND (fd < 0), E_FULL, E_RANGE, E_SYS.
 */
static inline struct status
secret_file_read(int fd, struct secret *ret)
{
	if (fd < 0)
		return fail(E_NOTFOUND);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return fail_errno();
	return secret_read_fd(fd, SECRET_FILE_LEN_MAX, ret);
}

#endif
