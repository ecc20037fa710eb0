/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

/*
 * The one way in which a library says how a call ended. E_OK is non-zero, so
 * that zeroed memory never means success. Libraries return a status; only a
 * daemon's top level logs it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

enum code {
	E_OK = 1,
	E_SYS,    /* a system call failed: see err */
	E_NOMEM,  /* allocation failed or a memory cap was reached */
	E_RANGE,  /* a size or number lies outside its limits */
	E_SYNTAX, /* input does not follow its grammar */
	E_PROTO,  /* a peer broke the protocol */
	E_DENIED, /* policy, grant, credential or permission */
	E_FULL,   /* a bounded queue or table is full */
	E_AGAIN,  /* would block; come back later */
	E_EOF,    /* orderly end of input */
	E_CLOSED, /* the other side is gone */
	E_NOTFOUND,
	E_EXISTS,
	E_TIMEOUT,
	E_UNSUPPORTED, /* this kernel or build lacks a needed feature */
	E_CRYPTO,      /* OpenSSL refused, or a signature or seal is wrong */
	E_CORRUPT,     /* stored data contradicts itself */
};

struct status {
	uint16_t code;
	int err; /* errno where code is E_SYS, else 0 */
};

#define MUST_USE __attribute__((warn_unused_result))
#define OK ((struct status){ .code = E_OK, .err = 0 })

static inline struct status
fail(enum code code)
{
	return (struct status){ .code = (uint16_t)code, .err = 0 };
}

/* E_SYS with the current errno. */
static inline struct status
fail_errno(void)
{
	return (struct status){ .code = E_SYS, .err = errno };
}

static inline bool
is_ok(struct status st)
{
	return st.code == E_OK;
}

/* The only macro of this project that returns. */
#define TRY(expr)                               \
	do {                                    \
		struct status try_st_ = (expr); \
		if (!is_ok(try_st_))            \
			return try_st_;         \
	} while (0)

/* A static, human-readable text: the code's, or strerror() for E_SYS. */
const char *status_text(struct status st);

#endif
