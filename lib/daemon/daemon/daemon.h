/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

/*
 * The skeleton that every process but the supervisor stands on: it owns the
 * control link, the start-up order, the jail, the loop and the shutdown; the
 * process gives callbacks.
 *
 * Order: daemon_main() reads START, the named descriptors and the first peers
 * (as root); init(); jail; start(); READY; loop until drained or EOF.
 */
#include <stdio.h>
#include <uv.h>

#include <conf/conf.h>
#include <jail/jail.h>
#include <link/link.h>
#include <wire/control.h>
#include <wire/metrics.h>
#include <wire/topology.h>

#define DAEMON_CONTROL_FD 3
#define DAEMON_FDS_MAX 8
#define DAEMON_FILES_MAX 160 /* that a configuration names */
#define DIAG_LINE_MAX 512

struct daemon;

struct daemon_ops {
	enum proc proc;
	const struct jail *jail;
	/*
	 * As root, before the jail: load what lies in files, fetch algorithms, open
	 * what stays open. daemon_fd() and d->conf are there. May add jail paths.
	 */
	struct status (*init)(struct daemon *d);
	/* In the jail, before the loop. May be NULL. */
	struct status (*start)(struct daemon *d);
	/* A fresh link's end; take `fd` (usually link_new). Also for peers that came back. */
	void (*peer)(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd);
	/* A new configuration is in d->conf. NULL: only new processes see it. */
	void (*config)(struct daemon *d);
	/* gateway only */
	void (*cert)(struct daemon *d, const struct ctl_cert *cert);
	/* authority only: a (re)started process's counters; takes `fd` */
	void (*metrics)(struct daemon *d, const struct ctl_metrics *m, int fd);
	/* Take nothing new; call daemon_quit() when what runs has ended; may come again with a
	 * shorter d->drain_grace_ms. NULL: quit at once. */
	void (*drain)(struct daemon *d);
	/* More rules for the control link (audit: CTL_RECORD, CTL_HEAD_KEPT; authority:
	 * CTL_RELOADED). */
	const struct link_rule *control_rules;
	size_t ncontrol_rules;
	/* On a normal end, in the jail, just before exit. May be NULL. */
	void (*stop)(struct daemon *d);
};

struct daemon {
	const struct daemon_ops *ops;
	uv_loop_t *loop;
	struct link *control;
	struct conf *conf;
	char instance[33];
	uint32_t uid_base;
	uint32_t index; /* gateway worker */
	uint32_t peer_id;
	uint32_t generation; /* of the configuration */
	bool draining;
	uint32_t drain_grace_ms; /* in drain(): how long idle clients may stay */
	uint32_t drain_end_ms;   /* in drain(): when what runs must end; 0: in its own time */
	void *ctx;               /* the process's own */
};

/* The whole main() of a process. Returns the exit status. */
int daemon_main(int argc, char **argv, const struct daemon_ops *ops, void *ctx);
/* A named descriptor that the supervisor gave: -1 when there is none. Still owned by d. */
int daemon_fd(const struct daemon *d, const char *name);
/*
 * A file that the configuration in d->conf names, by its path there ('.' stands for CONF_SEP in the
 * format only): a descriptor of d's, read-only; -1 when there is none.
 */
int daemon_filef(const struct daemon *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/*
 * Have the files that others rotate (tokens) opened once more, in the place of what daemon_filef()
 * tells of them. `done` comes once, from the loop, also where one of them could not be opened.
 */
MUST_USE struct status daemon_files_again(struct daemon *d, void (*done)(void *ctx), void *ctx);
/* All of a regular file, from its beginning. E_NOTFOUND (fd < 0), E_FULL (`out`), E_SYS. */
MUST_USE struct status daemon_read_file(int fd, struct buf *out);
/* In init(): keep a folder or file reachable inside the jail (takes fd). */
MUST_USE struct status daemon_allow_path(struct daemon *d, int fd, unsigned access);
/*
 * In start(), where that takes long: `done` of `total` (0: not known) `what` ("bytes of the log").
 * The supervisor waits for READY as long as `done` changes every START_TIMEOUT_MS, and operators
 * see it; said on standard error every few seconds.
 */
void daemon_progress(const char *what, uint64_t done, uint64_t total);
/* Leave the loop and exit with `status`. */
void daemon_quit(struct daemon *d, int status);

void daemon_metric_add(enum metric m, int64_t n);
void daemon_metric_set(enum metric m, uint64_t v);

/*
 * Diagnostics, for operators: one line on standard error, bounded, with anything
 * that is not printable ASCII escaped. Never secrets, prompts, code or output.
 */
enum diag_level { DIAG_ERROR, DIAG_WARN, DIAG_INFO, DIAG_DEBUG };
void diag(enum diag_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* diag(DIAG_ERROR) and exit(1): for start-up and for our own broken invariants' operators. */
_Noreturn void diag_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
