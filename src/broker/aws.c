/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aws.c: AWS: what the configuration says of it, and its endpoints.
 *
 * Runs in: broker. Trusts: the configuration, which was checked.
 * Owns: the connections to AWS, our keys.
 * Invariants: each endpoint may have the addresses that it needs, and no others: instance
 * metadata is reached by its own endpoint only.
 * See: aws.h, aws_keys.c, aws_job.c.
 */
#include "aws_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/clock.h>

#define IMDS_URL "http://169.254.169.254"

int64_t
aws_unix_now(const struct aws *a)
{
	return (int64_t)(clock_real_ns() / NS_PER_S) + a->skew_s;
}

/* ---- endpoints ---- */
#define NEAR (ADDRESS_BIT(ADDRESS_PRIVATE) | ADDRESS_BIT(ADDRESS_LOOPBACK))
#define LOCAL (ADDRESS_BIT(ADDRESS_METADATA) | ADDRESS_BIT(ADDRESS_LOOPBACK))

static const struct {
	const char *key;    /* of its URL */
	const char *format; /* without one: with the region in it */
	unsigned allow;
	bool local; /* in clear, to an address of this machine */
} origins[AWS_ORIGINS] = {
	[AWS_SECRETS_MANAGER] = { "aws.endpoint", "https://secretsmanager.%s.amazonaws.com", NEAR,
	    false },
	[AWS_KMS] = { "aws.kms_endpoint", "https://kms.%s.amazonaws.com", NEAR, false },
	[AWS_STS] = { "aws.sts_endpoint", "https://sts.%s.amazonaws.com", NEAR, false },
	[AWS_IMDS] = { "aws.imds_endpoint", NULL, LOCAL, true },
	[AWS_CONTAINER] = { "aws.container.uri", NULL, LOCAL, true },
};

static void
url_of(const struct aws *a, enum aws_origin which, char out[1100])
{
	const char *url = conf_str(a->session.b->d->conf, origins[which].key);

	if (url != NULL)
		(void)snprintf(out, 1100, "%s", url);
	else if (which == AWS_STS)
		(void)snprintf(out, 1100, "https://sts.%s.amazonaws.com", a->region);
	else if (which == AWS_SECRETS_MANAGER)
		(void)snprintf(out, 1100, "https://secretsmanager.%s.amazonaws.com", a->region);
	else if (which == AWS_KMS)
		(void)snprintf(out, 1100, "https://kms.%s.amazonaws.com", a->region);
	else
		(void)snprintf(out, 1100, "%s", IMDS_URL);
}

static struct status
connect_one(struct aws *a, struct span ca, enum aws_origin which)
{
	const struct conf *c = a->session.b->d->conf;
	char url[1100];
	struct upstream_opts o = { .resolver = a->session.b->resolver,
		.url = url,
		.allow = origins[which].allow,
		.allow_tls12 = strcmp(conf_str(c, "aws.tls_min"), "1.2") == 0,
		.ca_pem = ca };

	url_of(a, which, url);
	o.plain = strncmp(url, "http:", 5) == 0 &&
		  (origins[which].local || conf_bool(c, "aws.allow_plain_loopback"));
	return session_connect(&a->session, &o, &a->upstreams[which]);
}

static struct status
connect_all(struct aws *a, const char **ret_what)
{
	auto_buf struct buf own = BUF_INIT(SESSION_CA_MAX);
	struct span ca;

	*ret_what = "aws.ca_file";
	TRY(session_ca(&a->session, "aws", buf_span(&a->session.b->system_ca), &own, &ca));
	*ret_what = "aws.endpoint";
	TRY(connect_one(a, ca, AWS_SECRETS_MANAGER));
	*ret_what = "aws.kms_endpoint";
	TRY(connect_one(a, ca, AWS_KMS));
	if (a->method->origin == AWS_ORIGINS || a->method->origin == AWS_SECRETS_MANAGER)
		return OK;
	*ret_what = origins[a->method->origin].key;
	return connect_one(a, ca, a->method->origin);
}

/* ---- the configuration ---- */
static struct status
copy(const char *value, const char *other, char *dst, size_t size)
{
	return span_to_cstr(span_str(value == NULL ? other : value), dst, size);
}

static struct status
read_conf(struct aws *a, const char **ret_what)
{
	const struct conf *c = a->session.b->d->conf;
	const char *which = conf_str(c, "aws.credentials");

	*ret_what = "aws";
	TRY(copy(conf_str(c, "aws.region"), "", a->region, sizeof(a->region)));
	TRY(copy(conf_str(c, "aws.profile"), "default", a->profile, sizeof(a->profile)));
	TRY(copy(conf_str(c, "aws.web_identity.role_arn"), "", a->role_arn, sizeof(a->role_arn)));
	*ret_what = "aws.credentials";
	for (size_t i = 0; i < aws_method_count && a->method == NULL; i++) {
		const struct aws_method *m = &aws_methods[i];

		if (strcmp(which, m->name) == 0 ||
		    (strcmp(which, "auto") == 0 && m->there(a->session.b->d)))
			a->method = m;
	}
	return a->method != NULL && a->method->there(a->session.b->d) ? OK : fail(E_NOTFOUND);
}

struct status
aws_new(struct broker *b, struct aws **ret, const char **ret_what)
{
	struct aws *a;
	struct status st;

	*ret = NULL;
	if (conf_str(b->d->conf, "aws.region") == NULL)
		return OK;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return fail(E_NOMEM);
	session_init(&a->session, &aws_session_ops, b);
	st = read_conf(a, ret_what);
	if (is_ok(st)) {
		a->session.method = a->method->name;
		st = connect_all(a, ret_what);
	}
	if (!is_ok(st))
		aws_free(a);
	else
		*ret = a;
	return st;
}

void
aws_free(struct aws *a)
{
	session_free(a == NULL ? NULL : &a->session);
}

void
aws_done(struct session *s)
{
	struct aws *a = (struct aws *)s;

	for (size_t i = 0; i < AWS_ORIGINS; i++)
		upstream_free(a->upstreams[i]);
	aws_keys_done(&a->keys);
	secret_done(&a->imds_token);
}
