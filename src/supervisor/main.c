/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: the supervisor: starts, watches and ends the processes of an instance.
 *
 * Runs in: itself, as root with few capabilities, under a system-call filter
 * that bounds everything that descends from it. It has no Landlock ruleset: one
 * that it had would bind runsc too, which must mount its root.
 * Trusts: the configuration file and the state directory, which only root can
 * write. After the start it reads nothing but typed messages of its children.
 * Owns: the listening sockets, the table of processes.
 * Invariants: it stays in the foreground; its end is everybody's end.
 * See: supervisor.h for the files; ARCHITECTURE.md.
 */
#include "supervisor.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/slice.h>
#include <crypto/crypto.h>
#include <crypto/leaf.h>
#include <tls/tls.h>

#define CAP(c) (1ULL << (c))
#define PASSPHRASE_FD 3 /* with -p: sealed memory, from `sallyport serve` */

/* What the children and runsc's launcher need on their way into their jails. */
static const struct jail supervisor_jail = {
	.name = "supervisor",
	.caps = CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER) | CAP(CAP_KILL) |
		CAP(CAP_SETUID) | CAP(CAP_SETGID) | CAP(CAP_SETPCAP) | CAP(CAP_SYS_ADMIN) |
		CAP(CAP_SYS_CHROOT) | CAP(CAP_SYS_RESOURCE) | CAP(CAP_SYS_PTRACE) |
		CAP(CAP_IPC_LOCK) | CAP(CAP_NET_BIND_SERVICE) | CAP(CAP_SETFCAP) |
		CAP(CAP_SYS_NICE),
	.is_supervisor = true,
};

static void start_all(struct supervisor *sv);

static void
must(struct status st, const char *what)
{
	if (!is_ok(st))
		diag_fatal("%s: %s", what, status_text(st));
}

static void
on_signal(uv_signal_t *handle, int signum)
{
	struct supervisor *sv = handle->data;

	if (signum == SIGCHLD)
		children_reap(sv);
	else if (signum == SIGHUP)
		reload_begin(sv, 0);
	else if (signum == SIGINT && sv->stopping)
		shutdown_hurry(sv); /* Ctrl-C again: somebody waits */
	else
		shutdown_begin(sv, 0);
}

static void
on_ping_timer(uv_timer_t *t)
{
	children_ping(t->data);
}

static void
watch_signals(struct supervisor *sv)
{
	const struct {
		uv_signal_t *handle;
		int signum;
	} rows[] = { { &sv->sigchld, SIGCHLD }, { &sv->sigterm, SIGTERM }, { &sv->sigint, SIGINT },
		{ &sv->sighup, SIGHUP } };

	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)uv_signal_init(&sv->loop, rows[i].handle);
		rows[i].handle->data = sv;
		(void)uv_signal_start(rows[i].handle, on_signal, rows[i].signum);
	}
}

static void
standard_input_from_null(void)
{
	auto_fd int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0)
		diag_fatal("/dev/null: %s", status_text(fail_errno()));
}

static void
open_instance(struct supervisor *sv, const char *conf_path, struct buf *text)
{
	char error[CONF_ERROR_MAX] = "";
	struct status st = instance_open(sv, conf_path);

	if (st.code == E_EXISTS)
		diag_fatal("%s: another supervisor holds this state directory", sv->inst.dir);
	must(st, conf_path);
	if (!is_ok(instance_read_conf(sv->inst.conf_path, &sv->conf, text, error)))
		diag_fatal("configuration: %s", error);
	if (!is_ok(files_check(sv, error)))
		diag_fatal("configuration: %s", error);
	sv->uid_base = (uint32_t)conf_u64(sv->conf, "uid_base");
	st = instance_hold_uids(sv);
	if (st.code == E_EXISTS)
		diag_fatal("uid_base %u: another instance runs with these user ids", sv->uid_base);
	must(st, "user ids");
	must(instance_audit_key(sv), "keys/audit");
	sv->workers = worker_count(sv->conf);
	sv->generation = 1;
	must(rollback_open(sv), "store.generation");
	must(instance_listen(sv), conf_str(sv->conf, "listen"));
}

static void
open_master_key(struct supervisor *sv, bool sealed)
{
	const char *why = "";
	struct status st = instance_master_key(sv, sealed ? PASSPHRASE_FD : -1, &why);

	if (sealed)
		(void)close(PASSPHRASE_FD);
	if (!is_ok(st))
		diag_fatal("master.key: %s", why[0] != '\0' ? why : status_text(st));
	st = leaf_carry(sv->inst.dir_fd, conf_str(sv->conf, "tls.certificate"), &sv->inst.seal);
	if (st.code == E_CRYPTO)
		diag_fatal("master.key: is not the one that sealed ca.key and tls/key.pem, or one "
			   "of these was changed");
	must(st, "ca.key, tls/key.pem");
	must(owed_check(sv), "store.owed");
}

static void
first_certificate(struct supervisor *sv)
{
	struct certificate_fault f;
	struct status st = certificate_renew(sv, sv->conf, &f);

	if (is_ok(st))
		st = certificate_first(sv, &f);
	if (st.code == E_DENIED)
		diag_fatal("certificate: %s", f.text);
	must(st, "certificate");
	st = clients_first(sv, &f);
	if (st.code == E_DENIED)
		diag_fatal("client_certificates: %s", f.text);
	must(st, "client_certificates");
}

static void
enter_jail(void)
{
	const char *what = "";
	struct status st = jail_enter(&supervisor_jail, 0, 0, NULL, 0, &what);

	if (!is_ok(st))
		diag_fatal("jail: %s: %s", what, status_text(st));
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		diag_fatal("subreaper: %s", status_text(fail_errno()));
}

/* Processes of ours wait most of the time, and are wanted at once when something comes; what
 * guests take of the cores must not be in their way. The spawner's children give it up. */
static void
ask_for_short_turns(void)
{
	struct slice s;
	struct status st = slice_read(&s);

	if (is_ok(st))
		st = slice_set(&s, 0, SLICE_SHORT_US);
	if (!is_ok(st))
		diag(DIAG_WARN, "no short turns: %s", status_text(st));
}

static void
start_all(struct supervisor *sv)
{
	for (int p = PROC_SUPERVISOR + 1; p < PROC_COUNT; p++) {
		if (!proc_wanted(sv, (enum proc)p))
			continue;
		for (uint32_t i = 0; i < proc_count(sv, (enum proc)p); i++)
			must(child_start(sv, (enum proc)p, i), proc_names[p]);
	}
}

int
main(int argc, char **argv)
{
	static struct supervisor sv = { .inst = { .dir_fd = -1,
					    .lock_fd = -1,
					    .kept_fd = -1,
					    .audit_seal_fd = -1,
					    .listen_fd = -1,
					    .management_fd = -1,
					    .certificate = { .chain = BUF_INIT(CERT_FILE_MAX) } } };
	auto_buf struct buf text = BUF_INIT(CONF_FILE_MAX);
	const int keep[] = { PASSPHRASE_FD };
	const char *what = "";
	bool sealed = argc == 4 && strcmp(argv[3], "-p") == 0;

	if ((argc != 3 && !sealed) || strcmp(argv[1], "-c") != 0) {
		(void)fputs("usage: supervisor -c FILE (see sallyport serve)\n", stderr);
		return 2;
	}
	if (geteuid() != 0)
		diag_fatal("serve: must be started as root");
	if (!is_ok(jail_check_kernel(&what)))
		diag_fatal("serve: this kernel lacks %s", what);
	must(jail_close_others(keep, sealed ? 1 : 0), "closing descriptors");
	standard_input_from_null();
	(void)umask(077);
	open_instance(&sv, argv[2], &text);
	enter_jail();
	must(crypto_init(), "cryptography");
	must(tls_init(), "TLS");
	open_master_key(&sv, sealed);
	first_certificate(&sv);
	if (uv_loop_init(&sv.loop) != 0)
		diag_fatal("event loop: cannot be made");
	(void)uv_timer_init(&sv.loop, &sv.reload_timer);
	(void)uv_timer_init(&sv.loop, &sv.stop_timer);
	(void)uv_timer_init(&sv.loop, &sv.record_timer);
	(void)uv_timer_init(&sv.loop, &sv.ping_timer);
	sv.reload_timer.data = sv.stop_timer.data = sv.record_timer.data = &sv;
	sv.ping_timer.data = &sv;
	(void)uv_timer_start(&sv.ping_timer, on_ping_timer, PING_MS, PING_MS);
	watch_signals(&sv);
	certificate_watch(&sv);
	record_config(&sv, buf_span(&text), NULL);
	rollback_start(&sv);
	ask_for_short_turns();
	start_all(&sv);
	(void)uv_run(&sv.loop, UV_RUN_DEFAULT);
	diag(DIAG_INFO, "ended");
	return sv.exit_status;
}
