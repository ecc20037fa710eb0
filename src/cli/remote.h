/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

/* What the clients of the public API share: the three variables or a session, and one exchange. */
#include <json/json.h>

#include "cli.h"
#include "http_client.h"
#include "session_file.h"

struct remote {
	const char *url;
	const char *key;             /* of the environment, or of `session` */
	struct session_file session; /* of `sallyport login`, where it is used */
	char authority[300];
	struct buf ca;
};
#define auto_remote __attribute__((cleanup(remote_close)))

/* False after a message. */
bool remote_open(struct remote *r);
void remote_close(struct remote *r);
#define CA_FILE_SYSTEM "/etc/ssl/certs/ca-certificates.crt"
#define CA_FILE_MAX (1U << 20)
/* Certificate authorities of a file; false after a message. */
bool read_authorities(const char *path, struct buf *out);
/* One exchange; false after a message. */
bool remote_run(struct remote *r, struct exchange *x);
/* Is it a good answer in JSON? It is in `d` then; else false, after a message. */
bool answer_ok(const char *what, const struct exchange *x, struct json_doc *d);
#define REMOTE_NAME_MAX 65 /* with its NUL */
/* A member of an answer that is a name: of characters that mean the same everywhere. */
bool remote_name(const struct json_doc *d, const char *member, char ret[REMOTE_NAME_MAX]);
#define REMOTE_NEXT_MAX 129 /* with its NUL */
/* `next` of a page, a text or a number, as a part of a query. False: that was the last page. */
bool remote_next(const struct json_doc *d, char ret[REMOTE_NEXT_MAX]);
/* A file, or standard input for "-"; false after a message. */
bool read_input(const char *what, const char *path, struct buf *out);

#endif
