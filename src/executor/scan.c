/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.c: guess, cheaply, whether Python code will import the heavy modules.
 *
 * Runs in: the executor. Trusts: nothing; a wrong guess costs time, not safety.
 * Invariants: linear in the code's length, no memory.
 */
#include "guest.h"

static const char *const modules[] = { "numpy", "pandas", "matplotlib" };

static bool
is_word(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c >= 0x80;
}

static bool
is_module(struct span word)
{
	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		if (span_eq_str(word, modules[i]))
			return true;
	}
	return false;
}

/*
 * A line whose first word is `import` or `from` and that names one of the
 * modules as a whole word, or a call of __import__ or import_module anywhere.
 */
bool
scan_names_data(struct span code)
{
	bool importing = false, first = true;

	for (size_t i = 0; i < code.len;) {
		size_t start = i;
		struct span word;

		if (!is_word(code.ptr[i])) {
			if (code.ptr[i] == '\n' || code.ptr[i] == ';' || code.ptr[i] == ':')
				first = true;
			if (code.ptr[i] == '\n' || code.ptr[i] == ';')
				importing = false;
			i++;
			continue;
		}
		while (i < code.len && is_word(code.ptr[i]))
			i++;
		word = span_of(code.ptr + start, i - start);
		if (importing && is_module(word))
			return true;
		if ((first && (span_eq_str(word, "import") || span_eq_str(word, "from"))) ||
		    span_eq_str(word, "__import__") || span_eq_str(word, "import_module"))
			importing = true;
		first = false;
	}
	return false;
}
