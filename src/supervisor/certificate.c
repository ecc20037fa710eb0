/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate.c: the public side's certificate and key: read, judged, replaced while it serves.
 *
 * Runs in: supervisor, as root. Trusts: the configuration for where they are; of what is there
 * nothing before a TLS context was made of it.
 * Owns: the pair that is in use, the key of session tickets, the timer that looks for another.
 * Invariants: a pair that is not good is refused and said, and the one in use stays; gateways
 * get bytes and never a path; handshakes from then on see the new pair, connections keep theirs.
 * With a new pair the tickets of the old one are void, for they would stand in for it.
 * See: crypto/leaf.h (our own); src/gateway/worker.c (worker_cert()); wire/control.h (CERT).
 */
#include "supervisor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/rand.h>
#include <crypto/leaf.h>
#include <tls/tls.h>

#define WATCH_MS 1000    /* the timer's pace; tls.watch_s says when there is something to do */
#define RETRY_MS 3600000 /* after a leaf of ours that could not be made */

const char *const certificate_why_names[] = { "start", "reload", "demand", "schedule", "file" };

/* ---- reading and judging ---- */

void
certificate_done(struct certificate *c)
{
	buf_done(&c->chain);
	secret_done(&c->key);
	*c = CERTIFICATE_NONE;
}

static void
stamp_take(const struct stat *sb, struct file_stamp *ret)
{
	*ret = (struct file_stamp){ .dev = (uint64_t)sb->st_dev,
		.ino = (uint64_t)sb->st_ino,
		.size = (uint64_t)sb->st_size,
		.mtime_s = sb->st_mtim.tv_sec,
		.mtime_ns = sb->st_mtim.tv_nsec };
}

void
file_stamp_of(const struct supervisor *sv, const char *path, struct file_stamp *ret)
{
	struct stat sb;

	*ret = (struct file_stamp){ 0 };
	if (fstatat(sv->inst.dir_fd, path, &sb, 0) == 0)
		stamp_take(&sb, ret);
}

/* Nobody else's bytes are parsed here, as root: whose is what was opened, at the end of all links.
 */
static bool
is_ours(const struct supervisor *sv, const struct stat *file)
{
	struct stat dir;

	if (file->st_uid == 0)
		return true;
	return fstat(sv->inst.dir_fd, &dir) == 0 && file->st_uid == dir.st_uid;
}

/* Our own names are no links; an operator's may be, as where a client of ACME keeps them. */
int
file_open_ours(const struct supervisor *sv, const char *path, bool secret, struct file_stamp *stamp,
    const char **ret_why)
{
	auto_fd int fd = openat(
	    sv->inst.dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat sb;

	*stamp = (struct file_stamp){ 0 };
	*ret_why = NULL;
	if (fd < 0 || fstat(fd, &sb) < 0) {
		*ret_why = status_text(fail_errno());
		return -1;
	}
	stamp_take(&sb, stamp);
	if (!S_ISREG(sb.st_mode))
		*ret_why = "is not a regular file";
	else if (!is_ours(sv, &sb))
		*ret_why = "belongs to neither root nor the owner of the state directory";
	else if ((sb.st_mode & 022) != 0)
		*ret_why = "may be written by others than its owner";
	else if (secret && (sb.st_mode & 077) != 0)
		*ret_why = "is a private key, and others than its owner may read it";
	return *ret_why != NULL ? -1 : fd_take(&fd);
}

struct status
certificate_refuse(struct certificate_fault *f, const char *kind, const char *path, const char *why)
{
	f->kind = kind;
	f->authority[0] = '\0';
	(void)snprintf(f->text, sizeof(f->text), "%.400s: %s", path, why);
	return fail(E_DENIED);
}

static struct status
read_files(const struct supervisor *sv, const struct conf *conf, struct certificate *c,
    struct certificate_fault *f)
{
	const char *chain = conf_str(conf, "tls.certificate"), *key = conf_str(conf, "tls.key");
	const char *why_chain, *why_key;
	auto_fd int chain_fd = file_open_ours(sv, chain, false, &c->stamps[0], &why_chain);
	auto_fd int key_fd = file_open_ours(sv, key, true, &c->stamps[1], &why_key);
	struct status st;
	bool clear;

	if (chain_fd < 0)
		return certificate_refuse(f, "unreadable", chain, why_chain);
	if (key_fd < 0)
		return certificate_refuse(f, "unreadable", key, why_key);
	st = daemon_read_file(chain_fd, &c->chain);
	if (!is_ok(st))
		return certificate_refuse(f, "unreadable", chain, status_text(st));
	st = key_file_read(key_fd, &sv->inst.seal, LEAF_KEY_NAME, &c->key, &clear);
	return is_ok(st) ? OK : certificate_refuse(f, "unreadable", key, status_text(st));
}

/* As a gateway will, so that none of them finds a fault in it later. */
static struct status
try_it(const struct certificate *c)
{
	static const char *const protocols[] = { "h2", "http/1.1", NULL };
	const struct tls_server_opts o = { .cert_pem = buf_span(&c->chain),
		.key_pem = secret_borrow(&c->key),
		.alpn = protocols };
	struct tls_ctx *ctx = NULL;

	TRY(tls_server_ctx_new(&o, &ctx));
	tls_ctx_free(ctx);
	return OK;
}

static struct status
judge(const struct conf *conf, struct certificate *c, struct certificate_fault *f)
{
	const char *chain = conf_str(conf, "tls.certificate"), *key = conf_str(conf, "tls.key");
	int64_t now = (int64_t)time(NULL), from;
	struct status st;

	if (!is_ok(cert_not_before(buf_span(&c->chain), &from)) ||
	    !is_ok(cert_not_after(buf_span(&c->chain), &c->not_after_s)) ||
	    !is_ok(cert_fingerprint(buf_span(&c->chain), c->fingerprint)))
		return certificate_refuse(
		    f, "invalid", chain, "does not begin with a certificate in PEM");
	st = cert_key_matches(buf_span(&c->chain), &c->key);
	if (st.code == E_SYNTAX)
		return certificate_refuse(f, "invalid", key, "is not a private key in PEM");
	if (!is_ok(st))
		return certificate_refuse(f, "mismatch", key, "does not belong to the certificate");
	if (!is_ok(try_it(c)))
		return certificate_refuse(f, "invalid", chain, "TLS cannot use this chain and key");
	if (now < from)
		return certificate_refuse(f, "early", chain, "is not valid yet");
	return now < c->not_after_s ? OK : certificate_refuse(f, "expired", chain, "has expired");
}

struct status
certificate_read(const struct supervisor *sv, const struct conf *conf, struct certificate *ret,
    struct certificate_fault *f)
{
	TRY(read_files(sv, conf, ret, f));
	return judge(conf, ret, f);
}

/* At a start there is none to go on with: one of another time is said, and used. */
struct status
certificate_first(struct supervisor *sv, struct certificate_fault *f)
{
	struct instance *in = &sv->inst;
	struct status st = certificate_read(sv, sv->conf, &in->certificate, f);

	if (!is_ok(st) && strcmp(f->kind, "expired") != 0 && strcmp(f->kind, "early") != 0)
		return st;
	if (!is_ok(st))
		diag(DIAG_WARN, "certificate: %s; clients will not take it", f->text);
	memcpy(sv->certificate_seen, in->certificate.stamps, sizeof(sv->certificate_seen));
	return OK;
}

/* ---- replacing ---- */

struct status
certificate_send(const struct child *c)
{
	const struct instance *in = &c->sv->inst;
	struct ctl_cert m = { .chain_pem = buf_span(&in->certificate.chain),
		.key_pem = secret_borrow(&in->certificate.key) };
	struct status st;

	if (c->proc != PROC_GATEWAY)
		return OK;
	TRY(clients_send(c));
	memcpy(m.ticket_key, in->ticket_key, sizeof(m.ticket_key));
	st = link_send(c->control, 0, CTL_CERT, &m);
	secret_wipe(m.ticket_key, sizeof(m.ticket_key));
	return st;
}

bool
certificate_adopt(struct supervisor *sv, struct certificate *fresh, enum certificate_why why)
{
	struct instance *in = &sv->inst;
	bool other = memcmp(fresh->fingerprint, in->certificate.fingerprint, DIGEST_LEN) != 0;

	certificate_done(&in->certificate);
	in->certificate = *fresh;
	*fresh = CERTIFICATE_NONE;
	memcpy(sv->certificate_seen, in->certificate.stamps, sizeof(sv->certificate_seen));
	if (!other)
		return false;
	if (!is_ok(rand_bytes(in->ticket_key, sizeof(in->ticket_key))))
		diag(DIAG_WARN, "the key of session tickets stays");
	record_certificate(sv, &in->certificate, certificate_why_names[why], NULL);
	return true;
}

void
certificate_send_all(struct supervisor *sv)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *c = &sv->children[i];

		if (c->control == NULL || (c->state != CHILD_READY && c->state != CHILD_GREETED))
			continue;
		if (!is_ok(certificate_send(c)))
			diag(DIAG_ERROR, "%s: its certificate could not be sent",
			    proc_names[c->proc]);
	}
}

static struct status
issued(const char *path, struct status st, struct certificate_fault *f)
{
	return is_ok(st) ? OK : certificate_refuse(f, "not_issued", path, status_text(st));
}

struct status
certificate_renew(const struct supervisor *sv, const struct conf *conf, struct certificate_fault *f)
{
	const char *path = conf_str(conf, "tls.certificate");
	bool renewed;

	if (!leaf_is_own(sv->inst.dir_fd, path))
		return OK;
	return issued(path,
	    leaf_renew(sv->inst.dir_fd, conf_str(conf, "listen"), &sv->inst.seal, &renewed), f);
}

static struct status
issue(struct supervisor *sv, enum certificate_why why, struct certificate_fault *f)
{
	const char *path = conf_str(sv->conf, "tls.certificate");

	if (why == CERTIFICATE_SCHEDULE)
		return certificate_renew(sv, sv->conf, f);
	if (why != CERTIFICATE_DEMAND || !leaf_is_own(sv->inst.dir_fd, path))
		return OK;
	return issued(
	    path, leaf_issue(sv->inst.dir_fd, conf_str(sv->conf, "listen"), &sv->inst.seal), f);
}

struct status
certificate_rotate(struct supervisor *sv, enum certificate_why why, bool *ret_changed,
    struct certificate_fault *ret_fault)
{
	struct certificate fresh = CERTIFICATE_NONE;
	struct status st = issue(sv, why, ret_fault);

	if (is_ok(st))
		st = certificate_read(sv, sv->conf, &fresh, ret_fault);
	if (!is_ok(st)) {
		certificate_done(&fresh);
		diag(DIAG_ERROR, "certificate: %s; the one in use stays", ret_fault->text);
		record_certificate(
		    sv, &sv->inst.certificate, certificate_why_names[why], ret_fault->kind);
		return st;
	}
	*ret_changed = certificate_adopt(sv, &fresh, why);
	if (*ret_changed) {
		certificate_send_all(sv);
		diag(DIAG_INFO, "certificate: another one is in use (%s)",
		    certificate_why_names[why]);
	}
	return OK;
}

/* ---- in time, by itself ---- */

/* Of each change once: what was refused is not read again before it changes again. */
static bool
has_changed(struct supervisor *sv)
{
	static const char *const keys[] = { "tls.certificate", "tls.key" };
	bool changed = false;

	for (size_t i = 0; i < 2; i++) {
		struct file_stamp now;

		file_stamp_of(sv, conf_str(sv->conf, keys[i]), &now);
		changed = changed || memcmp(&now, &sv->certificate_seen[i], sizeof(now)) != 0;
		sv->certificate_seen[i] = now;
	}
	return changed;
}

static void
on_look(uv_timer_t *t)
{
	struct supervisor *sv = t->data;
	uint64_t now = uv_now(&sv->loop), every = conf_u64(sv->conf, "tls.watch_s") * 1000;
	struct certificate_fault f;
	bool changed;

	clients_check_end(sv);
	clients_keep(sv);
	if (every == 0 || sv->stopping || now < sv->certificate_look_ms + every)
		return;
	sv->certificate_look_ms = now;
	clients_look(sv);
	if (leaf_is_own(sv->inst.dir_fd, conf_str(sv->conf, "tls.certificate"))) {
		if (leaf_is_due(sv->inst.certificate.not_after_s, (int64_t)time(NULL)) &&
		    !is_ok(certificate_rotate(sv, CERTIFICATE_SCHEDULE, &changed, &f)))
			sv->certificate_look_ms = now + RETRY_MS;
	} else if (has_changed(sv) &&
		   !is_ok(certificate_rotate(sv, CERTIFICATE_FILE, &changed, &f))) {
		return; /* said and on record; when it changes once more it is read once more */
	}
}

void
certificate_watch(struct supervisor *sv)
{
	sv->certificate_look_ms = uv_now(&sv->loop);
	(void)uv_timer_init(&sv->loop, &sv->certificate_timer);
	sv->certificate_timer.data = sv;
	(void)uv_timer_start(&sv->certificate_timer, on_look, WATCH_MS, WATCH_MS);
}

/* ---- on demand ---- */

void
certificate_on_rotate(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct child *c = ctx;
	struct supervisor *sv = c->sv;
	struct certificate_fault f;
	struct ctl_cert_rotated m = { .ok = 0 };
	bool changed = false;

	(void)msg;
	if (c->proc != PROC_AUTHORITY)
		return;
	m.ok = is_ok(certificate_rotate(sv, CERTIFICATE_DEMAND, &changed, &f)) ? 1 : 0;
	m.changed = changed ? 1 : 0;
	m.not_after_s = (uint64_t)sv->inst.certificate.not_after_s;
	memcpy(m.fingerprint, sv->inst.certificate.fingerprint, sizeof(m.fingerprint));
	m.text = span_str(m.ok ? "" : f.text);
	if (!is_ok(link_send(l, id, CTL_CERT_ROTATED, &m)))
		diag(DIAG_WARN, "certificate: the operator could not be answered");
}
