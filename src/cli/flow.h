/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FLOW_H
#define CLI_FLOW_H

/*
 * The device flow without its network: each answer of the service and of the provider is judged
 * by one function here, which has no other input, and says on standard error what is wrong with it.
 */
#include <json/json.h>

#include "session_file.h"

#define FLOW_URL_MAX 2048
#define FLOW_TEXT_MAX 1024
#define FLOW_INTERVAL_S 5 /* RFC 8628 §3.2, where none is given; also what slow_down adds */
#define FLOW_WAIT_S_MAX 3600

struct flow {
	char url[SESSION_FILE_URL_MAX], ca_path[CLI_PATH_MAX]; /* the service */
	char issuer[FLOW_URL_MAX], client_id[FLOW_TEXT_MAX], scope[FLOW_TEXT_MAX];
	char device_url[FLOW_URL_MAX], token_url[FLOW_URL_MAX];
	char code[FLOW_TEXT_MAX]; /* the device code: a secret until it is used */
	uint64_t interval_s, until_s;
	struct secret token; /* the provider's */
	struct json_doc d;
};

struct flow_answer {
	unsigned status;
	struct span body;
};

/* What a person is told; all of it is printable ASCII. */
struct flow_prompt {
	char uri[FLOW_URL_MAX], code[FLOW_TEXT_MAX];
	char whole[FLOW_URL_MAX]; /* the page with the code in it; "": there is none */
};

enum flow_poll {
	FLOW_DONE,
	FLOW_AGAIN,
	FLOW_FAILED,
};

/* All: false, or FLOW_FAILED, after a message. */

/* GET /auth/login: the provider that was asked for, or, with NULL, the only one. */
bool flow_choose(struct flow *f, struct flow_answer a, const char *wanted);
/* OpenID Connect Discovery §4: the document is the issuer's own, or none. `url`: where it was. */
bool flow_discover(struct flow *f, struct flow_answer a, const char *url);
/* RFC 8628 §3.2. Units: seconds since 1970. */
bool flow_begin(struct flow *f, struct flow_answer a, uint64_t now_s, struct flow_prompt *ret);
/* RFC 8628 §3.5; f->token is there on FLOW_DONE. */
enum flow_poll flow_take(struct flow *f, struct flow_answer a);
/* It did not answer. */
void flow_slower(struct flow *f);
/* RFC 8693: the service's own token; *k is whole, or there is a message. */
bool flow_session(struct flow *f, struct flow_answer a, uint64_t now_s, struct session_file *k);
/* RFC 7009, 401: it has ended already. `what`: whose answer it is. */
bool flow_revoked(struct flow *f, struct flow_answer a, const char *what);

#endif
