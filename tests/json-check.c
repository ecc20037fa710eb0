/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json-check FILE: exit 0 if it is JSON, 1 if not, 2 if it cannot be read.
 *
 * Runs in:    tests, and whoever wants to judge the parser from outside.
 * Trusts:     nothing of the file.
 * Owns:       the file's bytes while it runs.
 * Invariants: RFC 8259 as it is: duplicate keys and lone surrogates are allowed.
 * See:        json/json.h; tests/vectors/JSONTestSuite.
 */
#include <stdio.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <json/json.h>

int
main(int argc, char **argv)
{
	auto_buf struct buf text = BUF_INIT(JSON_SIZE_MAX);
	struct json_opts opts = { .tokens_max = JSON_TOKENS_MAX, .depth_max = JSON_DEPTH_MAX };
	auto_json struct json_doc d = { .count = 0 };
	struct status st;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: json-check FILE\n");
		return 2;
	}
	st = io_read_file(AT_FDCWD, argv[1], &text);
	if (is_ok(st))
		st = json_init(&d, &opts);
	if (!is_ok(st)) {
		(void)fprintf(stderr, "json-check: %s: %s\n", argv[1], status_text(st));
		return 2;
	}
	st = json_parse(&d, buf_span(&text));
	if (is_ok(st))
		return 0;
	(void)fprintf(
	    stderr, "json-check: %s: %s at byte %zu\n", argv[1], d.fault.message, d.fault.offset);
	return 1;
}
