/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_OPERATE_H
#define CLI_OPERATE_H

/* What the operator's commands share: one exchange over the management socket. */
#include <json/json.h>

#include "cli.h"
#include "http_client.h"

/* An answer whose body is a JSON object. */
struct reply {
	struct exchange x;
	struct json_doc d;
};
#define auto_reply __attribute__((cleanup(reply_done)))
void reply_done(struct reply *r);

/* One exchange; false after a message. A 2xx answer is in r->d. */
bool operate(const char *what, const struct state *s, struct reply *r);
/* A member of an object as a table's cell. */
void print_cell(const struct json_doc *d, uint32_t object, const char *key, int width);
/* A time, Unix seconds; "-" for none. */
void print_time(const struct json_doc *d, uint32_t object, const char *member);
/* The answer as it came. Exit status of the command. */
int print_raw(const struct reply *r);

#endif
