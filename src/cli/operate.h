/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_OPERATE_H
#define CLI_OPERATE_H

/* What the operator's commands share: one exchange over the management socket. */
#include <json/json.h>
#include <json/write.h>

#include "cli.h"
#include "http_client.h"

#define USER_TARGET_MAX 512
#define USER_WHO_MAX 130 /* TENANT/USER */
#define EXPORT_CURSOR_MAX 128

/* An answer whose body is a JSON object. */
struct reply {
	struct exchange x;
	struct json_doc d;
};
#define auto_reply __attribute__((cleanup(reply_done)))
void reply_done(struct reply *r);

/* One exchange; false after a message. A 2xx answer is in r->d. */
bool operate(const char *what, const struct state *s, struct reply *r);
/*
 * Every page of a list: `base` is its path, perhaps with a query; `head` a table's first line, or
 * NULL, `print` one row of `array` (or JSON, where the command has that). False after a message.
 */
bool operate_pages(const struct invocation *inv, const struct state *s, const char *base,
    const char *array, const char *head, void (*print)(const struct json_doc *d, uint32_t row));
/* The same as a command: of one tenant or user, where it has those options. */
int operate_list(const struct invocation *inv, const char *array, const char *head,
    void (*print)(const struct json_doc *d, uint32_t row));
/* True, after a message: the act needs another person first, so that it is not done. */
bool operate_waits(const struct reply *r, const char *what);
/* What was revoked, to standard error, and whether that is durable yet. */
void print_revoked(const struct reply *r, const char *id);
/* cell.c: a member of an answer as a table's cell, for people; control bytes made safe. */
void print_cell(const struct json_doc *d, uint32_t object, const char *key, int width);
/* A time, Unix seconds; "-" for none. */
void print_time(const struct json_doc *d, uint32_t object, const char *member);
/* lists.c: is each word of each list, as --roles, one that there is? False after a message. */
bool lists_ok(const struct invocation *inv);
void lists_put_roles(const struct invocation *inv, struct json_writer *w);
void lists_put_scopes(const struct invocation *inv, struct json_writer *w);
/* Say which models of the scope are not configured: it is taken all the same. */
void lists_warn(const struct invocation *inv, const struct state *s);
/* TENANT/USER as the path of the user, and what lies below it; false after a message. */
bool user_target(const char *who, const char *below, char ret[USER_TARGET_MAX]);
/*
 * The same for who is there, whom a name alone may be where one tenant alone has it, or, for what
 * is `forever`, where there is one tenant alone: `who` becomes TENANT/USER. EXIT_DONE, or after a
 * message what the command exits with.
 */
int user_find(const struct invocation *inv, const struct state *s, const char *below, bool forever,
    char who[USER_WHO_MAX], char ret[USER_TARGET_MAX]);
/* The same for TENANT. */
bool tenant_target(const char *who, const char *below, char ret[USER_TARGET_MAX]);
/* Print a page of an export; `cursor` is where the next one begins, "" after the last. */
/* To standard error: what the answer to an erasure says. */
void print_erased(const char *who, const struct json_doc *d);
MUST_USE struct status export_page(const struct json_doc *d, char cursor[EXPORT_CURSOR_MAX]);
/* The answer as it came. Exit status of the command. */
int print_raw(const struct reply *r);

#endif
