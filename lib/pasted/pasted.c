/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pasted.c: credentials of others that a person pastes.
 *
 * Runs in: gateway; store, at the door into its tables. Trusts: nothing; the text is a client's or
 * a model's. Owns: nothing. Invariants: each byte is looked at a bounded number of times; a
 * replaced part never holds a quote or half of an escape, so that JSON stays JSON; a second look at
 * what was masked finds nothing. See: docs/api.md, "Credentials in content"; src/gateway/leak.c for
 * keys of ours.
 */
#include <pasted/pasted.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <keytext/keytext.h>

#include <pasted/escape.h>
#include <pasted/scan.h>

#define CRC_DIGITS 6
#define TOKEN_DIGITS 36 /* of GitHub and npm: 30, and their checksum */
#define RUN_MAX 512     /* no token is longer */
#define PEM_MAX (16U << 10)
#define ROUNDS_MAX 8
#define NEAR 256 /* an AWS secret stands so near its id */
#define AWS_ID_LEN 20
#define AWS_SECRET_LEN 40

#define PREFIX(s)                                   \
	{                                           \
		(const uint8_t *)(s), sizeof(s) - 1 \
	}

struct found {
	size_t off, len;
	const char *what;
	bool never; /* is in no history */
};

/* What each of these bytes may end the prefix of, or begin. */
static const uint8_t triggers[] = { '_', '-', 'A', '.' };

/* ---- bytes ---- */

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(uint8_t c)
{
	return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
is_word(uint8_t c)
{
	return is_alnum(c) || c == '_' || c == '-';
}

static bool
is_base64(uint8_t c)
{
	return is_alnum(c) || c == '+' || c == '/';
}

static size_t
run_len(struct span text, size_t from, bool (*in)(uint8_t c))
{
	size_t n = 0;

	while (n < RUN_MAX && from + n < text.len && in(text.ptr[from + n]))
		n++;
	return n;
}

/* Does a word begin here? The letter of an escape (\n) belongs to no word. */
static bool
begins(struct span text, size_t at)
{
	size_t slashes = 0;
	uint8_t c;

	if (at == 0)
		return true;
	c = text.ptr[at - 1];
	if (!is_word(c))
		return true;
	if (at >= 6 && text.ptr[at - 6] == '\\' && text.ptr[at - 5] == 'u')
		return true;
	if (strchr("nrtbf", c) == NULL)
		return false;
	while (slashes < at - 1 && slashes < RUN_MAX && text.ptr[at - 2 - slashes] == '\\')
		slashes++;
	return slashes % 2 == 1;
}

/* `prefix` ends with `at`, and a word begins with it; *ret_from is where. */
static bool
prefixed(struct span text, size_t at, struct span prefix, size_t *ret_from)
{
	size_t len = prefix.len;

	if (at + 1 < len || text.ptr[at] != prefix.ptr[len - 1] ||
	    text.ptr[at - 1] != prefix.ptr[len - 2] ||
	    memcmp(text.ptr + at + 1 - len, prefix.ptr, len) != 0)
		return false;
	*ret_from = at + 1 - len;
	return begins(text, *ret_from);
}

/* ---- forms ---- */

/* 30 base62 digits and the CRC-32 of them, in 6. */
static bool
is_checked(struct span text, size_t from)
{
	char crc[CRC_DIGITS];

	if (run_len(text, from, is_alnum) != TOKEN_DIGITS)
		return false;
	base62_u64(
	    crc32_ieee(span_of(text.ptr + from, TOKEN_DIGITS - CRC_DIGITS)), crc, CRC_DIGITS);
	return memcmp(text.ptr + from + TOKEN_DIGITS - CRC_DIGITS, crc, CRC_DIGITS) == 0;
}

static size_t
checked_len(struct span text, size_t from)
{
	return is_checked(text, from) ? TOKEN_DIGITS : 0;
}

/* 22 digits, '_', 59. */
static size_t
pat_len(struct span text, size_t from)
{
	size_t n = run_len(text, from, is_alnum);

	if (n != 22 || from + n == text.len || text.ptr[from + n] != '_')
		return 0;
	return run_len(text, from + n + 1, is_alnum) == 59 ? 82 : 0;
}

static size_t
stripe_len(struct span text, size_t from)
{
	size_t n = run_len(text, from, is_alnum);

	return n >= 24 ? n : 0;
}

static size_t
count_digits(struct span text, size_t from, size_t n)
{
	size_t digits = 0;

	for (size_t i = 0; i < n; i++)
		digits += is_digit(text.ptr[from + i]);
	return digits;
}

static size_t
slack_len(struct span text, size_t from)
{
	size_t n = run_len(text, from, is_word);

	return n >= 20 && count_digits(text, from, n) >= 4 ? n : 0;
}

/* Newer ones have a part behind a dot: it tells nothing without the first. */
static size_t
gitlab_len(struct span text, size_t from)
{
	size_t n = run_len(text, from, is_word);

	return n >= 20 && count_digits(text, from, n) > 0 ? n : 0;
}

/* A root token has 24, others more. */
static size_t
vault_len(struct span text, size_t from)
{
	size_t n = run_len(text, from, is_word);

	return n >= 24 && count_digits(text, from, n) > 0 ? n : 0;
}

static size_t
anthropic_len(struct span text, size_t from)
{
	size_t n = run_len(text, from, is_word);

	return n >= 40 ? n : 0;
}

/* OpenAI's have a mark in them, or name their kind; others that begin alike are one run of digits
 * and letters. */
static size_t
secret_key_len(struct span text, size_t from)
{
	static const struct span kinds[] = { PREFIX("proj-"), PREFIX("svcacct-"), PREFIX("admin-"),
		PREFIX("None-") };
	size_t n = run_len(text, from, is_word);
	struct span run = span_of(text.ptr + from, n);

	if (n >= 40 && memmem(run.ptr, run.len, "T3BlbkFJ", 8) != NULL)
		return n;
	if (span_starts(run, SPAN_LIT("or-v1-")) && n >= 64)
		return n;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (span_starts(run, kinds[i]) && n >= kinds[i].len + 40 &&
		    count_digits(text, from, n) >= 4)
			return n;
	}
	return n >= 32 && run_len(text, from, is_alnum) == n && count_digits(text, from, n) > 0 ? n
												: 0;
}

static const struct {
	struct span prefix;
	size_t (*len)(struct span text, size_t from); /* behind the prefix; 0: it is none */
	const char *what;
	bool never; /* of a provider of models, or of where theirs are kept */
} forms[] = {
	{ PREFIX("ghp_"), checked_len, "github token" },
	{ PREFIX("gho_"), checked_len, "github token" },
	{ PREFIX("ghu_"), checked_len, "github token" },
	{ PREFIX("ghs_"), checked_len, "github token" },
	{ PREFIX("ghr_"), checked_len, "github token" },
	{ PREFIX("github_pat_"), pat_len, "github token" },
	{ PREFIX("npm_"), checked_len, "npm token" },
	{ PREFIX("sk_live_"), stripe_len, "stripe key" },
	{ PREFIX("rk_live_"), stripe_len, "stripe key" },
	{ PREFIX("xoxb-"), slack_len, "slack token" },
	{ PREFIX("xoxp-"), slack_len, "slack token" },
	{ PREFIX("xoxa-"), slack_len, "slack token" },
	{ PREFIX("xoxs-"), slack_len, "slack token" },
	{ PREFIX("glpat-"), gitlab_len, "gitlab token" },
	{ PREFIX("hvs."), vault_len, "vault token", true },
	{ PREFIX("hvb."), vault_len, "vault token", true },
	{ PREFIX("sk-ant-"), anthropic_len, "anthropic key", true },
	{ PREFIX("sk-"), secret_key_len, "openai key", true },
};

/* A key of ours, wherever it stands: what a model or a tool says is kept without it. */
static bool
find_key(struct span text, size_t at, struct found *f)
{
	size_t from = at - (KEYTEXT_PREFIX_LEN - 1);

	if (at < KEYTEXT_PREFIX_LEN - 1 || text.ptr[at - 1] != 'p' ||
	    text.len - from < KEYTEXT_LEN || !keytext_ok(span_of(text.ptr + from, KEYTEXT_LEN)))
		return false;
	*f = (struct found){ from, KEYTEXT_LEN, "sallyport key", true };
	return true;
}

static bool
find_form(struct span text, size_t at, struct found *f)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		size_t len;

		if (!prefixed(text, at, forms[i].prefix, &f->off))
			continue;
		len = forms[i].len(text, at + 1);
		if (len == 0)
			continue;
		f->len = at + 1 - f->off + len;
		f->what = forms[i].what;
		f->never = forms[i].never;
		return true;
	}
	return false;
}

/* ---- private keys ---- */

/* One byte, or one escape, of what a PEM block consists of; 0: it ends here. */
static size_t
pem_unit(struct span text, size_t at)
{
	uint8_t c = text.ptr[at];

	if (c != '\\')
		return is_base64(c) || strchr("=-:,. \r\n\t", c) != NULL ? c != 0 : 0;
	if (at + 1 < text.len && strchr("nrt/", text.ptr[at + 1]) != NULL)
		return text.ptr[at + 1] != 0 ? 2 : 0;
	return at + 5 < text.len && text.ptr[at + 1] == 'u' && is_alnum(text.ptr[at + 2]) &&
		       is_alnum(text.ptr[at + 3]) && is_alnum(text.ptr[at + 4]) &&
		       is_alnum(text.ptr[at + 5])
		   ? 6
		   : 0;
}

/* Up to and with the line that ends it, or to where it is cut off. */
static bool
find_pem(struct span text, size_t at, struct found *f)
{
	static const struct span begin = { (const uint8_t *)"-----BEGIN ", 11 };
	static const struct span end = { (const uint8_t *)"-----END ", 9 };
	size_t to = at + begin.len, unit, label, dashes = 0;

	if (!span_starts(span_from(text, at), begin))
		return false;
	for (label = 0; label < 40 && to + label < text.len && text.ptr[to + label] != '-';)
		label++;
	if (memmem(text.ptr + to, label, "PRIVATE KEY", 11) == NULL)
		return false;
	for (to += label; to < text.len && to - at < PEM_MAX; to += unit) {
		if (dashes == 0 && to > at + begin.len + label + 5 &&
		    span_starts(span_from(text, to), end))
			dashes = to + end.len;
		unit = pem_unit(text, to);
		if (unit == 0)
			break;
		if (dashes > 0 && to > dashes &&
		    span_starts(span_from(text, to), SPAN_LIT("-----"))) {
			to += 5;
			break;
		}
	}
	*f = (struct found){ at, to - at, "private key", false };
	return dashes > 0 || to - at > 128;
}

/* ---- AWS, Google ---- */

/* 40 characters of all kinds: a hash in hexadecimal is none. */
static bool
is_aws_secret(struct span text, size_t from)
{
	bool upper = false, lower = false;

	for (size_t i = 0; i < AWS_SECRET_LEN; i++) {
		uint8_t c = text.ptr[from + i];

		upper = upper || (c >= 'A' && c <= 'Z');
		lower = lower || (c >= 'a' && c <= 'z');
	}
	return upper && lower && count_digits(text, from, AWS_SECRET_LEN) > 0;
}

/* An id says nothing; its secret does, and stands near it. */
static bool
find_aws(struct span text, size_t at, struct found *f)
{
	size_t from = at > NEAR ? at - NEAR : 0, to = at + NEAR < text.len ? at + NEAR : text.len;

	if (text.len - at < AWS_ID_LEN || !begins(text, at) ||
	    run_len(text, at, is_alnum) != AWS_ID_LEN ||
	    (memcmp(text.ptr + at, "AKIA", 4) != 0 && memcmp(text.ptr + at, "ASIA", 4) != 0))
		return false;
	for (size_t i = from; i < to;) {
		size_t n = run_len(text, i, is_base64);
		size_t skip = n > 0 && i > 0 && text.ptr[i - 1] == '\\' ? 1 : 0; /* the n of \n */

		if (n - skip == AWS_SECRET_LEN && i + skip >= from &&
		    (i > from || i == 0 || !is_base64(text.ptr[i - 1])) &&
		    is_aws_secret(text, i + skip)) {
			*f = (struct found){ i + skip, AWS_SECRET_LEN, "aws secret", false };
			return true;
		}
		i += n > 0 ? n : 1;
	}
	return false;
}

static bool
find_google(struct span text, size_t at, struct found *f)
{
	if (text.len - at < 39 || memcmp(text.ptr + at, "AIza", 4) != 0 || !begins(text, at) ||
	    run_len(text, at, is_word) != 39)
		return false;
	*f = (struct found){ at, 39, "google key", true };
	return true;
}

/* ---- a whole text ---- */

static bool
find_at(struct span text, size_t at, struct found *f)
{
	uint8_t c = text.ptr[at];

	if (c == 'A')
		return find_google(text, at, f) || find_aws(text, at, f);
	if (c == '-' && (at == 0 || text.ptr[at - 1] != '-') && find_pem(text, at, f))
		return true;
	if (c == '_' && find_key(text, at, f))
		return true;
	/* Prose is full of dots. */
	if (c == '.' && (at < 3 || text.ptr[at - 2] != 'v'))
		return false;
	return find_form(text, at, f);
}

static bool
is_spelled(struct span text, bool never)
{
	struct scan s = scan_of(text);
	struct found f;
	size_t at;

	while (scan_next(&s, 0xff, triggers, sizeof(triggers), &at)) {
		if (find_at(text, at, &f) && (f.never || !never))
			return true;
	}
	return false;
}

/* As it is written, and as it is read; what cannot be looked at is taken for one. */
static bool
is_in(struct span text, bool never)
{
	auto_buf struct buf plain = BUF_INIT(text.len);

	if (is_spelled(text, never))
		return true;
	if (!escape_any(text))
		return false;
	return !is_ok(escape_plain(text, &plain)) || is_spelled(buf_span(&plain), never);
}

bool
pasted_any(struct span text)
{
	return is_in(text, false);
}

bool
pasted_never(struct span text)
{
	return is_in(text, true);
}

static int
by_place(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

static struct status
put_masked(struct span text, const struct found *all, size_t n, struct buf *out)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		size_t end = all[i].off + all[i].len;

		if (end <= at)
			continue; /* within the one before */
		if (all[i].off >= at) {
			TRY(buf_put(out, text.ptr + at, all[i].off - at));
			TRY(buf_printf(out, "[removed: %s]", all[i].what));
		}
		at = end;
	}
	return buf_put_span(out, span_from(text, at));
}

static struct status
mask_once(struct span text, struct buf *out)
{
	auto_buf struct buf all = BUF_INIT((text.len + 1) * sizeof(struct found));
	struct scan s = scan_of(text);
	size_t at, past = 0;
	struct found f;

	while (scan_next(&s, 0xff, triggers, sizeof(triggers), &at)) {
		if (at < past || !find_at(text, at, &f))
			continue;
		TRY(buf_put(&all, &f, sizeof(f)));
		if (f.off <= at && f.off + f.len > past)
			past = f.off + f.len;
	}
	if (all.len > 0)
		qsort(all.ptr, all.len / sizeof(f), sizeof(f), by_place);
	return put_masked(text, (const void *)all.ptr, all.len / sizeof(f), out);
}

/* Of two secrets near one id the second is found once the first is gone. */
static struct status
mask(struct span text, struct buf *out)
{
	auto_buf struct buf a = BUF_INIT(out->max), b = BUF_INIT(out->max);

	TRY(mask_once(text, &a));
	for (int i = 0; i < ROUNDS_MAX && is_spelled(buf_span(&a), false); i++) {
		buf_clear(&b);
		TRY(mask_once(buf_span(&a), &b));
		buf_clear(&a);
		TRY(buf_put_span(&a, buf_span(&b)));
	}
	return buf_put_span(out, buf_span(&a));
}

struct status
pasted_mask(struct span text, struct buf *out)
{
	auto_buf struct buf plain = BUF_INIT(text.len);

	if (!pasted_any(text))
		return buf_put_span(out, text);
	if (!escape_any(text))
		return mask(text, out);
	TRY(escape_plain(text, &plain));
	return mask(buf_span(&plain), out);
}
