/* SPDX-License-Identifier: Apache-2.0 */
/* lib/http: the fuzz corpora, replayed. */
#include "unit.h"

#define LLVMFuzzerTestOneInput request_input
#include "../fuzz/fuzz_http_request.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput response_input
#include "../fuzz/fuzz_http_response.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput sse_input
#include "../fuzz/fuzz_http_sse.c"

#include <base/io.h>

#include <dirent.h>

static size_t
replay(const char *name, int (*input)(const uint8_t *data, size_t size))
{
	const char *root = getenv("SALLYPORT_TEST_DATA");
	auto_buf struct buf path = BUF_INIT(4096), bytes = BUF_INIT(1U << 20);
	struct dirent *e;
	size_t count = 0;
	DIR *dir;

	assert_non_null(root);
	must(buf_printf(&path, "%s/fuzz/corpus/%s", root, name));
	must(buf_put_u8(&path, 0));
	dir = opendir((const char *)path.ptr);
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		buf_clear(&bytes);
		must(io_read_file(dirfd(dir), e->d_name, &bytes));
		assert_int_equal(input(bytes.ptr, bytes.len), 0);
		count++;
	}
	closedir(dir);
	return count;
}

static void
corpora_replay(void **state)
{
	(void)state;
	assert_true(replay("http_request", request_input) >= 8);
	assert_true(replay("http_response", response_input) >= 5);
	assert_true(replay("http_sse", sse_input) >= 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(corpora_replay) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
