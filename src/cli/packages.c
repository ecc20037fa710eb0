/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packages.c: what the sandbox image was made of, from the manifest beside it.
 *
 * Runs in: CLI. Trusts: the manifest, which root wrote; it is parsed strictly
 * all the same, and only printable ASCII is shown.
 * Owns: nothing. See: guest/build_image.py, which writes it.
 */
#include "cli.h"

#include <fcntl.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <json/json.h>

#define MANIFEST_MAX (4U << 20)

static const char *const sources[] = { "debian", "pypi" };
#define NSOURCES (sizeof(sources) / sizeof(sources[0]))

/* The text between the quotes; "?" for what is no plain string. */
static struct span
plain(const struct json_doc *d, uint32_t tok)
{
	struct span s = tok == JSON_NONE ? SPAN_EMPTY : json_bytes(d, tok);

	if (s.len < 2 || s.ptr[0] != '"')
		return SPAN_LIT("?");
	s = span_of(s.ptr + 1, s.len - 2);
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < ' ' || s.ptr[i] > '~')
			return SPAN_LIT("?");
	}
	return s;
}

static void
print_source(const struct json_doc *d, const char *source)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, source));

	while (json_next(&it)) {
		struct span name = plain(d, json_get_str(d, it.val, "name"));
		struct span version = plain(d, json_get_str(d, it.val, "version"));
		struct span sha256 = plain(d, json_get_str(d, it.val, "sha256"));

		(void)printf("%-7s %-28.*s %-28.*s %.*s\n", source, SPAN_FMT(name),
		    SPAN_FMT(version), SPAN_FMT(sha256));
	}
}

static void
print_counts(const struct json_doc *d)
{
	(void)printf("%-13s", "packages");
	for (size_t i = 0; i < NSOURCES; i++)
		(void)printf(
		    "%zu %s, ", (size_t)json_size(d, json_get_str(d, 0, sources[i])), sources[i]);
	(void)printf("listed by --packages\n");
}

int
packages_print(const char *manifest, bool whole)
{
	auto_buf struct buf text = BUF_INIT(MANIFEST_MAX);
	struct json_doc d;
	struct status st = json_init(&d, &JSON_STRICT);

	if (is_ok(st))
		st = io_read_file(AT_FDCWD, manifest, &text);
	if (is_ok(st))
		st = json_parse(&d, buf_span(&text));
	if (!is_ok(st)) {
		json_done(&d);
		return cli_error(manifest, "%s", status_text(st));
	}
	for (size_t i = 0; whole && i < NSOURCES; i++)
		print_source(&d, sources[i]);
	if (!whole)
		print_counts(&d);
	json_done(&d);
	return EXIT_DONE;
}
