/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H

/*
 * The only home of a secret: pages of its own between two guard pages, locked,
 * left out of core dumps, empty in a forked child, wiped before they go. There
 * is no function that formats one.
 */
#include <base/span.h>

#define SECRET_LEN_MAX 65536 /* bytes */

struct secret {
	uint8_t *ptr;
	size_t len;
	size_t map_len; /* the pages between the guards */
};

#define SECRET_NONE ((struct secret){ NULL, 0, 0 })
#define auto_secret __attribute__((cleanup(secret_done)))

/* All: *ret was SECRET_NONE; untouched on failure. E_RANGE, E_SYS (mmap, mlock). */
MUST_USE struct status secret_new(size_t len, struct secret *ret);    /* zeroes */
MUST_USE struct status secret_random(size_t len, struct secret *ret); /* getrandom(2) */
/* A copy; wiping the original is the caller's part (see secret_wipe). */
MUST_USE struct status secret_from_span(struct span s, struct secret *ret);
/* All of `fd` until end of file, one LF at the end cut. E_FULL beyond `len_max`. */
MUST_USE struct status secret_read_fd(int fd, size_t len_max, struct secret *ret);

/* Empty for SECRET_NONE. Valid until secret_done(); never copy it into a buf. */
struct span secret_borrow(const struct secret *s);
/*
 * A view to append to: it begins empty and cannot grow beyond the secret, so nothing
 * moves to other memory. Never buf_done() it; set s->len from it when it is whole.
 */
struct buf secret_buf(struct secret *s);
/* Move: `from` is SECRET_NONE afterwards. */
struct secret secret_take(struct secret *from);
bool secret_eq(const struct secret *a, struct span b); /* constant time */
void secret_done(struct secret *s);                    /* wipes, unmaps */
void secret_wipe(void *p, size_t len);                 /* explicit_bzero */

#endif
