/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_QUERY_H
#define GATEWAY_QUERY_H

/*
 * The query of lists and of what is looked at: names that the endpoint knows, each once.
 */
#include <stdbool.h>
#include <stdint.h>

#include <wire/content.h>
#include <wire/errors.h>

struct request;

#define QUERY_VALUE_MAX 64

/* What a query says of a page. */
struct page {
	char after[CONTENT_ID_MAX + 1];
	char purpose[CONTENT_TAG_MAX + 1];
	uint32_t limit; /* 0: not a word */
	bool ascending, descending;
};

/*
 * For routes: limit, order, after and include[], as lists of items take them; the same with
 * purpose instead of include[]; include[] alone. Read again where it is needed: query_page().
 */
enum error query_items(struct request *r);
enum error query_files(struct request *r);
enum error query_include(struct request *r);
/* State: the request's route took its query. */
const struct page *query_page(const struct request *r);

#endif
