/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload.c: a new configuration and certificate without dropping a request.
 *
 * Runs in: supervisor. Trusts: the file, once conf_parse() has checked it.
 * Owns: the next generation's number. Invariants: everything new is read and
 * checked before anything changes; gateways are replaced: new workers serve
 * before the old ones drain; all others take the new slice in place.
 * See: child.c; wire/control.h (CONFIG, DRAIN).
 */
#include "supervisor.h"

#include <base/cleanup.h>

static void
reply(struct supervisor *sv, bool ok, const char *text)
{
	struct child *authority = child_of(sv, PROC_AUTHORITY, true);
	const struct ctl_reloaded m = {
		.ok = ok, .generation = sv->generation, .text = span_str(text)
	};

	diag(ok ? DIAG_INFO : DIAG_ERROR, "reload: %s", ok ? "done" : text);
	if (sv->reload_id != 0 && authority != NULL &&
	    !is_ok(link_send(authority->control, sv->reload_id, CTL_RELOADED, &m)))
		diag(DIAG_WARN, "reload: the operator could not be answered");
	sv->reloading = false;
	sv->reload_id = 0;
	(void)uv_timer_stop(&sv->reload_timer);
}

static void
on_reload_timeout(uv_timer_t *t)
{
	reply(t->data, false, "the new workers did not get ready in time");
}

/* Slices that did not change in a way that a process cares about are sent all the same. */
static void
send_config(struct supervisor *sv, struct child *c)
{
	auto_buf struct buf slice = BUF_INIT(CTL_CONFIG_MAX);
	struct ctl_config m = { .generation = sv->generation };
	struct status st = conf_slice(sv->conf, proc_rows[c->proc].config, &slice);

	m.config = buf_span(&slice);
	if (is_ok(st))
		st = files_send(c);
	if (is_ok(st))
		st = link_send(c->control, 0, CTL_CONFIG, &m);
	if (!is_ok(st))
		diag(DIAG_ERROR, "%s: configuration: %s", proc_names[c->proc], status_text(st));
	c->generation = sv->generation;
}

static void
replace_workers(struct supervisor *sv)
{
	for (uint32_t i = 0; i < sv->workers; i++) {
		struct status st = child_start(sv, PROC_GATEWAY, i);

		if (!is_ok(st))
			diag(DIAG_ERROR, "gateway: start: %s", status_text(st));
	}
}

static void
adopt(struct supervisor *sv)
{
	struct child *demo = child_of(sv, PROC_DEMO, false);

	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *c = &sv->children[i];

		if (c->proc != PROC_GATEWAY && c->control != NULL &&
		    (c->state == CHILD_READY || c->state == CHILD_GREETED))
			send_config(sv, c);
	}
	if (demo != NULL && !proc_wanted(sv, PROC_DEMO))
		child_drain(demo, REPLACE_GRACE_MS, 0);
	if (demo == NULL && proc_wanted(sv, PROC_DEMO)) {
		struct status st = child_start(sv, PROC_DEMO, 0);

		if (!is_ok(st))
			diag(DIAG_ERROR, "demo: start: %s", status_text(st));
	}
	replace_workers(sv);
}

/* What a running instance cannot change: its place, its users, its engines. */
static const char *const fixed_keys[] = { "uid_base", "management_socket", "engines.runsc",
	"engines.image" };

static struct status
check_reloadable(const struct supervisor *sv, const struct conf *old, char error[CONF_ERROR_MAX])
{
	uint32_t room = 0;

	for (size_t i = 0; i < sizeof(fixed_keys) / sizeof(fixed_keys[0]); i++) {
		const char *was = conf_str(old, fixed_keys[i]),
			   *is = conf_str(sv->conf, fixed_keys[i]);

		if ((was == NULL) == (is == NULL) && (was == NULL || strcmp(was, is) == 0))
			continue;
		(void)snprintf(error, CONF_ERROR_MAX, "%s: cannot change while running: restart",
		    fixed_keys[i]);
		return fail(E_DENIED);
	}
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		room += sv->children[i].state == CHILD_FREE;
	if (room >= worker_count(sv->conf) + 1)
		return OK;
	(void)snprintf(error, CONF_ERROR_MAX, "old workers still end: try again later");
	return fail(E_FULL);
}

static struct status
prepare_certificate(struct supervisor *sv, struct certificate *fresh, char error[CONF_ERROR_MAX])
{
	struct certificate_fault f;
	struct status st = certificate_renew(sv, sv->conf, &f);

	if (is_ok(st))
		st = certificate_read(sv, sv->conf, fresh, &f);
	if (!is_ok(st)) {
		(void)snprintf(error, CONF_ERROR_MAX, "certificate: %.300s", f.text);
		record_certificate(sv, &sv->inst.certificate, "reload", f.kind);
	}
	return st;
}

static struct status
prepare_clients(struct supervisor *sv, struct clients *fresh, char error[CONF_ERROR_MAX])
{
	struct certificate_fault f;
	struct status st = clients_read(sv, sv->conf, fresh, &f);

	if (is_ok(st))
		return OK;
	(void)snprintf(error, CONF_ERROR_MAX, "client_certificates: %.300s",
	    st.code == E_DENIED ? f.text : status_text(st));
	if (st.code == E_DENIED)
		clients_refused(sv, &f, CERTIFICATE_RELOAD);
	return st;
}

/* Read, check, bind: nothing has changed yet when one of these fails. *ret_old: what was. */
static struct status
prepare(struct supervisor *sv, struct buf *text, struct conf **ret_old, char error[CONF_ERROR_MAX])
{
	struct conf *fresh = NULL, *old = sv->conf;
	struct certificate fresh_cert = CERTIFICATE_NONE;
	struct clients fresh_clients = CLIENTS_NONE;
	struct status st = instance_read_conf(sv->inst.conf_path, &fresh, text, error);

	if (!is_ok(st))
		return st;
	sv->conf = fresh;
	st = check_reloadable(sv, old, error);
	if (is_ok(st))
		st = files_check(sv, error);
	if (is_ok(st))
		st = prepare_certificate(sv, &fresh_cert, error);
	if (is_ok(st))
		st = prepare_clients(sv, &fresh_clients, error);
	if (is_ok(st)) {
		st = instance_listen(sv);
		if (!is_ok(st))
			(void)snprintf(error, CONF_ERROR_MAX, "listen: %s", status_text(st));
	}
	if (!is_ok(st)) {
		sv->conf = old;
		conf_free(fresh);
		certificate_done(&fresh_cert);
		clients_done(&fresh_clients);
		return st;
	}
	*ret_old = old;
	sv->workers = worker_count(fresh);
	(void)certificate_adopt(sv, &fresh_cert, CERTIFICATE_RELOAD);
	/* Those that are about to drain take some more requests: not of a revoked certificate. */
	if (clients_adopt(sv, &fresh_clients, CERTIFICATE_RELOAD))
		certificate_send_all(sv);
	return OK;
}

void
reload_begin(struct supervisor *sv, uint64_t call_id)
{
	auto_buf struct buf text = BUF_INIT(CONF_FILE_MAX);
	char error[CONF_ERROR_MAX] = "";
	struct conf *old = NULL;

	if (sv->stopping)
		return;
	if (sv->reloading) {
		uint64_t under_way = sv->reload_id;

		sv->reload_id = call_id;
		reply(sv, false, "another reload is under way");
		sv->reloading = true;
		sv->reload_id = under_way;
		return;
	}
	sv->reload_id = call_id;
	if (!is_ok(prepare(sv, &text, &old, error))) {
		reply(sv, false, error);
		return;
	}
	sv->generation++;
	sv->reloading = true;
	(void)uv_timer_start(&sv->reload_timer, on_reload_timeout, START_TIMEOUT_MS, 0);
	record_config(sv, buf_span(&text), old);
	conf_free(old);
	adopt(sv);
}

/* When all workers of the new generation serve, the old ones may go, be it late. */
void
reload_progress(struct supervisor *sv)
{
	uint32_t fresh = 0;

	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		const struct child *c = &sv->children[i];

		fresh += c->proc == PROC_GATEWAY && c->state == CHILD_READY &&
			 c->generation == sv->generation;
	}
	if (fresh < sv->workers)
		return;
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *c = &sv->children[i];

		if (c->proc == PROC_GATEWAY && c->state != CHILD_FREE &&
		    c->generation != sv->generation)
			child_drain(c, REPLACE_GRACE_MS, 0);
	}
	if (sv->reloading)
		reply(sv, true, "");
}
