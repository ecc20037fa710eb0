/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's control pipe is hostile. The first byte chooses how the rest is
 * cut into reads; the parser must never keep more than it allowed.
 */
#include <guest.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t step = size == 0 ? 1 : 1 + data[0];
	struct run_file items[FILES_MAX];
	struct guest g;

	guest_init(&g);
	for (size_t at = 1; at < size; at += step) {
		if (g.state == GUEST_IDLE)
			guest_begin(&g, 4, 100);
		if (!is_ok(guest_feed(&g, span_of(data + at, at + step > size ? size - at : step))))
			break;
		if (g.nfiles > 4 || g.content_total > 100 ||
		    g.exit_code > GUEST_EXIT_SIGNAL + GUEST_SIGNAL_MAX)
			abort();
		for (uint32_t i = 0; i < guest_files(&g, items).files.count; i++) {
			if (!guest_name_ok(items[i].name) || items[i].content.len > 100)
				abort();
		}
	}
	guest_done(&g);
	return 0;
}
