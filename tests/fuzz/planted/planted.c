/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of length-prefixed frames with one planted fault: it checks the length of every kind of
 * frame but one. Runs in:  ./dev test, once: shows that the fuzzers of this project find what they
 * are for.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t
sum(const uint8_t *data, size_t len)
{
	uint32_t total = 0;

	for (size_t i = 0; i < len; i++)
		total += data[i];
	return total;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	size_t at = 0;
	volatile uint32_t total = 0;

	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	while (at + 2 <= size) {
		uint8_t type = copy[at];
		size_t len = copy[at + 1];
		if (type != 'D' && at + 2 + len > size)
			break;
		total = total + sum(copy + at + 2, len);
		at += 2 + len;
	}
	free(copy);
	return 0;
}
