/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance.c: the state directory and what lies in it; the listening sockets.
 *
 * Runs in: supervisor, as root. Trusts: files that only root can write.
 * Owns: the directory's lock, both listening sockets.
 * Invariants: one supervisor a state directory; a private key that others can
 * read refuses the start; processes get descriptors, never paths.
 * See: ARCHITECTURE.md; FILES in sallyport(1).
 */
#include "supervisor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libgen.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/io.h>
#include <base/memfd.h>
#include <base/rand.h>
#include <crypto/key_file.h>
#include <crypto/passphrase.h>

#define LISTEN_BACKLOG 1024
#define RUN_DIR "/run/sallyport"
#define UID_GRID (700000U % UID_RANGE_LEN) /* where the ranges begin that init reserves */
#define HEAD_FILE_MAX 4096

/* Named descriptors that are files below the state directory. */
static const struct {
	const char *name;
	const char *path;
	int flags;
	bool secret; /* refuse it when group or others may read it */
} files[] = {
	{ "audit-dir", "audit", O_RDONLY | O_DIRECTORY, true },
	{ "audit-key", "keys/audit", O_RDONLY | O_DIRECTORY, true },
	{ "store-dir", "store", O_RDONLY | O_DIRECTORY, true },
};

static void
instance_name(struct instance *in)
{
	struct stat sb = { 0 };
	uint64_t h = 0xcbf29ce484222325ULL;
	uint8_t bytes[6];

	(void)fstat(in->dir_fd, &sb);
	for (const char *p = in->dir; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3ULL;
	h = (h ^ (uint64_t)sb.st_ino) * 0x100000001b3ULL;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(h >> 8 * i);
	hex_encode(span_of(bytes, sizeof(bytes)), in->name);
	in->name[2 * sizeof(bytes)] = '\0';
}

static struct status
find_libexec(struct instance *in)
{
	ssize_t n = readlink("/proc/self/exe", in->libexec, sizeof(in->libexec) - 1);
	char *slash;

	if (n < 0)
		return fail_errno();
	in->libexec[n] = '\0';
	slash = strrchr(in->libexec, '/');
	if (slash == NULL)
		return fail(E_SYNTAX);
	*slash = '\0';
	return OK;
}

struct status
instance_open(struct supervisor *sv, const char *conf_path)
{
	struct instance *in = &sv->inst;

	if (realpath(conf_path, in->conf_path) == NULL)
		return fail_errno();
	memcpy(in->dir, in->conf_path, sizeof(in->dir));
	*strrchr(in->dir, '/') = '\0';
	in->dir_fd = open(in->dir[0] == '\0' ? "/" : in->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (in->dir_fd < 0)
		return fail_errno();
	if (mkdirat(in->dir_fd, "run", 0700) < 0 && errno != EEXIST)
		return fail_errno();
	in->lock_fd = openat(
	    in->dir_fd, "run/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (in->lock_fd < 0)
		return fail_errno();
	if (flock(in->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? fail(E_EXISTS) : fail_errno();
	in->kept_fd = memfd_create("kept", MFD_CLOEXEC);
	if (in->kept_fd < 0)
		return fail_errno();
	instance_name(in);
	return find_libexec(in);
}

struct status
instance_hold_uids(const struct supervisor *sv)
{
	uint32_t at = sv->uid_base + UID_RANGE_LEN - UID_GRID;
	char path[sizeof(RUN_DIR) + 32];

	if (mkdir(RUN_DIR, 0755) < 0 ? errno != EEXIST : chmod(RUN_DIR, 0755) < 0)
		return fail_errno();
	/* A range beside the grid that init reserves from lies in two of its ranges. */
	for (uint32_t n = at / UID_RANGE_LEN; n <= (at + UID_RANGE_LEN - 1) / UID_RANGE_LEN; n++) {
		int fd;

		(void)snprintf(path, sizeof(path), RUN_DIR "/uids-%u", n);
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return fail_errno();
		/* Held, and open, until this process ends. */
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK ? fail(E_EXISTS) : fail_errno();
	}
	return OK;
}

struct status
instance_read_conf(
    const char *path, struct conf **ret, struct buf *text, char error[CONF_ERROR_MAX])
{
	struct status st = io_read_file(AT_FDCWD, path, text);

	if (!is_ok(st)) {
		(void)snprintf(error, CONF_ERROR_MAX, "%s: %s", path, status_text(st));
		return st;
	}
	TRY(conf_parse_env(buf_span(text), getenv, ret, error));
	st = limits_check(*ret, error);
	if (!is_ok(st)) {
		conf_free(*ret);
		*ret = NULL;
	}
	return st;
}

/* ---- sockets ---- */

static struct status
split_listen(const char *listen, char host[256], char port[8])
{
	const char *colon = strrchr(listen, ':');
	const char *start = listen;
	size_t len;

	if (colon == NULL)
		return fail(E_SYNTAX);
	len = (size_t)(colon - listen);
	if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
		start++;
		len -= 2;
	}
	TRY(span_to_cstr(span_of(start, len), host, 256));
	return span_to_cstr(span_str(colon + 1), port, 8);
}

static struct status
listen_tcp(const char *address, int *ret)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM };
	struct addrinfo *ai = NULL;
	auto_fd int fd = -1;
	char host[256], port[8];
	int one = 1;

	TRY(split_listen(address, host, port));
	if (getaddrinfo(host, port, &hints, &ai) != 0)
		return fail(E_NOTFOUND);
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
		struct status st = fail_errno();

		freeaddrinfo(ai);
		return st;
	}
	freeaddrinfo(ai);
	*ret = fd_take(&fd);
	return OK;
}

static struct status
listen_unix(struct supervisor *sv, int *ret)
{
	const char *path = conf_str(sv->conf, "management_socket");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	auto_fd int fd = -1;
	int n;

	if (path[0] == '/')
		n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	else
		n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", sv->inst.dir, path);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		return fail(E_RANGE);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || (unlink(sun.sun_path) < 0 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || chmod(sun.sun_path, 0600) < 0 ||
	    listen(fd, 64) < 0)
		return fail_errno();
	*ret = fd_take(&fd);
	return OK;
}

/* At start, and at a reload that names another address: the old socket stays until then. */
struct status
instance_listen(struct supervisor *sv)
{
	const char *address = conf_str(sv->conf, "listen");
	struct instance *in = &sv->inst;
	int fd = -1;

	if (in->management_fd < 0)
		TRY(listen_unix(sv, &in->management_fd));
	if (in->listen_fd >= 0 && strcmp(in->listen, address) == 0)
		return OK;
	TRY(listen_tcp(address, &fd));
	if (in->listen_fd >= 0)
		(void)close(in->listen_fd);
	in->listen_fd = fd;
	(void)snprintf(in->listen, sizeof(in->listen), "%s", address);
	return rand_bytes(in->ticket_key, sizeof(in->ticket_key));
}

/* ---- files ---- */

/*
 * The signing key's folder is the audit process's own, for it replaces the key. Of an instance
 * that kept the key beside other files it is moved, each step again after a kill.
 */
struct status
instance_audit_key(const struct supervisor *sv)
{
	uid_t uid = sv->uid_base + UID_OF(PROC_AUDIT);
	auto_fd int keys = openat(
	    sv->inst.dir_fd, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	auto_fd int own = -1;

	if (keys < 0 || (mkdirat(keys, "audit", 0700) < 0 && errno != EEXIST) ||
	    fchownat(keys, "audit", uid, uid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno();
	own = openat(keys, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (own < 0)
		return fail_errno();
	if (faccessat(own, "key", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return OK;
	if (renameat(keys, "audit.key", own, "key") < 0 || fsync(own) < 0 || fsync(keys) < 0)
		return fail_errno();
	return OK;
}

static struct status
check_private(int fd)
{
	struct stat sb;

	if (fstat(fd, &sb) < 0)
		return fail_errno();
	return (sb.st_mode & 077) != 0 ? fail(E_DENIED) : OK;
}

/* ---- the master key ---- */

/* The text in the clear, sealed against changes, its page locked for as long as we live. */
static struct status
keep(const char *name, const struct secret *text, int *ret_fd)
{
	void *page;

	TRY(memfd_of(name, secret_borrow(text), ret_fd));
	page = mmap(NULL, text->len, PROT_READ, MAP_SHARED, *ret_fd, 0);
	if (page == MAP_FAILED || mlock(page, text->len) < 0)
		return fail_errno();
	return OK;
}

/* What opens private keys on disk: ours to use, audit's to give. */
static struct status
seals_keep(struct instance *in, const struct secret *master)
{
	auto_secret struct secret audit = SECRET_NONE, text = SECRET_NONE;

	TRY(key_file_key(master, KEY_FILE_SUPERVISOR, &in->seal));
	TRY(key_file_key(master, KEY_FILE_AUDIT, &audit));
	TRY(master_file_put(&audit, &text));
	return keep("audit-seal", &text, &in->audit_seal_fd);
}

static struct status
master_unlock(struct span sealed, int passphrase_fd, struct secret *ret, const char **ret_why)
{
	auto_secret struct secret passphrase = SECRET_NONE;
	struct status st;

	if (passphrase_fd < 0) {
		*ret_why = "is under a passphrase, and none was given";
		return fail(E_DENIED);
	}
	if (lseek(passphrase_fd, 0, SEEK_SET) < 0)
		return fail_errno();
	TRY(secret_read_fd(passphrase_fd, PASSPHRASE_LEN_MAX, &passphrase));
	st = master_file_open(sealed, &passphrase, ret);
	*ret_why = st.code == E_CRYPTO ? "wrong passphrase" : status_text(st);
	return st;
}

struct status
instance_master_key(struct supervisor *sv, int passphrase_fd, const char **ret_why)
{
	auto_secret struct secret text = SECRET_NONE, master = SECRET_NONE, clear = SECRET_NONE;
	auto_fd int fd = -1;

	TRY(master_file_find(sv->inst.dir_fd, &fd, ret_why));
	TRY(master_file_read(fd, &text));
	if (master_file_is_sealed(secret_borrow(&text))) {
		TRY(master_unlock(secret_borrow(&text), passphrase_fd, &master, ret_why));
	} else if (!is_ok(master_file_parse(secret_borrow(&text), &master))) {
		*ret_why = "is not a key of ours";
		return fail(E_SYNTAX);
	}
	TRY(master_file_put(&master, &clear));
	TRY(keep("master-key", &clear, &sv->inst.master_fd));
	return seals_keep(&sv->inst, &master);
}

/* With a position of its own for each who reads. */
static int
open_anew(int fd)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int
instance_fd(const struct supervisor *sv, const char *name)
{
	const struct instance *in = &sv->inst;

	if (strcmp(name, "listen") == 0)
		return fcntl(in->listen_fd, F_DUPFD_CLOEXEC, 0);
	if (strcmp(name, "management") == 0)
		return fcntl(in->management_fd, F_DUPFD_CLOEXEC, 0);
	if (strcmp(name, "kept") == 0)
		return fcntl(in->kept_fd, F_DUPFD_CLOEXEC, 0);
	if (strcmp(name, "master-key") == 0)
		return open_anew(in->master_fd);
	if (strcmp(name, "audit-seal") == 0)
		return open_anew(in->audit_seal_fd);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		auto_fd int fd = -1;

		if (strcmp(name, files[i].name) != 0)
			continue;
		fd = openat(in->dir_fd, files[i].path, files[i].flags | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 || (files[i].secret && !is_ok(check_private(fd)))) {
			diag(DIAG_ERROR, "%s/%s: cannot be opened, or others may read it", in->dir,
			    files[i].path);
			return -1;
		}
		return fd_take(&fd);
	}
	return -1;
}

/* The size that the head on disk speaks of: the second line of the note; 0: there is none. */
static struct status
kept_size(const struct supervisor *sv, uint64_t *ret)
{
	auto_buf struct buf text = BUF_INIT(HEAD_FILE_MAX);
	struct status st = io_read_file(sv->inst.dir_fd, "audit.head", &text);
	const uint8_t *line, *end;

	*ret = 0;
	if (st.code == E_SYS && st.err == ENOENT)
		return OK;
	TRY(st);
	line = memchr(text.ptr, '\n', text.len);
	if (line == NULL)
		return fail(E_CORRUPT);
	line++;
	end = memchr(line, '\n', text.len - (size_t)(line - text.ptr));
	if (end == NULL)
		return fail(E_CORRUPT);
	return span_u64(span_of(line, (size_t)(end - line)), UINT64_MAX, ret);
}

/* A log behind the head that was kept has been cut or put back: E_CORRUPT. */
struct status
instance_keep_head(const struct supervisor *sv, uint64_t size, struct span note)
{
	uint64_t kept;

	TRY(kept_size(sv, &kept));
	if (size < kept)
		return fail(E_CORRUPT);
	return io_replace_file(sv->inst.dir_fd, "audit.head", note, 0644);
}
