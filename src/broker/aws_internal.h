/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_AWS_INTERNAL_H
#define BROKER_AWS_INTERNAL_H

/*
 * Shared by aws.c (parts), aws_keys.c (our own credentials), aws_job.c (the work), aws_kms.c (work
 * on keys).
 */
#include "aws.h"
#include "aws_answer.h"
#include "secret_file.h"
#include "session.h"
#include "sigv4.h"

#define AWS_REGION_MAX 32
#define AWS_ARN_MAX 2048

enum aws_origin {
	AWS_SECRETS_MANAGER,
	AWS_KMS,
	AWS_STS,
	AWS_IMDS,
	AWS_CONTAINER,
	AWS_ORIGINS,
};

struct aws_method;

struct aws {
	struct session session; /* the first member */
	char region[AWS_REGION_MAX + 1], profile[65], role_arn[AWS_ARN_MAX + 1];
	struct upstream *upstreams[AWS_ORIGINS]; /* NULL: not needed */
	const struct aws_method *method;
	struct aws_keys keys;
	unsigned step; /* of the method */
	struct secret imds_token;
	int64_t skew_s; /* of our clock: what AWS's Date said */
};

/* aws.c */
int64_t aws_unix_now(const struct aws *a); /* as AWS sees it */
void aws_done(struct session *s);          /* as in session_ops */

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
/* As in session_ops. */
enum session_login aws_prepare(struct session *s);
void aws_login(struct session *s);

/* aws_job.c */
/* What a job is at AWS. */
struct aws_row {
	enum aws_origin origin;
	const char *service;
	const char *target;
	/* The body, and what is in the answer. */
	struct status (*put)(const struct work *w, struct buf *out);
	struct status (*take)(struct work *w, struct span body);
	size_t body_max;
};
/* aws_kms.c: keys under the keys of KMS. */
extern const struct aws_row aws_wrap, aws_unwrap, aws_rewrap;
extern const struct session_ops aws_session_ops;

#endif
