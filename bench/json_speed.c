/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast lib/json parses. Not built by default:
 *	cc -O2 -D_GNU_SOURCE -Ilib/base -Ilib/json bench/json_speed.c \
 *	    lib/base/[a-z]*.c lib/json/[a-z]*.c -o json_speed
 *
 * Runs in:    a shell. Prints the median of interleaved rounds, one line a text:
 *             a chat request of 100 kB, one with many escapes, one in Chinese, one
 *             of nothing but small members, and hostile keys.
 * Trusts:     its own texts.
 * Owns:       nothing.
 * Invariants: every text is parsed with JSON_STRICT, as the gateway does.
 * See:        json/json.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <json/json.h>

#define ROUNDS 101
#define TEXT_MAX (8UL << 20)

struct sample {
	const char *name;
	const char *piece; /* the content of each message */
	size_t bytes;
	struct buf text;
	double ns[ROUNDS];
};

static struct status
chat(struct sample *s)
{
	TRY(buf_put_str(&s->text, "{\"model\":\"demo\",\"stream\":true,\"messages\":["));
	for (int i = 0; s->text.len < s->bytes; i++) {
		TRY(buf_printf(&s->text, "%s{\"role\":\"%s\",\"content\":\"", i > 0 ? "," : "",
		    i % 2 ? "assistant" : "user"));
		for (int k = 0; k < 20; k++)
			TRY(buf_put_str(&s->text, s->piece));
		TRY(buf_put_str(&s->text, "\"}"));
	}
	return buf_put_str(&s->text, "],\"temperature\":0.7}");
}

/* Many small values: members with distinct keys. */
static struct status
members(struct sample *s)
{
	TRY(buf_put_str(&s->text, "{\"first\":0"));
	for (int i = 0; s->text.len < s->bytes; i++)
		TRY(buf_printf(&s->text, ",\"%s%d\":%d", s->piece, i, i));
	return buf_put_str(&s->text, "}");
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct status
measure(struct sample *s, struct json_doc *d, int round)
{
	int times = (int)(4000000 / s->text.len) + 1;
	uint64_t start = clock_mono_ns();

	for (int i = 0; i < times; i++)
		TRY(json_parse(d, buf_span(&s->text)));
	s->ns[round] = (double)(clock_mono_ns() - start) / times;
	return OK;
}

static struct status
run(struct sample *samples, size_t n)
{
	auto_json struct json_doc d = { .count = 0 };

	TRY(json_init(&d, &JSON_STRICT));
	for (size_t i = 0; i < n; i++)
		TRY(samples[i].name[0] == 'c' ? chat(&samples[i]) : members(&samples[i]));
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < n; i++)
			TRY(measure(&samples[i], &d, round));
	}
	return OK;
}

int
main(void)
{
	struct sample samples[] = {
		{ "chat, plain text", "The quick brown fox jumps over the lazy dog, twice. ",
		    100000 },
		{ "chat, code with escapes", "\\tif (x == \\\"y\\\")\\n\\t\\treturn 1;\\n",
		    100000 },
		{ "chat, Chinese", "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c", 100000 },
		{ "members, small", "k", 100000 },
		{ "members, 4 MB in one object", "key", 4000000 },
	};
	size_t n = sizeof(samples) / sizeof(samples[0]);

	for (size_t i = 0; i < n; i++)
		samples[i].text = BUF_INIT(TEXT_MAX);
	if (!is_ok(run(samples, n)))
		return 1;
	for (size_t i = 0; i < n; i++) {
		struct sample *s = &samples[i];

		qsort(s->ns, ROUNDS, sizeof(s->ns[0]), by_value);
		printf("%-28s %8zu bytes %10.1f us %8.0f MB/s\n", s->name, s->text.len,
		    s->ns[ROUNDS / 2] / 1000, (double)s->text.len * 1000 / s->ns[ROUNDS / 2]);
		buf_done(&s->text);
	}
	return 0;
}
