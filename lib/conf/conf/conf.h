/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

/*
 * The configuration: a YAML file becomes a flat, sorted list of dotted paths
 * and values, each checked against one table (conf/table.c). Flow and block
 * mappings and sequences are the same; sequence items are numbered
 * ("models.demo.0.provider"). Aliases, tags, anchors, duplicates, several
 * documents and unknown keys are refused with their line.
 *
 * The supervisor parses; every process gets a slice of the checked list over
 * its control link (conf_slice / conf_load) and reads it with conf_u64 etc.
 * Defaults are filled in by the parser, so a slice is complete.
 *
 * Names may hold dots (a model "gpt-4.1"). Inside, a path's parts are joined by
 * CONF_SEP, which no name can hold; in the paths that callers write, '.' stands
 * for it. In the conf_*f functions only the dots of the format are separators,
 * never those of an argument: conf_strf(c, "models.%s.0.provider", "gpt-4.1").
 */
#include <stdarg.h>
#include <sys/socket.h>

#include <base/span.h>

#define CONF_FILE_MAX (256U << 10) /* bytes of the file */
#define CONF_ENTRIES_MAX 8192
#define CONF_ENTRIES_OF_MODEL_MAX 8
#define CONF_PATH_MAX 255
#define CONF_VALUE_MAX 4096
#define CONF_SLICE_MAX (512U << 10) /* bytes of a slice on the wire */
#define CONF_ERROR_MAX 512
#define CONF_SEP '\x1f'
#define CONF_NAME_MAX 64   /* policies, providers, sandboxes: [A-Za-z0-9_.-] */
#define CONF_ALIAS_MAX 128 /* models: the same and / : @ + */
#define CONF_SOCKET_PATH_MAX 107
#define CONF_POOLS_MAX 512   /* warm sandboxes of all pools together */
#define CONF_ISSUERS_MAX 16  /* identity providers */
#define CONF_CLIENTS_MAX 256 /* names of machines */
#define CONF_WORKERS_MAX 64  /* processes that run users' tools in WebAssembly */

struct conf;

/*
 * Parse and check all of it: syntax, table, and what only the whole can tell
 * (unknown models and providers, rules that can never match; see conf/check.c).
 * Owner: the caller frees *ret by conf_free. On failure error[] holds one line,
 * "line N: key: why", printable, without the value of any credential.
 * Errors: E_SYNTAX, E_RANGE, E_EXISTS, E_NOTFOUND, E_FULL, E_NOMEM.
 */
MUST_USE struct status conf_parse(struct span yaml, struct conf **ret, char error[CONF_ERROR_MAX]);
/*
 * The same with the environment of `serve`, which may say where AWS credentials lie
 * and which region is meant: see conf/env.c. `get` is getenv or the like.
 */
typedef char *conf_env_fn(const char *variable);
MUST_USE struct status conf_parse_env(
    struct span yaml, conf_env_fn *get, struct conf **ret, char error[CONF_ERROR_MAX]);
/* The variables that may be set; NULL behind the last. */
const char *conf_env_variable(size_t i);
void conf_free(struct conf *c);

/* Entries at or below any of the NULL-ended prefixes; NULL prefixes: all. */
MUST_USE struct status conf_slice(
    const struct conf *c, const char *const *prefixes, struct buf *out);
/* The inverse; trusts the supervisor but checks bounds. E_PROTO, E_NOMEM. */
MUST_USE struct status conf_load(struct span slice, struct conf **ret);

/* Values by exact path, already checked and defaulted; conf_u64 and conf_bool abort when
 * the path is absent, so use them only for keys to which the table gives a default. */
uint64_t conf_u64(const struct conf *c, const char *path);
bool conf_bool(const struct conf *c, const char *path);
/* NUL-terminated, owned by `c`; NULL when absent. */
const char *conf_str(const struct conf *c, const char *path);
/* printf-style path, e.g. conf_u64f(c, "sandboxes.%s.pool", name). */
uint64_t conf_u64f(const struct conf *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
const char *conf_strf(const struct conf *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
bool conf_boolf(const struct conf *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Like snprintf, but the dots of `fmt` become CONF_SEP. False: too long. */
bool conf_path_format(char out[CONF_PATH_MAX + 1], const char *fmt, va_list ap);

/* The next item of a list value; false at the end. Start with *iter = 0. */
bool conf_list_next(const char *list, size_t *iter, struct span *item);
/* Does the list hold `item`, or "*"? NULL lists hold nothing. */
bool conf_list_has(const char *list, struct span item);

/* "127.0.0.1:8443", "[::1]:8443", "localhost:8443" (IPv4). E_SYNTAX; port 1..65535. */
MUST_USE struct status conf_address(
    struct span s, struct sockaddr_storage *ret, socklen_t *ret_len);

/*
 * The distinct names directly below `prefix` ("policies" -> "default", …), in
 * byte order (so numbers are not in theirs: count up until conf_strf is NULL).
 * Start with *iter = 0; false at the end. `name` is valid with `c`.
 */
bool conf_each(const struct conf *c, const char *prefix, size_t *iter, struct span *name);

/*
 * Every connection that may be in clear or below TLS 1.3: a provider's name, "vault", "aws",
 * "aws.container", "aws.imds" (instance metadata is always in clear), an issuer's URL.
 */
typedef void conf_weak_fn(void *ctx, struct span name);
void conf_each_weak(const struct conf *c, conf_weak_fn *fn, void *ctx);
/*
 * Every control that `now` has weaker than `old`, by its path ("policies.NAME.credentials");
 * `old` NULL: weaker than when nothing is said of it.
 */
void conf_each_weaker(const struct conf *old, const struct conf *now, conf_weak_fn *fn, void *ctx);

/* Rows of the table as a Markdown table (key, type, default, range, meaning). */
MUST_USE struct status conf_describe(struct buf *out);

#endif
