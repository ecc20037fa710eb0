/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c: the store process: master key, jail, and the authority's requests.
 *
 * Runs in: store; init() as root, all else jailed with nothing but its directory.
 * Trusts: the authority for what it asks, within the tables of the edge.
 * Owns: the key-encryption key, the database.
 * Invariants: DONE leaves after the commit; a disk that fails is a code in an answer, not an end;
 * while the database is closed, for want of its key (kek.h), nobody is answered: the authority's
 * link waits, and without its grants gateways get nothing.
 * See: db.h; load.h; wire/authority_store.h.
 */
#include "store.h"

#include <assert.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include <base/clock.h>
#include <crypto/backup.h>
#include <crypto/crypto.h>
#include <crypto/file_secret.h>

#include "backup.h"
#include "broker_link.h"
#include "content_stream.h"
#include "first_key.h"
#include "credentials.h"
#include "kek.h"
#include "load.h"
#include "privacy.h"
#include "requests.h"

#define PEERS_MAX 16

struct peer {
	TAILQ_ENTRY(peer) next;
	struct link *link;
	struct load *load;
};

static struct {
	struct daemon *d;
	struct secret master, kek;
	struct db *db;
	bool open; /* all of it; before, only kek.c may use `db` */
	struct {
		uint32_t peer_id;
		int fd;
	} waiting; /* the authority's link, until then; -1: none came */
	TAILQ_HEAD(, peer) peers;
	uint32_t npeers;
} self = { .waiting.fd = -1, .peers = TAILQ_HEAD_INITIALIZER(self.peers) };

static void on_load(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_key_put(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_key_revoke(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_user_put(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_key_used(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_day(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_ping(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_closed(struct link *l, struct status why, void *ctx);

/*
 * Beyond the base: what SQLite does with its files; a backup that is whole gets its name; parts of
 * tools leave as memory files.
 */
static const int syscalls[] = { SCMP_SYS(openat), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
	SCMP_SYS(fdatasync), SCMP_SYS(fsync), SCMP_SYS(ftruncate), SCMP_SYS(unlink),
	SCMP_SYS(renameat), SCMP_SYS(newfstatat), SCMP_SYS(access), SCMP_SYS(fchmod),
	SCMP_SYS(memfd_create), SCMP_SYS(statfs), -1 };
static const struct jail jail = { .name = "store", .syscalls = syscalls, .nofile = 256 };

static const struct link_rule rules[] = {
	{ AS_LOAD, 0, on_load },
	{ AS_KEY_PUT, 0, on_key_put },
	{ AS_KEY_REVOKE, 0, on_key_revoke },
	{ AS_USER_PUT, 0, on_user_put },
	{ AS_KEY_USED, 0, on_key_used },
	{ AS_KEY_REHASH, 0, requests_on_key_rehash },
	{ AS_DAY, 0, on_day },
	{ AS_PING, 0, on_ping },
	{ AS_SECRET_PUT, 0, requests_on_secret_put },
	{ AS_SECRET_GET, 0, requests_on_secret_get },
	{ AS_SECRET_REMOVE, 0, requests_on_secret_remove },
	{ AS_SECRET_LIST, 0, requests_on_secret_list },
	{ AS_USAGE_ADD, 0, requests_on_usage_add },
	{ AS_USAGE_LIST, 0, requests_on_usage_list },
	{ AS_TOOL_PUT, 0, requests_on_tool_put },
	{ AS_TOOL_GET, 0, requests_on_tool_get },
	{ AS_TOOL_REBUILT, 0, requests_on_tool_rebuilt },
	{ AS_TOOL_MARK, 0, requests_on_tool_mark },
	{ AS_TOOL_REMOVE, 0, requests_on_tool_remove },
	{ AS_SESSION_PUT, 0, requests_on_session_put },
	{ AS_SESSION_END, 0, requests_on_session_end },
	{ AS_KEYSET_ROTATE, 0, requests_on_keyset_rotate },
	{ AS_KEYSET_STATUS, 0, requests_on_keyset_status },
	{ AS_KEK_ROTATE, 0, requests_on_kek_rotate },
	{ AS_KEK_STATUS, 0, requests_on_kek_status },
	{ AS_BACKUP, 0, requests_on_backup },
	{ AS_BACKUP_STATUS, 0, requests_on_backup_status },
	{ AS_GRANT, 0, content_on_grant },
	{ AS_TURN_END, 0, content_on_turn_end },
	{ AS_USER_ERASE, 0, erase_requests_on_erase },
	{ AS_USER_EXPORT, 0, privacy_on_export },
	{ AS_ACCEPT, 0, requests_on_accept },
};
static const struct link_ops link_ops = {
	.rules = rules,
	.nrules = sizeof(rules) / sizeof(rules[0]),
	.on_closed = on_closed,
};

/* ---- start ---- */

/*
 * The store's own key: with the master key it could open the secrets of providers,
 * too, so that one stays only until the database is open (a migration needs it).
 */
static struct status
keys_read(int fd)
{
	TRY(master_key_read(fd, &self.master));
	return store_root_key(&self.master, &self.kek);
}

static struct status
store_init(struct daemon *d)
{
	int dirfd = daemon_fd(d, "store-dir"), keyfd = daemon_fd(d, "master-key"), fd;

	self.d = d;
	if (dirfd < 0 || keyfd < 0)
		diag_fatal("descriptor store-dir or master-key is missing");
	TRY(crypto_init());
	TRY(keys_read(keyfd));
	(void)close(keyfd);
	/* The way to it may be closed to our uid; once inside, plain names are enough. */
	if (fchdir(dirfd) < 0)
		return fail_errno();
	fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno();
	return daemon_allow_path(d, fd, JAIL_READ | JAIL_WRITE);
}

static uint64_t
now_s(void)
{
	return clock_real_ns() / NS_PER_S;
}

static void
check_opened(struct status st)
{
	if (!is_ok(st))
		diag_fatal("the database cannot be opened: %s%s", status_text(st),
		    st.code == E_CRYPTO ? " (is it this master.key's?)" : "");
}

static void
import_first_key(void)
{
	bool imported = false;
	struct status st = first_key_import(self.db, now_s(), &imported);

	if (!is_ok(st))
		diag_fatal("store/%s: %s", FIRST_KEY_FILE, status_text(st));
	if (imported)
		diag(DIAG_INFO, "the first key is in the database");
}

/* Those that work by themselves begin. */
static struct status
begin(struct daemon *d)
{
	sum_requests_init(self.db);
	requests_init(self.db);
	tool_requests_init(self.db);
	session_requests_init(self.db);
	TRY(rotate_requests_init(d, self.db));
	TRY(backup_requests_init(d, self.db));
	TRY(generation_start(d, self.db));
	content_streams_init(d, self.db);
	privacy_start(d, self.db);
	return OK;
}

static void authority_connect(uint32_t peer_id, int fd);

static void
on_opened(void *ctx, struct status st)
{
	(void)ctx;
	check_opened(st);
	import_first_key();
	st = begin(self.d);
	if (!is_ok(st))
		diag_fatal("start: %s", status_text(st));
	self.open = true;
	if (self.waiting.fd < 0)
		return;
	diag(DIAG_INFO, "the database is open");
	authority_connect(self.waiting.peer_id, self.waiting.fd);
	self.waiting.fd = -1;
}

static struct status
store_start(struct daemon *d)
{
	struct status st = db_open_tables(&self.kek, &self.master, kek_wrapper(d), &self.db);

	secret_done(&self.master);
	check_opened(st);
	content_streams_init(d, NULL);
	kek_start(d, self.db, on_opened, NULL);
	return OK;
}

/* ---- peers ---- */

static struct status
peer_open(struct peer *p, int fd)
{
	TRY(link_new(self.d->loop, fd, &as_edge, false, &link_ops, p, &p->link));
	p->load = load_new(self.d->loop, self.db, p->link);
	if (p->load != NULL)
		return OK;
	link_free(p->link);
	return fail(E_NOMEM);
}

static void
authority_connect(uint32_t peer_id, int fd)
{
	struct peer *p = self.npeers < PEERS_MAX ? calloc(1, sizeof(*p)) : NULL;
	struct status st;

	if (p == NULL) {
		diag(DIAG_ERROR, "too many links");
		(void)close(fd);
		return;
	}
	st = peer_open(p, fd);
	if (!is_ok(st)) {
		diag(DIAG_ERROR, "link: %s", status_text(st));
		free(p);
		return;
	}
	link_set_peer(p->link, peer_id);
	TAILQ_INSERT_TAIL(&self.peers, p, next);
	self.npeers++;
	content_authority_connect(p->link);
	privacy_authority(p->link);
}

/* It asks for all there is first; that lies in its socket until the database is open. */
static void
authority_wait(uint32_t peer_id, int fd)
{
	if (self.waiting.fd >= 0)
		(void)close(self.waiting.fd); /* of one that is gone */
	self.waiting.peer_id = peer_id;
	self.waiting.fd = fd;
}

static void
store_peer(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd)
{
	(void)index;
	if (edge == EDGE_GATEWAY_STORE) {
		content_gateway_connect(peer_id, fd);
	} else if (edge == EDGE_STORE_BROKER) {
		broker_peer(d, peer_id, fd);
		kek_broker_came();
	} else {
		assert(edge == EDGE_AUTHORITY_STORE);
		if (self.open)
			authority_connect(peer_id, fd);
		else
			authority_wait(peer_id, fd);
	}
}

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	struct peer *p = ctx;

	if (why.code == E_PROTO) {
		diag(DIAG_ERROR, "authority broke the protocol: link dropped");
		daemon_metric_add(METRIC_LINK_DROPPED_PEERS, 1);
	}
	TAILQ_REMOVE(&self.peers, p, next);
	self.npeers--;
	content_authority_closed(l);
	rotate_requests_closed(l);
	privacy_authority_closed(l);
	load_free(p->load);
	link_free(l);
	free(p);
}

/* ---- requests ---- */

static void
send_done(struct peer *p, uint64_t id, struct status st, const uint8_t *subject_key)
{
	struct as_done m = { .code = st.code };

	if (!is_ok(st))
		diag(DIAG_WARN, "request refused: %s", status_text(st));
	else if (subject_key != NULL)
		memcpy(m.subject_key, subject_key, sizeof(m.subject_key));
	if (!is_ok(link_send(p->link, id, AS_DONE, &m)))
		diag(DIAG_WARN, "the authority does not read its answers");
	explicit_bzero(&m, sizeof(m));
}

static void
on_load(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *p = ctx;

	(void)l, (void)msg;
	load_begin(p->load, id);
}

static void
on_key_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	uint8_t subject_key[AS_SECRET_LEN] = { 0 };
	struct status st = db_key_put(self.db, msg, subject_key);

	(void)l;
	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	send_done(ctx, id, st, subject_key);
	explicit_bzero(subject_key, sizeof(subject_key));
}

static void
on_key_revoke(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_key_revoke *m = msg;
	struct status st = db_key_revoke(self.db, m->id, m->revoked_s);

	(void)l;
	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	send_done(ctx, id, st, NULL);
}

static void
on_user_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	uint8_t subject_key[AS_SECRET_LEN] = { 0 };
	struct status st = db_user_put(self.db, msg, subject_key);

	(void)l;
	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	send_done(ctx, id, st, subject_key);
	explicit_bzero(subject_key, sizeof(subject_key));
}

static void
on_key_used(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct status st = db_keys_used(self.db, msg);

	(void)l;
	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	send_done(ctx, id, st, NULL);
}

static void
on_day(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_day *m = msg;
	struct as_day_key key = { 0 };
	struct peer *p = ctx;
	struct status st = db_day_key(self.db, span_of(m->day, AS_DAY_LEN), now_s(), key.key);

	memcpy(key.day, m->day, AS_DAY_LEN);
	if (is_ok(st))
		st = link_send(l, id, AS_DAY_KEY, &key);
	explicit_bzero(&key, sizeof(key));
	if (!is_ok(st))
		send_done(p, id, st, NULL);
}

static void
on_ping(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct status st = self.db == NULL ? OK : room_check(self.db, 0);

	(void)l, (void)msg;
	send_done(ctx, id, is_ok(st) ? OK : fail(E_FULL), NULL);
}

static void
store_config(struct daemon *d)
{
	privacy_configure(d);
	kek_configure(d);
}

static void
store_stop(struct daemon *d)
{
	privacy_stop();
	kek_stop();
	credentials_forget();
	if (self.open) {
		generation_tell();
		link_flush(d->control);
	}
	db_close(self.db);
	self.db = NULL;
	self.open = false;
	secret_done(&self.kek);
}

const struct daemon_ops store_ops = {
	.proc = PROC_STORE,
	.jail = &jail,
	.init = store_init,
	.start = store_start,
	.peer = store_peer,
	.config = store_config,
	.stop = store_stop,
};
