/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.c: who vouches for clients' certificates, and the lists of what these have revoked: read,
 * judged, replaced while it serves.
 *
 * Runs in: supervisor, as root. Trusts: the configuration for where they are; of a list nothing
 * before its authority's signature was seen.
 * Owns: what is in use. Invariants: gateways get what was judged, in sealed memory, and never a
 * path; lists that are not good are refused and said, and those in use stay; when these are over,
 * gateways refuse certificates by themselves: so they do with those of a start, which is not
 * refused for them. See: tls/crl.h; certificate.c (the timer); src/gateway/worker.c, credential.c.
 */
#include "supervisor.h"

#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/memfd.h>
#include <crypto/hash.h>

#define CA_KEY "client_certificates.ca_file"
#define CRL_KEY "client_certificates.crl_file"

void
clients_done(struct clients *c)
{
	buf_done(&c->ca);
	buf_done(&c->crl);
	*c = CLIENTS_NONE;
}

static struct status
read_one(const struct supervisor *sv, const char *path, struct buf *out, struct file_stamp *stamp,
    struct certificate_fault *f)
{
	const char *why;
	auto_fd int fd = file_open_ours(sv, path, false, stamp, &why);
	struct status st;

	if (fd < 0)
		return certificate_refuse(f, "unreadable", path, why);
	st = daemon_read_file(fd, out);
	if (st.code == E_FULL)
		return certificate_refuse(f, "invalid", path, "is too long");
	if (!is_ok(st))
		return certificate_refuse(f, "unreadable", path, status_text(st));
	return out->len == 0 ? certificate_refuse(f, "invalid", path, "is empty") : OK;
}

/* E_DENIED, with what they are, where they are good at another time, too: *ret_time. */
static struct status
judge(const char *path, struct clients *c, bool *ret_time, struct certificate_fault *f)
{
	struct tls_crl_report report = { .fault = TLS_CRL_NONE };
	struct status st = tls_crls_check(
	    buf_span(&c->ca), buf_span(&c->crl), (uint64_t)time(NULL), &report);
	char text[128];

	*ret_time = tls_crl_is_of_time(report.fault);
	if (st.code == E_SYNTAX || st.code == E_FULL)
		return certificate_refuse(f, "invalid", path, "ca_file is not what it should be");
	if (is_ok(st) || *ret_time) {
		TRY(sha256(buf_span(&c->crl), c->digest));
		c->from_s = report.from_s;
		c->until_s = report.until_s;
	}
	if (st.code != E_DENIED)
		return st;
	tls_crl_say(&report, text, sizeof(text));
	return certificate_refuse(f, tls_crl_kind(report.fault), path, text);
}

/* Those that are in use are so, whatever the time: nothing gets better without them. */
static struct status
judge_again(
    const struct supervisor *sv, const char *path, struct clients *c, struct certificate_fault *f)
{
	const struct clients *used = &sv->inst.clients;
	bool of_time = false;
	struct status st = judge(path, c, &of_time, f);

	if (of_time && used->until_s != 0 && memcmp(c->digest, used->digest, DIGEST_LEN) == 0)
		return OK;
	return st;
}

static struct status
read_both(const struct supervisor *sv, const struct conf *conf, struct clients *ret,
    struct certificate_fault *f)
{
	const char *ca = conf_str(conf, CA_KEY), *crl = conf_str(conf, CRL_KEY);
	struct file_stamp unused;

	if (ca == NULL)
		return OK;
	TRY(read_one(sv, ca, &ret->ca, &unused, f));
	if (crl == NULL)
		return OK;
	return read_one(sv, crl, &ret->crl, &ret->stamp, f);
}

struct status
clients_read(const struct supervisor *sv, const struct conf *conf, struct clients *ret,
    struct certificate_fault *f)
{
	TRY(read_both(sv, conf, ret, f));
	return ret->crl.len > 0 ? judge_again(sv, conf_str(conf, CRL_KEY), ret, f) : OK;
}

struct status
clients_first(struct supervisor *sv, struct certificate_fault *f)
{
	struct clients *c = &sv->inst.clients;
	bool of_time = false;
	struct status st;

	*c = CLIENTS_NONE;
	TRY(read_both(sv, sv->conf, c, f));
	if (c->crl.len == 0)
		return OK;
	c->news_s = (uint64_t)time(NULL); /* what they were before is not known */
	sv->crl_seen = c->stamp;
	st = judge(conf_str(sv->conf, CRL_KEY), c, &of_time, f);
	if (!of_time || st.code != E_DENIED)
		return st;
	diag(DIAG_ERROR,
	    "client_certificates: %s: certificates of that authority are refused until other lists "
	    "are there",
	    f->text);
	sv->crl_over = (uint64_t)time(NULL) >= c->until_s;
	record_revocations(sv, c, certificate_why_names[CERTIFICATE_START], f->kind);
	return OK;
}

struct status
clients_tell(const struct child *authority)
{
	const struct clients *in = &authority->sv->inst.clients;
	const struct ctl_revocations m = {
		.from_s = in->from_s, .until_s = in->until_s, .news_s = in->news_s
	};

	return link_send(authority->control, 0, CTL_REVOCATIONS, &m);
}

/* Somebody who was vouched for is not any more: what was made of their certificates ends. */
static uint64_t
news_s(const struct clients *before, const struct clients *fresh)
{
	bool same_ca = span_eq(buf_span(&before->ca), buf_span(&fresh->ca));

	if (same_ca && !tls_crls_more(buf_span(&before->crl), buf_span(&fresh->crl)))
		return before->news_s;
	return (uint64_t)time(NULL);
}

bool
clients_adopt(struct supervisor *sv, struct clients *fresh, enum certificate_why why)
{
	struct child *authority = child_of(sv, PROC_AUTHORITY, false);
	struct instance *in = &sv->inst;
	bool other = memcmp(fresh->digest, in->clients.digest, DIGEST_LEN) != 0;
	bool other_ca = !span_eq(buf_span(&fresh->ca), buf_span(&in->clients.ca));

	fresh->news_s = news_s(&in->clients, fresh);
	clients_done(&in->clients);
	in->clients = *fresh;
	*fresh = CLIENTS_NONE;
	sv->crl_seen = in->clients.stamp;
	sv->crl_over = sv->crl_over && !other;
	if (authority != NULL && !is_ok(clients_tell(authority)))
		diag(DIAG_WARN, "the authority is not told when clients' lists count");
	if (other)
		record_revocations(sv, &in->clients, certificate_why_names[why], NULL);
	return other || other_ca;
}

/* ---- to the gateways ---- */

/* A memory of its own for each, since its position in it is, too. */
static struct status
send_one(const struct child *c, const char *name, const struct buf *text)
{
	const struct ctl_file m = { .name = span_str(name) };
	int fd = -1;
	struct status st;

	if (text->len == 0)
		return OK;
	TRY(memfd_of("clients", buf_span(text), &fd));
	st = link_send_fds(c->control, 0, CTL_FILE, &m, &fd, 1);
	(void)close(fd);
	return st;
}

struct status
clients_send(const struct child *c)
{
	static const char sep[] = { CONF_SEP, 0 };
	const struct clients *in = &c->sv->inst.clients;
	char name[2][CONF_PATH_MAX + 1];

	(void)snprintf(name[0], sizeof(name[0]), "client_certificates%sca_file", sep);
	(void)snprintf(name[1], sizeof(name[1]), "client_certificates%scrl_file", sep);
	TRY(send_one(c, name[0], &in->ca));
	return send_one(c, name[1], &in->crl);
}

/* ---- in time, by itself ---- */

void
clients_check_end(struct supervisor *sv)
{
	const struct clients *in = &sv->inst.clients;

	if (in->until_s == 0 || sv->crl_over || (uint64_t)time(NULL) < in->until_s)
		return;
	sv->crl_over = true;
	diag(DIAG_ERROR, "client_certificates: lists in crl_file are over: certificates of their "
			 "authorities are "
			 "refused");
	record_revocations(sv, in, "schedule", "expired");
}

/* The authorities stay those that were read with the configuration. */
static struct status
reread(struct supervisor *sv, struct clients *fresh, struct certificate_fault *f)
{
	const char *path = conf_str(sv->conf, CRL_KEY);

	TRY(read_one(sv, path, &fresh->crl, &fresh->stamp, f));
	TRY(buf_put_span(&fresh->ca, buf_span(&sv->inst.clients.ca)));
	return judge_again(sv, path, fresh, f);
}

/* Of each change once, as with the public side's certificate. */
static bool
has_changed(struct supervisor *sv)
{
	struct file_stamp now;
	bool changed;

	if (sv->inst.clients.until_s == 0)
		return false;
	file_stamp_of(sv, conf_str(sv->conf, CRL_KEY), &now);
	changed = memcmp(&now, &sv->crl_seen, sizeof(now)) != 0;
	sv->crl_seen = now;
	return changed;
}

/* Lists that are to count soon are looked at until they do, and spoken of once. */
static bool
is_news(struct supervisor *sv)
{
	bool news = memcmp(&sv->crl_early, &sv->crl_seen, sizeof(sv->crl_early)) != 0;

	sv->crl_early = sv->crl_seen;
	sv->crl_seen = (struct file_stamp){ 0 };
	return news;
}

void
clients_look(struct supervisor *sv)
{
	struct clients fresh = CLIENTS_NONE;
	struct certificate_fault f = { .kind = "invalid" };
	struct status st;

	if (!has_changed(sv))
		return;
	st = reread(sv, &fresh, &f);
	if (is_ok(st)) {
		if (!clients_adopt(sv, &fresh, CERTIFICATE_FILE))
			return; /* it was written anew, and says the same */
		certificate_send_all(sv);
		diag(DIAG_INFO, "client_certificates: other lists are in use");
		return;
	}
	clients_done(&fresh);
	if (strcmp(f.kind, "early") == 0 && !is_news(sv))
		return;
	diag(DIAG_ERROR, "client_certificates: %s; the lists in use stay",
	    st.code == E_DENIED ? f.text : status_text(st));
	record_revocations(sv, &sv->inst.clients, certificate_why_names[CERTIFICATE_FILE], f.kind);
}
