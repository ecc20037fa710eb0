/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasm_tool.c: a user's tool as small ones are: {"numbers": [1, 2, 3]} becomes {"sum": 6}.
 *
 * Runs in:    a run worker, Python's wasmtime, each by bench/run.py.
 * Trusts:     nothing. Owns: nothing. Invariants: stock C, stock WASI, printf and all.
 * See:        run.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN_MAX 4096

int
main(void)
{
	static char in[IN_MAX + 1];
	size_t len = fread(in, 1, IN_MAX, stdin);
	long long sum = 0;
	char *at;

	in[len] = '\0';
	at = strchr(in, '[');
	if (at == NULL)
		return 1;
	while (*at == '[' || *at == ',') {
		char *end;

		sum += strtoll(at + 1, &end, 10);
		if (end == at + 1)
			return 1;
		at = end;
	}
	printf("{\"sum\": %lld}\n", sum);
	return 0;
}
