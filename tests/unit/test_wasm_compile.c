/* SPDX-License-Identifier: Apache-2.0 */
/* The compile worker: what it makes, what it refuses with which words, bombs, its own jail. */
#include "wasm_world.h"

#include <wasm/engine.h>
#include <wasm/sections.h>

/* Instrumented code is slow, and its memory is not what a worker has. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define CPU_S 5

static void
put_leb(struct buf *b, uint32_t v)
{
	do {
		uint8_t byte = v & 0x7f;

		v >>= 7;
		must(buf_put_u8(b, v != 0 ? byte | 0x80 : byte));
	} while (v != 0);
}

static void
put_section(struct buf *b, uint8_t id, const struct buf *content)
{
	must(buf_put_u8(b, id));
	put_leb(b, (uint32_t)content->len);
	must(buf_put_span(b, buf_span(content)));
}

/* A tool whose _start is function 0 and has `code` (a code section) and, maybe, more. */
static void
put_tool(struct buf *m, uint32_t functions, const struct buf *code, const struct buf *data)
{
	static const uint8_t head[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0 };
	static const uint8_t exports[] = { 5, 3, 1, 0, 1, 7, 19, 2, 6, 'm', 'e', 'm', 'o', 'r', 'y',
		2, 0, 6, '_', 's', 't', 'a', 'r', 't', 0, 0 };
	auto_buf struct buf types = BUF_INIT(1U << 20);

	put_leb(&types, functions);
	for (uint32_t i = 0; i < functions; i++)
		must(buf_put_u8(&types, 0));
	must(buf_put(m, head, sizeof(head)));
	put_section(m, 3, &types);
	must(buf_put(m, exports, sizeof(exports)));
	put_section(m, 10, code);
	if (data != NULL)
		put_section(m, 11, data);
}

static void
put_body(struct buf *code, const struct buf *body)
{
	put_leb(code, (uint32_t)body->len);
	must(buf_put_span(code, buf_span(body)));
}

static void
expect_refused(struct span module, const char *why)
{
	struct compiled c;

	compile_module(module, &c);
	if (!WIFEXITED(c.status) || WEXITSTATUS(c.status) != 1 || strstr(c.line, why) == NULL)
		print_error("status %x, said %s, not %s\n", c.status, c.line, why);
	assert_true(WIFEXITED(c.status));
	assert_int_equal(WEXITSTATUS(c.status), 1);
	assert_non_null(strstr(c.line, why));
	assert_int_equal(c.file.len, 0);
	buf_done(&c.file);
}

static void
test_good(void **state)
{
	struct compiled c, again;
	struct span body;

	(void)state;
	compile_vector("echo", &c);
	assert_int_equal(c.status, 0);
	assert_string_equal(c.line, wasm_engine_id());
	must(wasm_head_check(buf_span(&c.file), &body));
	/* The same again: nothing of one run is in its result. */
	compile_vector("echo", &again);
	assert_true(span_eq(buf_span(&c.file), buf_span(&again.file)));
	buf_done(&c.file);
	buf_done(&again.file);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *vector, *why;
	} rows[] = {
		{ "bad_import", "import: env.open is not offered" },
		{ "bad_import_type", "import: fd_write has another type" },
		{ "bad_import_kind", "import: fd_close has another type" },
		{ "no_start", "export: no function `_start` without parameters and results" },
		{ "no_memory", "export: no memory of that name: `memory`" },
		{ "simd", "SIMD" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf m;

		read_vector(rows[i].vector, &m);
		expect_refused(buf_span(&m), rows[i].why);
	}
	expect_refused(SPAN_LIT("(module)"), "module: not a WebAssembly module");
	expect_refused(SPAN_LIT("\0asm\x0d\0\1\0"), "module: not a WebAssembly module");
}

/* Each prefix, and each with one byte changed, is refused, or is a module: never a crash. */
static void
test_cut_and_flipped(void **state)
{
	auto_buf struct buf m;
	struct compiled c;

	(void)state;
	read_vector("echo", &m);
	for (size_t len = 1; len < m.len; len += SANITIZED ? 97 : 23) {
		compile_module(span_of(m.ptr, len), &c);
		assert_true(WIFEXITED(c.status));
		buf_done(&c.file);
	}
	for (size_t at = 8; at < m.len; at += SANITIZED ? 101 : 19) {
		m.ptr[at] ^= 0x41;
		compile_module(buf_span(&m), &c);
		assert_true(WIFEXITED(c.status));
		assert_true(strlen(c.line) > 0);
		buf_done(&c.file);
		m.ptr[at] ^= 0x41;
	}
}

/* Not sealed, empty, too large, no memory file at all. */
static void
test_descriptors(void **state)
{
	int unsealed = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int empty = sealed_file(SPAN_EMPTY), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int large = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const int fds[] = { unsealed, empty, large, null };

	(void)state;
	must(io_write_all(unsealed, SPAN_LIT("\0asm\1\0\0\0")));
	assert_int_equal(ftruncate(large, WASM_MODULE_MAX + 1), 0);
	assert_int_equal(fcntl(large, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	for (size_t i = 0; i < COUNT(fds); i++) {
		struct compiled c;

		compile_fd(fds[i], &c);
		assert_int_equal(WEXITSTATUS(c.status), 1);
		assert_non_null(strstr(c.line, "module: "));
		buf_done(&c.file);
		(void)close(fds[i]);
	}
}

/* 21,000 functions in a megabyte are no bomb. */
static void
test_large(void **state)
{
	auto_buf struct buf code = BUF_INIT(4U << 20), body = BUF_INIT(256), m = BUF_INIT(8U << 20);
	struct compiled c;

	(void)state;
	must(buf_put_u8(&body, 0));
	for (int i = 0; i < 10; i++)
		must(buf_put(&body, "\x41\x07\x41\x09\x6a\x1a", 6));
	must(buf_put_u8(&body, 0x0b));
	put_leb(&code, 10000);
	for (uint32_t i = 0; i < 10000; i++)
		put_body(&code, &body);
	put_tool(&m, 10000, &code, NULL);
	compile_module(buf_span(&m), &c);
	if (!SANITIZED)
		assert_int_equal(c.status, 0);
	buf_done(&c.file);
}

/* What passes the first look and is nevertheless too much ends by the kernel's hand. */
static void
expect_bounded(struct span module)
{
	struct compiled c;

	compile_module(module, &c);
	assert_true(WIFSIGNALED(c.status) || WIFEXITED(c.status));
	/* Two cores, other jobs: processor time is the limit, a multiple of it is the wall's. */
	assert_true(c.elapsed_ms < (uint64_t)CPU_S * 1000 * 6);
	buf_done(&c.file);
}

static void
put_loops(struct buf *body, uint32_t locals, uint32_t loops)
{
	must(buf_put_u8(body, 1));
	put_leb(body, locals);
	must(buf_put_u8(body, 0x7e));
	for (uint32_t i = 0; i < loops; i++)
		must(buf_put(body, "\x03\x40\x0b", 3));
	must(buf_put_u8(body, 0x0b));
}

static void
test_bombs(void **state)
{
	auto_buf struct buf code = BUF_INIT(8U << 20), body = BUF_INIT(8U << 20),
			    m = BUF_INIT(8U << 20), data = BUF_INIT(8U << 20);

	(void)state;
	/* Locals × loops, above and below the first look's limit. */
	put_loops(&body, 50000, 20000);
	put_leb(&code, 1);
	put_body(&code, &body);
	put_tool(&m, 1, &code, NULL);
	expect_refused(buf_span(&m), "module: too many local variables");
	buf_clear(&body);
	buf_clear(&code);
	buf_clear(&m);
	put_loops(&body, WASM_LOCALS_MAX, 30000);
	put_leb(&code, 1);
	put_body(&code, &body);
	put_tool(&m, 1, &code, NULL);
	if (!SANITIZED)
		expect_bounded(buf_span(&m));

	/* Data segments of one byte. */
	buf_clear(&code);
	buf_clear(&m);
	must(buf_put(&code, "\1\2\0\x0b", 4));
	put_leb(&data, 100000);
	for (int i = 0; i < 100000; i++)
		must(buf_put(&data, "\0\x41\0\x0b\1x", 6));
	put_tool(&m, 1, &code, &data);
	expect_refused(buf_span(&m), "module: too many data segments");
}

static void
test_deep(void **state)
{
	auto_buf struct buf code = BUF_INIT(8U << 20), body = BUF_INIT(8U << 20),
			    m = BUF_INIT(8U << 20);

	(void)state;
	/* 100,000 blocks in one another, and as many functions as there may not be. */
	must(buf_put_u8(&body, 0));
	for (int i = 0; i < 100000; i++)
		must(buf_put(&body, "\x02\x40", 2));
	for (int i = 0; i <= 100000; i++)
		must(buf_put_u8(&body, 0x0b));
	put_leb(&code, 1);
	put_body(&code, &body);
	put_tool(&m, 1, &code, NULL);
	if (!SANITIZED)
		expect_bounded(buf_span(&m));
	buf_clear(&code);
	buf_clear(&m);
	put_leb(&code, 50000);
	for (int i = 0; i < 50000; i++)
		must(buf_put(&code, "\2\0\x0b", 3));
	put_tool(&m, 50000, &code, NULL);
	expect_refused(buf_span(&m), "module: too many functions");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_cut_and_flipped),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
