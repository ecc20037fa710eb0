/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diag.c: diagnostics for operators: one bounded line each, on standard error.
 *
 * Runs in: every process. Trusts: formats; never the arguments: whatever is not
 * printable ASCII is escaped, so that peer text cannot forge lines.
 * Owns: the process's name. Invariants: one write(2) a line.
 * See: daemon/daemon.h. Diagnostics are not audit.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static char who[48] = "sallyport";

static const char *const level_marks[] = {
	[DIAG_ERROR] = "error: ",
	[DIAG_WARN] = "warning: ",
	[DIAG_INFO] = "",
	[DIAG_DEBUG] = "debug: ",
};

void
diag_set_name(const char *name, uint32_t index)
{
	if (index == 0)
		(void)snprintf(who, sizeof(who), "sallyport %s", name);
	else
		(void)snprintf(who, sizeof(who), "sallyport %s.%u", name, index);
}

static size_t
escape(const char *in, char *out, size_t out_size)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (; *in != '\0' && n + 5 < out_size; in++) {
		unsigned char c = (unsigned char)*in;

		if (c >= ' ' && c < 0x7f) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = digits[c >> 4];
		out[n++] = digits[c & 15];
	}
	out[n++] = '\n';
	return n;
}

static void __attribute__((format(printf, 2, 0)))
diag_line(enum diag_level level, const char *fmt, va_list ap)
{
	char text[DIAG_LINE_MAX], line[DIAG_LINE_MAX * 2];
	int at = snprintf(text, sizeof(text), "%s: %s", who, level_marks[level]);

	if (at < 0 || (size_t)at >= sizeof(text))
		return;
	(void)vsnprintf(text + at, sizeof(text) - (size_t)at, fmt, ap);
	if (write(STDERR_FILENO, line, escape(text, line, sizeof(line))) < 0)
		return; /* nowhere left to tell it */
}

void
diag(enum diag_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_line(level, fmt, ap);
	va_end(ap);
}

_Noreturn void
diag_fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_line(DIAG_ERROR, fmt, ap);
	va_end(ap);
	_exit(1);
}
