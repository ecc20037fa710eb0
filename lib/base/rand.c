/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rand.c: random bytes from the kernel.
 *
 * Runs in: every process. Trusts: getrandom(2). Owns: nothing.
 * See: base/rand.h.
 */
#include <base/rand.h>

#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

struct status
rand_bytes(void *out, size_t len)
{
	uint8_t *p = out;

	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		p += n;
		len -= (size_t)n;
	}
	return OK;
}

struct status
rand_pool_take(struct rand_pool *p, void *out, size_t len)
{
	uint8_t *at;

	if (len == 0 || len > sizeof(p->bytes))
		return fail(E_RANGE);
	if (p->left < len) {
		p->left = 0; /* of a half-filled pool nothing counts */
		TRY(rand_bytes(p->bytes, sizeof(p->bytes)));
		p->left = sizeof(p->bytes);
	}
	at = p->bytes + sizeof(p->bytes) - p->left;
	memcpy(out, at, len);
	explicit_bzero(at, len);
	p->left -= len;
	return OK;
}
