/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli: options, ranges of uids, addresses, durations, text on a terminal. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cli.h>
#include <http_client.h>
#include <operate.h>

#include <base/cleanup.h>
#include <base/io.h>

/* ---- options ---- */
static int
no_run(const struct invocation *inv)
{
	(void)inv;
	return EXIT_DONE;
}

const struct command commands[] = {
	{ "test", "[X]", 0, 1, OPT(OPT_CONFIG) | OPT(OPT_JSON) | OPT(OPT_USER), OPT(OPT_USER), "",
	    no_run },
	{ NULL },
};

static void
options_follow_the_table(void **state)
{
	static const struct {
		const char *argv[6];
		int rc;
		const char *user, *arg;
	} rows[] = {
		{ { "test", "-u", "bob" }, EXIT_DONE, "bob", NULL },
		{ { "test", "--user=bob", "x" }, EXIT_DONE, "bob", "x" },
		{ { "test", "x", "--json", "-ubob" }, EXIT_DONE, "bob", "x" },
		{ { "test", "-u", "bob", "--", "-x" }, EXIT_DONE, "bob", "-x" },
		{ { "test", "--help" }, EXIT_DONE, NULL, NULL },
		{ { "test" }, EXIT_USAGE, NULL, NULL },
		{ { "test", "-u" }, EXIT_USAGE, NULL, NULL },
		{ { "test", "-u", "a", "-u", "b" }, EXIT_USAGE, NULL, NULL },
		{ { "test", "-u", "a", "x", "y" }, EXIT_USAGE, NULL, NULL },
		{ { "test", "-u", "a", "--nope" }, EXIT_USAGE, NULL, NULL },
		{ { "test", "-u", "a", "--model", "m" }, EXIT_USAGE, NULL, NULL },
	};

	(void)state;
	assert_non_null(freopen("/dev/null", "w", stderr)); /* usage is printed there */
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct invocation inv = { .command = &commands[0] };
		char *argv[7] = { NULL };
		int argc = 0;

		for (; rows[i].argv[argc] != NULL; argc++)
			argv[argc] = strdup(rows[i].argv[argc]);
		assert_int_equal(options_parse(&commands[0], argc, argv, &inv), rows[i].rc);
		if (rows[i].user != NULL)
			assert_string_equal(inv.options[OPT_USER], rows[i].user);
		if (rows[i].arg != NULL)
			assert_string_equal(inv.args[0], rows[i].arg);
		for (int a = 0; a < argc; a++)
			free(argv[a]);
	}
}

/* ---- cells ---- */

/* What is printed for `m`; valid until the next one. Width < 0: as a time. */
static const char *
cell(const char *json, int width)
{
	static char *text;
	auto_json struct json_doc d = { 0 };
	FILE *was = stdout;
	size_t len;

	free(text);
	assert_true(is_ok(json_init(&d, &JSON_STRICT)));
	assert_true(is_ok(json_parse(&d, span_str(json))));
	stdout = open_memstream(&text, &len);
	if (width < 0)
		print_time(&d, 0, "m");
	else
		print_cell(&d, 0, "m", width);
	(void)fclose(stdout);
	stdout = was;
	return text;
}

static void
cells_are_for_people(void **state)
{
	static const struct {
		const char *json, *text;
	} rows[] = {
		{ "{}", "-" },
		{ "{\"m\":null}", "-" },
		{ "{\"m\":7}", "7" },
		{ "{\"m\":false}", "false" },
		{ "{\"m\":\"a b\"}", "a b" },
		{ "{\"m\":[]}", "-" },
		{ "{\"m\":[\"user\",\"owner\"]}", "user,owner" },
		{ "{\"m\":{}}", "-" },
		{ "{\"m\":{\"models\":[\"a\",\"b\"],\"tools\":[],\"x\":null}}",
		    "models=a,b tools=- x=-" },
		{ "{\"m\":[[1],{\"a\":[2]}]}", "[1],{\"a\":[2]}" },
		{ "{\"m\":\"a\\n\\tb\\u001b[2J\\u009b\"}", "a  b\xef\xbf\xbd[2J\xef\xbf\xbd" },
		{ "{\"m\":[\"\\u001b\"]}", "\xef\xbf\xbd" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(cell(rows[i].json, 0), rows[i].text);
	assert_string_equal(cell("{\"m\":null}", 4), "-   ");
}

static void
times_are_for_people(void **state)
{
	static const struct {
		const char *json, *text;
	} rows[] = {
		{ "{}", " -                " },
		{ "{\"m\":null}", " -                " },
		{ "{\"m\":0}", " -                " },
		{ "{\"m\":-1}", " -                " },
		{ "{\"m\":\"1\"}", " -                " },
		{ "{\"m\":1.5}", " -                " },
		{ "{\"m\":1}", " 1970-01-01T00:00Z" },
		{ "{\"m\":1760000459}", " 2025-10-09T09:00Z" },
		{ "{\"m\":4102444800}", " 2100-01-01T00:00Z" },
		{ "{\"m\":18446744073709551615}", " -                " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(cell(rows[i].json, -1), rows[i].text);
}

/* ---- uids ---- */
static void
overlaps_are_seen(void **state)
{
	static const struct {
		const char *file;
		bool subordinate, overlaps; /* with 1000..1099 */
	} rows[] = {
		{ "", false, false },
		{ "root:x:0:0::/:/bin/sh\na:x:1000:5::/:/x\n", false, true },
		{ "a:x:999:1000::/:/x\nb:x:1100:1:", false, false },
		{ "a:x:1099:1::/:/x", false, true },
		{ "+::::::\n#1000\n\n:::\n", false, false },
		{ "a:900:100\n", true, false },
		{ "a:900:101\n", true, true },
		{ "a:1100:65536\n", true, false },
		{ "a:1050:1", true, true },
		{ "a:0:4294967295", true, true },
		{ "a:1050:0", true, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(
		    uids_overlap(span_str(rows[i].file), rows[i].subordinate, 1000, 100),
		    rows[i].overlaps);
}

static void
ranges_are_one_a_directory(void **state)
{
	char root[] = "/tmp/sallyport-test-XXXXXX", uids[64], etc[64], a[64], b[64];
	struct uids_lock l;
	uint32_t base;
	auto_fd int fd = -1;

	(void)state;
	assert_non_null(mkdtemp(root));
	(void)snprintf(uids, sizeof(uids), "%s/lib/uids", root);
	(void)snprintf(etc, sizeof(etc), "%s/etc", root);
	(void)snprintf(a, sizeof(a), "%s/a", root);
	(void)snprintf(b, sizeof(b), "%s/b", root);
	assert_true(mkdir(etc, 0755) == 0 && mkdir(a, 0755) == 0 && mkdir(b, 0755) == 0);
	fd = open(etc, O_RDONLY | O_DIRECTORY);
	assert_true(is_ok(io_replace_file(fd, "subuid", SPAN_LIT("x:704095:2\n"), 0644)));
	assert_true(is_ok(uids_lock(uids, &l)));
	assert_true(is_ok(uids_reserve(&l, etc, a, &base)));
	assert_int_equal(base, 700000 + 2 * 4096); /* the first two are somebody's subordinates */
	assert_true(is_ok(uids_reserve(&l, etc, b, &base)));
	assert_int_equal(base, 700000 + 3 * 4096);
	assert_true(is_ok(uids_reserve(&l, etc, a, &base))); /* its own again */
	assert_int_equal(base, 700000 + 2 * 4096);
	assert_int_equal(rmdir(a), 0); /* gone: free for another */
	assert_true(is_ok(uids_reserve(&l, etc, root, &base)));
	assert_int_equal(base, 700000 + 2 * 4096);
	assert_true(is_ok(uids_release(&l, 700000 + 3 * 4096)));
	assert_int_equal(unlinkat(l.fd, "2", 0), 0);
	assert_int_equal(unlinkat(l.fd, "3", 0), -1);
	uids_unlock(&l);
	assert_int_equal(unlinkat(fd, "subuid", 0), 0);
	assert_true(rmdir(b) == 0 && rmdir(etc) == 0 && rmdir(uids) == 0);
	uids[strlen(uids) - 5] = '\0';
	assert_true(rmdir(uids) == 0 && rmdir(root) == 0);
}

/* ---- texts ---- */
static void
urls_follow_the_address(void **state)
{
	static const struct {
		const char *listen, *url;
	} rows[] = {
		{ "127.0.0.1:8443", "https://127.0.0.1:8443" },
		{ "localhost:1", "https://localhost:1" },
		{ "0.0.0.0:443", "https://127.0.0.1:443" },
		{ "[::1]:8443", "https://[::1]:8443" },
		{ "[::]:8443", "https://[::1]:8443" },
	};
	char url[64];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(listen_url(rows[i].listen, url, sizeof(url)));
		assert_string_equal(url, rows[i].url);
	}
}

static void
url_authorities_are_strict(void **state)
{
	static const struct {
		const char *url, *authority; /* NULL: refused */
	} rows[] = {
		{ "https://127.0.0.1:8443", "127.0.0.1:8443" },
		{ "https://example.org", "example.org:443" },
		{ "https://example.org/", "example.org:443" },
		{ "https://[::1]:8443", "[::1]:8443" },
		{ "https://[::1]", "[::1]:443" },
		{ "http://127.0.0.1", NULL },
		{ "https://", NULL },
		{ "https://:443", NULL },
		{ "https://a/b", NULL },
		{ "https://[::1", NULL },
		{ "https://[::1]x", NULL },
		{ "", NULL },
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool ok = url_authority(rows[i].url, text, sizeof(text));

		assert_int_equal(ok, rows[i].authority != NULL);
		if (ok)
			assert_string_equal(text, rows[i].authority);
	}
}

static void
durations_are_bounded(void **state)
{
	static const struct {
		const char *text;
		uint64_t s; /* 0: refused */
	} rows[] = {
		{ "90s", 90 },
		{ "15m", 900 },
		{ "12h", 43200 },
		{ "30d", 2592000 },
		{ "36500d", 3153600000 },
		{ "36501d", 0 },
		{ "0d", 0 },
		{ "d", 0 },
		{ "5", 0 },
		{ "-5d", 0 },
		{ "1.5h", 0 },
		{ "", 0 },
		{ "99999999999999999999s", 0 },
		{ "5 d", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t s = 0;

		assert_int_equal(parse_duration(rows[i].text, &s), rows[i].s != 0);
		assert_int_equal(s, rows[i].s);
	}
}

static void
escapes_do_not_reach_a_terminal(void **state)
{
	static const struct {
		struct span in, out;
	} rows[] = {
#define ROW(i, o)                                           \
	{                                                   \
		{ (const uint8_t *)(i), sizeof(i) - 1 },    \
		{                                           \
			(const uint8_t *)(o), sizeof(o) - 1 \
		}                                           \
	}
		ROW("plain\ttext\n", "plain\ttext\n"),
		ROW("h\xc3\xa9 \xe2\x80\x94", "h\xc3\xa9 \xe2\x80\x94"),
		ROW("\x1b[31m", "\xef\xbf\xbd[31m"),
		ROW("a\r\x08\x7f\0", "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
		ROW("\xc2\x9b"
		    "31m",
		    "\xef\xbf\xbd"
		    "31m"),
		ROW("\xc2\xa0", "\xc2\xa0"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf out = BUF_INIT(256);

		assert_true(is_ok(term_safe(rows[i].in, &out)));
		assert_true(span_eq(buf_span(&out), rows[i].out));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cells_are_for_people),
		cmocka_unit_test(times_are_for_people),
		cmocka_unit_test(overlaps_are_seen),
		cmocka_unit_test(ranges_are_one_a_directory),
		cmocka_unit_test(urls_follow_the_address),
		cmocka_unit_test(url_authorities_are_strict),
		cmocka_unit_test(durations_are_bounded),
		cmocka_unit_test(escapes_do_not_reach_a_terminal),
		cmocka_unit_test(options_follow_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
