/* SPDX-License-Identifier: Apache-2.0 */
/*
 * term.c: text of others on this terminal.
 *
 * Runs in: CLI. Trusts: nothing: a model or its code may write escape sequences.
 * Invariants: on a terminal no control byte but tab and line feed gets through, neither C0 nor
 * C1; into a file or a pipe bytes go as they are.
 * See: cli.h.
 */
#include "cli.h"

#include <unistd.h>

struct status
term_safe(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t b = s.ptr[i];
		bool c1 = b == 0xc2 && i + 1 < s.len && s.ptr[i + 1] >= 0x80 && s.ptr[i + 1] < 0xa0;

		if (c1) {
			TRY(buf_put_str(out, "\xef\xbf\xbd"));
			i++;
		} else if ((b < 0x20 && b != '\n' && b != '\t') || b == 0x7f) {
			TRY(buf_put_str(out, "\xef\xbf\xbd"));
		} else {
			TRY(buf_put_u8(out, b));
		}
	}
	return OK;
}

bool
term_put(FILE *to, struct span s)
{
	struct buf safe = BUF_INIT(3 * s.len + 1);
	bool ok;

	if (s.len == 0)
		return true;
	if (isatty(fileno(to)) == 0)
		return fwrite(s.ptr, 1, s.len, to) == s.len && fflush(to) == 0;
	ok = is_ok(term_safe(s, &safe)) && fwrite(safe.ptr, 1, safe.len, to) == safe.len &&
	     fflush(to) == 0;
	buf_done(&safe);
	return ok;
}
