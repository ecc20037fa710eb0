/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasi_path.c: what the guest does with names in the scratch directory.
 *
 * Runs in: the run worker of one tenant, on behalf of its guests.
 * Trusts: nothing of the guest: a path is UTF-8 without NUL, relative, and never leads out of
 * the directory that it starts from.
 * Invariants: a call that fails changed nothing; a new descriptor's rights are among those
 * that its directory hands on.
 * See: wasi_guest.h, wasi_scratch.h.
 */
#include <wasi_guest.h>

#include <base/encode.h>

/* path_open's arguments. */
enum {
	OPEN_FD,
	OPEN_LOOKUP,
	OPEN_PATH,
	OPEN_PATH_LEN,
	OPEN_FLAGS,
	OPEN_RIGHTS,
	OPEN_INHERITING,
	OPEN_FDFLAGS,
	OPEN_RESULT
};

static uint32_t place_of(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t path[3],
    uint64_t rights, struct scratch_place *ret);
static uint32_t directory_of(
    struct wasi_ctx *ctx, uint64_t fd, uint64_t rights, struct wasi_fd **ret);
static uint64_t open_rights(const uint64_t *args);
static uint32_t may_open(
    const struct wasi_ctx *ctx, const struct scratch_place *at, const uint64_t *args);
static uint32_t node_to_open(
    struct wasi_ctx *ctx, const struct scratch_place *at, uint64_t flags, uint32_t *ret_node);

/* (fd, lookup, path, len, oflags, rights, inheriting, fdflags, result) */
uint32_t
wasi_path_open(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[OPEN_RESULT], 4);
	const uint64_t path[3] = { args[OPEN_FD], args[OPEN_PATH], args[OPEN_PATH_LEN] };
	struct scratch_place at;
	uint32_t fd, node, err;
	uint64_t handed_on;
	struct wasi_fd *f;

	if (args[OPEN_LOOKUP] > WASI_FOLLOW || args[OPEN_FLAGS] > WASI_OFLAGS_ALL ||
	    args[OPEN_FDFLAGS] > WASI_FDFLAGS_ALL ||
	    (args[OPEN_FLAGS] & (WASI_CREAT | WASI_O_DIRECTORY)) == (WASI_CREAT | WASI_O_DIRECTORY))
		return WASI_EINVAL;
	err = place_of(ctx, m, path, open_rights(args), &at);
	if (err != WASI_OK)
		return err;
	if (out == NULL)
		return WASI_EFAULT;
	err = may_open(ctx, &at, args);
	if (err == WASI_OK)
		err = wasi_fd_new(ctx, &fd);
	if (err == WASI_OK)
		err = node_to_open(ctx, &at, args[OPEN_FLAGS], &node);
	if (err != WASI_OK)
		return err;
	handed_on = ctx->fds[args[OPEN_FD]].inheriting;
	f = &ctx->fds[fd];
	f->kind = ctx->scratch->nodes[node].kind == WASI_DIRECTORY ? FD_DIRECTORY : FD_FILE;
	f->node = node;
	f->flags = (uint16_t)args[OPEN_FDFLAGS];
	f->rights = args[OPEN_RIGHTS] & handed_on &
		    (f->kind == FD_DIRECTORY ? WASI_R_DIRECTORY : WASI_R_FILE);
	f->inheriting = f->kind == FD_DIRECTORY ? args[OPEN_INHERITING] & handed_on : 0;
	scratch_open(ctx->scratch, node);
	guest_put_u32(out, fd);
	return WASI_OK;
}

/* What the directory's descriptor must have. */
static uint64_t
open_rights(const uint64_t *args)
{
	uint64_t rights = WASI_R_OPEN;

	if ((args[OPEN_FLAGS] & WASI_CREAT) != 0)
		rights |= WASI_R_CREATE_FILE;
	if ((args[OPEN_FLAGS] & WASI_TRUNC) != 0)
		rights |= WASI_R_PATH_SET_SIZE;
	return rights;
}

static uint32_t
may_open(const struct wasi_ctx *ctx, const struct scratch_place *at, const uint64_t *args)
{
	uint64_t flags = args[OPEN_FLAGS];

	if (at->node == SCRATCH_NONE) {
		if ((flags & WASI_CREAT) == 0)
			return WASI_ENOENT;
		return at->slash ? WASI_EISDIR : WASI_OK;
	}
	if ((flags & WASI_CREAT) != 0 && (flags & WASI_EXCL) != 0)
		return WASI_EEXIST;
	if (ctx->scratch->nodes[at->node].kind != WASI_DIRECTORY)
		return (flags & WASI_O_DIRECTORY) != 0 ? WASI_ENOTDIR : WASI_OK;
	if ((flags & (WASI_CREAT | WASI_TRUNC)) != 0 || (args[OPEN_RIGHTS] & WASI_R_WRITE) != 0)
		return WASI_EISDIR;
	return WASI_OK;
}

static uint32_t
node_to_open(
    struct wasi_ctx *ctx, const struct scratch_place *at, uint64_t flags, uint32_t *ret_node)
{
	if (at->node == SCRATCH_NONE)
		return scratch_create(ctx->scratch, at, WASI_REGULAR, ret_node);
	*ret_node = at->node;
	return (flags & WASI_TRUNC) != 0 ? scratch_resize(ctx->scratch, at->node, 0) : WASI_OK;
}

/* (fd, path, len) */
uint32_t
wasi_path_create_directory(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct scratch_place at;
	uint32_t node, err = place_of(ctx, m, args, WASI_R_CREATE_DIRECTORY, &at);

	return err == WASI_OK ? scratch_create(ctx->scratch, &at, WASI_DIRECTORY, &node) : err;
}

/* (fd, path, len) */
uint32_t
wasi_path_remove_directory(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct scratch_place at;
	uint32_t err = place_of(ctx, m, args, WASI_R_REMOVE_DIRECTORY, &at);

	return err == WASI_OK ? scratch_remove(ctx->scratch, &at, WASI_DIRECTORY) : err;
}

/* (fd, path, len) */
uint32_t
wasi_path_unlink_file(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct scratch_place at;
	uint32_t err = place_of(ctx, m, args, WASI_R_UNLINK_FILE, &at);

	return err == WASI_OK ? scratch_remove(ctx->scratch, &at, WASI_REGULAR) : err;
}

/* (fd, path, len, fd, path, len) */
uint32_t
wasi_path_rename(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct scratch_place from, to;
	uint32_t err = place_of(ctx, m, args, WASI_R_RENAME_SOURCE, &from);

	if (err == WASI_OK)
		err = place_of(ctx, m, args + 3, WASI_R_RENAME_TARGET, &to);
	return err == WASI_OK ? scratch_rename(ctx->scratch, &from, &to) : err;
}

/* (fd, lookup, path, len, filestat) */
uint32_t
wasi_path_filestat_get(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[4], WASI_FILESTAT_LEN);
	const uint64_t path[3] = { args[0], args[2], args[3] };
	struct scratch_place at;
	uint32_t err = place_of(ctx, m, path, WASI_R_PATH_STAT, &at);

	if (err != WASI_OK)
		return err;
	if (out == NULL)
		return WASI_EFAULT;
	if (args[1] > WASI_FOLLOW)
		return WASI_EINVAL;
	if (at.node == SCRATCH_NONE)
		return WASI_ENOENT;
	wasi_put_stat(&ctx->scratch->nodes[at.node], 0, out);
	return WASI_OK;
}

/* (fd, lookup, path, len, atim, mtim, flags) */
uint32_t
wasi_path_filestat_set_times(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	const uint64_t path[3] = { args[0], args[2], args[3] };
	struct scratch_place at;
	uint32_t err = place_of(ctx, m, path, WASI_R_PATH_SET_TIMES, &at);

	if (err != WASI_OK)
		return err;
	if (args[1] > WASI_FOLLOW)
		return WASI_EINVAL;
	if (at.node == SCRATCH_NONE)
		return WASI_ENOENT;
	return wasi_set_times(&ctx->scratch->nodes[at.node], args[4], args[5], args[6]);
}

/* Where (fd, path, len) leads; the path stays in the guest's memory, which does not change
 * meanwhile. */
static uint32_t
place_of(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t path[3], uint64_t rights,
    struct scratch_place *ret)
{
	struct wasi_fd *f;
	const uint8_t *p;
	uint32_t err = directory_of(ctx, path[0], rights, &f);

	if (err != WASI_OK)
		return err;
	p = guest_at(m, path[1], path[2]);
	if (p == NULL)
		return WASI_EFAULT;
	if (path[2] > WASI_PATH_MAX)
		return WASI_ENAMETOOLONG;
	if (utf8_valid_len(span_of(p, path[2])) != path[2])
		return WASI_EILSEQ;
	return scratch_walk(ctx->scratch, f->node, span_of(p, path[2]), ret);
}

static uint32_t
directory_of(struct wasi_ctx *ctx, uint64_t fd, uint64_t rights, struct wasi_fd **ret)
{
	struct wasi_fd *f;
	uint32_t err;

	/* Whoever has no capability for files is told so, not that a number is wrong. */
	if (!ctx->given.files) {
		ctx->refused++;
		return WASI_ENOTCAPABLE;
	}
	err = wasi_fd_get(ctx, fd, 0, &f);
	if (err != WASI_OK)
		return err;
	if (f->kind != FD_DIRECTORY)
		return WASI_ENOTDIR;
	return wasi_fd_get(ctx, fd, rights, ret);
}
