/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c: `sallyport init DIR`: a state directory with fresh keys.
 *
 * Runs in: CLI, as root. Trusts: root's files.
 * Owns: DIR while it is made, the lock of the uid ranges.
 * Invariants: DIR/.init is there from the first write to the last; a directory with it is
 * unfinished, nobody has seen its key, and the next init begins anew. What fails is removed.
 * The API key is printed once, after everything is durable.
 * See: FILES in sallyport(1); src/store (imports store/first-key).
 */
#include "cli.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <auditlog/auditlog.h>
#include <base/cleanup.h>
#include <base/encode.h>
#include <base/io.h>
#include <crypto/file_secret.h>
#include <crypto/key_file.h>
#include <crypto/leaf.h>
#include <crypto/sign.h>
#include <json/json.h>
#include <json/write.h>
#include <keytext/keytext.h>
#include <wire/topology.h>

#include "passphrase.h"

#define MARKER ".init"
#define FIRST_TENANT "default"
#define FIRST_USER "owner"
#define FIRST_POLICY "default"
#define ENGINES_MAX (1U << 20)

struct engines {
	char runsc[CLI_PATH_MAX];
	char image[CLI_PATH_MAX];
	char manifest[CLI_PATH_MAX];
};

struct making {
	char dir[CLI_PATH_MAX]; /* absolute, no links */
	int fd;
	bool made_dir;
	bool marked;
	const char *listen;
	struct engines engines;
	struct uids_lock uids;
	uint32_t uid_base;
	bool reserved;
	struct secret key;        /* the first API key */
	struct secret master;     /* what master.key holds */
	struct secret passphrase; /* of master.key; empty: none */
	const char *failed;       /* what step failed */
};

static struct status make_all(struct making *m);

/* ---- folders and files, in the order in which they are made ---- */
static const struct {
	const char *name;
	int proc; /* owner; -1: root */
} folders[] = {
	{ "tls", -1 },
	{ "keys", -1 },
	{ "keys/audit", PROC_AUDIT },
	{ "run", -1 },
	{ "audit", PROC_AUDIT },
	{ "store", PROC_STORE },
};

static const char *const files[] = { "sallyport.yaml", "sallyport.yaml.tmp", "ca.pem", "ca.pem.tmp",
	"ca.key", "ca.key.tmp", "master.key", "master.key.tmp", "audit.pub", "audit.pub.tmp",
	"tls/cert.pem", "tls/cert.pem.tmp", "tls/key.pem", "tls/key.pem.tmp", "keys/audit/key",
	"keys/audit/key.tmp", "store/first-key", "store/first-key.tmp" };

static void
remove_all(struct making *m)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		(void)unlinkat(m->fd, files[i], 0);
	for (size_t i = sizeof(folders) / sizeof(folders[0]); i > 0; i--)
		(void)unlinkat(m->fd, folders[i - 1].name, AT_REMOVEDIR);
}

static uid_t
owner_of(const struct making *m, int proc)
{
	return proc < 0 ? 0 : (uid_t)(m->uid_base + UID_OF(proc));
}

static struct status
make_folders(struct making *m)
{
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		uid_t uid = owner_of(m, folders[i].proc);

		if (mkdirat(m->fd, folders[i].name, 0700) < 0 ||
		    fchownat(m->fd, folders[i].name, uid, uid, AT_SYMLINK_NOFOLLOW) < 0)
			return fail_errno();
	}
	return OK;
}

/* A new file below `folder` ("." for DIR) that belongs to a process or to root. */
static struct status
make_file(
    struct making *m, const char *folder, const char *name, struct span text, mode_t mode, int proc)
{
	auto_fd int dir = openat(m->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	uid_t uid = owner_of(m, proc);

	if (dir < 0)
		return fail_errno();
	TRY(io_replace_file(dir, name, text, mode));
	if (uid != 0 && fchownat(dir, name, uid, uid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno();
	return OK;
}

/* ---- the contents ---- */

static struct status
make_ca(struct making *m)
{
	auto_buf struct buf cert = BUF_INIT(CERT_PEM_LEN_MAX);
	auto_secret struct secret key = SECRET_NONE, seal = SECRET_NONE;

	TRY(key_file_key(&m->master, KEY_FILE_SUPERVISOR, &seal));
	TRY(cert_ca_create(SPAN_LIT("Sallyport local CA"), &cert, &key));
	TRY(key_file_write(m->fd, "ca.key", &seal, "ca.key", &key));
	TRY(make_file(m, ".", "ca.pem", buf_span(&cert), 0644, -1));
	return leaf_issue(m->fd, m->listen, &seal);
}

static struct status
make_master_key(struct making *m)
{
	auto_secret struct secret line = SECRET_NONE;
	auto_buf struct buf sealed = BUF_INIT(MASTER_FILE_MAX);

	TRY(secret_random(MASTER_KEY_LEN, &m->master));
	if (m->passphrase.len > 0) {
		TRY(master_file_seal(&m->master, &m->passphrase, &SCRYPT_COST, &sealed));
		return make_file(m, ".", "master.key", buf_span(&sealed), 0600, -1);
	}
	TRY(master_file_put(&m->master, &line));
	return make_file(m, ".", "master.key", secret_borrow(&line), 0600, -1);
}

static struct status
make_audit_key(struct making *m)
{
	auto_secret struct secret raw = SECRET_NONE, hex = SECRET_NONE, seal = SECRET_NONE;
	auto_buf struct buf pub = BUF_INIT(AUDITLOG_NOTE_MAX);
	auto_buf struct buf text = BUF_INIT(KEY_FILE_TEXT_MAX);
	char origin[AUDITLOG_ORIGIN_MAX + 1], instance[33];
	uint8_t public_key[ED25519_KEY_LEN];
	struct sign_key *key = NULL;

	TRY(sign_key_generate(&raw));
	TRY(sign_key_new(&raw, &key));
	sign_key_public(key, public_key);
	sign_key_free(key);
	instance_name(m->fd, m->dir, instance);
	TRY(auditlog_origin(instance, origin));
	TRY(auditlog_pub_put(origin, public_key, &pub));
	TRY(secret_new(2 * raw.len, &hex));
	hex_encode(secret_borrow(&raw), (char *)hex.ptr);
	TRY(key_file_key(&m->master, KEY_FILE_AUDIT, &seal));
	TRY(key_file_seal(&seal, AUDIT_KEY_NAME, &hex, &text));
	TRY(make_file(m, "keys/audit", "key", buf_span(&text), 0600, PROC_AUDIT));
	return make_file(m, ".", "audit.pub", buf_span(&pub), 0644, -1);
}

/* The store imports it at its first start and removes it. */
static struct status
make_first_key(struct making *m)
{
	static const char head[] = FIRST_TENANT " " FIRST_USER " " FIRST_POLICY " ";
	const size_t head_len = sizeof(head) - 1;
	auto_secret struct secret key = SECRET_NONE, line = SECRET_NONE;

	TRY(secret_new(KEYTEXT_LEN, &key));
	TRY(keytext_create(key.ptr));
	TRY(secret_new(head_len + KEYTEXT_LEN + 1, &line));
	memcpy(line.ptr, head, head_len);
	memcpy(line.ptr + head_len, key.ptr, KEYTEXT_LEN);
	line.ptr[head_len + KEYTEXT_LEN] = '\n';
	TRY(make_file(m, "store", "first-key", secret_borrow(&line), 0600, PROC_STORE));
	m->key = secret_take(&key);
	return OK;
}

static struct status
put_quoted(struct buf *out, const char *key, const char *text)
{
	TRY(buf_printf(out, "%s: \"", key));
	TRY(json_escape(span_str(text), out)); /* a YAML double-quoted scalar, too */
	return buf_put_str(out, "\"\n");
}

static struct status
put_config(const struct making *m, struct buf *out)
{
	TRY(buf_put_str(out, "# Sallyport. All keys: docs/configuration.md\n"));
	TRY(put_quoted(out, "listen", m->listen));
	TRY(buf_put_str(out, "management_socket: run/management.sock\n"));
	TRY(buf_printf(out, "uid_base: %u\n", m->uid_base));
	TRY(buf_put_str(out, "\nengines:\n"));
	TRY(put_quoted(out, "  runsc", m->engines.runsc));
	TRY(put_quoted(out, "  image", m->engines.image));
	TRY(put_quoted(out, "  manifest", m->engines.manifest));
	return buf_put_str(out,
	    "\n# A stand-in that is no AI, so that everything runs without an account.\n"
	    "providers:\n"
	    "  demo: { kind: demo }\n"
	    "\n"
	    "models:\n"
	    "  demo: [ { provider: demo, model: demo } ]\n"
	    "\n"
	    "policies:\n"
	    "  default: { endpoints: \"*\", models: \"*\", tools: \"*\", languages: \"*\" }\n"
	    "\n"
	    "sandboxes:\n"
	    "  python: { pool: 4, pool_data: 1 }\n"
	    "  javascript: { pool: 1 }\n"
	    "  sh: { pool: 1 }\n");
}

static struct status
make_config(struct making *m)
{
	auto_buf struct buf text = BUF_INIT(CONF_FILE_MAX);
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;
	struct status st;

	TRY(put_config(m, &text));
	st = conf_parse(buf_span(&text), &c, error);
	if (!is_ok(st)) {
		(void)cli_error("configuration", "%s", error);
		return st;
	}
	conf_free(c);
	return make_file(m, ".", "sallyport.yaml", buf_span(&text), 0644, -1);
}

static const struct {
	const char *what;
	struct status (*make)(struct making *m);
} steps[] = {
	{ "folders", make_folders },
	{ "master key", make_master_key },
	{ "certificates", make_ca },
	{ "audit key", make_audit_key },
	{ "API key", make_first_key },
	{ "configuration", make_config },
};

static struct status
make_all(struct making *m)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		m->failed = steps[i].what;
		TRY(steps[i].make(m));
	}
	m->failed = "end";
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		auto_fd int fd = openat(m->fd, folders[i].name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 || fsync(fd) < 0)
			return fail_errno();
	}
	if (unlinkat(m->fd, MARKER, 0) < 0 || fsync(m->fd) < 0)
		return fail_errno();
	return OK;
}

/* ---- before: where, and may we? ---- */
static bool
take_engine(const struct json_doc *d, const char *key, char ret[CLI_PATH_MAX])
{
	auto_arena struct arena a = ARENA_INIT(64 << 10);
	struct span s;

	return is_ok(json_str(d, json_get_str(d, 0, key), &a, &s)) &&
	       is_ok(span_to_cstr(s, ret, CLI_PATH_MAX)) && access(ret, R_OK) == 0;
}

static bool
find_engines(struct engines *ret)
{
	auto_buf struct buf text = BUF_INIT(ENGINES_MAX);
	auto_json struct json_doc d = { .count = 0 };
	char path[CLI_PATH_MAX];

	if (!find_beside("engines.json", path) || !is_ok(io_read_file(AT_FDCWD, path, &text))) {
		(void)cli_error("engines.json", "is not there: run ./dev build first");
		return false;
	}
	if (!is_ok(json_init(&d, &JSON_STRICT)) || !is_ok(json_parse(&d, buf_span(&text)))) {
		(void)cli_error(path, "is not JSON: run ./dev build again");
		return false;
	}
	if (!take_engine(&d, "runsc", ret->runsc) || !take_engine(&d, "image", ret->image) ||
	    !take_engine(&d, "manifest", ret->manifest)) {
		(void)cli_error(path, "runsc, image or manifest is missing: run ./dev build again");
		return false;
	}
	return true;
}

static bool
is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Empty, or left unfinished by an earlier init. */
static struct status
check_empty(struct making *m)
{
	int copy = fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	bool empty = true;
	struct dirent *e;

	if (d == NULL)
		return fail_errno();
	while ((e = readdir(d)) != NULL)
		empty = empty && is_dots(e->d_name);
	(void)closedir(d);
	if (empty)
		return OK;
	if (faccessat(m->fd, MARKER, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(E_EXISTS);
	remove_all(m);
	return OK;
}

static bool
path_fits(const char *dir)
{
	size_t tail = strlen("/run/management.sock");

	for (const char *p = dir; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return cli_error("init", "the path of DIR has a control character"), false;
	}
	if (strlen(dir) + tail > CONF_SOCKET_PATH_MAX) {
		(void)cli_error(dir,
		    "is too long for the management socket below it: at most %zu bytes",
		    CONF_SOCKET_PATH_MAX - tail);
		return false;
	}
	return true;
}

static bool
open_dir(struct making *m, const char *arg)
{
	if (mkdir(arg, 0755) == 0)
		m->made_dir = true;
	else if (errno != EEXIST)
		return cli_status(arg, fail_errno()), false;
	if (realpath(arg, m->dir) == NULL)
		return cli_status(arg, fail_errno()), false;
	m->fd = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (m->fd < 0)
		return cli_status(arg, fail_errno()), false;
	return path_fits(m->dir);
}

/* One call makes it, so that nothing can be there before it. */
static struct status
mark(struct making *m)
{
	auto_fd int fd = openat(m->fd, MARKER, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 || fsync(m->fd) < 0 ? fail_errno() : OK;
}

static bool
begin(struct making *m)
{
	struct status st = uids_lock(UIDS_DIR, &m->uids);

	if (!is_ok(st))
		return cli_status(UIDS_DIR, st), false;
	st = check_empty(m);
	if (st.code == E_EXISTS)
		return cli_error(m->dir, "is not empty"), false;
	if (is_ok(st))
		st = mark(m);
	if (!is_ok(st))
		return cli_status(m->dir, st), false;
	m->marked = true;
	st = uids_reserve(&m->uids, "/etc", m->dir, &m->uid_base);
	if (!is_ok(st))
		return cli_status(UIDS_DIR, st), false;
	m->reserved = true;
	return true;
}

static void
undo(struct making *m)
{
	if (m->marked) {
		remove_all(m);
		(void)unlinkat(m->fd, MARKER, 0);
	}
	if (m->reserved && !is_ok(uids_release(&m->uids, m->uid_base)))
		(void)cli_error(UIDS_DIR, "the range of uid %u stays reserved", m->uid_base);
	if (m->made_dir)
		(void)rmdir(m->dir);
}

static int
print_lines(const struct making *m)
{
	char url[300];

	if (!listen_url(m->listen, url, sizeof(url)))
		return cli_error(m->listen, "cannot be told as a URL");
	(void)printf("SALLYPORT_URL=%s\nSALLYPORT_API_KEY=%.*s\nSALLYPORT_CA_FILE=%s/ca.pem\n", url,
	    (int)m->key.len, (const char *)m->key.ptr, m->dir);
	if (fflush(stdout) != 0)
		return cli_error("standard output",
		    "the key could not be printed; use `sallyport key create` once it serves");
	(void)fprintf(stderr, "sallyport: %s is ready: sallyport serve -c %s/sallyport.yaml\n",
	    m->dir, m->dir);
	return EXIT_DONE;
}

static int
make_state(struct making *m, const char *arg)
{
	struct status st;

	if (!open_dir(m, arg) || !begin(m))
		return EXIT_FAILED;
	st = make_all(m);
	if (!is_ok(st))
		return cli_status(m->failed, st);
	m->made_dir = m->marked = m->reserved = false; /* it stays */
	return print_lines(m);
}

/* Asked for before anything is made; false after a message. */
static bool
wants_passphrase(const struct invocation *inv, struct secret *ret)
{
	const struct passphrase_from from = { inv->options[OPT_PASSPHRASE_FILE],
		"Passphrase for master.key", true };

	if (inv->options[OPT_PASSPHRASE] == NULL && from.file == NULL)
		return true;
	return passphrase_read(&from, ret);
}

int
cmd_init(const struct invocation *inv)
{
	const char *listen = inv->options[OPT_LISTEN];
	struct making m = { .fd = -1,
		.uids = { -1 },
		.key = SECRET_NONE,
		.passphrase = SECRET_NONE,
		.listen = listen != NULL ? listen : "127.0.0.1:8443" };
	struct sockaddr_storage ss;
	socklen_t len;
	int rc;

	if (!is_ok(conf_address(span_str(m.listen), &ss, &len))) {
		(void)cli_error(m.listen, "expects HOST:PORT with an IP address or localhost");
		return EXIT_USAGE;
	}
	if (geteuid() != 0)
		return cli_error("init", "needs root: keys belong to the uids of processes");
	if (!find_engines(&m.engines))
		return EXIT_FAILED;
	if (!wants_passphrase(inv, &m.passphrase))
		return EXIT_FAILED;
	(void)umask(022);
	rc = make_state(&m, inv->args[0]);
	undo(&m);
	uids_unlock(&m.uids);
	secret_done(&m.key);
	secret_done(&m.passphrase);
	secret_done(&m.master);
	if (m.fd >= 0)
		(void)close(m.fd);
	return rc;
}
