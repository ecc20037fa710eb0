/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_WASI_SCRATCH_H
#define WASM_WASI_SCRATCH_H

/*
 * The scratch directory of one call: a tree in memory, without links. Errors are errnos of
 * WASI; a call that fails changed nothing. Limits: WASI_FILES_MAX nodes with the root,
 * WASI_SCRATCH_MAX bytes over all files (what is reserved for them, so a hole counts),
 * WASI_NAME_MAX, WASI_PATH_MAX, WASI_DEPTH_MAX.
 */
#include <base/span.h>
#include <wasm/wasi.h>

#define SCRATCH_ROOT 0U
#define SCRATCH_NONE UINT32_MAX

struct scratch_node {
	uint8_t kind; /* enum wasi_filetype; 0: free */
	bool linked;  /* has its name in `parent`; one without lives as long as it is open */
	uint8_t name_len;
	uint16_t opens;
	uint32_t parent;
	uint8_t *name;
	uint8_t *data; /* of a file */
	uint64_t len, cap;
	uint64_t inode;
	uint64_t atim_ns, mtim_ns, ctim_ns;
};

struct wasi_scratch {
	struct scratch_node nodes[WASI_FILES_MAX];
	uint32_t top;   /* all behind it are free */
	uint64_t bytes; /* reserved by all files */
	uint64_t inodes;
};

/* Where a path leads. */
struct scratch_place {
	uint32_t dir;     /* the directory that has it, or would have */
	struct span name; /* there; empty: the path is "." or ends with ".." */
	uint32_t node;    /* SCRATCH_NONE: nothing there */
	bool slash;       /* the path says that it is a directory */
};

/* NULL: no memory. */
struct wasi_scratch *scratch_new(void);
/* Wipes and frees all; NULL is fine. */
void scratch_free(struct wasi_scratch *s);

/* ENOTCAPABLE: absolute, or out of `from` by "..". */
uint32_t scratch_walk(
    const struct wasi_scratch *s, uint32_t from, struct span path, struct scratch_place *ret);
/* EEXIST, ENOENT (the directory was removed), ENOSPC. */
uint32_t scratch_create(
    struct wasi_scratch *s, const struct scratch_place *at, uint8_t kind, uint32_t *ret_node);
/* An empty directory, or a file; EINVAL for the place of `.`, EBUSY for the root. */
uint32_t scratch_remove(struct wasi_scratch *s, const struct scratch_place *at, uint8_t kind);
uint32_t scratch_rename(
    struct wasi_scratch *s, const struct scratch_place *from, const struct scratch_place *to);

void scratch_open(struct wasi_scratch *s, uint32_t node);
void scratch_close(struct wasi_scratch *s, uint32_t node);

/* How many bytes were read; 0 at the end. */
size_t scratch_read(struct wasi_scratch *s, uint32_t node, uint64_t at, uint8_t *out, size_t len);
/* What fits is written; ENOSPC where nothing does, EFBIG where `at` lies beyond every file. */
uint32_t scratch_write(struct wasi_scratch *s, uint32_t node, uint64_t at, const uint8_t *in,
    size_t len, size_t *ret_len);
/* Cut, or grown with zeros: all or ENOSPC, EFBIG. */
uint32_t scratch_resize(struct wasi_scratch *s, uint32_t node, uint64_t len);
/* The next entry of a directory from node number `from` on; SCRATCH_NONE: no more. */
uint32_t scratch_next(const struct wasi_scratch *s, uint32_t dir, uint64_t from);

#endif
