/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sources.c: which sources of credentials there are, after the configuration.
 *
 * Runs in: broker. Trusts: the configuration, which was checked.
 * Owns: the sources; the key of file secrets, from the start on.
 * Invariants: the master key itself is gone before the jail; a source that the configuration does
 * not name does not exist; one whose section changed is made anew, and what came from it is read
 * again.
 * See: credentials.h, source.h, vault.h, aws.h, sealed.h.
 */
#include <stdio.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <crypto/file_secret.h>

#include "aws.h"
#include "broker.h"
#include "credentials.h"
#include "sealed.h"
#include "vault.h"

static struct {
	struct sources table;
	struct secret key;             /* of file secrets, until the source has it */
	struct buf vault_was, aws_was; /* their sections, as slices */
	unsigned stopping;
	void (*stopped)(void *ctx);
	void *ctx;
} self = { .vault_was = { .max = CONF_SLICE_MAX }, .aws_was = { .max = CONF_SLICE_MAX } };

struct status
sources_init(struct daemon *d)
{
	auto_secret struct secret master = SECRET_NONE;
	int fd = daemon_fd(d, "master-key");

	if (fd < 0)
		return fail(E_NOTFOUND);
	TRY(master_key_read(fd, &master));
	(void)close(fd);
	return file_secret_key(&master, &self.key);
}

static void
set(enum reference_source which, const struct source_ops *ops, void *source, uint32_t poll_ms,
    bool polls)
{
	self.table.by[which].ops = source == NULL ? NULL : ops;
	self.table.by[which].source = source;
	self.table.by[which].lifetime =
	    (struct lifetime_opts){ .poll_ms = poll_ms, .polls = polls, .previous = true };
}

/* Is the section another than at the last call? */
static struct status
changed(const struct conf *c, const char *section, struct buf *was, bool *ret)
{
	const char *const prefixes[] = { section, NULL };
	auto_buf struct buf now = BUF_INIT(CONF_SLICE_MAX);

	TRY(conf_slice(c, prefixes, &now));
	*ret = !span_eq(buf_span(&now), buf_span(was));
	if (*ret) {
		struct buf old = *was;

		*was = now;
		now = old;
	}
	return OK;
}

static void
free_vault(void *ctx)
{
	vault_free(ctx);
}

static struct status
config_vault(struct broker *b, const char **ret_what)
{
	struct vault *old = self.table.by[REFERENCE_VAULT].source, *v = NULL;
	bool other = false;

	TRY(changed(b->d->conf, "vault", &self.vault_was, &other));
	if (!other)
		return OK;
	TRY(vault_new(b->d, b->resolver, buf_span(&b->system_ca), &v, ret_what));
	set(REFERENCE_VAULT, &vault_ops, v, (uint32_t)conf_u64(b->d->conf, "vault.poll_s") * 1000,
	    true);
	credentials_source_changed(b, REFERENCE_VAULT);
	if (old != NULL)
		vault_stop(old, free_vault, old);
	return OK;
}

static struct status
config_aws(struct broker *b, const char **ret_what)
{
	struct aws *old = self.table.by[REFERENCE_AWS].source, *a = NULL;
	bool other = false;

	TRY(changed(b->d->conf, "aws", &self.aws_was, &other));
	if (!other)
		return OK;
	TRY(aws_new(b->d, b->resolver, buf_span(&b->system_ca), &a, ret_what));
	set(REFERENCE_AWS, &aws_ops, a, (uint32_t)conf_u64(b->d->conf, "aws.poll_s") * 1000, true);
	credentials_source_changed(b, REFERENCE_AWS);
	aws_free(old);
	return OK;
}

static struct status
config_sealed(struct broker *b)
{
	struct sealed *s = NULL;

	if (self.table.by[REFERENCE_FILE].source != NULL)
		return OK;
	TRY(sealed_new(b, &self.key, &s));
	set(REFERENCE_FILE, &sealed_ops, s, 0, false); /* a change is told */
	return OK;
}

struct status
sources_config(struct broker *b, const char **ret_what)
{
	*ret_what = "file secrets";
	b->sources = &self.table;
	TRY(config_sealed(b));
	TRY(config_vault(b, ret_what));
	return config_aws(b, ret_what);
}

static void
on_stopped(void *ctx)
{
	(void)ctx;
	if (--self.stopping == 0)
		self.stopped(self.ctx);
}

void
sources_stop(struct broker *b, void (*done)(void *ctx), void *ctx)
{
	struct vault *v = self.table.by[REFERENCE_VAULT].source;

	self.stopped = done;
	self.ctx = ctx;
	self.stopping = 1;
	for (unsigned i = 0; i < REFERENCE_SOURCES; i++)
		self.table.by[i].ops = NULL;
	for (unsigned i = 0; i < REFERENCE_SOURCES; i++)
		credentials_source_changed(b, (enum reference_source)i);
	if (v != NULL) {
		self.stopping++;
		vault_stop(v, on_stopped, NULL);
	}
	on_stopped(NULL);
}
