/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasi_fd.c: the guest's descriptors: what they are, where they stand, closing, listing.
 *
 * Runs in: the run worker of one tenant, on behalf of its guests.
 * Trusts: nothing of the guest.
 * Owns: the context's table of descriptors; each of a node holds it open.
 * Invariants: rights only ever shrink; all of a result's place is checked before it is written.
 * See: wasi_guest.h, wasi_io.c (reading and writing), wasi_path.c (opening).
 */
#include <wasi_guest.h>

#include <base/clock.h>

#define DIRENT_DOTS 2U /* "." and ".." come before the entries */

static const uint8_t filetypes[] = {
	[FD_IN] = WASI_UNKNOWN, /* a character device would make libc flush at each line */
	[FD_OUT] = WASI_UNKNOWN,
	[FD_ERR] = WASI_UNKNOWN,
	[FD_FILE] = WASI_REGULAR,
	[FD_DIRECTORY] = WASI_DIRECTORY,
};

static struct scratch_node *node_of(const struct wasi_ctx *ctx, const struct wasi_fd *f);
static uint32_t prestat(struct wasi_ctx *ctx, uint64_t fd);
static uint32_t dirent_at(const struct wasi_ctx *ctx, uint32_t dir, uint64_t cookie,
    uint64_t *ret_next, struct span *ret_name);
static bool copy_cut(uint8_t **out, uint64_t *room, const void *from, size_t len);

uint32_t
wasi_fd_get(struct wasi_ctx *ctx, uint64_t fd, uint64_t rights, struct wasi_fd **ret)
{
	struct wasi_fd *f;
	uint64_t missing;

	if (fd >= WASI_FDS_MAX || ctx->fds[fd].kind == FD_FREE)
		return WASI_EBADF;
	f = &ctx->fds[fd];
	missing = rights & ~f->rights;
	if ((missing & (WASI_R_READ | WASI_R_WRITE)) != 0)
		return f->kind == FD_DIRECTORY ? WASI_EISDIR : WASI_EBADF;
	if (missing != 0)
		return WASI_ENOTCAPABLE;
	*ret = f;
	return WASI_OK;
}

uint32_t
wasi_fd_new(struct wasi_ctx *ctx, uint32_t *ret_fd)
{
	for (uint32_t fd = WASI_SCRATCH_FD; fd < WASI_FDS_MAX; fd++) {
		if (ctx->fds[fd].kind == FD_FREE) {
			*ret_fd = fd;
			return WASI_OK;
		}
	}
	return WASI_EMFILE;
}

void
wasi_fd_drop(struct wasi_ctx *ctx, struct wasi_fd *f)
{
	if (node_of(ctx, f) != NULL)
		scratch_close(ctx->scratch, f->node);
	*f = (struct wasi_fd){ 0 };
}

/* NULL for a stream. */
static struct scratch_node *
node_of(const struct wasi_ctx *ctx, const struct wasi_fd *f)
{
	return f->kind == FD_FILE || f->kind == FD_DIRECTORY ? &ctx->scratch->nodes[f->node] : NULL;
}

/* (fd) */
uint32_t
wasi_fd_close(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct wasi_fd *f;
	uint32_t err = wasi_fd_get(ctx, args[0], 0, &f);

	(void)m;
	if (err != WASI_OK)
		return err;
	wasi_fd_drop(ctx, f);
	return WASI_OK;
}

/* (from, to): both are open; `to` is closed, `from` becomes free. */
uint32_t
wasi_fd_renumber(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct wasi_fd *from, *to;
	uint32_t err = wasi_fd_get(ctx, args[0], 0, &from);

	(void)m;
	if (err == WASI_OK)
		err = wasi_fd_get(ctx, args[1], 0, &to);
	if (err != WASI_OK)
		return err;
	if (from == to)
		return WASI_OK;
	wasi_fd_drop(ctx, to);
	*to = *from;
	*from = (struct wasi_fd){ 0 };
	return WASI_OK;
}

/* (fd, fdstat) */
uint32_t
wasi_fd_fdstat_get(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[1], WASI_FDSTAT_LEN);
	struct wasi_fd *f;
	uint32_t err = wasi_fd_get(ctx, args[0], 0, &f);

	if (err != WASI_OK)
		return err;
	if (out == NULL)
		return WASI_EFAULT;
	memset(out, 0, WASI_FDSTAT_LEN);
	out[0] = filetypes[f->kind];
	guest_put_u16(out + 2, f->flags);
	guest_put_u64(out + 8, f->rights);
	guest_put_u64(out + 16, f->inheriting);
	return WASI_OK;
}

/* (fd, flags) */
uint32_t
wasi_fd_fdstat_set_flags(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct wasi_fd *f;
	uint32_t err = wasi_fd_get(ctx, args[0], WASI_R_SET_FLAGS, &f);

	(void)m;
	if (err != WASI_OK)
		return err;
	if (args[1] > WASI_FDFLAGS_ALL)
		return WASI_EINVAL;
	f->flags = (uint16_t)args[1];
	return WASI_OK;
}

/* (fd, base, inheriting) */
uint32_t
wasi_fd_fdstat_set_rights(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct wasi_fd *f;
	uint32_t err = wasi_fd_get(ctx, args[0], 0, &f);

	(void)m;
	if (err != WASI_OK)
		return err;
	if ((args[1] & ~f->rights) != 0 || (args[2] & ~f->inheriting) != 0)
		return WASI_ENOTCAPABLE;
	f->rights = args[1];
	f->inheriting = args[2];
	return WASI_OK;
}

/* (fd, filestat) */
uint32_t
wasi_fd_filestat_get(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[1], WASI_FILESTAT_LEN);
	struct wasi_fd *f;
	uint32_t err = wasi_fd_get(ctx, args[0], WASI_R_STAT, &f);

	if (err != WASI_OK)
		return err;
	if (out == NULL)
		return WASI_EFAULT;
	wasi_put_stat(node_of(ctx, f), args[0], out);
	return WASI_OK;
}

void
wasi_put_stat(const struct scratch_node *node, uint64_t number, uint8_t *out)
{
	memset(out, 0, WASI_FILESTAT_LEN);
	guest_put_u64(out + 24, 1);
	if (node == NULL) {
		guest_put_u64(out + 8, number);
		return;
	}
	guest_put_u64(out, 1); /* another device than the streams' */
	guest_put_u64(out + 8, node->inode);
	out[16] = node->kind;
	guest_put_u64(out + 24, node->linked ? 1 : 0);
	guest_put_u64(out + 32, node->len);
	guest_put_u64(out + 40, node->atim_ns);
	guest_put_u64(out + 48, node->mtim_ns);
	guest_put_u64(out + 56, node->ctim_ns);
}

/* (fd, size) */
uint32_t
wasi_fd_filestat_set_size(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct wasi_fd *f;
	uint32_t err = wasi_fd_get(ctx, args[0], WASI_R_SET_SIZE, &f);

	(void)m;
	if (err != WASI_OK)
		return err;
	return scratch_resize(ctx->scratch, f->node, args[1]);
}

/* (fd, atim, mtim, flags) */
uint32_t
wasi_fd_filestat_set_times(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct wasi_fd *f;
	uint32_t err = wasi_fd_get(ctx, args[0], WASI_R_SET_TIMES, &f);

	(void)m;
	if (err != WASI_OK)
		return err;
	return wasi_set_times(node_of(ctx, f), args[1], args[2], args[3]);
}

uint32_t
wasi_set_times(struct scratch_node *node, uint64_t atim_ns, uint64_t mtim_ns, uint64_t flags)
{
	uint64_t now_ns = clock_real_ns();
	uint64_t both_a = WASI_ATIM | WASI_ATIM_NOW, both_m = WASI_MTIM | WASI_MTIM_NOW;

	if (flags > WASI_FSTFLAGS_ALL || (flags & both_a) == both_a || (flags & both_m) == both_m)
		return WASI_EINVAL;
	if ((flags & both_a) != 0)
		node->atim_ns = (flags & WASI_ATIM) != 0 ? atim_ns : now_ns;
	if ((flags & both_m) != 0)
		node->mtim_ns = (flags & WASI_MTIM) != 0 ? mtim_ns : now_ns;
	node->ctim_ns = now_ns;
	return WASI_OK;
}

/* (fd, offset, len): room for the file, which shows zeros. */
uint32_t
wasi_fd_allocate(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct wasi_fd *f;
	uint64_t end;
	uint32_t err = wasi_fd_get(ctx, args[0], WASI_R_ALLOCATE, &f);

	(void)m;
	if (err != WASI_OK)
		return err;
	if (args[2] == 0)
		return WASI_EINVAL;
	if (__builtin_add_overflow(args[1], args[2], &end))
		return WASI_EFBIG;
	if (end <= node_of(ctx, f)->len)
		return WASI_OK;
	return scratch_resize(ctx->scratch, f->node, end);
}

/* (fd, offset, len, advice): memory needs no advice. */
uint32_t
wasi_fd_advise(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct wasi_fd *f;

	(void)m;
	return wasi_fd_get(ctx, args[0], WASI_R_ADVISE, &f);
}

/* (fd): also fd_datasync. */
uint32_t
wasi_fd_sync(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	struct wasi_fd *f;

	(void)m;
	return wasi_fd_get(ctx, args[0], 0, &f);
}

/* (fd, offset, whence, newoffset) */
uint32_t
wasi_fd_seek(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[3], 8);
	struct wasi_fd *f;
	int64_t at, base;
	uint32_t err = wasi_fd_get(ctx, args[0], 0, &f);

	if (err != WASI_OK)
		return err;
	if (f->kind < FD_FILE)
		return WASI_ESPIPE;
	err = wasi_fd_get(ctx, args[0], WASI_R_SEEK, &f);
	if (err != WASI_OK)
		return err;
	if (out == NULL)
		return WASI_EFAULT;
	if (args[2] > WASI_SEEK_END)
		return WASI_EINVAL;
	base = args[2] == WASI_SEEK_SET   ? 0
	       : args[2] == WASI_SEEK_CUR ? (int64_t)f->at
					  : (int64_t)node_of(ctx, f)->len;
	if (__builtin_add_overflow(base, (int64_t)args[1], &at) || at < 0)
		return WASI_EINVAL;
	f->at = (uint64_t)at;
	guest_put_u64(out, f->at);
	return WASI_OK;
}

/* (fd, offset) */
uint32_t
wasi_fd_tell(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[1], 8);
	struct wasi_fd *f;
	uint32_t err = wasi_fd_get(ctx, args[0], 0, &f);

	if (err != WASI_OK)
		return err;
	if (f->kind < FD_FILE)
		return WASI_ESPIPE;
	err = wasi_fd_get(ctx, args[0], WASI_R_TELL, &f);
	if (err != WASI_OK)
		return err;
	if (out == NULL)
		return WASI_EFAULT;
	guest_put_u64(out, f->at);
	return WASI_OK;
}

/* ---- the directory that is there from the start ---- */

/* (fd, prestat) */
uint32_t
wasi_fd_prestat_get(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[1], WASI_PRESTAT_LEN);
	uint32_t err = prestat(ctx, args[0]);

	if (err != WASI_OK)
		return err;
	if (out == NULL)
		return WASI_EFAULT;
	memset(out, 0, WASI_PRESTAT_LEN);
	guest_put_u32(out + 4, sizeof(WASI_SCRATCH_PATH) - 1);
	return WASI_OK;
}

/* (fd, path, len) */
uint32_t
wasi_fd_prestat_dir_name(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[1], args[2]);
	uint32_t err = prestat(ctx, args[0]);

	if (err != WASI_OK)
		return err;
	if (out == NULL)
		return WASI_EFAULT;
	if (args[2] < sizeof(WASI_SCRATCH_PATH) - 1)
		return WASI_ENAMETOOLONG;
	memcpy(out, WASI_SCRATCH_PATH, sizeof(WASI_SCRATCH_PATH) - 1);
	return WASI_OK;
}

static uint32_t
prestat(struct wasi_ctx *ctx, uint64_t fd)
{
	struct wasi_fd *f;
	uint32_t err = wasi_fd_get(ctx, fd, 0, &f);

	return err == WASI_OK && !f->preopened ? WASI_EBADF : err;
}

/* ---- listing ---- */

/* (fd, buffer, len, cookie, used): entries until the buffer is full; the last one may be cut. */
uint32_t
wasi_fd_readdir(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[1], args[2]), *used = guest_at(m, args[4], 4);
	uint64_t cookie = args[3], next, room = args[2];
	struct wasi_fd *f;
	struct span name;
	uint32_t node, err = wasi_fd_get(ctx, args[0], WASI_R_READDIR, &f);

	if (err != WASI_OK)
		return err;
	if (f->kind != FD_DIRECTORY)
		return WASI_ENOTDIR;
	if (out == NULL || used == NULL)
		return WASI_EFAULT;
	while ((node = dirent_at(ctx, f->node, cookie, &next, &name)) != SCRATCH_NONE) {
		uint8_t head[WASI_DIRENT_LEN] = { 0 };

		guest_put_u64(head, next);
		guest_put_u64(head + 8, ctx->scratch->nodes[node].inode);
		guest_put_u32(head + 16, (uint32_t)name.len);
		head[20] = ctx->scratch->nodes[node].kind;
		if (!copy_cut(&out, &room, head, sizeof(head)) ||
		    !copy_cut(&out, &room, name.ptr, name.len))
			break;
		cookie = next;
	}
	guest_put_u32(used, (uint32_t)(args[2] - room));
	return WASI_OK;
}

/* Cookies stay good while entries come and go: they are the numbers of nodes. */
static uint32_t
dirent_at(const struct wasi_ctx *ctx, uint32_t dir, uint64_t cookie, uint64_t *ret_next,
    struct span *ret_name)
{
	const struct scratch_node *n;
	uint32_t node;

	if (cookie < DIRENT_DOTS) {
		*ret_next = cookie + 1;
		*ret_name = cookie == 0 ? SPAN_LIT(".") : SPAN_LIT("..");
		return cookie == 0 ? dir : ctx->scratch->nodes[dir].parent;
	}
	node = scratch_next(ctx->scratch, dir, cookie - DIRENT_DOTS);
	if (node == SCRATCH_NONE)
		return node;
	n = &ctx->scratch->nodes[node];
	*ret_next = (uint64_t)node + 1 + DIRENT_DOTS;
	*ret_name = span_of(n->name, n->name_len);
	return node;
}

/* Whether all of it fitted. */
static bool
copy_cut(uint8_t **out, uint64_t *room, const void *from, size_t len)
{
	size_t n = len < *room ? len : *room;

	memcpy(*out, from, n);
	*out += n;
	*room -= n;
	return n == len;
}
