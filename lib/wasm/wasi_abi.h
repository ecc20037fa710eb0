/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_WASI_ABI_H
#define WASM_WASI_ABI_H

/* Numbers of WASI preview 1 (wasi_snapshot_preview1.witx). All integers are little-endian. */
#include <stdint.h>

enum wasi_errno {
	WASI_OK = 0,
	WASI_EBADF = 8,
	WASI_EBUSY = 10,
	WASI_EEXIST = 20,
	WASI_EFAULT = 21,
	WASI_EFBIG = 22,
	WASI_EILSEQ = 25,
	WASI_EINVAL = 28,
	WASI_EIO = 29,
	WASI_EISDIR = 31,
	WASI_EMFILE = 33,
	WASI_ENAMETOOLONG = 37,
	WASI_ENOENT = 44,
	WASI_ENOSPC = 51,
	WASI_ENOSYS = 52,
	WASI_ENOTDIR = 54,
	WASI_ENOTEMPTY = 55,
	WASI_ESPIPE = 70,
	WASI_ENOTCAPABLE = 76,
};

enum wasi_filetype { WASI_UNKNOWN = 0, WASI_DIRECTORY = 3, WASI_REGULAR = 4 };
enum wasi_fdflags { WASI_APPEND = 1, WASI_FDFLAGS_ALL = 31 };
enum wasi_oflags {
	WASI_CREAT = 1,
	WASI_O_DIRECTORY = 2,
	WASI_EXCL = 4,
	WASI_TRUNC = 8,
	WASI_OFLAGS_ALL = 15
};
enum wasi_whence { WASI_SEEK_SET, WASI_SEEK_CUR, WASI_SEEK_END };
enum wasi_clock { WASI_REALTIME, WASI_MONOTONIC };
enum wasi_fstflags {
	WASI_ATIM = 1,
	WASI_ATIM_NOW = 2,
	WASI_MTIM = 4,
	WASI_MTIM_NOW = 8,
	WASI_FSTFLAGS_ALL = 15
};
#define WASI_FOLLOW 1U /* lookupflags: the only one; there are no links to follow */

/* Rights. */
#define WASI_R_DATASYNC (UINT64_C(1) << 0)
#define WASI_R_READ (UINT64_C(1) << 1)
#define WASI_R_SEEK (UINT64_C(1) << 2)
#define WASI_R_SET_FLAGS (UINT64_C(1) << 3)
#define WASI_R_SYNC (UINT64_C(1) << 4)
#define WASI_R_TELL (UINT64_C(1) << 5)
#define WASI_R_WRITE (UINT64_C(1) << 6)
#define WASI_R_ADVISE (UINT64_C(1) << 7)
#define WASI_R_ALLOCATE (UINT64_C(1) << 8)
#define WASI_R_CREATE_DIRECTORY (UINT64_C(1) << 9)
#define WASI_R_CREATE_FILE (UINT64_C(1) << 10)
#define WASI_R_OPEN (UINT64_C(1) << 13)
#define WASI_R_READDIR (UINT64_C(1) << 14)
#define WASI_R_RENAME_SOURCE (UINT64_C(1) << 16)
#define WASI_R_RENAME_TARGET (UINT64_C(1) << 17)
#define WASI_R_PATH_STAT (UINT64_C(1) << 18)
#define WASI_R_PATH_SET_SIZE (UINT64_C(1) << 19)
#define WASI_R_PATH_SET_TIMES (UINT64_C(1) << 20)
#define WASI_R_STAT (UINT64_C(1) << 21)
#define WASI_R_SET_SIZE (UINT64_C(1) << 22)
#define WASI_R_SET_TIMES (UINT64_C(1) << 23)
#define WASI_R_REMOVE_DIRECTORY (UINT64_C(1) << 25)
#define WASI_R_UNLINK_FILE (UINT64_C(1) << 26)
/* Links and polling, which are not offered: shown because some libcs look for them. */
#define WASI_R_SHOWN \
	((UINT64_C(1) << 11) | (UINT64_C(1) << 12) | (UINT64_C(1) << 15) | (UINT64_C(1) << 24))
#define WASI_R_POLL (UINT64_C(1) << 27)
#define WASI_R_ALL ((UINT64_C(1) << 28) - 1) /* but for those of sockets */

#define WASI_R_STREAM (WASI_R_SET_FLAGS | WASI_R_STAT | WASI_R_POLL)
#define WASI_R_FILE                                                                      \
	(WASI_R_DATASYNC | WASI_R_READ | WASI_R_SEEK | WASI_R_SET_FLAGS | WASI_R_SYNC |  \
	    WASI_R_TELL | WASI_R_WRITE | WASI_R_ADVISE | WASI_R_ALLOCATE | WASI_R_STAT | \
	    WASI_R_SET_SIZE | WASI_R_SET_TIMES | WASI_R_POLL)
#define WASI_R_DIRECTORY                                                                    \
	(WASI_R_CREATE_DIRECTORY | WASI_R_CREATE_FILE | WASI_R_OPEN | WASI_R_READDIR |      \
	    WASI_R_RENAME_SOURCE | WASI_R_RENAME_TARGET | WASI_R_PATH_STAT |                \
	    WASI_R_PATH_SET_SIZE | WASI_R_PATH_SET_TIMES | WASI_R_STAT | WASI_R_SET_TIMES | \
	    WASI_R_REMOVE_DIRECTORY | WASI_R_UNLINK_FILE | WASI_R_SHOWN)

/* Layouts: sizes and places of members. */
#define WASI_VECTOR_LEN 8
#define WASI_FDSTAT_LEN 24
#define WASI_FILESTAT_LEN 64
#define WASI_PRESTAT_LEN 8
#define WASI_DIRENT_LEN 24

#endif
