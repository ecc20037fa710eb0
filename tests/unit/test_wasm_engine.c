/* SPDX-License-Identifier: Apache-2.0 */
/* lib/wasm: the engine's name, and the head of compiled files. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <wasm/engine.h>

/* The library that is linked is the one that Cargo.lock names. */
static void
test_id_is_locked(void **state)
{
	auto_buf struct buf lock = BUF_INIT(1U << 20);
	const char *data = getenv("SALLYPORT_TEST_DATA");
	char wanted[128], path[512];
	const char *id = wasm_engine_id();
	const char *slash = strchr(id, '/');

	(void)state;
	assert_non_null(data);
	(void)snprintf(path, sizeof(path), "%s/../engines/wasmtime/Cargo.lock", data);
	assert_true(is_ok(io_read_file(AT_FDCWD, path, &lock)));
	assert_true(is_ok(buf_put_u8(&lock, 0)));
	assert_true(span_starts(span_str(id), SPAN_LIT("wasmtime-")));
	assert_non_null(slash);
	assert_int_equal(strlen(slash), 9);
	(void)snprintf(wanted, sizeof(wanted), "name = \"wasmtime\"\nversion = \"%.*s\"",
	    (int)(slash - id - 9), id + 9);
	assert_non_null(strstr((const char *)lock.ptr, wanted));
}

static void
test_head(void **state)
{
	auto_buf struct buf b = BUF_INIT(256);
	struct span body;

	(void)state;
	assert_true(is_ok(wasm_head_put(&b, 5)));
	assert_int_equal(b.len, WASM_HEAD_LEN);
	assert_int_equal(wasm_head_check(buf_span(&b), &body).code, E_CORRUPT);
	assert_true(is_ok(buf_put_str(&b, "12345")));
	assert_true(is_ok(wasm_head_check(buf_span(&b), &body)));
	assert_true(span_eq_str(body, "12345"));
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(wasm_head_check(span_of(b.ptr, len), &body).code, E_CORRUPT);
	/* Each byte counts. Of another engine is not the same as broken. */
	for (size_t i = 0; i < WASM_HEAD_LEN; i++) {
		b.ptr[i] ^= 1;
		assert_int_equal(
		    wasm_head_check(buf_span(&b), &body).code, i < 16 ? E_CORRUPT : E_UNSUPPORTED);
		b.ptr[i] ^= 1;
	}
	assert_true(is_ok(buf_put_u8(&b, 0)));
	assert_int_equal(wasm_head_check(buf_span(&b), &body).code, E_CORRUPT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_id_is_locked),
		cmocka_unit_test(test_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
