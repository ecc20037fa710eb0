/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c: the store process: master key, jail, and the authority's requests.
 *
 * Runs in: store; init() as root, all else jailed with nothing but its directory.
 * Trusts: the authority for what it asks, within the tables of the edge.
 * Owns: the key-encryption key, the database, the loads under way.
 * Invariants: DONE leaves after the commit; a load is sent as the authority
 * reads it, never more than LOAD_QUEUE_MAX ahead; a disk that fails is a code in
 * an answer, not an end; while the database is closed, for want of its key (kek.h), nobody is
 * answered: the authority's link waits, and without its grants gateways get nothing.
 * See: db.h; wire/authority_store.h.
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
#include "kek.h"
#include "privacy.h"
#include "requests.h"

#define PEERS_MAX 16
#define LOAD_QUEUE_MAX (1U << 20) /* unsent bytes of a load */
#define LOAD_TICK_MS 1

enum load_stage { LOAD_IDLE, LOAD_KEYSETS, LOAD_USERS, LOAD_KEYS, LOAD_SESSIONS, LOAD_TOOLS };

struct peer {
	TAILQ_ENTRY(peer) next;
	struct link *link;
	enum load_stage stage;
	uint64_t load_id;
	int64_t cursor;
	struct db_keyset_cursor keysets;
	struct db_tool_cursor tools;
	uv_timer_t tick; /* goes on with a load that outran its reader */
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
	{ AS_USER_ERASE, 0, privacy_on_erase },
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
	db_backup_before_expire(now_s());
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

static void load_go_on(struct peer *p);

static void
on_tick(uv_timer_t *t)
{
	load_go_on(t->data);
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
	st = link_new(self.d->loop, fd, &as_edge, false, &link_ops, p, &p->link);
	if (!is_ok(st)) {
		diag(DIAG_ERROR, "link: %s", status_text(st));
		free(p);
		return;
	}
	link_set_peer(p->link, peer_id);
	(void)uv_timer_init(self.d->loop, &p->tick);
	p->tick.data = p;
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
on_tick_closed(uv_handle_t *h)
{
	free(h->data);
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
	link_free(l);
	uv_close((uv_handle_t *)&p->tick, on_tick_closed);
}

/* ---- loading ---- */

/* A row that does not open is nobody's: it is left out, loudly, and all others are served. */
static struct status
left_out(struct status st, const char *what, uint64_t id)
{
	if (st.code != E_CORRUPT)
		return st;
	diag(DIAG_ERROR, "%s, row %llu: it does not open, it is left out", what,
	    (unsigned long long)id);
	return OK;
}

/* One that does not open fails the load: what it signed or hashed could not be told. */
static struct status
send_keyset(struct peer *p)
{
	struct as_keyset_key m = { 0 };
	struct status st = db_keyset_next(self.db, &p->keysets, &m);

	if (is_ok(st))
		st = link_send(p->link, p->load_id, AS_KEYSET_KEY, &m);
	explicit_bzero(&m, sizeof(m));
	if (st.code != E_NOTFOUND)
		return st;
	p->stage = LOAD_USERS;
	p->cursor = 0;
	return OK;
}

static struct status
send_user(struct peer *p)
{
	struct as_user u = { 0 };
	struct status st = db_user_next(self.db, &p->cursor, &u);

	if (is_ok(st))
		st = link_send(p->link, p->load_id, AS_USER, &u);
	explicit_bzero(u.subject_key, sizeof(u.subject_key));
	if (st.code != E_NOTFOUND)
		return left_out(st, "user", (uint64_t)p->cursor);
	p->stage = LOAD_KEYS;
	p->cursor = 0;
	return OK;
}

static struct status
send_loaded(struct peer *p)
{
	struct as_loaded m = { 0 };
	struct status st;

	db_day_of(now_s(), m.day);
	st = db_tenant_key(self.db, m.tenant_key);
	if (is_ok(st))
		st = db_day_key(self.db, span_of(m.day, AS_DAY_LEN), now_s(), m.day_key);
	if (is_ok(st))
		st = link_send(p->link, p->load_id, AS_LOADED, &m);
	explicit_bzero(&m, sizeof(m));
	p->stage = LOAD_IDLE;
	return st;
}

static struct status
send_key(struct peer *p)
{
	struct as_key k = { 0 };
	struct status st = db_key_next(self.db, &p->cursor, &k);

	if (is_ok(st))
		return link_send(p->link, p->load_id, AS_KEY, &k);
	if (st.code != E_NOTFOUND)
		return left_out(st, "API key", (uint64_t)p->cursor);
	p->stage = LOAD_SESSIONS;
	p->cursor = 0;
	return OK;
}

static struct status
send_session(struct peer *p)
{
	struct as_session m = { 0 };
	struct status st = db_session_next(self.db, &p->cursor, &m);

	if (is_ok(st))
		return link_send(p->link, p->load_id, AS_SESSION, &m);
	if (st.code != E_NOTFOUND)
		return left_out(st, "session", (uint64_t)p->cursor);
	p->stage = LOAD_TOOLS;
	p->tools = (struct db_tool_cursor){ 0 };
	return OK;
}

/* One that does not open is left out: it is no tool any more. */
static struct status
send_tool(struct peer *p)
{
	struct as_tool m = { 0 };
	const struct db_tool_cursor before = p->tools;
	struct status st = db_tool_next(self.db, &p->tools, &m);

	if (is_ok(st))
		return link_send(p->link, p->load_id, AS_TOOL, &m);
	if (st.code == E_CORRUPT &&
	    (p->tools.tool != before.tool || p->tools.version != before.version)) {
		diag(DIAG_ERROR, "tool %llu, version's id %llu: it does not open, it is left out",
		    (unsigned long long)p->tools.tool, (unsigned long long)p->tools.version);
		return OK;
	}
	return st.code == E_NOTFOUND ? send_loaded(p) : st;
}

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

static struct status
send_next(struct peer *p)
{
	static struct status (*const senders[])(struct peer *) = {
		[LOAD_KEYSETS] = send_keyset,
		[LOAD_USERS] = send_user,
		[LOAD_KEYS] = send_key,
		[LOAD_SESSIONS] = send_session,
		[LOAD_TOOLS] = send_tool,
	};

	return senders[p->stage](p);
}

static void
load_go_on(struct peer *p)
{
	struct status st = OK;

	while (is_ok(st) && p->stage != LOAD_IDLE && link_queued(p->link) < LOAD_QUEUE_MAX)
		st = send_next(p);
	if (!is_ok(st)) {
		p->stage = LOAD_IDLE;
		send_done(p, p->load_id, st, NULL);
	}
	if (p->stage == LOAD_IDLE)
		(void)uv_timer_stop(&p->tick);
	else if (!uv_is_active((const uv_handle_t *)&p->tick))
		(void)uv_timer_start(&p->tick, on_tick, LOAD_TICK_MS, LOAD_TICK_MS);
	link_flush(p->link);
}

static void
on_load(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *p = ctx;
	struct status st = sums_before_load(l);

	(void)msg;
	if (!is_ok(st)) {
		p->stage = LOAD_IDLE;
		send_done(p, id, st, NULL);
		return;
	}
	/* A load anew replaces the one that is under way. */
	p->stage = LOAD_KEYSETS;
	p->keysets = (struct db_keyset_cursor){ 0 };
	p->load_id = id;
	load_go_on(p);
}

/* ---- changes ---- */

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
