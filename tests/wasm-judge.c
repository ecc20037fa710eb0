/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasm-judge: is it a module that our compile path takes? For the core tests.
 *
 *	wasm-judge < NAMES      a line a file: "valid NAME", "invalid NAME: why"
 *
 * Valid is what was compiled, whether or not it has what a tool needs.
 * Runs in: tests/system/test_wasm_spec.py. Trusts: nothing. Owns: nothing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <wasm/compile.h>

static bool
is_taken(struct span module, struct buf *reason)
{
	auto_buf struct buf out = BUF_INIT(WASM_ARTEFACT_MAX);
	struct status st = wasm_compile(module, &out, reason);

	return is_ok(st) || span_starts(buf_span(reason), SPAN_LIT("import: ")) ||
	       span_starts(buf_span(reason), SPAN_LIT("export: "));
}

int
main(void)
{
	char name[1024];

	while (fgets(name, sizeof(name), stdin) != NULL) {
		auto_buf struct buf module = BUF_INIT(WASM_MODULE_MAX);
		auto_buf struct buf reason = BUF_INIT(WASM_REASON_MAX);

		name[strcspn(name, "\n")] = '\0';
		if (!is_ok(io_read_file(AT_FDCWD, name, &module))) {
			(void)fprintf(stderr, "wasm-judge: cannot read %s\n", name);
			return 2;
		}
		if (is_taken(buf_span(&module), &reason))
			(void)printf("valid %s\n", name);
		else
			(void)printf("invalid %s: %.*s\n", name, SPAN_FMT(buf_span(&reason)));
	}
	return 0;
}
