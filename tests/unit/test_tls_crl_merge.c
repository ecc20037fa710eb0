/* SPDX-License-Identifier: Apache-2.0 */
/* lib/tls: lists that come beside those in use: whose count, and whose stay as they are. */
#include "tls_crl_rig.h"

static struct party a, b;
static struct buf cas = BUF_INIT(TEXT_MAX);

struct merged {
	struct buf pem;
	struct status st;
	struct tls_crl_report r;
};

/* `in_s`: from now. */
static void
merge_later(struct merged *m, const struct buf *used, const struct buf *fresh, uint64_t in_s)
{
	m->pem = (struct buf)BUF_INIT(TEXT_MAX);
	m->st = tls_crls_merge(buf_span(&cas), buf_span(used), buf_span(fresh),
	    (uint64_t)time(NULL) + in_s, &m->pem, &m->r);
	assert_int_equal(m->st.code, m->r.fault == TLS_CRL_NONE ? E_OK : E_DENIED);
}

static void
merge_into(struct merged *m, const struct buf *used, const struct buf *fresh)
{
	merge_later(m, used, fresh, 0);
}

static size_t
lists_in(const struct merged *m)
{
	static const char begin[] = "-----BEGIN X509 CRL";
	size_t n = 0;

	for (size_t i = 0; i + sizeof(begin) <= m->pem.len; i++)
		n += memcmp(m->pem.ptr + i, begin, sizeof(begin) - 1) == 0;
	return n;
}

/* Does it revoke what `one` does? */
static bool
has(const struct merged *m, const struct party *by, long serial)
{
	auto_buf struct buf one = BUF_INIT(TEXT_MAX);

	put_list(&one, by, &(struct list){ NOW, .serial = serial });
	return !tls_crls_more(buf_span(&m->pem), buf_span(&one));
}

/* Both have one in use; serial 7 of b is revoked. */
static void
put_used(struct buf *out)
{
	put_list(out, &a, &(struct list){ .from_s = -600, .until_s = HOUR, .number = 4 });
	put_list(
	    out, &b, &(struct list){ .from_s = -600, .until_s = 900, .serial = 7, .number = 4 });
}

static void
all_that_is_good_is_taken_as_it_is(void **state)
{
	auto_buf struct buf used = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
	struct merged m;

	(void)state;
	put_used(&used);
	put_list(&fresh, &b, &(struct list){ NOW, .number = 5 });
	put_list(&fresh, &a, &(struct list){ .from_s = -60, .until_s = 300, .number = 5 });
	assert_true(is_ok(buf_put_str(&fresh, "a comment\n")));
	merge_into(&m, &used, &fresh);
	assert_true(is_ok(m.st) && m.r.usable && !m.r.bare && !m.r.soon);
	assert_true(span_eq(buf_span(&m.pem), buf_span(&fresh)));
	assert_int_equal(m.r.nends, 2);
	assert_string_equal(m.r.ends[0].authority, "CN=a");
	assert_int_equal(m.r.ends[0].until_s, m.r.until_s);
	assert_string_equal(m.r.ends[1].authority, "CN=b");
	assert_int_equal(m.r.ends[1].until_s, m.r.until_s + HOUR - 300);
	assert_in_range(m.r.until_s, time(NULL) + 270, time(NULL) + 300);
	assert_false(has(&m, &b, 7));
	buf_done(&m.pem);
}

/* What is wrong with b's list keeps a's out of nothing, and takes nothing back of b's. */
static void
one_authoritys_fault_is_its_own(void **state)
{
	static const struct {
		struct list w;
		enum tls_crl_fault fault;
		unsigned at;
		bool none, forged;
	} rows[] = {
		{ { .from_s = -60, .until_s = -10, .number = 5 }, TLS_CRL_EXPIRED, 2 },
		{ { .from_s = 60, .until_s = HOUR, .number = 5 }, TLS_CRL_EARLY, 2 },
		{ { NOW, .number = 3 }, TLS_CRL_OLDER, 2 },
		{ { .from_s = -601, .until_s = HOUR }, TLS_CRL_OLDER, 2 },
		{ { NOW }, TLS_CRL_MISSING, 2, .none = true },
		{ { NOW, .number = 5 }, TLS_CRL_SIGNATURE, 1, .forged = true },
		{ { NOW, .nid = NID_delta_crl }, TLS_CRL_PARTIAL, 1 },
		{ { .from_s = -60 }, TLS_CRL_NO_END, 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf used = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
		auto_buf struct buf none = BUF_INIT(TEXT_MAX);
		struct merged m, again;

		put_used(&used);
		if (!rows[i].none)
			put_list_signed(&fresh, &b, &rows[i].w, rows[i].forged ? a.key : b.key);
		put_list(&fresh, &a, &(struct list){ NOW, .serial = 9, .number = 5 });
		merge_into(&m, &used, &fresh);
		assert_int_equal(m.r.fault, rows[i].fault);
		assert_int_equal(m.r.at, rows[i].at);
		assert_string_equal(m.r.authority, "CN=b");
		assert_true(m.r.usable && !m.r.bare);
		assert_int_equal(m.r.soon, rows[i].fault == TLS_CRL_EARLY);
		assert_true(has(&m, &a, 9) && has(&m, &b, 7));
		assert_int_equal(m.r.nends, 2);
		assert_int_equal(m.r.ends[1].until_s, m.r.until_s); /* of what is used of b */
		assert_true(m.r.ends[0].until_s > m.r.until_s);
		assert_in_range(m.r.until_s, time(NULL) + 870, time(NULL) + 900);
		/* The same file once more says the same, byte for byte. */
		merge_into(&again, &m.pem, &fresh);
		assert_int_equal(again.r.fault, rows[i].fault);
		assert_true(span_eq(buf_span(&m.pem), buf_span(&again.pem)));
		buf_done(&again.pem);
		/* What comes of it is good by itself. */
		merge_into(&again, &none, &m.pem);
		assert_true(is_ok(again.st));
		buf_done(&again.pem);
		buf_done(&m.pem);
	}
}

/* Of the authority that the fault is of, whatever is with the other one's lists. */
static void
what_comes_of_a_fault_is_of_whose_it_is(void **state)
{
	static const struct {
		struct list a_used, a, b_used, b;
		bool forged; /* b's, beside a good one where there is one */
		enum tls_crl_fault fault;
		const char *whose, *effect;
	} rows[] = {
		{ { NOW, .number = 5 }, { NOW, .number = 4 }, { 0 },
		    { .from_s = 60, .until_s = 90 }, false, TLS_CRL_OLDER, "CN=a",
		    "the list in use of that authority stays" },
		{ { 0 }, { NOW }, { .from_s = -9, .until_s = -5 },
		    { .from_s = -60, .until_s = -10 }, false, TLS_CRL_EXPIRED, "CN=b",
		    "certificates of that authority are refused until other lists are there" },
		{ { NOW }, { NOW }, { .from_s = -9, .until_s = -5 },
		    { .from_s = -60, .until_s = HOUR }, false, TLS_CRL_OLDER, "CN=b",
		    "certificates of that authority are refused until other lists are there" },
		{ { .from_s = -60, .until_s = -10 }, { 0 }, { NOW }, { NOW }, false,
		    TLS_CRL_MISSING, "CN=a",
		    "certificates of that authority are refused until other lists are there" },
		{ { 0 }, { .from_s = 60, .until_s = 90 }, { NOW }, { NOW }, true, TLS_CRL_SIGNATURE,
		    "CN=b", "that list is left out" },
		{ { NOW }, { NOW }, { .from_s = -60, .until_s = -10 }, { 0 }, true,
		    TLS_CRL_SIGNATURE, "CN=b",
		    "certificates of that authority are refused until other lists are there" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf used = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
		struct merged m;

		if (rows[i].a_used.until_s != 0)
			put_list(&used, &a, &rows[i].a_used);
		if (rows[i].b_used.until_s != 0)
			put_list(&used, &b, &rows[i].b_used);
		if (rows[i].a.until_s != 0)
			put_list(&fresh, &a, &rows[i].a);
		if (rows[i].b.until_s != 0)
			put_list(&fresh, &b, &rows[i].b);
		if (rows[i].forged)
			put_list_signed(&fresh, &b, &(struct list){ NOW, .number = 9 }, a.key);
		merge_into(&m, &used, &fresh);
		assert_true(m.r.usable);
		assert_int_equal(m.r.fault, rows[i].fault);
		assert_string_equal(m.r.authority, rows[i].whose);
		assert_string_equal(tls_crl_effect(&m.r), rows[i].effect);
		buf_done(&m.pem);
	}
}

static void
a_strangers_list_is_nobodys(void **state)
{
	auto_buf struct buf used = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
	struct party stranger = issue(
	    &(struct wish){ .cn = "stranger", .from_s = -60, .until_s = 600, .ca = true }, NULL);
	struct merged m;

	(void)state;
	put_used(&used);
	put_list(&fresh, &stranger, &(struct list){ NOW });
	put_list(&fresh, &a, &(struct list){ NOW, .serial = 9, .number = 5 });
	put_list(&fresh, &b, &(struct list){ NOW, .number = 5 });
	merge_into(&m, &used, &fresh);
	assert_int_equal(m.r.fault, TLS_CRL_STRANGER);
	assert_string_equal(m.r.authority, "");
	assert_string_equal(tls_crl_effect(&m.r), "that list is left out");
	assert_true(m.r.usable && has(&m, &a, 9) && !has(&m, &b, 7));
	buf_done(&m.pem);
	party_done(&stranger);
}

/* A fault that passes does not hide one that does not. */
static void
the_worst_is_told(void **state)
{
	auto_buf struct buf used = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
	struct merged m;
	char said[512];

	(void)state;
	put_used(&used);
	put_list(&fresh, &a, &(struct list){ .from_s = 60, .until_s = HOUR, .number = 5 });
	merge_into(&m, &used, &fresh);
	assert_int_equal(m.r.fault, TLS_CRL_MISSING);
	assert_true(m.r.soon);
	tls_crl_say(&m.r, said, sizeof(said));
	assert_string_equal(said, "authority 2 (CN=b) of ca_file has no list");
	buf_done(&m.pem);
}

static void
what_is_no_file_of_lists_changes_nothing(void **state)
{
	static const char *const rows[] = { "", "nothing\n", "-----BEGIN X509 CRL-----\n" };
	auto_buf struct buf used = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
	struct merged m;

	(void)state;
	put_used(&used);
	put_list(&fresh, &a, &(struct list){ NOW, .number = 5 });
	put_list(&fresh, &b, &(struct list){ NOW, .number = 5 });
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf text = BUF_INIT(TEXT_MAX);

		if (i == 2)
			assert_true(is_ok(buf_put_span(&text, buf_span(&fresh))));
		assert_true(is_ok(buf_put_str(&text, rows[i])));
		merge_into(&m, &used, &text);
		assert_int_equal(m.r.fault, TLS_CRL_FORMAT);
		assert_true(!m.r.usable && m.pem.len == 0);
		buf_done(&m.pem);
	}
}

/* So many are read; one of each authority is taken. */
static void
a_file_has_bounds(void **state)
{
	auto_buf struct buf used = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
	auto_buf struct buf small = BUF_INIT(1024);
	struct tls_crl_report r;
	struct merged m;

	(void)state;
	put_used(&used);
	for (unsigned i = 0; i < TLS_CRLS_MAX; i++)
		put_list(&fresh, &a, &(struct list){ NOW, .number = 5 });
	merge_into(&m, &used, &fresh);
	assert_int_equal(m.r.fault, TLS_CRL_MISSING);
	assert_true(m.r.usable && lists_in(&m) == 2 && has(&m, &b, 7));
	buf_done(&m.pem);
	put_list(&fresh, &b, &(struct list){ NOW, .number = 5 });
	merge_into(&m, &used, &fresh);
	assert_int_equal(m.r.fault, TLS_CRL_MANY);
	assert_true(!m.r.usable && m.pem.len == 0);
	buf_done(&m.pem);
	buf_clear(&fresh);
	put_list(&fresh, &a, &(struct list){ NOW, .number = 5, .more = 100 });
	assert_int_equal(tls_crls_merge(buf_span(&cas), buf_span(&used), buf_span(&fresh),
			     (uint64_t)time(NULL), &small, &r)
			     .code,
	    E_FULL);
}

static void
without_one_in_use_it_is_bare(void **state)
{
	auto_buf struct buf used = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
	auto_buf struct buf none = BUF_INIT(TEXT_MAX);
	const struct buf *const in[] = { &none, &used };
	struct merged m;

	(void)state;
	put_list(&used, &a, &(struct list){ .from_s = -600, .until_s = HOUR });
	put_list(&fresh, &a, &(struct list){ NOW });
	for (size_t i = 0; i < 2; i++) {
		merge_into(&m, in[i], &fresh);
		assert_int_equal(m.r.fault, TLS_CRL_MISSING);
		assert_true(!m.r.usable && m.pem.len == 0);
		buf_done(&m.pem);
	}
	/* Good ones of another time are better than none: what they are over for is refused. */
	put_list(&fresh, &b, &(struct list){ .from_s = -60, .until_s = -10 });
	for (size_t i = 0; i < 2; i++) {
		merge_into(&m, in[i], &fresh);
		assert_int_equal(m.r.fault, TLS_CRL_EXPIRED);
		assert_true(m.r.usable && m.r.bare);
		assert_in_range(m.r.until_s, time(NULL) - 12, time(NULL) - 9);
		buf_done(&m.pem);
	}
}

static void
an_older_one_takes_nothing_back(void **state)
{
	static const struct {
		struct list used, fresh;
		bool older;
	} rows[] = {
		{ { .from_s = -60, .until_s = HOUR }, { .from_s = -61, .until_s = 2L * HOUR },
		    true },
		{ { .from_s = -60, .until_s = HOUR }, { .from_s = -60, .until_s = HOUR }, false },
		{ { .from_s = -60, .until_s = HOUR }, { .from_s = -59, .until_s = HOUR }, false },
		{ { NOW, .number = 5 }, { NOW, .number = 4 }, true },
		{ { NOW, .number = 5 }, { NOW, .number = 5 }, false },
		/* The number counts before the time, where both have one. */
		{ { NOW, .number = 5 }, { .from_s = -50, .until_s = HOUR, .number = 4 }, true },
		{ { NOW, .number = 5 }, { .from_s = -70, .until_s = HOUR, .number = 6 }, false },
		{ { NOW, .number = 5 }, { .from_s = -70, .until_s = HOUR }, true },
		{ { NOW }, { .from_s = -70, .until_s = HOUR, .number = 9 }, true },
		/* Also where those in use are over. */
		{ { .from_s = -60, .until_s = -5 }, { .from_s = -61, .until_s = HOUR }, true },
		{ { .from_s = -60, .until_s = -5 }, { .from_s = -59, .until_s = HOUR }, false },
		/* Not where they are still to count, as those of a start may be. */
		{ { .from_s = 60, .until_s = HOUR, .number = 9 },
		    { .from_s = -61, .until_s = HOUR, .number = 3 }, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf used = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
		struct list w = rows[i].used;
		struct merged m;

		w.serial = 7;
		put_list(&used, &a, &w);
		put_list(&used, &b, &(struct list){ .from_s = -600, .until_s = HOUR });
		put_list(&fresh, &a, &rows[i].fresh);
		put_list(&fresh, &b, &(struct list){ NOW });
		merge_into(&m, &used, &fresh);
		assert_int_equal(m.r.fault, rows[i].older ? TLS_CRL_OLDER : TLS_CRL_NONE);
		assert_int_equal(has(&m, &a, 7), rows[i].older);
		buf_done(&m.pem);
		/* Beside the newer one in one file it is not looked at. */
		if (!rows[i].older)
			continue;
		assert_true(is_ok(buf_put_span(&fresh, buf_span(&used))));
		merge_into(&m, &used, &fresh);
		assert_true(has(&m, &a, 7) && lists_in(&m) == 2);
		buf_done(&m.pem);
	}
}

/* In one file, in each order: what is over is not what the one before it is in use for. */
static void
an_older_one_does_not_outlive_a_newer_one(void **state)
{
	static const struct list rows[2] = { { .from_s = -60, .until_s = 900, .serial = 7 },
		{ .from_s = -600, .until_s = HOUR } };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		auto_buf struct buf none = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
		auto_buf struct buf old = BUF_INIT(TEXT_MAX);
		struct list w[2] = { rows[i & 1], rows[1 - (i & 1)] };
		struct merged m, then;

		for (size_t k = 0; k < 2; k++) {
			w[k].number = i < 2 ? 0 : w[k].serial == 7 ? 5 : 1;
			put_list(&fresh, &a, &w[k]);
		}
		put_list(&fresh, &b, &(struct list){ NOW, .number = 5 });
		put_list(&old, &a, &w[1 - (i & 1)]);
		put_list(&old, &b, &(struct list){ NOW, .number = 5 });
		merge_into(&m, &none, &fresh);
		assert_true(is_ok(m.st) && lists_in(&m) == 2 && has(&m, &a, 7));
		assert_in_range(m.r.until_s, time(NULL) + 870, time(NULL) + 900);
		for (size_t k = 0; k < 3; k++) { /* at a start, in use, and the older one alone */
			merge_later(&then, k == 0 ? &none : &m.pem, k == 2 ? &old : &fresh, 1000);
			assert_int_equal(then.r.fault, k == 2 ? TLS_CRL_OLDER : TLS_CRL_EXPIRED);
			assert_true(then.r.usable && lists_in(&then) == 2 && has(&then, &a, 7));
			assert_int_equal(then.r.until_s, m.r.until_s);
			buf_done(&then.pem);
		}
		buf_done(&m.pem);
	}
}

/* Nor is one that is over replaced by one that is still to count: that comes when it counts. */
static void
one_that_is_over_stays_until_the_next_one_counts(void **state)
{
	auto_buf struct buf used = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
	struct merged m;

	(void)state;
	put_used(&used);
	put_list(&fresh, &a, &(struct list){ NOW, .number = 5 });
	put_list(&fresh, &b, &(struct list){ .from_s = 2000, .until_s = HOUR, .number = 5 });
	for (uint64_t in_s = 1000; in_s < 4000; in_s += 2000) {
		merge_later(&m, &used, &fresh, in_s);
		assert_int_equal(m.r.fault, in_s == 1000 ? TLS_CRL_EARLY : TLS_CRL_NONE);
		assert_int_equal(m.r.soon, in_s == 1000);
		assert_int_equal(has(&m, &b, 7), in_s == 1000);
		buf_done(&m.pem);
	}
}

/* Where both are over nothing counts, and the newer one says until when that was so. */
static void
of_two_that_are_over_the_newer_one_stays(void **state)
{
	auto_buf struct buf one = BUF_INIT(TEXT_MAX), two = BUF_INIT(TEXT_MAX);
	struct merged m;

	(void)state;
	put_list(&one, &a, &(struct list){ .from_s = -60, .until_s = -30 });
	put_list(&two, &a, &(struct list){ .from_s = -50, .until_s = -20, .serial = 7 });
	put_list(&one, &b, &(struct list){ NOW });
	put_list(&two, &b, &(struct list){ NOW });
	for (size_t i = 0; i < 2; i++) {
		merge_into(&m, i == 0 ? &one : &two, i == 0 ? &two : &one);
		assert_int_equal(m.r.fault, TLS_CRL_EXPIRED);
		assert_true(m.r.usable && has(&m, &a, 7));
		buf_done(&m.pem);
	}
}

/* An older one beside one that is still to count is older, and looked at again. */
static void
one_that_is_to_come_hides_no_older_one(void **state)
{
	auto_buf struct buf used = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
	struct merged m;

	(void)state;
	put_used(&used);
	put_list(&fresh, &a, &(struct list){ NOW, .number = 5 });
	put_list(&fresh, &b, &(struct list){ .from_s = 60, .until_s = HOUR, .number = 6 });
	put_list(&fresh, &b, &(struct list){ NOW, .number = 3 });
	merge_into(&m, &used, &fresh);
	assert_int_equal(m.r.fault, TLS_CRL_OLDER);
	assert_true(m.r.soon && has(&m, &b, 7));
	buf_done(&m.pem);
}

/* Names go to the log: whatever they are made of, they are short and printable. */
static void
names_are_printable(void **state)
{
	auto_buf struct buf crl = BUF_INIT(TEXT_MAX), ca = BUF_INIT(TEXT_MAX);
	auto_buf struct buf out = BUF_INIT(TEXT_MAX);
	struct party p = issue(
	    &(struct wish){ .cn = "x", .from_s = -60, .until_s = 600, .ca = true }, NULL);
	X509_NAME *name = X509_NAME_new();
	struct tls_crl_report r;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(
		    X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_UTF8,
			(const unsigned char *)"\x1b[31m\n\"\xc3\xa4 of a house that is long", -1,
			-1, 0),
		    1);
	assert_int_equal(X509_set_subject_name(p.cert, name), 1);
	X509_NAME_free(name);
	pem_of(&p, &ca, NULL);
	put_list(&crl, &p, &(struct list){ .from_s = -60, .until_s = -10 });
	assert_int_equal(tls_crls_merge(buf_span(&ca), SPAN_EMPTY, buf_span(&crl),
			     (uint64_t)time(NULL), &out, &r)
			     .code,
	    E_DENIED);
	assert_int_equal(strlen(r.authority), TLS_CRL_NAME_MAX - 1);
	for (const char *c = r.authority; *c != '\0'; c++)
		assert_in_range(*c, ' ', '~');
	assert_int_equal(r.nends, 1);
	assert_string_equal(r.authority, r.ends[0].authority);
	party_done(&p);
}

static int
begin(void **state)
{
	if (start(state) != 0)
		return -1;
	a = issue(&(struct wish){ .cn = "a", .from_s = -60, .until_s = 600, .ca = true }, NULL);
	b = issue(&(struct wish){ .cn = "b", .from_s = -60, .until_s = 600, .ca = true }, NULL);
	pem_of(&a, &cas, NULL);
	pem_of(&b, &cas, NULL);
	return 0;
}

static int
end(void **state)
{
	party_done(&a);
	party_done(&b);
	buf_done(&cas);
	return stop(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_is_good_is_taken_as_it_is),
		cmocka_unit_test(one_authoritys_fault_is_its_own),
		cmocka_unit_test(what_comes_of_a_fault_is_of_whose_it_is),
		cmocka_unit_test(a_strangers_list_is_nobodys),
		cmocka_unit_test(the_worst_is_told),
		cmocka_unit_test(what_is_no_file_of_lists_changes_nothing),
		cmocka_unit_test(a_file_has_bounds),
		cmocka_unit_test(without_one_in_use_it_is_bare),
		cmocka_unit_test(an_older_one_takes_nothing_back),
		cmocka_unit_test(an_older_one_does_not_outlive_a_newer_one),
		cmocka_unit_test(one_that_is_over_stays_until_the_next_one_counts),
		cmocka_unit_test(of_two_that_are_over_the_newer_one_stays),
		cmocka_unit_test(one_that_is_to_come_hides_no_older_one),
		cmocka_unit_test(names_are_printable),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
