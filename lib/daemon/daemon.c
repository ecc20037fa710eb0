/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.c: start-up order, jail, loop and end of every process.
 *
 * Runs in: every process but the supervisor; as root until GO, jailed after.
 * Trusts: the supervisor at the other end of descriptor 3, and nothing else.
 * Owns: the loop, the control link, named descriptors, the configuration.
 * Invariants: nothing is served before the jail is whole; EOF on the control
 * link ends the process at once; a failed start exits 1 and says why.
 * See: daemon/daemon.h; wire/control.h for the order of messages.
 */
#include "internal.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <daemon/tables.h>

#define CONTROL_RULES_MAX 24
#define EARLY_PEERS_MAX 64
#define PROGRESS_TELL_NS (5 * NS_PER_S)

struct named_fd {
	char name[33];
	int fd;
};

struct early_peer {
	struct ctl_peer peer;
	int fd;
};

struct early_metrics {
	struct ctl_metrics metrics;
	int fd;
};

/* One per process: the skeleton's own, beside what struct daemon shows. */
static struct {
	struct daemon d;
	bool started, go, serving, cert_pending;
	uint32_t uid;
	struct named_fd fds[DAEMON_FDS_MAX];
	size_t nfds;
	struct files files, next_files; /* of the configuration in d.conf, and of the one to come */
	struct early_peer peers[EARLY_PEERS_MAX];
	size_t npeers;
	struct early_metrics metrics[EARLY_PEERS_MAX];
	size_t nmetrics;
	struct jail_path paths[JAIL_PATHS_MAX];
	size_t npaths;
	struct ctl_cert cert;
	struct buf cert_text;
	struct link_rule rules[CONTROL_RULES_MAX];
	int exit_status;
} self;

static void on_start(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_fd(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_file(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_peer(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_metrics(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_cert(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_go(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_config(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_drain(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_ping(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_control_closed(struct link *l, struct status why, void *ctx);

static const struct link_rule base_rules[] = {
	{ CTL_START, 0, on_start },
	{ CTL_FD, 0, on_fd },
	{ CTL_FILE, 0, on_file },
	{ CTL_PEER, 0, on_peer },
	{ CTL_METRICS, 0, on_metrics },
	{ CTL_CERT, 0, on_cert },
	{ CTL_GO, 0, on_go },
	{ CTL_CONFIG, 0, on_config },
	{ CTL_DRAIN, 0, on_drain },
	{ CTL_PING, 0, on_ping },
};
#define NBASE_RULES (sizeof(base_rules) / sizeof(base_rules[0]))

static struct link_ops control_ops = { .rules = self.rules, .on_closed = on_control_closed };

static void
must(struct status st, const char *what)
{
	if (!is_ok(st))
		diag_fatal("%s: %s", what, status_text(st));
}

static void
config_load(struct span slice, uint32_t generation)
{
	struct conf *conf = NULL;

	must(conf_load(slice, &conf), "configuration slice");
	conf_free(self.d.conf);
	self.d.conf = conf;
	self.d.generation = generation;
}

static void
on_start(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_start *m = msg;

	(void)l, (void)id, (void)ctx;
	if (self.started)
		diag_fatal("control link: second START");
	self.started = true;
	must(span_to_cstr(m->instance, self.d.instance, sizeof(self.d.instance)), "instance name");
	self.uid = m->uid;
	self.d.uid_base = m->uid_base;
	self.d.index = m->index;
	self.d.peer_id = m->peer_id;
	diag_set_name(proc_names[self.d.ops->proc], m->index);
	config_load(m->config, m->generation);
}

static void
on_fd(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_fd *m = msg;
	struct named_fd *f = &self.fds[self.nfds];
	int fd = link_take_fd(l);

	(void)id, (void)ctx;
	if (fd < 0 || self.go || self.nfds == DAEMON_FDS_MAX)
		diag_fatal("control link: unexpected descriptor");
	if (span_eq_str(m->name, "metrics")) {
		must(metric_map(fd), "metrics page");
		return;
	}
	must(span_to_cstr(m->name, f->name, sizeof(f->name)), "descriptor name");
	f->fd = fd;
	self.nfds++;
}

/* They come before GO, before each CONFIG and each CERT, and count from then on. */
static void
on_file(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_file *m = msg;
	int fd = link_take_fd(l);

	(void)id, (void)ctx;
	if (fd < 0)
		diag_fatal("control link: file without descriptor");
	must(files_add(self.go ? &self.next_files : &self.files, m->name, fd), "file");
}

/* ---- files that are opened once more ---- */
#define FILES_AGAIN_MS 5000

struct files_wait {
	void (*done)(void *ctx);
	void *ctx;
};

static void
on_files_sent(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct files_wait w = *(struct files_wait *)ctx;

	(void)l, (void)type, (void)msg;
	free(ctx);
	if (is_ok(st))
		files_merge(&self.files, &self.next_files);
	w.done(w.ctx);
}

struct status
daemon_files_again(struct daemon *d, void (*done)(void *ctx), void *ctx)
{
	const struct wire_none none = { 0 };
	struct files_wait *w = malloc(sizeof(*w));
	struct status st;
	uint64_t id;

	if (w == NULL)
		return fail(E_NOMEM);
	*w = (struct files_wait){ done, ctx };
	st = link_call(d->control, CTL_FILES_AGAIN, &none, FILES_AGAIN_MS, on_files_sent, w, &id);
	if (!is_ok(st))
		free(w);
	return st;
}

static void
peer_deliver(const struct ctl_peer *p, int fd)
{
	assert(self.d.ops->peer != NULL);
	self.d.ops->peer(&self.d, (enum edge)p->edge, p->peer_id, p->index, fd);
}

static void
on_peer(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_peer *m = msg;
	int fd = link_take_fd(l);

	(void)id, (void)ctx;
	if (fd < 0 || m->edge == EDGE_CONTROL || m->edge >= EDGE_COUNT)
		diag_fatal("control link: peer without descriptor");
	if (self.serving) {
		peer_deliver(m, fd);
		return;
	}
	if (self.npeers == EARLY_PEERS_MAX)
		diag_fatal("control link: too many peers");
	self.peers[self.npeers++] = (struct early_peer){ *m, fd };
}

static void
on_metrics(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_metrics *m = msg;
	int fd = link_take_fd(l);

	(void)id, (void)ctx;
	if (fd < 0 || self.d.ops->metrics == NULL)
		diag_fatal("control link: unexpected metrics");
	if (self.serving) {
		self.d.ops->metrics(&self.d, m, fd);
		return;
	}
	if (self.nmetrics == EARLY_PEERS_MAX)
		diag_fatal("control link: too many metrics");
	self.metrics[self.nmetrics++] = (struct early_metrics){ *m, fd };
}

/* Before GO the certificate is kept: its process may want it only in start(). */
static void
on_cert(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_cert *m = msg;
	size_t chain_len = m->chain_pem.len, key_len = m->key_pem.len;

	(void)l, (void)id, (void)ctx;
	if (self.d.ops->cert == NULL)
		diag_fatal("control link: unexpected certificate");
	files_merge(&self.files, &self.next_files);
	if (self.serving) {
		self.d.ops->cert(&self.d, m);
		return;
	}
	if (self.cert_pending) { /* another one before the first was used */
		explicit_bzero(self.cert_text.ptr, self.cert_text.len);
		buf_done(&self.cert_text);
	}
	self.cert = *m;
	self.cert_text = BUF_INIT(128U << 10);
	must(buf_put_span(&self.cert_text, m->chain_pem), "certificate");
	must(buf_put_span(&self.cert_text, m->key_pem), "certificate");
	self.cert.chain_pem = span_of(self.cert_text.ptr, chain_len);
	self.cert.key_pem = span_of(self.cert_text.ptr + chain_len, key_len);
	self.cert_pending = true;
}

static void
on_go(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	if (!self.started)
		diag_fatal("control link: GO before START");
	self.go = true;
}

static void
on_config(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_config *m = msg;

	(void)l, (void)id, (void)ctx;
	config_load(m->config, m->generation);
	files_replace(&self.files, &self.next_files);
	if (self.d.ops->config != NULL)
		self.d.ops->config(&self.d);
}

static void
on_drain(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_drain *m = msg;

	(void)l, (void)id, (void)ctx;
	self.d.drain_grace_ms = m->grace_ms;
	self.d.drain_end_ms = m->end_ms;
	self.d.draining = true;
	if (self.d.ops->drain != NULL)
		self.d.ops->drain(&self.d);
	else
		daemon_quit(&self.d, 0);
}

static void
on_ping(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct wire_none none = { 0 };

	(void)msg, (void)ctx;
	must(link_send(l, id, CTL_PONG, &none), "control link");
}

static void
on_control_closed(struct link *l, struct status why, void *ctx)
{
	(void)l, (void)ctx, (void)why;
	/* The supervisor is gone, and with it our reason to be. */
	daemon_quit(&self.d, 1);
}

int
daemon_fd(const struct daemon *d, const char *name)
{
	(void)d;
	for (size_t i = 0; i < self.nfds; i++) {
		if (strcmp(self.fds[i].name, name) == 0)
			return self.fds[i].fd;
	}
	return -1;
}

int
daemon_filef(const struct daemon *d, const char *fmt, ...)
{
	char path[CONF_PATH_MAX + 1];
	va_list ap;
	bool ok;

	(void)d;
	va_start(ap, fmt);
	ok = conf_path_format(path, fmt, ap);
	va_end(ap);
	return ok ? files_find(&self.files, span_str(path)) : -1;
}

struct status
daemon_allow_path(struct daemon *d, int fd, unsigned access)
{
	(void)d;
	if (self.npaths == JAIL_PATHS_MAX)
		return fail(E_FULL);
	self.paths[self.npaths++] = (struct jail_path){ fd, access };
	return OK;
}

void
daemon_quit(struct daemon *d, int status)
{
	self.exit_status = status;
	self.go = true; /* also ends the wait for GO */
	d->draining = true;
	uv_stop(d->loop);
}

static void
control_open(const struct daemon_ops *ops)
{
	const struct ctl_hello hello = { CTL_VERSION, daemon_tables_hash() };

	assert(NBASE_RULES + ops->ncontrol_rules <= CONTROL_RULES_MAX);
	memcpy(self.rules, base_rules, sizeof(base_rules));
	if (ops->ncontrol_rules > 0)
		memcpy(self.rules + NBASE_RULES, ops->control_rules,
		    ops->ncontrol_rules * sizeof(ops->control_rules[0]));
	control_ops.nrules = NBASE_RULES + ops->ncontrol_rules;
	must(link_new(self.d.loop, DAEMON_CONTROL_FD, &ctl_edge, false, &control_ops, &self,
		 &self.d.control),
	    "control link");
	must(link_send(self.d.control, 0, CTL_HELLO, &hello), "control link");
}

static void
signals_prepare(void)
{
	/* A terminal's Ctrl-C is the supervisor's business; broken pipes are statuses. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
}

static void
jail_up(void)
{
	const char *what = "";
	struct status st = jail_enter(
	    self.d.ops->jail, self.uid, self.uid, self.paths, self.npaths, &what);

	if (!is_ok(st))
		diag_fatal("jail: %s: %s", what, status_text(st));
	for (size_t i = 0; i < self.npaths; i++)
		(void)close(self.paths[i].fd);
}

static void
serve(void)
{
	const struct daemon_ops *ops = self.d.ops;
	const struct wire_none none = { 0 };

	if (ops->start != NULL)
		must(ops->start(&self.d), "start");
	self.serving = true;
	daemon_metric_set(METRIC_START_DONE, 0);
	daemon_metric_set(METRIC_START_TOTAL, 0);
	if (self.cert_pending) {
		ops->cert(&self.d, &self.cert);
		explicit_bzero(self.cert_text.ptr, self.cert_text.len);
		buf_done(&self.cert_text);
	}
	for (size_t i = 0; i < self.npeers; i++)
		peer_deliver(&self.peers[i].peer, self.peers[i].fd);
	for (size_t i = 0; i < self.nmetrics; i++)
		ops->metrics(&self.d, &self.metrics[i].metrics, self.metrics[i].fd);
	must(link_send(self.d.control, 0, CTL_READY, &none), "control link");
	(void)uv_run(self.d.loop, UV_RUN_DEFAULT);
}

void
daemon_progress(const char *what, uint64_t done, uint64_t total)
{
	static uint64_t told_ns;
	uint64_t now = clock_mono_ns();

	daemon_metric_set(METRIC_START_TOTAL, total);
	daemon_metric_set(METRIC_START_DONE, done);
	if (told_ns != 0 && now - told_ns < PROGRESS_TELL_NS)
		return;
	told_ns = now;
	if (total == 0)
		diag(DIAG_INFO, "still starting: %llu %s", (unsigned long long)done, what);
	else
		diag(DIAG_INFO, "still starting: %llu of %llu %s", (unsigned long long)done,
		    (unsigned long long)total, what);
}

int
daemon_main(int argc, char **argv, const struct daemon_ops *ops, void *ctx)
{
	static uv_loop_t loop;
	const int keep[] = { DAEMON_CONTROL_FD };
	int type = 0;
	socklen_t len = sizeof(type);

	(void)argv;
	diag_set_name(proc_names[ops->proc], 0);
	if (argc != 1 || getsockopt(DAEMON_CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		diag_fatal("is started by the supervisor only; see sallyport(1)");
	signals_prepare();
	(void)umask(077);
	tzset(); /* gmtime_r(3) would open a file at its first call, in the jail */
	must(jail_close_others(keep, 1), "closing descriptors");
	if (uv_loop_init(&loop) != 0)
		diag_fatal("event loop: cannot be made");
	self.d.ops = ops;
	self.d.ctx = ctx;
	self.d.loop = &loop;
	control_open(ops);
	while (!self.go)
		(void)uv_run(&loop, UV_RUN_ONCE);
	if (self.exit_status != 0)
		return self.exit_status;
	if (ops->init != NULL)
		must(ops->init(&self.d), "init");
	jail_up();
	serve();
	if (ops->stop != NULL)
		ops->stop(&self.d);
	link_flush(self.d.control);
	return self.exit_status;
}
