/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.c: what goes wrong, on standard error.
 *
 * Runs in: CLI. Trusts: nothing. Owns: nothing.
 * Invariants: every message is one line of printable text.
 * See: cli.h.
 */
#include "cli.h"

#include <stdarg.h>

int
cli_error(const char *what, const char *fmt, ...)
{
	char line[2048];
	int used = snprintf(line, sizeof(line), "sallyport: %.200s: ", what);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line + used, sizeof(line) - (size_t)used, fmt, ap);
	va_end(ap);
	for (unsigned char *p = (unsigned char *)line; *p != '\0'; p++) {
		bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0; /* in UTF-8 */

		if (*p < 0x20 || *p == 0x7f || c1)
			*p = '?';
		if (c1)
			p[1] = '?';
	}
	(void)fflush(stdout);
	(void)fprintf(stderr, "%s\n", line);
	return EXIT_FAILED;
}

int
cli_status(const char *what, struct status st)
{
	return cli_error(what, "%s", status_text(st));
}
