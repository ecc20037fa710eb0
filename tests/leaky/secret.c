/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.c: secrets as they must not be: on the heap, not locked, dumped, never wiped.
 *
 * Runs in: leaky-broker, a test build. Trusts: nothing. Owns: nothing for long.
 * Invariants: none that protects anything; the interface is that of crypto/secret.h.
 * See: lib/crypto/secret.c for the true one, tests/system/test_canary.py.
 */
#include <crypto/secret.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/rand.h>
#include <crypto/crypto.h>

struct status
secret_new(size_t len, struct secret *ret)
{
	struct secret s = { .len = len, .map_len = len };

	if (len == 0 || len > SECRET_LEN_MAX)
		return fail(E_RANGE);
	s.ptr = calloc(1, len);
	if (s.ptr == NULL)
		return fail(E_NOMEM);
	*ret = s;
	return OK;
}

struct status
secret_random(size_t len, struct secret *ret)
{
	struct secret s = SECRET_NONE;

	TRY(secret_new(len, &s));
	TRY(rand_bytes(s.ptr, s.len));
	*ret = s;
	return OK;
}

struct status
secret_from_span(struct span in, struct secret *ret)
{
	struct secret s = SECRET_NONE;

	TRY(secret_new(in.len, &s));
	memcpy(s.ptr, in.ptr, in.len);
	*ret = s;
	return OK;
}

struct status
secret_read_fd(int fd, size_t len_max, struct secret *ret)
{
	struct secret s = SECRET_NONE;
	ssize_t n;

	TRY(secret_new(len_max + 1, &s));
	n = read(fd, s.ptr, s.len);
	if (n < 0)
		return fail_errno();
	if ((size_t)n > len_max)
		return fail(E_FULL);
	if (n > 0 && s.ptr[n - 1] == '\n')
		n--;
	if (n == 0)
		return fail(E_RANGE);
	s.len = (size_t)n;
	*ret = s;
	return OK;
}

struct span
secret_borrow(const struct secret *s)
{
	return span_of(s->ptr, s->len);
}

struct buf
secret_buf(struct secret *s)
{
	return (struct buf){ .ptr = s->ptr, .cap = s->len, .max = s->len };
}

struct secret
secret_take(struct secret *from)
{
	struct secret taken = *from;

	*from = SECRET_NONE;
	return taken;
}

bool
secret_eq(const struct secret *a, struct span b)
{
	return crypto_eq(secret_borrow(a), b);
}

/* free() would leave most of it where it is; so does this. */
void
secret_done(struct secret *s)
{
	*s = SECRET_NONE;
}

void
secret_wipe(void *p, size_t len)
{
	(void)p, (void)len;
}
