/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.c: memory for secrets.
 *
 * Runs in: broker, authority, store, audit, gateway, supervisor, CLI.
 * Trusts: nothing. Owns: the pages of each secret, guard pages included.
 * Invariants: pages are memfd_secret(2) where kernel and jail have it, else locked; not dumped,
 * not in a forked child, and wiped before they are unmapped; a secret that cannot be locked is
 * not made.
 * See: crypto/secret.h, memfd_secret(2), madvise(2), mlock(2).
 */
#include <crypto/secret.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <base/rand.h>
#include <crypto/crypto.h>

static size_t
page_len(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static struct status
pages_protect(uint8_t *ptr, size_t len)
{
	if (mprotect(ptr, len, PROT_READ | PROT_WRITE) != 0 ||
	    madvise(ptr, len, MADV_DONTDUMP) != 0 || madvise(ptr, len, MADV_WIPEONFORK) != 0 ||
	    mlock(ptr, len) != 0)
		return fail_errno();
	return OK;
}

/*
 * memfd_secret(2): pages that even the kernel's own mapping does not show. Not every kernel has
 * it, not every machine has it switched on, and not every jail allows it.
 */
static bool
pages_hide(uint8_t *ptr, size_t len)
{
	int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
	void *p = MAP_FAILED;

	if (fd < 0)
		return false;
	if (ftruncate(fd, (off_t)len) == 0)
		p = mmap(ptr, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	(void)close(fd);
	if (p == MAP_FAILED)
		return false;
	/* Shared pages would be a forked child's, too. */
	if (madvise(ptr, len, MADV_DONTFORK) == 0 && madvise(ptr, len, MADV_DONTDUMP) == 0)
		return true;
	(void)mmap(ptr, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	return false;
}

/* `len` readable bytes between two pages that fault. */
static struct status
pages_map(size_t len, uint8_t **ret)
{
	size_t page = page_len();
	uint8_t *base;
	struct status st;

	base = mmap(NULL, len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return fail_errno();
	st = pages_hide(base + page, len) ? OK : pages_protect(base + page, len);
	if (!is_ok(st)) {
		(void)munmap(base, len + 2 * page);
		return st;
	}
	*ret = base + page;
	return OK;
}

struct status
secret_new(size_t len, struct secret *ret)
{
	size_t page = page_len();
	struct secret s = { .len = len };

	if (len == 0 || len > SECRET_LEN_MAX)
		return fail(E_RANGE);
	s.map_len = (len + page - 1) / page * page;
	TRY(pages_map(s.map_len, &s.ptr));
	*ret = s;
	return OK;
}

struct status
secret_random(size_t len, struct secret *ret)
{
	auto_secret struct secret s = SECRET_NONE;

	TRY(secret_new(len, &s));
	TRY(rand_bytes(s.ptr, s.len));
	*ret = secret_take(&s);
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
	auto_secret struct secret s = SECRET_NONE;
	size_t used = 0;
	ssize_t n;

	if (len_max == 0 || len_max >= SECRET_LEN_MAX)
		return fail(E_RANGE);
	TRY(secret_new(len_max + 1, &s)); /* one more tells a full file from a long one */
	do {
		n = read(fd, s.ptr + used, s.len - used);
		if (n > 0)
			used += (size_t)n;
	} while ((n > 0 && used < s.len) || (n < 0 && errno == EINTR));
	if (n < 0)
		return fail_errno();
	if (used > len_max)
		return fail(E_FULL);
	if (used > 0 && s.ptr[used - 1] == '\n')
		s.ptr[--used] = 0;
	if (used == 0)
		return fail(E_RANGE);
	s.len = used;
	*ret = secret_take(&s);
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

void
secret_done(struct secret *s)
{
	size_t page = page_len();

	if (s->ptr != NULL) {
		explicit_bzero(s->ptr, s->map_len);
		(void)munmap(s->ptr - page, s->map_len + 2 * page);
	}
	*s = SECRET_NONE;
}

void
secret_wipe(void *p, size_t len)
{
	if (len > 0)
		explicit_bzero(p, len);
}
