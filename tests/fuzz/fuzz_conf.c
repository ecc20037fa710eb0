/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: a file, and a slice of the control link. What parses makes a slice that loads.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <conf/conf.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
reload(const struct conf *c)
{
	auto_buf struct buf slice = BUF_INIT(CONF_SLICE_MAX);
	struct conf *again = NULL;

	if (!is_ok(conf_slice(c, NULL, &slice)) || !is_ok(conf_load(buf_span(&slice), &again)))
		abort();
	conf_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;

	if (is_ok(conf_parse(span_of(data, size), &c, error)))
		reload(c);
	else if (error[0] == '\0' || memchr(error, '\n', strlen(error)) != NULL)
		abort();
	conf_free(c);
	c = NULL;
	if (is_ok(conf_load(span_of(data, size), &c)))
		conf_free(c);
	return 0;
}
