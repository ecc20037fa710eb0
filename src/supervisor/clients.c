/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.c: who vouches for clients' certificates, and the lists of what these have revoked: read,
 * judged, replaced while it serves.
 *
 * Runs in: supervisor, as root. Trusts: the configuration for where they are; of a list nothing
 * before its authority's signature was seen.
 * Owns: what is in use. Invariants: gateways get what was judged, in sealed memory, and never a
 * path; an authority's lists that are not good, or older, are refused and said, those in use of it
 * stay, and no other authority's wait for them; when these are over, gateways refuse certificates
 * by themselves: so they do with those of a start, which is not refused for them. See: tls/crl.h;
 * certificate.c (the timer); src/gateway/worker.c, credential.c.
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

/* With what is wrong with them where they are taken all the same: c->fault. */
static bool
is_taken(const struct tls_crl_report *r, enum certificate_why why)
{
	if (!r->usable || why == CERTIFICATE_FILE)
		return r->usable;
	return tls_crl_is_passing(r->fault) && (why == CERTIFICATE_START || !r->bare);
}

static struct status
take(struct clients *c, struct buf *lists, const struct tls_crl_report *r)
{
	TRY(sha256(buf_span(lists), c->digest));
	c->from_s = r->from_s;
	c->until_s = r->until_s;
	memcpy(c->ends, r->ends, sizeof(c->ends));
	c->nends = r->nends;
	buf_done(&c->crl);
	c->crl = *lists;
	*lists = (struct buf)BUF_INIT(TLS_CRLS_USED_LEN_MAX);
	return OK;
}

static struct status
judge(const char *path, struct span used, enum certificate_why why, struct clients *c,
    struct certificate_fault *f)
{
	auto_buf struct buf lists = BUF_INIT(TLS_CRLS_USED_LEN_MAX);
	struct tls_crl_report r;
	struct status st = tls_crls_merge(
	    buf_span(&c->ca), used, buf_span(&c->crl), (uint64_t)time(NULL), &lists, &r);
	char text[TLS_CRL_NAME_MAX + 128];

	c->soon = r.soon;
	if (st.code == E_SYNTAX || st.code == E_FULL)
		return certificate_refuse(f, "invalid", path, "ca_file is not what it should be");
	if (is_ok(st))
		return take(c, &lists, &r);
	if (st.code != E_DENIED)
		return st;
	tls_crl_say(&r, text, sizeof(text));
	st = certificate_refuse(f, tls_crl_kind(r.fault), path, text);
	(void)snprintf(f->authority, sizeof(f->authority), "%s", r.authority);
	if (!is_taken(&r, why))
		return st;
	c->fault = *f;
	c->effect = tls_crl_effect(&r);
	return take(c, &lists, &r);
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
	if (ret->crl.len == 0)
		return OK;
	return judge(
	    conf_str(conf, CRL_KEY), buf_span(&sv->inst.clients.crl), CERTIFICATE_RELOAD, ret, f);
}

/* What is not good now is said, and on record. */
static void
say_fault(struct supervisor *sv, enum certificate_why why)
{
	const struct clients *c = &sv->inst.clients;

	diag(DIAG_ERROR, "client_certificates: %s; %s", c->fault.text, c->effect);
	record_revocations(sv, c, certificate_why_names[why], c->fault.kind, c->fault.authority);
}

/* Of each authority once, when its lists in use are over; not of `but` (NULL: none), if it was
 * said. */
static void
say_ends(struct supervisor *sv, const char *but)
{
	const struct clients *in = &sv->inst.clients;
	uint64_t before_s = sv->crl_over_s, now_s = (uint64_t)time(NULL);

	sv->crl_over_s = now_s;
	for (size_t i = 0; i < in->nends; i++) {
		const struct tls_crl_end *e = &in->ends[i];

		if (e->until_s <= before_s || e->until_s > now_s)
			continue;
		if (but != NULL && strcmp(e->authority, but) == 0) {
			but = NULL; /* another of that name has another key */
			continue;
		}
		diag(DIAG_ERROR,
		    "client_certificates: lists in crl_file are over: certificates of %s are "
		    "refused",
		    e->authority);
		record_revocations(sv, in, "schedule", "expired", e->authority);
	}
}

/* Of each file once; one with lists that are to count soon is looked at until they do. */
static bool
is_news(struct supervisor *sv)
{
	static const struct file_stamp unseen;
	const struct clients *c = &sv->inst.clients;
	bool news = memcmp(&sv->crl_told, &c->stamp, sizeof(c->stamp)) != 0;

	sv->crl_told = c->stamp;
	sv->crl_seen = c->soon ? unseen : c->stamp;
	return news;
}

struct status
clients_first(struct supervisor *sv, struct certificate_fault *f)
{
	struct clients *c = &sv->inst.clients;
	auto_buf struct buf kept = BUF_INIT(TLS_CRLS_USED_LEN_MAX);
	bool is_known, is_said;

	*c = CLIENTS_NONE;
	TRY(read_both(sv, sv->conf, c, f));
	is_known = clients_kept_read(sv, &kept);
	if (c->crl.len > 0)
		TRY(judge(conf_str(sv->conf, CRL_KEY), buf_span(&kept), CERTIFICATE_START, c, f));
	clients_keep(sv);
	if (c->crl.len == 0)
		return OK;
	c->news_s = (uint64_t)time(NULL); /* what they were before is not known */
	(void)is_news(sv);
	if (!is_known)
		record_revocations(
		    sv, c, certificate_why_names[CERTIFICATE_START], "unreadable", "");
	if (c->fault.kind != NULL)
		say_fault(sv, CERTIFICATE_START);
	is_said = c->fault.kind != NULL && strcmp(c->fault.kind, "expired") == 0;
	say_ends(sv, is_said ? c->fault.authority : NULL);
	return OK;
}

struct status
clients_tell(const struct child *authority)
{
	const struct clients *in = &authority->sv->inst.clients;
	const struct ctl_revocations m = { .from_s = in->from_s,
		.until_s = in->until_s,
		.news_s = in->news_s,
		.fault = span_str(in->fault.kind == NULL ? "" : in->fault.kind),
		.authority = span_str(in->fault.authority) };

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

static void
tell_authority(struct supervisor *sv)
{
	struct child *authority = child_of(sv, PROC_AUTHORITY, false);

	if (authority != NULL && !is_ok(clients_tell(authority)))
		diag(DIAG_WARN, "the authority is not told when clients' lists count");
}

bool
clients_adopt(struct supervisor *sv, struct clients *fresh, enum certificate_why why)
{
	struct clients *in = &sv->inst.clients;
	bool other = memcmp(fresh->digest, in->digest, DIGEST_LEN) != 0;
	bool other_ca = !span_eq(buf_span(&fresh->ca), buf_span(&in->ca));
	bool faulty = fresh->fault.kind != NULL, news;

	fresh->news_s = news_s(in, fresh);
	clients_done(in);
	*in = *fresh;
	*fresh = CLIENTS_NONE;
	clients_keep(sv);
	news = is_news(sv);
	tell_authority(sv);
	if (faulty && (other || news))
		say_fault(sv, why);
	else if (other && !faulty)
		record_revocations(sv, in, certificate_why_names[why], NULL, NULL);
	return other || other_ca;
}

void
clients_refused(struct supervisor *sv, const struct certificate_fault *f, enum certificate_why why)
{
	struct clients *in = &sv->inst.clients;

	if (in->until_s == 0)
		return;
	if (why == CERTIFICATE_FILE) { /* else of a configuration that is not taken */
		in->fault = *f;
		tell_authority(sv);
	}
	record_revocations(sv, in, certificate_why_names[why], f->kind, f->authority);
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
	say_ends(sv, NULL);
}

/* The authorities stay those that were read with the configuration. */
static struct status
reread(struct supervisor *sv, struct clients *fresh, struct certificate_fault *f)
{
	const char *path = conf_str(sv->conf, CRL_KEY);

	TRY(read_one(sv, path, &fresh->crl, &fresh->stamp, f));
	TRY(buf_put_span(&fresh->ca, buf_span(&sv->inst.clients.ca)));
	return judge(path, buf_span(&sv->inst.clients.crl), CERTIFICATE_FILE, fresh, f);
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
	diag(DIAG_ERROR, "client_certificates: %s; the lists in use stay",
	    st.code == E_DENIED ? f.text : status_text(st));
	clients_refused(sv, &f, CERTIFICATE_FILE);
}
