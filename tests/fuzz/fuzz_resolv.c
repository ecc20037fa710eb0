/* SPDX-License-Identifier: Apache-2.0 */
/* resolv.conf and hosts of any kind; and URLs. No question is asked: hosts has the name at its end.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <origin.h>
#include <resolve.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
url(struct span in)
{
	char text[1024];
	struct origin o;

	if (!is_ok(span_to_cstr(in, text, sizeof(text))) || !is_ok(origin_parse(text, &o)))
		return;
	check(o.port > 0 && o.host[0] != '\0');
	check(strlen(o.authority) <= ORIGIN_AUTHORITY_MAX);
	check(o.base[0] == '\0' || (o.base[0] == '/' && o.base[strlen(o.base) - 1] != '/'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf hosts = BUF_INIT(RESOLVE_TEXT_MAX);
	static uv_loop_t loop;
	static struct resolver *r;
	struct resolve_answer a;
	struct resolve_wait *w;

	if (size > RESOLVE_TEXT_MAX / 2)
		return 0;
	if (r == NULL)
		check(uv_loop_init(&loop) == 0 && is_ok(resolver_new(&r)));
	url(span_of(data, size));
	check(is_ok(buf_put(&hosts, data, size)) &&
	      is_ok(buf_put_str(&hosts, "\n127.0.0.1 h.example\n")));
	check(is_ok(resolver_configure(r, &loop, span_of(data, size), buf_span(&hosts))));
	check(is_ok(resolve_name(r, "h.example", NULL, NULL, &w, &a)));
	check(a.count > 0 && a.count <= RESOLVE_ADDRESSES_MAX);
	return 0;
}
