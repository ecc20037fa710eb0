/* SPDX-License-Identifier: Apache-2.0 */
/*
 * units: {"value": 3, "from": "mi", "to": "km"} on standard input,
 * {"value": 4.828032, "unit": "km"} on standard output.
 *
 * The same source becomes the module and the native part: it only reads and writes.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 4096
#define TEXT_MAX 64

/* A quantity in base units is value * factor + offset. */
struct unit {
	const char *name;
	const char *kind;
	double factor, offset;
};

static const struct unit units[] = {
	{ "mm", "length", 0.001, 0 },
	{ "cm", "length", 0.01, 0 },
	{ "m", "length", 1, 0 },
	{ "km", "length", 1000, 0 },
	{ "in", "length", 0.0254, 0 },
	{ "ft", "length", 0.3048, 0 },
	{ "yd", "length", 0.9144, 0 },
	{ "mi", "length", 1609.344, 0 },
	{ "nmi", "length", 1852, 0 },
	{ "g", "mass", 0.001, 0 },
	{ "kg", "mass", 1, 0 },
	{ "t", "mass", 1000, 0 },
	{ "oz", "mass", 0.028349523125, 0 },
	{ "lb", "mass", 0.45359237, 0 },
	{ "s", "time", 1, 0 },
	{ "min", "time", 60, 0 },
	{ "h", "time", 3600, 0 },
	{ "d", "time", 86400, 0 },
	{ "K", "temperature", 1, 0 },
	{ "C", "temperature", 1, 273.15 },
	{ "F", "temperature", 5.0 / 9.0, 273.15 - 32.0 * 5.0 / 9.0 },
};

struct input {
	double value;
	char from[TEXT_MAX], to[TEXT_MAX];
	bool has_value;
};

/* ---- JSON: one flat object of numbers and strings, which is what the schema lets through ---- */

struct reader {
	const char *at, *end;
};

static void
skip_space(struct reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

static bool
eat(struct reader *r, char c)
{
	skip_space(r);
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

/* Four hex digits; names of units are ASCII, so that what lies beyond becomes '?'. */
static bool
read_escape(struct reader *r, char *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *found;
	char hex[5] = "", *stop;
	long code;

	if (r->at == r->end)
		return false;
	if (*r->at != 'u') {
		found = memchr(from, *r->at, sizeof(from) - 1);
		if (found == NULL)
			return false;
		r->at++;
		*out = to[found - from];
		return true;
	}
	if (r->end - r->at < 5)
		return false;
	memcpy(hex, r->at + 1, 4);
	code = strtol(hex, &stop, 16);
	if (strspn(hex, "0123456789abcdefABCDEF") != 4)
		return false;
	r->at += 5;
	*out = code > 0 && code < 128 ? (char)code : '?';
	return true;
}

static bool
read_string(struct reader *r, char out[TEXT_MAX])
{
	size_t len = 0;

	if (!eat(r, '"'))
		return false;
	while (r->at < r->end && *r->at != '"') {
		char c = *r->at++;

		if ((unsigned char)c < 0x20 || (c == '\\' && !read_escape(r, &c)) || len + 1 == TEXT_MAX)
			return false;
		out[len++] = c;
	}
	out[len] = '\0';
	return eat(r, '"');
}

static bool
read_number(struct reader *r, double *out)
{
	char text[TEXT_MAX], *stop;
	size_t len;

	skip_space(r);
	len = strspn(r->at, "+-.0123456789eE");
	if (len == 0 || len >= TEXT_MAX || len > (size_t)(r->end - r->at))
		return false;
	memcpy(text, r->at, len);
	text[len] = '\0';
	*out = strtod(text, &stop);
	r->at += len;
	return *stop == '\0' && isfinite(*out);
}

static bool
read_member(struct reader *r, struct input *in)
{
	char name[TEXT_MAX];

	if (!read_string(r, name) || !eat(r, ':'))
		return false;
	if (strcmp(name, "from") == 0)
		return read_string(r, in->from);
	if (strcmp(name, "to") == 0)
		return read_string(r, in->to);
	in->has_value = strcmp(name, "value") == 0;
	return in->has_value && read_number(r, &in->value);
}

static bool
read_input(struct reader *r, struct input *in)
{
	if (!eat(r, '{'))
		return false;
	do {
		if (!read_member(r, in))
			return false;
	} while (eat(r, ','));
	if (!eat(r, '}'))
		return false;
	skip_space(r);
	return r->at == r->end && in->has_value;
}

/* ---- */

static const struct unit *
find(const char *name)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(units[i].name, name) == 0)
			return &units[i];
	}
	return NULL;
}

static void
print_string(const char *text)
{
	putchar('"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		if ((unsigned char)*text < 0x20)
			printf("\\u%04x", (unsigned)*text);
		else
			putchar(*text);
	}
	putchar('"');
}

static int
say_error(const char *a, const char *b, const char *c, const char *d)
{
	char text[4 * TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%s%s%s%s", a, b, c, d);
	printf("{\"error\": ");
	print_string(text);
	printf("}\n");
	return 0;
}

int
main(void)
{
	static char text[INPUT_MAX + 1];
	struct input in = { 0 };
	const struct unit *from, *to;
	size_t len = fread(text, 1, INPUT_MAX, stdin);
	struct reader r = { text, text + len };

	if (!read_input(&r, &in)) {
		fprintf(stderr, "units: the input is not what the schema says\n");
		return 1;
	}
	from = find(in.from);
	to = find(in.to);
	if (from == NULL || to == NULL)
		return say_error("unknown unit: ", from == NULL ? in.from : in.to, "", "");
	if (strcmp(from->kind, to->kind) != 0)
		return say_error(in.from, " and ", in.to, " measure different things");
	printf("{\"value\": %.12g, \"unit\": ", (in.value * from->factor + from->offset - to->offset) / to->factor);
	print_string(to->name);
	printf("}\n");
	return 0;
}
