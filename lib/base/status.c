/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.c: texts of status codes.
 *
 * Runs in: every process. Trusts: nothing. Owns: nothing.
 * See: base/status.h.
 */
#include <base/status.h>

#include <string.h>

static const char *const texts[] = {
	[E_OK] = "ok",
	[E_NOMEM] = "out of memory",
	[E_RANGE] = "out of range",
	[E_SYNTAX] = "syntax error",
	[E_PROTO] = "protocol violation",
	[E_DENIED] = "denied",
	[E_FULL] = "full",
	[E_AGAIN] = "would block",
	[E_EOF] = "end of input",
	[E_CLOSED] = "closed",
	[E_NOTFOUND] = "not found",
	[E_EXISTS] = "already exists",
	[E_TIMEOUT] = "timed out",
	[E_UNSUPPORTED] = "not supported here",
	[E_CRYPTO] = "cryptographic failure",
	[E_CORRUPT] = "stored data is corrupt",
};

const char *
status_text(struct status st)
{
	if (st.code == E_SYS)
		return strerror(st.err);
	if (st.code >= sizeof(texts) / sizeof(texts[0]) || texts[st.code] == NULL)
		return "no status was set";
	return texts[st.code];
}
