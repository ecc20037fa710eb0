/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_WASI_GUEST_H
#define WASM_WASI_GUEST_H

/* What the parts of the shim share: the guest's memory, its descriptors, the functions themselves.
 */
#include <wasi_abi.h>
#include <wasi_scratch.h>
#include <wasm/wasi.h>

enum wasi_fd_kind { FD_FREE, FD_IN, FD_OUT, FD_ERR, FD_FILE, FD_DIRECTORY };

/* `len` bytes at `at`, or NULL where they do not all lie in the memory. */
static inline uint8_t *
guest_at(struct wasi_memory m, uint64_t at, uint64_t len)
{
	if (m.base == NULL || at > m.len || len > m.len - at)
		return NULL;
	return m.base + at;
}

static inline void
guest_put_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void
guest_put_u32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static inline void
guest_put_u64(uint8_t *p, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint32_t
guest_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/*
 * The descriptor, when it is open and has all of `rights`. EBADF: it is not open, or may not
 * be read or written; ENOTCAPABLE: any other right.
 */
uint32_t wasi_fd_get(struct wasi_ctx *ctx, uint64_t fd, uint64_t rights, struct wasi_fd **ret);
/* The lowest that is free from 3 on; EMFILE. */
uint32_t wasi_fd_new(struct wasi_ctx *ctx, uint32_t *ret_fd);
/* Closes what is open there. */
void wasi_fd_drop(struct wasi_ctx *ctx, struct wasi_fd *f);
/* WASI's filestat into WASI_FILESTAT_LEN bytes; what no node stands behind has no sizes and times.
 */
void wasi_put_stat(const struct scratch_node *node, uint64_t number, uint8_t *out);
/* Times as fstflags ask; EINVAL where they contradict themselves. */
uint32_t wasi_set_times(
    struct scratch_node *node, uint64_t atim_ns, uint64_t mtim_ns, uint64_t flags);

wasi_fn wasi_fd_advise, wasi_fd_allocate, wasi_fd_close, wasi_fd_fdstat_get,
    wasi_fd_fdstat_set_flags, wasi_fd_fdstat_set_rights, wasi_fd_filestat_get,
    wasi_fd_filestat_set_size, wasi_fd_filestat_set_times, wasi_fd_pread, wasi_fd_prestat_get,
    wasi_fd_prestat_dir_name, wasi_fd_pwrite, wasi_fd_read, wasi_fd_readdir, wasi_fd_renumber,
    wasi_fd_seek, wasi_fd_sync, wasi_fd_tell, wasi_fd_write;
wasi_fn wasi_path_create_directory, wasi_path_filestat_get, wasi_path_filestat_set_times,
    wasi_path_open, wasi_path_remove_directory, wasi_path_rename, wasi_path_unlink_file;

#endif
