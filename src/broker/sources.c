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
#include <crypto/hash.h>

#include "aws.h"
#include "broker.h"
#include "credentials.h"
#include "secret_id.h"
#include "sealed.h"
#include "vault.h"

static struct {
	struct sources table;
	struct secret key; /* of file secrets, until the source has it */
	uint8_t vault_was[SHA256_LEN], aws_was[SHA256_LEN]; /* of all that they were made from */
	unsigned stopping;
	uv_timer_t timer;
	void (*stopped)(void *ctx);
	void *ctx;
} self;

struct status
sources_init(struct daemon *d)
{
	auto_secret struct secret master = SECRET_NONE;
	int fd = daemon_fd(d, "master-key");

	if (fd < 0)
		return fail(E_NOTFOUND);
	TRY(master_key_read(fd, &master));
	(void)close(fd);
	TRY(secret_id_init(&master, daemon_fd(d, "kept")));
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

/* Files that are read when a source is made, not at each login. */
static const char *const vault_files[] = { "vault.ca_file", "vault.auth.cert.cert_file",
	"vault.auth.cert.key_file", NULL };
static const char *const aws_files[] = { "aws.ca_file", NULL };

static int
file_of(const struct daemon *d, const char *key)
{
	char path[64];
	struct span rest = span_str(key);

	/* daemon_filef() takes the dots of its format only. */
	for (size_t i = 0; i < rest.len && i + 1 < sizeof(path); i++)
		path[i] = (char)(key[i] == '.' ? CONF_SEP : key[i]);
	path[rest.len] = '\0';
	return daemon_filef(d, "%s", path);
}

static struct status
update_file(struct sha256_ctx *sha, int fd)
{
	uint8_t part[4096];
	struct status st = OK;
	ssize_t n = 1;

	if (fd < 0)
		return OK;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return fail_errno();
	while (is_ok(st) && n > 0) {
		n = read(fd, part, sizeof(part));
		st = n < 0 ? fail_errno() : sha256_update(sha, span_of(part, (size_t)n));
	}
	secret_wipe(part, sizeof(part)); /* it may have been a private key */
	return st;
}

static struct status
update_all(
    struct sha256_ctx *sha, const struct daemon *d, const char *section, const char *const *files)
{
	const char *const prefixes[] = { section, NULL };
	auto_buf struct buf slice = BUF_INIT(CONF_SLICE_MAX);

	TRY(conf_slice(d->conf, prefixes, &slice));
	TRY(sha256_update(sha, buf_span(&slice)));
	for (; *files != NULL; files++)
		TRY(update_file(sha, file_of(d, *files)));
	return OK;
}

/* Is what the source is made from another than at the last call? */
static struct status
changed(const struct daemon *d, const char *section, const char *const *files,
    uint8_t was[SHA256_LEN], bool *ret)
{
	struct sha256_ctx *sha = NULL;
	uint8_t now[SHA256_LEN] = { 0 };
	struct status st;

	TRY(sha256_new(&sha));
	st = update_all(sha, d, section, files);
	if (is_ok(st))
		st = sha256_final(sha, now);
	sha256_free(sha);
	TRY(st);
	*ret = memcmp(now, was, sizeof(now)) != 0;
	memcpy(was, now, sizeof(now));
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

	TRY(changed(b->d, "vault", vault_files, self.vault_was, &other));
	if (!other)
		return OK;
	TRY(vault_new(b, &v, ret_what));
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

	TRY(changed(b->d, "aws", aws_files, self.aws_was, &other));
	if (!other)
		return OK;
	TRY(aws_new(b, &a, ret_what));
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
	if (self.stopping > 0 && --self.stopping == 0)
		self.stopped(self.ctx);
}

/* Who does not answer keeps nobody: tokens and leases end by themselves, too. */
static void
on_stop_timeout(uv_timer_t *t)
{
	(void)t;
	if (self.stopping > 0) {
		self.stopping = 1;
		on_stopped(NULL);
	}
}

void
sources_stop(struct broker *b, void (*done)(void *ctx), void *ctx)
{
	struct vault *v = self.table.by[REFERENCE_VAULT].source;

	self.stopped = done;
	self.ctx = ctx;
	self.stopping = 1;
	(void)uv_timer_init(b->d->loop, &self.timer);
	(void)uv_timer_start(&self.timer, on_stop_timeout, SOURCES_STOP_MS, 0);
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
