/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_dir.c: a user's tool as it lies in a folder.
 *
 * Runs in: CLI, as anybody. Trusts: the folder's owner.
 * Owns: what it read. Invariants: what is wrong with a tool is said before anything is sent;
 * which file is which part is never guessed among several.
 * See: docs/tools.md.
 */
#include "tool_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/hash.h>

static const char manifest_name[] = "tool.json";
static const char native_name[] = "native";
static const char build_name[] = "build"; /* where what was built may lie as well */

static bool
read_file(int dir_fd, const char *name, struct buf *out)
{
	auto_fd int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	struct status st = fd < 0 ? fail_errno() : io_read_all(fd, out);

	if (st.code == E_FULL)
		(void)cli_error(name, "is larger than %zu bytes", out->max);
	else if (!is_ok(st))
		(void)cli_status(name, st);
	else if (out->len == 0)
		(void)cli_error(name, "is empty");
	return is_ok(st) && out->len > 0;
}

static bool
is_module(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && strcmp(name + len - 5, ".wasm") == 0;
}

/* The only *.wasm; "" when there is none. False, after a message: there are several. */
static bool
find_module(const char *path, int dir_fd, char name[256])
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	bool ok = true;

	name[0] = '\0';
	if (d == NULL) {
		(void)cli_status(path, fail_errno());
		if (fd >= 0)
			(void)close(fd);
		return false;
	}
	while (ok && (e = readdir(d)) != NULL) {
		if (!is_module(e->d_name))
			continue;
		ok = name[0] == '\0';
		(void)snprintf(name, 256, "%s", e->d_name);
	}
	(void)closedir(d);
	if (!ok)
		(void)cli_error(path, "has several *.wasm: name one with --module");
	return ok;
}

/* What lies there without being named: into parts that are empty so far. */
static bool
find_parts(const char *path, int dir_fd, struct tool_dir *t)
{
	char found[256];

	if (t->module.len == 0 && (!find_module(path, dir_fd, found) ||
				      (found[0] != '\0' && !read_file(dir_fd, found, &t->module))))
		return false;
	if (t->native.len > 0 || faccessat(dir_fd, native_name, F_OK, 0) != 0)
		return true;
	return read_file(dir_fd, native_name, &t->native);
}

static bool
read_parts(const struct invocation *inv, const char *path, int dir_fd, struct tool_dir *t)
{
	const char *module = inv->options[OPT_MODULE], *native = inv->options[OPT_NATIVE];
	auto_fd int build_fd = openat(dir_fd, build_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (module != NULL && !read_file(AT_FDCWD, module, &t->module))
		return false;
	if (native != NULL && !read_file(AT_FDCWD, native, &t->native))
		return false;
	if (!find_parts(path, dir_fd, t) || (build_fd >= 0 && !find_parts(path, build_fd, t)))
		return false;
	if (t->module.len + t->native.len > 0)
		return true;
	(void)cli_error(path, "has neither a *.wasm nor a file `native`, nor has its `build`");
	return false;
}

bool
tool_dir_open(const struct invocation *inv, const char *path, struct tool_dir *ret)
{
	auto_fd int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct manifest_fault fault;
	struct status st;

	*ret = (struct tool_dir){ .text = BUF_INIT(MANIFEST_MAX),
		.module = BUF_INIT(RUN_BLOB_MAX),
		.native = BUF_INIT(TOOL_NATIVE_MAX),
		.arena = ARENA_INIT(16UL * MANIFEST_MAX) };
	if (dir_fd < 0) {
		(void)cli_status(path, fail_errno());
		return false;
	}
	if (!read_file(dir_fd, manifest_name, &ret->text))
		return false;
	st = manifest_parse(buf_span(&ret->text), &ret->arena, &ret->manifest, &fault);
	if (!is_ok(st)) {
		(void)cli_error(
		    manifest_name, "%s", fault.message != NULL ? fault.text : status_text(st));
		return false;
	}
	return read_parts(inv, path, dir_fd, ret);
}

void
tool_dir_close(struct tool_dir *t)
{
	buf_done(&t->text);
	buf_done(&t->module);
	buf_done(&t->native);
	arena_done(&t->arena);
}

struct status
tool_dir_digest(const struct tool_dir *t, uint8_t digest[DIGEST_LEN])
{
	const struct tool_upload up = { buf_span(&t->text), buf_span(&t->module),
		buf_span(&t->native) };
	auto_buf struct buf out = BUF_INIT(RUN_BLOB_MAX);

	TRY(wire_encode(&tool_upload_table, &up, &out));
	return sha256(buf_span(&out), digest);
}
