/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasks.c: a handful of known tasks, each as a template of Python code.
 *
 * Runs in: demo. Trusts: nothing: a prompt's words enter code only as checked numbers or as
 * string literals.
 * Invariants: the same prompt gives the same code.
 * See: demo.h; docs/api.md, "The demo model".
 */
#include "demo.h"

#include <json/write.h>

struct facts {
	struct span prompt;
	struct span numbers[DEMO_NUMBERS_MAX];
	size_t count;
	struct span subject; /* quoted text, or what follows a colon */
	bool has_subject;
};

typedef struct status task_fn(const struct facts *f, struct buf *code);

static task_fn put_sum, put_range_sum, put_average, put_prime, put_fibonacci, put_factorial,
    put_word_count, put_days, put_sort, put_reverse, put_plot;

/* In this order; a row matches when one of its words is there with enough numbers or text. */
static const struct {
	const char *words[4];
	size_t numbers;
	bool subject;
	task_fn *put;
} tasks[] = {
	{ { "plot", "draw", "chart", "graph" }, 0, false, put_plot },
	{ { "days between", "days from", "date difference", "days until" }, 3, false, put_days },
	{ { "word count", "count the words", "how many words", "count words" }, 0, true,
	    put_word_count },
	{ { "prime", "prime number" }, 0, false, put_prime },
	{ { "fibonacci" }, 1, false, put_fibonacci },
	{ { "factorial" }, 1, false, put_factorial },
	{ { "average", "mean" }, 1, false, put_average },
	{ { "sum", "add", "total" }, 2, false, put_range_sum },
	{ { "sum", "add", "total", "plus" }, 2, false, put_sum },
	{ { "sort", "sort the" }, 0, true, put_sort },
	{ { "sort", "sort the" }, 2, false, put_sort },
	{ { "reverse" }, 0, true, put_reverse },
};

static bool
matches(size_t task, const struct facts *f)
{
	if (f->count < tasks[task].numbers || (tasks[task].subject && !f->has_subject))
		return false;
	for (size_t i = 0; i < 4 && tasks[task].words[i] != NULL; i++) {
		if (text_has(f->prompt, tasks[task].words[i]))
			return true;
	}
	return false;
}

struct status
task_code(struct span prompt, struct buf *code)
{
	struct facts f = { .prompt = prompt };

	f.count = text_numbers(prompt, f.numbers, DEMO_NUMBERS_MAX);
	f.has_subject = text_subject(prompt, &f.subject);
	for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
		if (!matches(i, &f))
			continue;
		struct status st = tasks[i].put(&f, code);

		if (st.code != E_NOTFOUND)
			return st;
	}
	return fail(E_NOTFOUND);
}

/* ---- parts of code ---- */

/* A Python number has no leading zero ("007"). */
static struct status
put_number(struct span n, struct buf *code)
{
	if (n.ptr[0] == '-') {
		TRY(buf_put_u8(code, '-'));
		n = span_from(n, 1);
	}
	while (n.len > 1 && n.ptr[0] == '0' && n.ptr[1] != '.')
		n = span_from(n, 1);
	return buf_put_span(code, n);
}

static struct status
put_numbers(const struct facts *f, struct buf *code)
{
	TRY(buf_put_str(code, "numbers = ["));
	for (size_t i = 0; i < f->count; i++) {
		TRY(buf_put_str(code, i > 0 ? ", " : ""));
		TRY(put_number(f->numbers[i], code));
	}
	return buf_put_str(code, "]\n");
}

/* A string literal: JSON's escapes are Python's, too. */
static struct status
put_text(const char *name, struct span text, struct buf *code)
{
	TRY(buf_printf(code, "%s = \"", name));
	TRY(json_escape(text, code));
	return buf_put_str(code, "\"\n");
}

/* The first number as a count of at most `max`; E_NOTFOUND when it is not one. */
static struct status
count_of(const struct facts *f, uint64_t max, unsigned long long *ret)
{
	uint64_t v;

	if (f->count == 0 || !is_ok(span_u64(f->numbers[0], max, &v)))
		return fail(E_NOTFOUND);
	*ret = v;
	return OK;
}

/* ---- tasks ---- */
static struct status
put_sum(const struct facts *f, struct buf *code)
{
	TRY(put_numbers(f, code));
	return buf_put_str(code, "print(sum(numbers))\n");
}

/* Two numbers with one of these between them are the ends of a range. */
static bool
is_range(const struct facts *f)
{
	static const char *const words[] = { " to ", " through ", " up to ", ".." };
	const uint8_t *end = f->numbers[0].ptr + f->numbers[0].len;

	if (f->count != 2 || f->numbers[1].ptr < end)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (span_eq_nocase(
			span_of(end, (size_t)(f->numbers[1].ptr - end)), span_str(words[i])))
			return true;
	}
	return false;
}

static struct status
put_range_sum(const struct facts *f, struct buf *code)
{
	if (!is_range(f))
		return fail(E_NOTFOUND);
	TRY(buf_put_str(code, "first, last = "));
	TRY(put_number(f->numbers[0], code));
	TRY(buf_put_str(code, ", "));
	TRY(put_number(f->numbers[1], code));
	return buf_put_str(code, "\nprint(sum(range(int(first), int(last) + 1)))\n");
}

static struct status
put_average(const struct facts *f, struct buf *code)
{
	TRY(put_numbers(f, code));
	return buf_put_str(code, "print(sum(numbers) / len(numbers))\n");
}

/* "the 100th prime" has its number glued to letters. */
static bool
ordinal(struct span s, unsigned long long *ret)
{
	for (size_t i = 0; i < s.len; i++) {
		size_t at = i;
		uint64_t v;

		if (i > 0 && s.ptr[i - 1] > ' ')
			continue;
		while (at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9')
			at++;
		if (at == i || at + 2 > s.len ||
		    !is_ok(span_u64(span_of(s.ptr + i, at - i), 200000, &v)))
			continue;
		if (text_has(span_of(s.ptr + at, 2), "st") ||
		    text_has(span_of(s.ptr + at, 2), "nd") ||
		    text_has(span_of(s.ptr + at, 2), "rd") ||
		    text_has(span_of(s.ptr + at, 2), "th")) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static struct status
put_prime(const struct facts *f, struct buf *code)
{
	unsigned long long n = 0;

	if (!ordinal(f->prompt, &n))
		TRY(count_of(f, 200000, &n));
	if (n == 0)
		return fail(E_NOTFOUND);
	return buf_printf(code,
	    "n = %llu\n"
	    "primes = []\n"
	    "candidate = 2\n"
	    "while len(primes) < n:\n"
	    "    for p in primes:\n"
	    "        if p * p > candidate:\n"
	    "            primes.append(candidate)\n"
	    "            break\n"
	    "        if candidate %% p == 0:\n"
	    "            break\n"
	    "    else:\n"
	    "        primes.append(candidate)\n"
	    "    candidate += 1\n"
	    "print(primes[-1])\n",
	    n);
}

static struct status
put_fibonacci(const struct facts *f, struct buf *code)
{
	unsigned long long n;

	TRY(count_of(f, 10000, &n));
	return buf_printf(code,
	    "numbers = [0, 1]\n"
	    "while len(numbers) < %llu:\n"
	    "    numbers.append(numbers[-1] + numbers[-2])\n"
	    "print(*numbers[:%llu])\n",
	    n, n);
}

static struct status
put_factorial(const struct facts *f, struct buf *code)
{
	unsigned long long n;

	TRY(count_of(f, 1000, &n));
	return buf_printf(code, "import math\nprint(math.factorial(%llu))\n", n);
}

static struct status
put_word_count(const struct facts *f, struct buf *code)
{
	TRY(put_text("text", f->subject, code));
	return buf_put_str(code, "print(len(text.split()))\n");
}

/* Dates as YYYY-MM-DD: number, -number, -number. */
static struct status
put_days(const struct facts *f, struct buf *code)
{
	TRY(put_text("prompt", f->prompt, code));
	return buf_put_str(code, "import re\n"
				 "from datetime import date\n"
				 "dates = [date(*map(int, d)) for d in "
				 "re.findall(r'(\\d{4})-(\\d\\d)-(\\d\\d)', prompt)]\n"
				 "if len(dates) < 2:\n"
				 "    dates.append(date.today())\n"
				 "print(abs((dates[1] - dates[0]).days))\n");
}

static struct status
put_sort(const struct facts *f, struct buf *code)
{
	if (f->count >= 2) {
		TRY(put_numbers(f, code));
		return buf_put_str(code, "print(*sorted(numbers))\n");
	}
	TRY(put_text("text", f->subject, code));
	return buf_put_str(code, "words = [w.strip() for w in text.replace(',', ' ').split()]\n"
				 "print(*sorted(words))\n");
}

static struct status
put_reverse(const struct facts *f, struct buf *code)
{
	TRY(put_text("text", f->subject, code));
	return buf_put_str(code, "print(text[::-1])\n");
}

static const struct {
	const char *words[3];
	const char *expression;
	const char *title;
} curves[] = {
	{ { "cosine", "cos" }, "np.cos(x)", "cos(x)" },
	{ { "exponential", "exp", "e^x" }, "np.exp(x)", "exp(x)" },
	{ { "parabola", "x^2", "square" }, "x ** 2", "x^2" },
	{ { "sine", "sin" }, "np.sin(x)", "sin(x)" },
};

static struct status
put_plot(const struct facts *f, struct buf *code)
{
	TRY(buf_put_str(code, "import matplotlib.pyplot as plt\n"));
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
		for (size_t w = 0; w < 3 && curves[i].words[w] != NULL; w++) {
			if (text_has(f->prompt, curves[i].words[w]))
				return buf_printf(code,
				    "import numpy as np\n"
				    "x = np.linspace(-2 * np.pi, 2 * np.pi, 500)\n"
				    "plt.plot(x, %s)\n"
				    "plt.title('%s')\n"
				    "plt.savefig('/tmp/out/plot.png')\n"
				    "print('plot.png')\n",
				    curves[i].expression, curves[i].title);
		}
	}
	if (f->count < 2) {
		buf_clear(code);
		return fail(E_NOTFOUND);
	}
	TRY(put_numbers(f, code));
	return buf_put_str(code, "plt.plot(numbers, marker='o')\n"
				 "plt.savefig('/tmp/out/plot.png')\n"
				 "print('plot.png')\n");
}
