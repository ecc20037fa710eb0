/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_AWS_INTERNAL_H
#define BROKER_AWS_INTERNAL_H

/* Shared by aws.c (parts and requests), aws_keys.c (our own credentials), aws_job.c (the work). */
#include <sys/queue.h>

#include <daemon/daemon.h>

#include "aws.h"
#include "aws_answer.h"
#include "breaker.h"
#include "fetch.h"
#include "secret_file.h"
#include "sigv4.h"

#define AWS_REGION_MAX 32
#define AWS_ARN_MAX 2048

enum aws_origin {
	AWS_SECRETS_MANAGER,
	AWS_STS,
	AWS_IMDS,
	AWS_CONTAINER,
	AWS_ORIGINS,
};

struct aws_work;
struct aws_method;

struct aws {
	struct daemon *d;
	uv_loop_t *loop;
	char region[AWS_REGION_MAX + 1], profile[65], role_arn[AWS_ARN_MAX + 1];
	struct upstream *upstreams[AWS_ORIGINS]; /* NULL: not needed */
	const struct aws_method *method;
	/* Our keys, and how they are fetched: one flight. */
	struct aws_keys keys;
	uint64_t keys_end_ms; /* of the loop's clock */
	unsigned step;        /* of the method */
	struct fetch *fetch;
	bool opening; /* the files are being opened once more */
	bool closing; /* freed when they have been */
	struct secret imds_token;
	unsigned failures;
	uint64_t not_before_ms;
	enum secret_fault fault;
	bool refused;
	int64_t skew_s; /* of our clock: what AWS's Date said */
	uv_timer_t timer;
	struct breaker breaker;      /* of the work; fetching keys backs off by itself */
	LIST_HEAD(, aws_work) works; /* all; those that wait for keys have no fetch */
	size_t nworks;
};

/* aws.c */
uint64_t aws_now(const struct aws *a);
int64_t aws_unix_now(const struct aws *a); /* as AWS sees it */

/* aws_keys.c */
/* Where keys come from. Each step sends a request, or takes what is in a file. */
struct aws_method {
	const char *name;                      /* as in aws.credentials */
	bool (*there)(const struct daemon *d); /* is it configured? */
	bool files;                            /* to be opened once more before the first step */
	enum aws_origin origin;
	struct status (*send[3])(struct aws *a, struct fetch_request *r);
	/* Of each step's answer; the last one gives the keys. */
	struct status (*take[3])(struct aws *a, struct span body, struct aws_keys *ret);
};
extern const struct aws_method aws_methods[];
extern const size_t aws_method_count;
bool aws_keys_ready(const struct aws *a);
/* Fetch them, unless that is under way. The works hear of its end by aws_jobs_keys(). */
void aws_keys_want(struct aws *a);
void aws_keys_lost(struct aws *a);
void aws_keys_timer(uv_timer_t *t);

/* aws_job.c */
void aws_jobs_keys(struct aws *a);

#endif
