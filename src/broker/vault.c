/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault.c: Vault: what the configuration says of it, how a request to it looks, what its
 * statuses mean.
 *
 * Runs in: broker. Trusts: Vault, for what it answers over verified TLS.
 * Owns: the connections to Vault.
 * Invariants: a request goes to the configured address, or where a 307 leads among the
 * configured hosts, over https; a token is sent nowhere else.
 * See: vault.h, vault_login.c, vault_job.c; Vault's HTTP API.
 */
#include "vault_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <http/write.h>

/* ---- the configuration ---- */
static struct status
copy(const char *value, char *dst, size_t size)
{
	return value == NULL ? OK : span_to_cstr(span_str(value), dst, size);
}

static const struct vault_method *
find_method(const struct conf *c)
{
	for (size_t i = 0; i < vault_method_count; i++) {
		const struct vault_method *m = &vault_methods[i];

		if (conf_strf(c, "vault.auth.%s.%s", m->name, m->file) != NULL)
			return m;
	}
	return NULL;
}

static struct status
read_cert(struct vault *v, struct daemon *d, const char **ret_what)
{
	*ret_what = "vault.auth.cert.cert_file";
	TRY(secret_file_read(daemon_filef(d, "vault.auth.cert.cert_file"), &v->cert));
	*ret_what = "vault.auth.cert.key_file";
	return secret_file_read(daemon_filef(d, "vault.auth.cert.key_file"), &v->cert_key);
}

static struct status
read_method(struct vault *v, struct daemon *d, const char **ret_what)
{
	const struct vault_method *m = find_method(d->conf);

	*ret_what = "vault.auth";
	if (m == NULL)
		return fail(E_NOTFOUND);
	v->method = m;
	v->session.method = m->name;
	TRY(copy(conf_strf(d->conf, "vault.auth.%s.mount", m->name), v->mount, sizeof(v->mount)));
	TRY(copy(
	    conf_strf(d->conf, "vault.auth.%s.%s", m->name, m->first), v->role, sizeof(v->role)));
	v->wrapped = strcmp(m->file, "secret_id_file") == 0 &&
		     conf_bool(d->conf, "vault.auth.approle.wrapped");
	return strcmp(m->file, "cert_file") == 0 ? read_cert(v, d, ret_what) : OK;
}

static struct status
read_hosts(struct vault *v, const char *list)
{
	struct span item;

	for (size_t i = 0; conf_list_next(list, &i, &item);) {
		if (v->nredirects == VAULT_REDIRECTS_MAX)
			return fail(E_RANGE);
		TRY(span_to_cstr(
		    item, v->redirect_hosts[v->nredirects], sizeof(v->redirect_hosts[0])));
		v->nredirects++;
	}
	return OK;
}

static struct status
read_conf(struct vault *v, struct daemon *d, const char **ret_what)
{
	const struct conf *c = d->conf;

	*ret_what = "vault";
	v->plain = conf_bool(c, "vault.allow_plain_loopback");
	v->tls12 = strcmp(conf_str(c, "vault.tls_min"), "1.2") == 0;
	TRY(copy(conf_str(c, "vault.address"), v->address, sizeof(v->address)));
	TRY(copy(conf_str(c, "vault.namespace"), v->namespace, sizeof(v->namespace)));
	*ret_what = "vault.redirect_hosts";
	TRY(read_hosts(v, conf_str(c, "vault.redirect_hosts")));
	return read_method(v, d, ret_what);
}

/* ---- connections ---- */
static struct status
add_upstream(struct vault *v, struct span ca, const char *url)
{
	struct upstream_opts o = { .resolver = v->session.b->resolver,
		.url = url,
		.allow = ADDRESS_BIT(ADDRESS_PRIVATE) | ADDRESS_BIT(ADDRESS_LOOPBACK),
		.plain = v->plain,
		.allow_tls12 = v->tls12,
		.ca_pem = ca };
	size_t n = 0;

	o.cert_pem = secret_borrow(&v->cert);
	o.key_pem = secret_borrow(&v->cert_key);
	while (v->upstreams[n] != NULL)
		n++;
	return session_connect(&v->session, &o, &v->upstreams[n]);
}

static struct status
connect_all(struct vault *v, const char **ret_what)
{
	auto_buf struct buf own = BUF_INIT(SESSION_CA_MAX);
	struct span ca;
	char url[300];

	*ret_what = "vault.ca_file";
	TRY(session_ca(&v->session, "vault", buf_span(&v->session.b->system_ca), &own, &ca));
	*ret_what = "vault.address";
	TRY(add_upstream(v, ca, v->address));
	*ret_what = "vault.redirect_hosts";
	for (size_t i = 0; i < v->nredirects; i++) {
		(void)snprintf(url, sizeof(url), "https://%s", v->redirect_hosts[i]);
		TRY(add_upstream(v, ca, url));
	}
	return OK;
}

struct status
vault_new(struct broker *b, struct vault **ret, const char **ret_what)
{
	struct vault *v;
	struct status st;

	*ret = NULL;
	if (conf_str(b->d->conf, "vault.address") == NULL)
		return OK;
	v = calloc(1, sizeof(*v));
	if (v == NULL)
		return fail(E_NOMEM);
	session_init(&v->session, &vault_session_ops, b);
	vault_jobs_forget();
	st = read_conf(v, b->d, ret_what);
	if (is_ok(st))
		st = connect_all(v, ret_what);
	if (!is_ok(st))
		vault_free(v);
	else
		*ret = v;
	return st;
}

void
vault_free(struct vault *v)
{
	session_free(v == NULL ? NULL : &v->session);
}

void
vault_done(struct session *s)
{
	struct vault *v = (struct vault *)s;

	for (size_t i = 0; i <= VAULT_REDIRECTS_MAX; i++)
		upstream_free(v->upstreams[i]);
	secret_done(&v->cert);
	secret_done(&v->cert_key);
	secret_done(&v->token);
	secret_done(&v->wrapping);
	secret_done(&v->secret_id);
}

bool
vault_redirect(struct vault *v, const struct fetch_answer *a)
{
	struct span location = span_str(a->location), host;

	if (!span_starts(location, SPAN_LIT("https://")))
		return false;
	host = span_from(location, 8);
	host.len = strcspn((const char *)host.ptr, "/?#");
	for (size_t i = 0; i <= v->nredirects; i++) {
		if (i == v->at || !upstream_is_tls(v->upstreams[i]) ||
		    !span_eq_nocase(host, span_str(upstream_authority(v->upstreams[i]))))
			continue;
		v->at = i;
		return true;
	}
	return false;
}

/* ---- requests and statuses ---- */
struct status
vault_request(const struct vault *v, const char *method, struct span target,
    const struct secret *token, struct fetch_request *ret)
{
	TRY(fetch_request_init(ret, v->upstreams[v->at], method, target));
	TRY(http_put_field_str(&ret->head, "x-vault-request", "true"));
	if (v->namespace[0] != '\0')
		TRY(http_put_field_str(&ret->head, "x-vault-namespace", v->namespace));
	if (v->index[0] != '\0')
		TRY(http_put_field_str(&ret->head, "x-vault-index", v->index));
	if (token == NULL)
		return OK;
	return http_put_field(&ret->head, SPAN_LIT("x-vault-token"), secret_borrow(token));
}

/* A standby that has not heard of our login yet says 412, rather than that our token is none. */
void
vault_note_index(struct vault *v, const struct fetch_answer *a)
{
	if (a == NULL)
		return;
	v->behind = a->status == 412 ? v->behind + 1 : 0;
	if (v->behind == VAULT_BEHIND_MAX) {
		v->index[0] = '\0';
		v->behind = 0;
	}
	if (a->index[0] != '\0' && a->status != 412)
		memcpy(v->index, a->index, sizeof(v->index));
}

static const struct {
	uint16_t status;
	enum secret_fault fault;
	bool refused;
} statuses[] = {
	{ 200, SECRET_FAULT_NONE, false },
	{ 204, SECRET_FAULT_NONE, false },
	{ 400, SECRET_INVALID, true },
	{ 401, SECRET_DENIED, true },
	{ 403, SECRET_DENIED, true },
	{ 404, SECRET_NOT_FOUND, true },
	{ 405, SECRET_INVALID, true },
	{ 412, SECRET_UNREACHABLE, false }, /* a node that is behind */
	{ 429, SECRET_THROTTLED, false },
	{ 472, SECRET_SEALED, false },
	{ 473, SECRET_SEALED, false },
	{ 501, SECRET_SEALED, false },
	{ 503, SECRET_SEALED, false },
};

enum secret_fault
vault_fault(struct status st, const struct fetch_answer *a, bool *ret_refused)
{
	*ret_refused = false;
	if (!is_ok(st))
		return st.code == E_RANGE ? SECRET_INVALID : SECRET_UNREACHABLE;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		if (statuses[i].status != a->status)
			continue;
		*ret_refused = statuses[i].refused;
		return statuses[i].fault;
	}
	return SECRET_UNREACHABLE; /* 5xx, a redirect that leads elsewhere, anything odd */
}
