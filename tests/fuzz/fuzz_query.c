/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any query of a list: taken whole or refused, and what was taken is within its limits and of the
 * forms that others rely on.
 *	byte 0: which list; then the query
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <keep.h>
#include <query.h>
#include <request.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

static void
expect_printable(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	expect(len < size);
	for (size_t i = 0; i < len; i++)
		expect(text[i] > ' ' && text[i] < 0x7f);
}

static void
check_page(const struct page *p)
{
	expect(p->limit <= CONTENT_PAGE_MAX);
	expect(!p->ascending || !p->descending);
	expect_printable(p->after, sizeof(p->after));
	expect_printable(p->purpose, sizeof(p->purpose));
	expect(p->after[0] == '\0' || keep_id_ok(span_str(p->after)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static enum error (*const read[])(
	    struct request *) = { query_items, query_files, query_include };
	static struct request r;

	if (size < 1 || size > 8192)
		return 0;
	r.arena = (struct arena)ARENA_INIT(64U << 10);
	r.page = NULL;
	r.detail = NULL;
	r.http.query = span_of(data + 1, size - 1);
	if (read[data[0] % 3](&r) == ERROR_NONE)
		expect(r.page != NULL);
	else
		expect(r.detail != NULL && r.page == NULL);
	check_page(query_page(&r));
	arena_done(&r.arena);
	return 0;
}
