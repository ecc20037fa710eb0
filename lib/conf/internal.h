/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_INTERNAL_H
#define CONF_INTERNAL_H

/* Shared by the files of lib/conf only. */
#include <stdarg.h>

#include <conf/conf.h>

#include <base/arena.h>

#define CONF_ARENA_MAX (16U << 20)

enum conf_type {
	CONF_U64 = 1,
	CONF_BOOL,
	CONF_STRING,
	CONF_ENUM, /* one of `choices` */
	CONF_LIST, /* of `choices`, or of any name when there are none; "*" alone means all */
	CONF_PATH,
	CONF_SOCKET_PATH,
	CONF_URI,
	CONF_ADDRESS,
	CONF_CREDENTIAL,
	CONF_KEK,    /* kek_reference_parse() */
	CONF_MOUNT,  /* a path of Vault */
	CONF_REGION, /* of AWS: it becomes part of host names */
	CONF_CLAIM,  /* of a token: see jwt/jwt.h */
	CONF_TYPE_COUNT,
};

/* One key. In `path` the parts NAME, ALIAS and N stand for any name, alias, index. */
struct conf_row {
	const char *path;
	enum conf_type type;
	uint64_t min, max;    /* U64: value; strings: bytes */
	const char *fallback; /* NULL: none */
	bool required;
	const char *choices; /* separated by '|' */
	const char *meaning;
};

extern const struct conf_row conf_rows[];
extern const size_t conf_row_count;

/* value NULL: a mapping or sequence that was there (dropped at the end). */
struct conf_entry {
	const char *path;
	const char *value;
	uint32_t path_len;
	uint32_t value_len;
	uint32_t line; /* a default has that of the mapping it is in, or 0 */
};

struct conf {
	struct conf_entry *entries; /* sorted by path */
	size_t count;
	size_t cap;
	struct arena arena;
};

MUST_USE struct status conf_new(struct conf **ret);
MUST_USE struct status conf_add(
    struct conf *c, struct span path, const struct span *value, uint32_t line);
void conf_sort(struct conf *c);
int conf_path_cmp(const struct conf_entry *a, const struct conf_entry *b);
const struct conf_entry *conf_find(const struct conf *c, struct span path);
/* The line of the first entry at or below the path; 0 when there is none. */
uint32_t conf_line(const struct conf *c, struct span path);

enum conf_match { MATCH_NONE, MATCH_ABOVE, MATCH_EXACT };
/* ABOVE: the row is below this path. */
enum conf_match conf_row_match(const struct conf_row *row, struct span path);
/* The first row that matches; NULL: there is no such key. */
const struct conf_row *conf_row_find(struct span path, enum conf_match *ret);

/* What a scalar looked like in the file. */
struct conf_scalar {
	struct span text;
	bool plain; /* not quoted */
};
/* The canonical text of a checked value into `out`; *why (static) on failure. */
MUST_USE struct status conf_value_check(
    const struct conf_row *row, const struct conf_scalar *in, struct buf *out, const char **why);

/* "line N: key: why" with everything unprintable replaced. */
void conf_error(char error[CONF_ERROR_MAX], uint32_t line, struct span path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- checks of the whole, check*.c ---- */
#define PART(s) (int)(s).len, (const char *)(s).ptr

struct checker {
	const struct conf *c;
	char *error;
};
/* Fail, with the line of prefix.name.key (`key` may be "" or hold CONF_SEP). E_RANGE. */
MUST_USE struct status conf_refuse(const struct checker *k, const char *prefix, struct span name,
    const char *key, const char *why);
/* Is there something of that name below `prefix`? */
bool conf_exists(const struct conf *c, const char *prefix, struct span name);
MUST_USE struct status conf_check_tool(const struct checker *k, struct span name);
/* May a tool, or a policy's list of them, have that name? */
bool conf_tool_name_ok(struct span name);
MUST_USE struct status conf_check_provider(const struct checker *k, struct span name);
/*
 * What is wrong with an origin's URL: NULL, or a static text. In clear only where `plain` is set
 * and it names loopback; a private address only with `private_ok`.
 */
struct conf_origin {
	bool tls, loopback;
};
const char *conf_origin_fault(
    const char *url, bool plain, bool private_ok, struct conf_origin *ret);
/* oidc: check_oidc.c. */
MUST_USE struct status conf_check_oidc(const struct checker *k);
/* client_certificates: check_clients.c. */
MUST_USE struct status conf_check_clients(const struct checker *k);
/* Is it a name of a tenant or user, as `key create` takes them? */
bool conf_person_ok(const char *s);
/* Does a provider have its credential in AWS? */
bool conf_uses_aws(const struct conf *c);
/* env.c: what the file does not say. */
MUST_USE struct status conf_env_apply(struct conf *c, conf_env_fn *get, char error[CONF_ERROR_MAX]);
MUST_USE struct status conf_check(const struct conf *c, char error[CONF_ERROR_MAX]);
/* vault and aws, and the credentials that need them. */
MUST_USE struct status conf_check_sources(const struct conf *c, char error[CONF_ERROR_MAX]);

#endif
