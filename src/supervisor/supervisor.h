/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

/* What the files of this folder share. */
#include <crypto/secret.h>
#include <daemon/daemon.h>
#include <tls/crl.h>

#define CHILDREN_MAX 64
#define WORKERS_MAX 16
#define RECORD_RETRY_MS 1000
#define RECORDS_MAX 256 /* events that wait for the audit process */
#ifndef START_TIMEOUT_MS
#define START_TIMEOUT_MS 20000 /* from fork to READY, or from one sign of progress to the next */
#endif
#define BACKOFF_MIN_MS 20
#define BACKOFF_MAX_MS 1000
#define PING_MS 2000    /* how often a process is asked whether it lives */
#define HANG_MS 10000   /* a process that is silent for so long is killed */
#define STABLE_MS 10000 /* a process that lived so long starts with no delay */
#define REPLACE_GRACE_MS 10000
#define SHUTDOWN_MS 10000
#define CERT_FILE_MAX (64U << 10)
#define CLIENT_CAS_LEN_MAX (512U << 10)

enum child_state {
	CHILD_FREE,
	CHILD_STARTING, /* forked; HELLO not seen */
	CHILD_GREETED,  /* has its links; jail under way */
	CHILD_READY,
	CHILD_DRAINING,
	CHILD_WAITING, /* dead; starts again when its delay is over */
};

struct child {
	struct supervisor *sv;
	enum child_state state;
	enum proc proc;
	uint32_t index;
	uint32_t peer_id;
	uint32_t generation; /* of the configuration that it was started with */
	pid_t pid;
	struct link *control;
	int metrics_fd;
	uint64_t started_ms;
	uint64_t heard_ms; /* last sign of life */
	uint64_t progress; /* METRIC_START_DONE, when its start was last looked at */
	uint32_t backoff_ms;
	uv_timer_t timer;
	bool timer_up;
};

/* Does a file look as it did? */
struct file_stamp {
	uint64_t dev, ino, size;
	int64_t mtime_s, mtime_ns;
};

struct certificate {
	struct buf chain;  /* PEM */
	struct secret key; /* PEM */
	int64_t not_after_s;
	uint8_t fingerprint[DIGEST_LEN];
	struct file_stamp stamps[2]; /* of certificate and key, as they were read */
};
#define CERTIFICATE_NONE ((struct certificate){ .chain = BUF_INIT(CERT_FILE_MAX) })

/* Why a pair, or lists, were refused: a word for the log, a sentence for people. */
struct certificate_fault {
	const char *kind;
	char text[1024];
	char authority[TLS_CRL_NAME_MAX]; /* whose lists these are; "": nobody's */
};

/* Who vouches for clients' certificates, and what these have revoked: as they were judged. */
struct clients {
	struct buf ca, crl;         /* PEM; empty: there are none */
	uint64_t from_s;            /* when the last authority's lists begin to count */
	uint64_t until_s;           /* when the first authority's lists end; 0: there are none */
	uint64_t news_s;            /* when they came to revoke more than before, Unix time */
	uint8_t digest[DIGEST_LEN]; /* SHA-256 of crl; of the file, where all of it is used */
	struct file_stamp stamp;    /* of its file, as it was read */
	bool soon;                  /* lists in the file are still to count */
	struct certificate_fault fault; /* of the file, when it was last read; kind NULL: none */
	const char *effect;             /* that this has, where they are in use all the same */
	struct tls_crl_end ends[TLS_CLIENT_CAS_MAX]; /* whose lists end when */
	size_t nends;
};
#define CLIENTS_NONE \
	((struct clients){ .ca = BUF_INIT(CLIENT_CAS_LEN_MAX), .crl = BUF_INIT(TLS_CRLS_LEN_MAX) })

enum certificate_why {
	CERTIFICATE_START,
	CERTIFICATE_RELOAD,
	CERTIFICATE_DEMAND,
	CERTIFICATE_SCHEDULE,
	CERTIFICATE_FILE,
};

struct instance {
	char dir[4096]; /* absolute path of the state directory */
	char name[33];
	int dir_fd;
	int lock_fd;
	int master_fd;      /* the master key in the clear, sealed memory */
	struct secret seal; /* of the CA's key and our own leaf's: crypto/key_file.h */
	int audit_seal_fd;  /* the same of audit's signing key, as master_fd */
	int kept_fd; /* memory of the broker's that outlives it: sealed under a key that we have not
		      */
	int listen_fd;
	int management_fd;
	char listen[256]; /* as configured */
	char libexec[4096];
	char conf_path[4096];
	struct certificate certificate;
	struct clients clients;
	uint8_t ticket_key[48];
};

/* The database was found to be older than the one before. */
struct rollback {
	bool noticed, recorded;        /* recorded: durable in the audit log */
	uint64_t generation, expected; /* expected 0: what was kept is gone */
	uint64_t noticed_s;
};

struct pending_record {
	struct audit_rec rec;
	struct audit_value values[AUDIT_VALUES_MAX];
	char text[4][AUDIT_STR_MAX + 1];
};

struct supervisor {
	uv_loop_t loop;
	uv_signal_t sigchld, sigterm, sigint, sighup;
	uv_timer_t ping_timer;
	struct instance inst;
	struct conf *conf;
	uint32_t generation;
	uint32_t workers;
	uint32_t uid_base;
	uint32_t next_peer_id;
	struct child children[CHILDREN_MAX];
	bool up; /* everything was READY once */
	/* reload.c */
	bool reloading;
	uint64_t reload_id; /* of the authority's call; 0: by signal */
	uv_timer_t reload_timer;
	/* certificate.c */
	uv_timer_t certificate_timer;
	uint64_t certificate_look_ms; /* when it was looked at */
	struct file_stamp certificate_seen[2];
	/* clients.c */
	struct file_stamp crl_seen, crl_told; /* told: the file whose fault was said */
	uint64_t crl_over_s;                  /* whose lists were over by then was said */
	uint8_t crl_kept[DIGEST_LEN];         /* clients_kept.c: SHA-256 of the copy; 0: none */
	bool crl_bad;                         /* what is there could not be read: to be put aside */
	bool crl_unkept;                      /* it was said that it could not be written */
	/* record.c */
	struct pending_record records[RECORDS_MAX];
	size_t first_record, nrecords;
	bool record_sent;
	uv_timer_t record_timer; /* tries again what the audit process refused */
	uint64_t proc_seq;
	struct rollback rollback; /* the last notice */
	/* shutdown.c */
	bool stopping;
	int exit_status;
	size_t phase;
	uint64_t stop_deadline_ms;
	uv_timer_t stop_timer;
};

/* topology.c: what each process is given. */
struct proc_row {
	const char *const *config; /* prefixes of its slice */
	const char *const *fds;    /* named descriptors */
	const char *only_if;       /* started only where a provider of this kind is configured */
};
extern const struct proc_row proc_rows[PROC_COUNT];
bool proc_wanted(const struct supervisor *sv, enum proc proc);
/* Gateways wanted: the configured number, or one per core. */
uint32_t worker_count(const struct conf *conf);
uint32_t proc_count(const struct supervisor *sv, enum proc proc);

/* instance.c: the state directory, sockets and files. */
MUST_USE struct status instance_open(struct supervisor *sv, const char *conf_path);
/* Two running instances with the same uids could signal each other's processes. E_EXISTS. */
MUST_USE struct status instance_hold_uids(const struct supervisor *sv);
MUST_USE struct status instance_listen(struct supervisor *sv);
/*
 * Once, at the start: what master.key holds is kept in memory, opened by the passphrase that lies
 * in passphrase_fd (-1: none was given). On failure *ret_why tells.
 */
MUST_USE struct status instance_master_key(
    struct supervisor *sv, int passphrase_fd, const char **ret_why);
/* keys/audit is there, and the audit process's. */
MUST_USE struct status instance_audit_key(const struct supervisor *sv);
/* A fresh descriptor by name, or -1; the caller closes it. */
int instance_fd(const struct supervisor *sv, const char *name);
MUST_USE struct status instance_keep_head(
    const struct supervisor *sv, uint64_t size, struct span note);
/* Read and check the configuration file; on failure `error` says why. */
MUST_USE struct status instance_read_conf(
    const char *path, struct conf **ret, struct buf *text, char error[CONF_ERROR_MAX]);

/* certificate.c: the public side's. A fault is said where it is E_DENIED. */
MUST_USE struct status certificate_first(struct supervisor *sv, struct certificate_fault *f);
/* Read and judge what `conf` names. Owner: certificate_done(), on failure too. */
MUST_USE struct status certificate_read(const struct supervisor *sv, const struct conf *conf,
    struct certificate *ret, struct certificate_fault *f);
void certificate_done(struct certificate *c);
/*
 * From now on it is this one; `fresh` is taken. Gateways are sent it by their greeting. False: it
 * is the one that was in use already.
 */
bool certificate_adopt(struct supervisor *sv, struct certificate *fresh, enum certificate_why why);
/* Issue (our own, where it is asked for or due), read, judge, adopt, send to the gateways. */
MUST_USE struct status certificate_rotate(struct supervisor *sv, enum certificate_why why,
    bool *ret_changed, struct certificate_fault *ret_fault);
/* Our own leaf, before `conf` is adopted: renewed if it is due, or not for its address. */
MUST_USE struct status certificate_renew(
    const struct supervisor *sv, const struct conf *conf, struct certificate_fault *f);
MUST_USE struct status certificate_send(const struct child *c);
void certificate_watch(struct supervisor *sv);
void certificate_on_rotate(struct link *l, uint64_t id, const void *msg, void *ctx);

/* Sends the gateways what is in use now. */
void certificate_send_all(struct supervisor *sv);
/*
 * Open what root reads and parses: a regular file of root's, or of the state directory's owner,
 * that nobody else may write; a secret one: or read. -1: *ret_why.
 */
int file_open_ours(const struct supervisor *sv, const char *path, bool secret,
    struct file_stamp *stamp, const char **ret_why);
void file_stamp_of(const struct supervisor *sv, const char *path, struct file_stamp *ret);
struct status certificate_refuse(
    struct certificate_fault *f, const char *kind, const char *path, const char *why);
extern const char *const certificate_why_names[];

/* clients.c: clients' authorities, and their lists. A fault is said where it is E_DENIED. */
/*
 * Once, at the start. Lists at the wrong time are in use all the same, and said: who comes with a
 * key is served, and no certificate of their authority is taken.
 */
MUST_USE struct status clients_first(struct supervisor *sv, struct certificate_fault *f);
/*
 * Read and judge what `conf` names. Owner: clients_done(), on failure too. Where an authority's
 * lists are at the wrong time, or older, those in use of it are in *ret; it needs some.
 */
MUST_USE struct status clients_read(const struct supervisor *sv, const struct conf *conf,
    struct clients *ret, struct certificate_fault *f);
void clients_done(struct clients *c);
/*
 * From now on it is these; `fresh` is taken. Gateways are sent them with their certificate. False:
 * the lists are those that were in use already.
 */
bool clients_adopt(struct supervisor *sv, struct clients *fresh, enum certificate_why why);
/* Others were refused: on record, and in `status` where they are of the file in use. */
void clients_refused(
    struct supervisor *sv, const struct certificate_fault *f, enum certificate_why why);
/* To a gateway: before CERT. */
MUST_USE struct status clients_send(const struct child *c);
/* When those in use count, for `status`. */
MUST_USE struct status clients_tell(const struct child *authority);
/* Whose lists in use are over? */
void clients_check_end(struct supervisor *sv);
/* Others, if their file has changed: read, judged, adopted, sent. */
void clients_look(struct supervisor *sv);

/* clients_kept.c: a copy of the lists in use, for the next start. */
/* What those were; nothing where there is none. False: it cannot be read, and is put aside. */
MUST_USE bool clients_kept_read(struct supervisor *sv, struct buf *out);
/* Where it is another one than those in use; what fails is tried again with the next call. */
void clients_keep(struct supervisor *sv);

/* files.c: what the configuration names and a process reads: descriptors of it. */
/* Can all of them be opened? On failure `error` names the first that cannot. */
MUST_USE struct status files_check(const struct supervisor *sv, char error[CONF_ERROR_MAX]);
MUST_USE struct status files_send(const struct child *c);
/* Those that others rotate, once more; what cannot be opened is left out. */
void files_send_again(const struct child *c);

/* limits.c: enough of each resource for this configuration? Raises soft limits. */
MUST_USE struct status limits_check(const struct conf *conf, char error[CONF_ERROR_MAX]);

/* child.c: one process's life. */
MUST_USE struct status child_start(struct supervisor *sv, enum proc proc, uint32_t index);
struct child *child_of(struct supervisor *sv, enum proc proc, bool ready);
void child_drain(struct child *c, uint32_t grace_ms, uint32_t end_ms);
/* Ask all whether they live; kill those that have been silent for HANG_MS. */
void children_ping(struct supervisor *sv);
void children_reap(struct supervisor *sv);
bool all_ready(const struct supervisor *sv);

/* peers.c: links between processes, counters to the authority. */
MUST_USE struct status peers_connect(struct child *c);

/* reload.c */
void reload_begin(struct supervisor *sv, uint64_t call_id);
void reload_progress(struct supervisor *sv);

/* record.c: events of processes and configuration for the audit log. */
void record_process(struct supervisor *sv, const struct child *c, bool started, int wait_status);
/* `before`: what it takes the place of; NULL: the start. */
void record_config(struct supervisor *sv, struct span text, const struct conf *before);
/* `fault`: why another one was refused; NULL: it is in use. */
void record_certificate(
    struct supervisor *sv, const struct certificate *c, const char *why, const char *fault);
/* The same of clients' lists; `authority`: whose these were, or "". */
void record_revocations(struct supervisor *sv, const struct clients *c, const char *why,
    const char *fault, const char *authority);
void record_store_rolled_back(struct supervisor *sv, uint64_t generation, uint64_t expected);
void record_flush(struct supervisor *sv);
void record_on_recorded(struct link *l, uint64_t id, const void *msg, void *ctx);

/* rollback.c: an older database that was put back. */
/* Before the store starts and the jail is entered: the last notice is read. */
MUST_USE struct status rollback_open(struct supervisor *sv);
/* What was noticed and is not on record yet, is to be. */
void rollback_start(struct supervisor *sv);
/* The number of the database now: noticed if it is less than the one that was kept. */
MUST_USE struct status rollback_on_generation(struct supervisor *sv, uint64_t generation);
/* A StoreRolledBack of these numbers is durable. */
void rollback_recorded(struct supervisor *sv, uint64_t generation, uint64_t expected);
/* For its status. */
MUST_USE struct status rollback_tell(const struct child *authority);

/* owed.c: revocations that the store has not heard of. */
/* State: the master key is there. E_CRYPTO, E_SYNTAX, E_CORRUPT: the file is not as we left it. */
MUST_USE struct status owed_check(const struct supervisor *sv);
/* To a new authority, before GO. */
MUST_USE struct status owed_tell(const struct child *authority);
void owed_on_owe(struct link *l, uint64_t id, const void *msg, void *ctx);

/* shutdown.c */
void shutdown_begin(struct supervisor *sv, int exit_status);
/* Kill what the present phase waits for. */
void shutdown_hurry(struct supervisor *sv);
void shutdown_progress(struct supervisor *sv);

#endif
