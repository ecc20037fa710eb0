/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c: from YAML events to the sorted list of paths and values.
 *
 * Runs in: CLI, supervisor. Trusts: nothing in the file.
 * Owns: the parser and the list while it grows.
 * Invariants: every key is looked up in the table before what lies below it is read, so depth is
 * bounded by the table; aliases, anchors, tags, duplicates and further documents are refused.
 * See: conf/conf.h, table.c, check.c.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

#include <base/cleanup.h>

struct reader {
	yaml_parser_t yaml;
	yaml_event_t event; /* the current one */
	struct conf *conf;
	char *error;
	char path[CONF_PATH_MAX + 1];
	size_t path_len;
};

static struct status read_document(struct reader *r);
static struct status read_mapping(struct reader *r);
static struct status read_value(struct reader *r);
static struct status read_scalar(struct reader *r);
static struct status read_list(struct reader *r, const struct conf_row *row);
static struct status read_sequence(struct reader *r);

void
conf_error(char error[CONF_ERROR_MAX], uint32_t line, struct span path, const char *fmt, ...)
{
	va_list ap;
	int used = 0;

	if (line > 0)
		used = snprintf(error, CONF_ERROR_MAX, "line %u: ", line);
	if (path.len > 0)
		used += snprintf(error + used, (size_t)(CONF_ERROR_MAX - used),
		    "%.*s: ", (int)(path.len > 200 ? 200 : path.len), (const char *)path.ptr);
	va_start(ap, fmt);
	(void)vsnprintf(error + used, (size_t)(CONF_ERROR_MAX - used), fmt, ap);
	va_end(ap);
	for (char *p = error; *p != '\0'; p++) {
		if (*p == CONF_SEP)
			*p = '.';
		else if (*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
}

static unsigned
count_parts(const char *s, size_t len, char sep)
{
	unsigned parts = len > 0;

	for (size_t i = 0; i < len; i++)
		parts += s[i] == sep;
	return parts;
}

static struct span
here(const struct reader *r)
{
	return span_of(r->path, r->path_len);
}

static uint32_t
event_line(const struct reader *r)
{
	return (uint32_t)r->event.start_mark.line + 1;
}

static struct status
refuse(struct reader *r, const char *why)
{
	conf_error(r->error, event_line(r), here(r), "%s", why);
	return fail(E_SYNTAX);
}

static bool
anchored(const yaml_event_t *e)
{
	if (e->type == YAML_SCALAR_EVENT)
		return e->data.scalar.anchor != NULL || e->data.scalar.tag != NULL;
	if (e->type == YAML_MAPPING_START_EVENT)
		return e->data.mapping_start.anchor != NULL || e->data.mapping_start.tag != NULL;
	if (e->type == YAML_SEQUENCE_START_EVENT)
		return e->data.sequence_start.anchor != NULL || e->data.sequence_start.tag != NULL;
	return false;
}

static struct status
next_event(struct reader *r)
{
	yaml_event_delete(&r->event);
	if (yaml_parser_parse(&r->yaml, &r->event) == 0) {
		conf_error(r->error, (uint32_t)r->yaml.problem_mark.line + 1, SPAN_EMPTY, "%s",
		    r->yaml.problem != NULL ? r->yaml.problem : "not YAML");
		return fail(r->yaml.error == YAML_MEMORY_ERROR ? E_NOMEM : E_SYNTAX);
	}
	if (r->event.type == YAML_ALIAS_EVENT || anchored(&r->event))
		return refuse(r, "anchors, aliases and tags are not allowed");
	return OK;
}

/* Append one part to the path. */
static struct status
path_push(struct reader *r, struct span part)
{
	size_t sep = r->path_len > 0;

	if (part.len == 0 || r->path_len + sep + part.len > CONF_PATH_MAX)
		return refuse(r, "a key below is empty or too long");
	if (sep == 1)
		r->path[r->path_len] = CONF_SEP;
	for (size_t i = 0; i < part.len; i++) { /* no forged parts, no NUL */
		bool bad = part.ptr[i] < 0x20;

		r->path[r->path_len + sep + i] = (char)(bad ? (uint8_t)'?' : part.ptr[i]);
	}
	r->path_len += sep + part.len;
	r->path[r->path_len] = '\0';
	return OK;
}

static void
path_pop(struct reader *r, size_t len)
{
	r->path_len = len;
	r->path[len] = '\0';
}

static struct status
add(struct reader *r, const struct span *value, uint32_t line)
{
	struct status st = conf_add(r->conf, here(r), value, line);

	if (st.code == E_FULL)
		conf_error(r->error, line, here(r), "too many entries");
	return st;
}

/* Does the row have a number just below this path? */
static bool
below_is_index(const struct reader *r, const struct conf_row *row)
{
	const char *part = row->path;

	for (unsigned i = count_parts(r->path, r->path_len, CONF_SEP); i > 0; i--)
		part += strcspn(part, ".") + 1;
	return strncmp(part, "N.", 2) == 0;
}

static struct status
read_mapping(struct reader *r)
{
	size_t len = r->path_len;
	enum conf_match match;

	for (;;) {
		TRY(next_event(r));
		if (r->event.type == YAML_MAPPING_END_EVENT)
			return OK;
		if (r->event.type != YAML_SCALAR_EVENT)
			return refuse(r, "a key must be text");
		TRY(path_push(r, span_of(r->event.data.scalar.value, r->event.data.scalar.length)));
		if (conf_row_find(here(r), &match) == NULL)
			return refuse(r, "unknown key");
		TRY(next_event(r));
		TRY(read_value(r));
		path_pop(r, len);
	}
}

static struct status
read_value(struct reader *r)
{
	enum conf_match match = MATCH_NONE;
	const struct conf_row *row = conf_row_find(here(r), &match);

	if (row == NULL)
		return refuse(r, "unknown key");
	if (r->event.type == YAML_SEQUENCE_START_EVENT)
		return read_sequence(r);
	if (match == MATCH_ABOVE && below_is_index(r, row))
		return refuse(r, "expects a list");
	if (r->event.type == YAML_SCALAR_EVENT && match == MATCH_EXACT)
		return read_scalar(r);
	if (r->event.type == YAML_MAPPING_START_EVENT && match == MATCH_ABOVE) {
		TRY(add(r, NULL, event_line(r)));
		return read_mapping(r);
	}
	return refuse(r, match == MATCH_EXACT ? "expects one value" : "expects keys below it");
}

/* The current scalar, checked against `row`, appended to `out`. */
static struct status
take_scalar(struct reader *r, const struct conf_row *row, struct buf *out)
{
	struct conf_scalar in = {
		.text = span_of(r->event.data.scalar.value, r->event.data.scalar.length),
		.plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE,
	};
	const char *why = NULL;
	struct status st = conf_value_check(row, &in, out, &why);

	if (is_ok(st) || why == NULL)
		return st;
	if (row->type == CONF_U64 && strstr(why, "range") != NULL)
		conf_error(r->error, event_line(r), here(r), "%s (%llu to %llu)", why,
		    (unsigned long long)row->min, (unsigned long long)row->max);
	else if (row->choices != NULL)
		conf_error(r->error, event_line(r), here(r), "%s (%s)", why, row->choices);
	else
		conf_error(r->error, event_line(r), here(r), "%s", why);
	return st;
}

static struct status
read_scalar(struct reader *r)
{
	auto_buf struct buf value = BUF_INIT(CONF_VALUE_MAX);
	enum conf_match match = MATCH_NONE;
	const struct conf_row *row = conf_row_find(here(r), &match);
	struct span s;

	TRY(take_scalar(r, row, &value));
	s = buf_span(&value);
	return add(r, &s, event_line(r));
}

/* A list: all items in one value. */
static struct status
read_list(struct reader *r, const struct conf_row *row)
{
	auto_buf struct buf value = BUF_INIT(CONF_VALUE_MAX);
	uint32_t line = event_line(r);
	struct span s;

	for (size_t count = 0;; count++) {
		TRY(next_event(r));
		if (r->event.type == YAML_SEQUENCE_END_EVENT)
			break;
		if (r->event.type != YAML_SCALAR_EVENT)
			return refuse(r, "expects a list of names");
		if (count >= row->max ||
		    value.len + r->event.data.scalar.length + 1 > CONF_VALUE_MAX)
			return refuse(r, "the list is too long");
		if (span_eq_str(buf_span(&value), "*") ||
		    (count > 0 && r->event.data.scalar.value[0] == '*'))
			return refuse(r, "\"*\" stands alone");
		if (count > 0)
			TRY(buf_put_u8(&value, ' '));
		TRY(take_scalar(r, row, &value));
	}
	s = buf_span(&value);
	return add(r, &s, line);
}

static struct status
read_sequence(struct reader *r)
{
	enum conf_match match = MATCH_NONE;
	const struct conf_row *row = conf_row_find(here(r), &match);
	size_t len = r->path_len;
	char index[24];

	if (match == MATCH_EXACT && row->type == CONF_LIST)
		return read_list(r, row);
	if (match == MATCH_EXACT || !below_is_index(r, row))
		return refuse(r, "expects no list");
	TRY(add(r, NULL, event_line(r)));
	for (unsigned i = 0;; i++) {
		TRY(next_event(r));
		if (r->event.type == YAML_SEQUENCE_END_EVENT)
			return i > 0 ? OK : refuse(r, "the list is empty");
		(void)snprintf(index, sizeof(index), "%u", i);
		TRY(path_push(r, span_str(index)));
		TRY(read_value(r));
		path_pop(r, len);
	}
}

static struct status
read_document(struct reader *r)
{
	TRY(next_event(r)); /* stream start */
	TRY(next_event(r));
	if (r->event.type != YAML_DOCUMENT_START_EVENT)
		return refuse(r, "the file is empty");
	if (r->event.data.document_start.version_directive != NULL ||
	    r->event.data.document_start.tag_directives.start !=
		r->event.data.document_start.tag_directives.end)
		return refuse(r, "directives are not allowed");
	TRY(next_event(r));
	if (r->event.type != YAML_MAPPING_START_EVENT)
		return refuse(r, "expects keys at the top");
	TRY(read_mapping(r));
	TRY(next_event(r)); /* document end */
	TRY(next_event(r));
	if (r->event.type != YAML_STREAM_END_EVENT)
		return refuse(r, "only one document is allowed");
	return OK;
}

static struct status
refuse_duplicates(const struct conf *c, char *error)
{
	for (size_t i = 1; i < c->count; i++) {
		const struct conf_entry *e = &c->entries[i];

		if (conf_path_cmp(e - 1, e) != 0)
			continue;
		conf_error(error, e->line, span_of(e->path, e->path_len), "is here twice");
		return fail(E_EXISTS);
	}
	return OK;
}

/* Is `path` the row's own parent? */
static bool
is_parent(const struct conf_row *row, const struct conf_entry *e)
{
	return e->value == NULL &&
	       count_parts(e->path, e->path_len, CONF_SEP) + 1 ==
		   count_parts(row->path, strlen(row->path), '.') &&
	       conf_row_match(row, span_of(e->path, e->path_len)) == MATCH_ABOVE;
}

/* Add the row's key below `parent` (NULL: at its literal path) unless it is there. */
static struct status
fill_one(struct conf *c, size_t sorted, const struct conf_row *row, const struct conf_entry *parent,
    char *error)
{
	auto_buf struct buf path = BUF_INIT((size_t)CONF_PATH_MAX * 2);
	const struct conf view = { .entries = c->entries, .count = sorted };
	const char *last = strrchr(row->path, '.');
	struct span value;

	if (parent != NULL) {
		TRY(buf_put(&path, parent->path, parent->path_len));
		TRY(buf_put_str(&path, last));
	} else {
		TRY(buf_put_str(&path, row->path));
	}
	for (size_t i = parent != NULL ? parent->path_len : 0; i < path.len; i++)
		path.ptr[i] = path.ptr[i] == '.' ? CONF_SEP : path.ptr[i];
	if (path.len > CONF_PATH_MAX)
		return fail(E_RANGE);
	if (conf_find(&view, buf_span(&path)) != NULL)
		return OK;
	if (row->required) {
		conf_error(error, parent != NULL ? parent->line : 0, buf_span(&path), "is missing");
		return fail(E_NOTFOUND);
	}
	value = span_str(row->fallback);
	return conf_add(c, buf_span(&path), &value, parent != NULL ? parent->line : 0);
}

static bool
row_is_open(const struct conf_row *row)
{
	return strstr(row->path, ".NAME.") != NULL || strstr(row->path, ".N.") != NULL;
}

static struct status
fill_row(struct conf *c, size_t sorted, const struct conf_row *row, char *error)
{
	if (row->fallback == NULL && !row->required)
		return OK;
	if (!row_is_open(row))
		return fill_one(c, sorted, row, NULL, error);
	for (size_t i = 0; i < sorted; i++) {
		struct conf_entry parent = c->entries[i]; /* adding may move the array */

		if (is_parent(row, &parent))
			TRY(fill_one(c, sorted, row, &parent, error));
	}
	return OK;
}

static struct status
fill_defaults(struct conf *c, char *error)
{
	size_t sorted = c->count;

	for (size_t i = 0; i < conf_row_count; i++)
		TRY(fill_row(c, sorted, &conf_rows[i], error));
	return OK;
}

/* Mappings and sequences have done their part. */
static void
drop_nodes(struct conf *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (c->entries[i].value != NULL)
			c->entries[kept++] = c->entries[i];
	}
	c->count = kept;
}

static struct status
complete(struct conf *c, conf_env_fn *get, char *error)
{
	auto_buf struct buf slice = BUF_INIT(CONF_SLICE_MAX);

	conf_sort(c);
	TRY(refuse_duplicates(c, error));
	TRY(fill_defaults(c, error));
	drop_nodes(c);
	conf_sort(c);
	if (get != NULL)
		TRY(conf_env_apply(c, get, error));
	TRY(conf_check(c, error));
	return conf_slice(c, NULL, &slice); /* it must fit the wire */
}

static struct status
parse_into(struct conf *c, struct span yaml, conf_env_fn *get, char *error)
{
	struct reader r = { .conf = c, .error = error };
	struct status st;

	if (yaml_parser_initialize(&r.yaml) == 0)
		return fail(E_NOMEM);
	yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.yaml, yaml.ptr, yaml.len);
	st = read_document(&r);
	yaml_event_delete(&r.event);
	yaml_parser_delete(&r.yaml);
	return is_ok(st) ? complete(c, get, error) : st;
}

struct status
conf_parse(struct span yaml, struct conf **ret, char error[CONF_ERROR_MAX])
{
	return conf_parse_env(yaml, NULL, ret, error);
}

struct status
conf_parse_env(struct span yaml, conf_env_fn *get, struct conf **ret, char error[CONF_ERROR_MAX])
{
	struct conf *c;
	struct status st;

	error[0] = '\0';
	if (yaml.len > CONF_FILE_MAX) {
		conf_error(error, 0, SPAN_EMPTY, "the file is larger than %u bytes", CONF_FILE_MAX);
		return fail(E_RANGE);
	}
	TRY(conf_new(&c));
	st = parse_into(c, yaml.len > 0 ? yaml : SPAN_LIT(""), get, error);
	if (!is_ok(st)) {
		if (error[0] == '\0')
			conf_error(error, 0, SPAN_EMPTY, "%s", status_text(st));
		conf_free(c);
		return st;
	}
	*ret = c;
	return OK;
}
