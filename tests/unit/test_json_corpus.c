/* SPDX-License-Identifier: Apache-2.0 */
/* lib/json: the fuzz corpora, replayed from memory that ends where they end. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#define LLVMFuzzerTestOneInput json_input
#include "../fuzz/fuzz_json.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput schema_input
#include "../fuzz/fuzz_schema.c"

#include <base/io.h>

static void
replay_file(int dirfd, const char *name, int (*input)(const uint8_t *data, size_t size))
{
	auto_buf struct buf bytes = BUF_INIT(1U << 20);
	uint8_t *exact;

	assert_true(is_ok(io_read_file(dirfd, name, &bytes)));
	exact = malloc(bytes.len + 1);
	assert_non_null(exact);
	/* Up to the very end of the block. */
	if (bytes.len > 0)
		memcpy(exact + 1, bytes.ptr, bytes.len);
	assert_int_equal(input(exact + 1, bytes.len), 0);
	free(exact);
}

static size_t
replay(const char *name, int (*input)(const uint8_t *data, size_t size))
{
	char path[4096];
	struct dirent *e;
	size_t count = 0;
	DIR *dir;

	assert_non_null(getenv("SALLYPORT_TEST_DATA"));
	(void)snprintf(
	    path, sizeof(path), "%s/fuzz/corpus/%s", getenv("SALLYPORT_TEST_DATA"), name);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		replay_file(dirfd(dir), e->d_name, input);
		count++;
	}
	(void)closedir(dir);
	return count;
}

static void
corpora_replay(void **state)
{
	(void)state;
	assert_true(replay("json", json_input) >= 100);
	assert_true(replay("schema", schema_input) >= 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(corpora_replay) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
