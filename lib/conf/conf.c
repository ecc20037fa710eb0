/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf.c: the sorted list of paths and values: look-up, slices, loading of slices.
 *
 * Runs in: every process.
 * Trusts: the supervisor for what a slice says, nobody for its form.
 * Owns: the entries and the arena with their text.
 * Invariants: entries are sorted by path without duplicates; paths and values are NUL-terminated
 * and hold no NUL; CONF_SEP sorts below every byte of a name, so what is below a path is one run.
 * See: conf/conf.h.
 */
#include "internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	free(c->entries);
	arena_done(&c->arena);
	free(c);
}

struct status
conf_new(struct conf **ret)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return fail(E_NOMEM);
	c->arena = ARENA_INIT(CONF_ARENA_MAX);
	*ret = c;
	return OK;
}

/* A copy with a NUL behind it. */
static struct status
text_copy(struct conf *c, struct span s, const char **ret)
{
	char *p = arena_alloc(&c->arena, s.len + 1);

	if (p == NULL)
		return fail(E_NOMEM);
	if (s.len > 0)
		memcpy(p, s.ptr, s.len);
	*ret = p;
	return OK;
}

static struct status
entries_grow(struct conf *c)
{
	size_t cap = c->cap == 0 ? 64 : c->cap * 2;
	struct conf_entry *grown;

	if (c->count >= CONF_ENTRIES_MAX)
		return fail(E_FULL);
	if (c->count < c->cap)
		return OK;
	grown = realloc(c->entries, cap * sizeof(*grown));
	if (grown == NULL)
		return fail(E_NOMEM);
	c->entries = grown;
	c->cap = cap;
	return OK;
}

struct status
conf_add(struct conf *c, struct span path, const struct span *value, uint32_t line)
{
	struct conf_entry e = { .path_len = (uint32_t)path.len, .line = line };

	TRY(entries_grow(c));
	TRY(text_copy(c, path, &e.path));
	if (value != NULL) {
		e.value_len = (uint32_t)value->len;
		TRY(text_copy(c, *value, &e.value));
	}
	c->entries[c->count++] = e;
	return OK;
}

/* By bytes; of equal paths the one that stands first in the file. */
int
conf_path_cmp(const struct conf_entry *a, const struct conf_entry *b)
{
	return strcmp(a->path, b->path);
}

static int
entry_cmp(const void *va, const void *vb)
{
	const struct conf_entry *a = va, *b = vb;
	int cmp = conf_path_cmp(a, b);

	if (cmp != 0)
		return cmp;
	return a->line < b->line ? -1 : a->line > b->line;
}

void
conf_sort(struct conf *c)
{
	if (c->count > 1)
		qsort(c->entries, c->count, sizeof(c->entries[0]), entry_cmp);
}

static int
span_cmp(struct span a, struct span b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int cmp = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);

	if (cmp != 0)
		return cmp;
	return a.len < b.len ? -1 : a.len > b.len;
}

static struct span
entry_path(const struct conf_entry *e)
{
	return span_of(e->path, e->path_len);
}

/* The index of the first entry that is not before `path`. */
static size_t
lower_bound(const struct conf *c, struct span path)
{
	size_t lo = 0, hi = c->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (span_cmp(entry_path(&c->entries[mid]), path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct conf_entry *
conf_find(const struct conf *c, struct span path)
{
	size_t i = lower_bound(c, path);

	if (i == c->count || !span_eq(entry_path(&c->entries[i]), path))
		return NULL;
	return &c->entries[i];
}

/* Is the entry at the path or below it? An empty path is above all. */
static bool
entry_below(const struct conf_entry *e, struct span path)
{
	if (path.len == 0)
		return true;
	return span_starts(entry_path(e), path) &&
	       (e->path_len == path.len || e->path[path.len] == CONF_SEP);
}

uint32_t
conf_line(const struct conf *c, struct span path)
{
	uint32_t line = 0;

	for (size_t i = lower_bound(c, path); i < c->count; i++) {
		const struct conf_entry *e = &c->entries[i];

		if (!entry_below(e, path))
			break;
		if (e->line != 0 && (line == 0 || e->line < line))
			line = e->line;
	}
	return line;
}

/* Dots outside of conversions become separators, in place. */
static void
format_separate(char *fmt)
{
	for (char *p = fmt; *p != '\0'; p++) {
		if (*p == '.')
			*p = CONF_SEP;
		else if (*p == '%')
			p += strcspn(p + 1, "diuxsc%") + (p[1] != '\0');
		if (*p == '\0')
			break;
	}
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
bool
conf_path_format(char out[CONF_PATH_MAX + 1], const char *fmt, va_list ap)
{
	char copy[CONF_PATH_MAX + 1];
	int n;

	if (!is_ok(span_to_cstr(span_str(fmt), copy, sizeof(copy))))
		return false;
	format_separate(copy);
	n = vsnprintf(out, CONF_PATH_MAX + 1, copy, ap);
	return n >= 0 && n <= CONF_PATH_MAX;
}
#pragma GCC diagnostic pop

static const char *
str_at(const struct conf *c, const char *fmt, va_list ap)
{
	char path[CONF_PATH_MAX + 1];
	const struct conf_entry *e;

	if (!conf_path_format(path, fmt, ap))
		return NULL;
	e = conf_find(c, span_str(path));
	return e == NULL ? NULL : e->value;
}

static uint64_t
to_u64(const char *value)
{
	uint64_t v = 0;

	/* The table gave a default and the parser checked it: else the bug is ours. */
	assert(value != NULL && is_ok(span_u64(span_str(value), UINT64_MAX, &v)));
	return v;
}

static bool
to_bool(const char *value)
{
	assert(value != NULL);
	return strcmp(value, "true") == 0;
}

const char *
conf_strf(const struct conf *c, const char *fmt, ...)
{
	const char *value;
	va_list ap;

	va_start(ap, fmt);
	value = str_at(c, fmt, ap);
	va_end(ap);
	return value;
}

uint64_t
conf_u64f(const struct conf *c, const char *fmt, ...)
{
	const char *value;
	va_list ap;

	va_start(ap, fmt);
	value = str_at(c, fmt, ap);
	va_end(ap);
	return to_u64(value);
}

bool
conf_boolf(const struct conf *c, const char *fmt, ...)
{
	const char *value;
	va_list ap;

	va_start(ap, fmt);
	value = str_at(c, fmt, ap);
	va_end(ap);
	return to_bool(value);
}

/* A path as callers write it, with dots; false when it is too long. */
static bool
path_separate(const char *path, char out[CONF_PATH_MAX + 1])
{
	if (!is_ok(span_to_cstr(span_str(path), out, CONF_PATH_MAX + 1)))
		return false;
	for (char *p = out; *p != '\0'; p++) {
		if (*p == '.')
			*p = CONF_SEP;
	}
	return true;
}

const char *
conf_str(const struct conf *c, const char *path)
{
	char sep[CONF_PATH_MAX + 1];
	const struct conf_entry *e;

	if (!path_separate(path, sep))
		return NULL;
	e = conf_find(c, span_str(sep));
	return e == NULL ? NULL : e->value;
}

uint64_t
conf_u64(const struct conf *c, const char *path)
{
	return to_u64(conf_str(c, path));
}

bool
conf_bool(const struct conf *c, const char *path)
{
	return to_bool(conf_str(c, path));
}

bool
conf_list_next(const char *list, size_t *iter, struct span *item)
{
	const char *at;

	if (list == NULL || list[*iter] == '\0')
		return false;
	at = list + *iter;
	*item = span_of(at, strcspn(at, " "));
	*iter += item->len + (at[item->len] == ' ');
	return true;
}

bool
conf_list_has(const char *list, struct span item)
{
	struct span one;

	for (size_t i = 0; conf_list_next(list, &i, &one);) {
		if (span_eq(one, item) || span_eq_str(one, "*"))
			return true;
	}
	return false;
}

bool
conf_each(const struct conf *c, const char *prefix, size_t *iter, struct span *name)
{
	char sep[CONF_PATH_MAX + 1];
	struct span path, below, group;
	size_t i;

	if (!path_separate(prefix, sep))
		return false;
	path = span_str(sep);
	i = *iter == 0 ? lower_bound(c, path) : *iter;
	while (i < c->count && c->entries[i].path_len <= path.len)
		i++; /* the prefix itself, which has no name below */
	if (i >= c->count || !entry_below(&c->entries[i], path))
		return false;
	below = span_from(entry_path(&c->entries[i]), path.len == 0 ? 0 : path.len + 1);
	*name = span_of(below.ptr, strcspn((const char *)below.ptr, "\x1f"));
	group = span_of(c->entries[i].path, path.len + (path.len != 0) + name->len);
	do {
		i++;
	} while (i < c->count && entry_below(&c->entries[i], group));
	*iter = i;
	return true;
}

static bool
entry_wanted(const struct conf_entry *e, const char *const *prefixes)
{
	char sep[CONF_PATH_MAX + 1];

	if (prefixes == NULL)
		return true;
	for (; *prefixes != NULL; prefixes++) {
		if (path_separate(*prefixes, sep) && entry_below(e, span_str(sep)))
			return true;
	}
	return false;
}

/* u16 length, bytes. */
static struct status
put_text(struct buf *out, struct span s)
{
	assert(s.len <= UINT16_MAX);
	TRY(buf_put_u8(out, (uint8_t)(s.len >> 8)));
	TRY(buf_put_u8(out, (uint8_t)s.len));
	return buf_put_span(out, s);
}

struct status
conf_slice(const struct conf *c, const char *const *prefixes, struct buf *out)
{
	size_t start = out->len;

	for (size_t i = 0; i < c->count; i++) {
		const struct conf_entry *e = &c->entries[i];

		if (!entry_wanted(e, prefixes))
			continue;
		TRY(put_text(out, entry_path(e)));
		TRY(put_text(out, span_of(e->value, e->value_len)));
	}
	return out->len - start > CONF_SLICE_MAX ? fail(E_FULL) : OK;
}

static struct status
take_text(struct span *in, size_t len_max, struct span *ret)
{
	size_t len;

	if (in->len < 2)
		return fail(E_PROTO);
	len = (size_t)in->ptr[0] << 8 | in->ptr[1];
	if (len > len_max || len > in->len - 2)
		return fail(E_PROTO);
	*ret = span_of(in->ptr + 2, len);
	*in = span_from(*in, len + 2);
	return len > 0 && memchr(ret->ptr, 0, len) != NULL ? fail(E_PROTO) : OK;
}

static struct status
load_entries(struct conf *c, struct span in)
{
	struct span path, value;

	while (in.len > 0) {
		TRY(take_text(&in, CONF_PATH_MAX, &path));
		TRY(take_text(&in, CONF_VALUE_MAX, &value));
		if (path.len == 0 ||
		    (c->count > 0 && span_cmp(entry_path(&c->entries[c->count - 1]), path) >= 0))
			return fail(E_PROTO); /* not sorted */
		TRY(conf_add(c, path, &value, 0));
	}
	return OK;
}

struct status
conf_load(struct span slice, struct conf **ret)
{
	struct conf *c;
	struct status st;

	if (slice.len > CONF_SLICE_MAX)
		return fail(E_PROTO);
	TRY(conf_new(&c));
	st = load_entries(c, slice);
	if (!is_ok(st)) {
		conf_free(c);
		return st.code == E_FULL ? fail(E_PROTO) : st;
	}
	*ret = c;
	return OK;
}
