/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasi.c: WASI preview 1 for users' tools: the table of its names, a call's context, and what
 * needs no descriptor.
 *
 * Runs in: the run worker of one tenant, on behalf of its guests.
 * Trusts: the worker, for what it gives at the begin of a call; nothing of the guest.
 * Owns: what a guest wrote to its streams, its scratch directory, its descriptors.
 * Invariants: no function sleeps or blocks; none writes outside the guest's memory; nothing of
 * one call is left for the next.
 * See: wasm/wasi.h; wasi_io.c, wasi_fd.c, wasi_path.c, wasi_scratch.c.
 */
#include <wasm/wasi.h>

#include <base/clock.h>
#include <base/rand.h>
#include <wasi_guest.h>

#define CLOCK_RESOLUTION_NS 1U

static wasi_fn args_get, args_sizes_get, environ_get, environ_sizes_get, clock_res_get,
    clock_time_get, random_get, proc_exit, sched_yield_, not_offered;
static uint32_t strings_sizes(struct wasi_memory m, struct span strings, const uint64_t *args);
static uint32_t strings_get(struct wasi_memory m, struct span strings, const uint64_t *args);
static uint64_t strings_count(struct span strings);
static bool is_list(struct span strings);

/* Why a name is not offered: no links, no signals, no sockets, and nothing that waits. */
const struct wasi_call wasi_calls[WASI_CALLS] = {
	{ "args_get", "ii", true, args_get },
	{ "args_sizes_get", "ii", true, args_sizes_get },
	{ "environ_get", "ii", true, environ_get },
	{ "environ_sizes_get", "ii", true, environ_sizes_get },
	{ "clock_res_get", "ii", true, clock_res_get },
	{ "clock_time_get", "iIi", true, clock_time_get },
	{ "fd_advise", "iIIi", true, wasi_fd_advise },
	{ "fd_allocate", "iII", true, wasi_fd_allocate },
	{ "fd_close", "i", true, wasi_fd_close },
	{ "fd_datasync", "i", true, wasi_fd_sync },
	{ "fd_fdstat_get", "ii", true, wasi_fd_fdstat_get },
	{ "fd_fdstat_set_flags", "ii", true, wasi_fd_fdstat_set_flags },
	{ "fd_fdstat_set_rights", "iII", true, wasi_fd_fdstat_set_rights },
	{ "fd_filestat_get", "ii", true, wasi_fd_filestat_get },
	{ "fd_filestat_set_size", "iI", true, wasi_fd_filestat_set_size },
	{ "fd_filestat_set_times", "iIIi", true, wasi_fd_filestat_set_times },
	{ "fd_pread", "iiiIi", true, wasi_fd_pread },
	{ "fd_prestat_dir_name", "iii", true, wasi_fd_prestat_dir_name },
	{ "fd_prestat_get", "ii", true, wasi_fd_prestat_get },
	{ "fd_pwrite", "iiiIi", true, wasi_fd_pwrite },
	{ "fd_read", "iiii", true, wasi_fd_read },
	{ "fd_readdir", "iiiIi", true, wasi_fd_readdir },
	{ "fd_renumber", "ii", true, wasi_fd_renumber },
	{ "fd_seek", "iIii", true, wasi_fd_seek },
	{ "fd_sync", "i", true, wasi_fd_sync },
	{ "fd_tell", "ii", true, wasi_fd_tell },
	{ "fd_write", "iiii", true, wasi_fd_write },
	{ "path_create_directory", "iii", true, wasi_path_create_directory },
	{ "path_filestat_get", "iiiii", true, wasi_path_filestat_get },
	{ "path_filestat_set_times", "iiiiIIi", true, wasi_path_filestat_set_times },
	{ "path_link", "iiiiiii", true, not_offered },
	{ "path_open", "iiiiiIIii", true, wasi_path_open },
	{ "path_readlink", "iiiiii", true, not_offered },
	{ "path_remove_directory", "iii", true, wasi_path_remove_directory },
	{ "path_rename", "iiiiii", true, wasi_path_rename },
	{ "path_symlink", "iiiii", true, not_offered },
	{ "path_unlink_file", "iii", true, wasi_path_unlink_file },
	{ "poll_oneoff", "iiii", true, not_offered },
	{ "proc_exit", "i", false, proc_exit },
	{ "proc_raise", "i", true, not_offered },
	{ "random_get", "ii", true, random_get },
	{ "sched_yield", "", true, sched_yield_ },
	{ "sock_accept", "iii", true, not_offered },
	{ "sock_recv", "iiiiii", true, not_offered },
	{ "sock_send", "iiiii", true, not_offered },
	{ "sock_shutdown", "ii", true, not_offered },
};

static const struct wasi_fd streams[] = {
	{ .kind = FD_IN, .rights = WASI_R_STREAM | WASI_R_READ },
	{ .kind = FD_OUT, .rights = WASI_R_STREAM | WASI_R_WRITE },
	{ .kind = FD_ERR, .rights = WASI_R_STREAM | WASI_R_WRITE },
};

void
wasi_init(struct wasi_ctx *ctx)
{
	memset(ctx, 0, sizeof(*ctx));
}

struct status
wasi_begin(struct wasi_ctx *ctx, const struct wasi_given *given)
{
	wasi_end(ctx);
	if (!is_list(given->args) || !is_list(given->environment))
		return fail(E_RANGE);
	if (given->files) {
		ctx->scratch = scratch_new();
		if (ctx->scratch == NULL)
			return fail(E_NOMEM);
		ctx->fds[WASI_SCRATCH_FD] = (struct wasi_fd){
			.kind = FD_DIRECTORY,
			.preopened = true,
			.node = SCRATCH_ROOT,
			.rights = WASI_R_DIRECTORY,
			.inheriting = WASI_R_ALL,
		};
		scratch_open(ctx->scratch, SCRATCH_ROOT);
	}
	memcpy(ctx->fds, streams, sizeof(streams));
	ctx->given = *given;
	ctx->out.max = given->out_max;
	ctx->err.max = given->err_max;
	return OK;
}

void
wasi_end(struct wasi_ctx *ctx)
{
	scratch_free(ctx->scratch);
	ctx->scratch = NULL;
	memset(ctx->fds, 0, sizeof(ctx->fds));
	buf_shift_wipe(&ctx->out, ctx->out.len);
	buf_shift_wipe(&ctx->err, ctx->err.len);
	ctx->given = (struct wasi_given){ 0 };
	ctx->in_at = 0;
	ctx->err_cut = false;
	ctx->end = WASI_RUNS;
	ctx->exit_code = 0;
	ctx->refused = 0;
}

void
wasi_done(struct wasi_ctx *ctx)
{
	wasi_end(ctx);
	buf_done(&ctx->out);
	buf_done(&ctx->err);
}

/* ---- arguments and environment ---- */

/* (pointers, bytes) */
static uint32_t
args_get(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	return strings_get(m, ctx->given.args, args);
}

/* (count, size) */
static uint32_t
args_sizes_get(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	return strings_sizes(m, ctx->given.args, args);
}

static uint32_t
environ_get(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	return strings_get(m, ctx->given.environment, args);
}

static uint32_t
environ_sizes_get(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	return strings_sizes(m, ctx->given.environment, args);
}

static uint32_t
strings_sizes(struct wasi_memory m, struct span strings, const uint64_t *args)
{
	uint8_t *count = guest_at(m, args[0], 4), *size = guest_at(m, args[1], 4);

	if (count == NULL || size == NULL)
		return WASI_EFAULT;
	guest_put_u32(count, (uint32_t)strings_count(strings));
	guest_put_u32(size, (uint32_t)strings.len);
	return WASI_OK;
}

static uint32_t
strings_get(struct wasi_memory m, struct span strings, const uint64_t *args)
{
	uint64_t count = strings_count(strings), begin = 0;
	uint8_t *pointers = guest_at(m, args[0], count * 4);
	uint8_t *bytes = guest_at(m, args[1], strings.len);

	if (pointers == NULL || bytes == NULL)
		return WASI_EFAULT;
	if (strings.len > 0)
		memcpy(bytes, strings.ptr, strings.len);
	for (uint64_t i = 0; i < strings.len; i++) {
		if (strings.ptr[i] != 0)
			continue;
		guest_put_u32(pointers, (uint32_t)(args[1] + begin));
		pointers += 4;
		begin = i + 1;
	}
	return WASI_OK;
}

static uint64_t
strings_count(struct span strings)
{
	uint64_t count = 0;

	for (size_t i = 0; i < strings.len; i++)
		count += strings.ptr[i] == 0;
	return count;
}

static bool
is_list(struct span strings)
{
	return strings.len <= UINT32_MAX && (strings.len == 0 || strings.ptr[strings.len - 1] == 0);
}

/* ---- clocks, randomness, the end ---- */

/* (clock, resolution) */
static uint32_t
clock_res_get(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[1], 8);

	(void)ctx;
	if (args[0] > WASI_MONOTONIC)
		return WASI_EINVAL;
	if (out == NULL)
		return WASI_EFAULT;
	guest_put_u64(out, CLOCK_RESOLUTION_NS);
	return WASI_OK;
}

/* (clock, precision, time) */
static uint32_t
clock_time_get(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[2], 8);

	(void)ctx;
	if (args[0] > WASI_MONOTONIC)
		return WASI_EINVAL;
	if (out == NULL)
		return WASI_EFAULT;
	guest_put_u64(out, args[0] == WASI_REALTIME ? clock_real_ns() : clock_mono_ns());
	return WASI_OK;
}

/* (buffer, len): one call's work is bounded, so that it ends near the deadline. */
static uint32_t
random_get(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	uint8_t *out = guest_at(m, args[0], args[1]);

	(void)ctx;
	if (out == NULL)
		return WASI_EFAULT;
	if (args[1] > WASI_RANDOM_MAX)
		return WASI_EINVAL;
	return is_ok(rand_bytes(out, args[1])) ? WASI_OK : WASI_EIO;
}

/* (code) */
static uint32_t
proc_exit(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	(void)m;
	ctx->end = WASI_EXITED;
	ctx->exit_code = (uint32_t)args[0];
	return WASI_LEAVE;
}

static uint32_t
sched_yield_(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	(void)ctx;
	(void)m;
	(void)args;
	return WASI_OK;
}

static uint32_t
not_offered(struct wasi_ctx *ctx, struct wasi_memory m, const uint64_t *args)
{
	(void)m;
	(void)args;
	ctx->refused++;
	return WASI_ENOSYS;
}
