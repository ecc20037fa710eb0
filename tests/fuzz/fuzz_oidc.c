/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A discovery document: whatever comes, what is taken is text of bounded length from a document of
 * the issuer that was asked.
 */
#include <stdlib.h>

#include <issuers.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct span issuer = SPAN_LIT("https://a.example");
	char url[ISSUER_KEYS_URL_MAX + 1] = "";
	size_t len;

	if (!is_ok(discovery_parse(span_of(data, size), issuer, url)))
		return 0;
	len = strlen(url);
	if (len == 0 || len > ISSUER_KEYS_URL_MAX || size > ISSUER_DOCUMENT_MAX)
		abort();
	return 0;
}
