/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JAIL_JAIL_H
#define JAIL_JAIL_H

/*
 * Give up everything that a process does not need: identity, capabilities,
 * system calls (allow-list), files (Landlock), descriptors, core dumps.
 * A jail that cannot be entered whole is an error; there is no weaker retry.
 */
#include <sys/types.h>

#include <base/span.h>

#define JAIL_LANDLOCK_ABI_MIN 2
#define JAIL_PATHS_MAX 16

/* What a path_beneath rule allows. */
enum jail_access {
	JAIL_READ = 1,  /* read files and list folders */
	JAIL_WRITE = 2, /* write, truncate, create and remove files, rename */
	JAIL_EXEC = 4,  /* execute */
	JAIL_MKDIR = 8, /* create and remove folders */
};

struct jail_path {
	int fd; /* an open folder or file (O_PATH is enough) */
	unsigned access;
};

struct jail {
	const char *name;
	/* Calls beyond the base table that every process has; -1 ends the list. */
	const int *syscalls;
	uint64_t caps;      /* capabilities kept, as bits 1ULL << CAP_…; 0 for nearly all */
	uint32_t nofile;    /* RLIMIT_NOFILE, lowered to the hard limit */
	bool sockets;       /* may make TCP and UDP sockets (broker only) */
	bool is_supervisor; /* upper bound of all: no Landlock, no own uid (its children need more)
			     */
	bool code;    /* loads compiled code: pages become executable and read-only in one step
		       */
	bool tcp_out; /* may connect by TCP (broker); binding stays forbidden where it can be */
};

/*
 * Enter; as root, single-threaded, nothing secret on standard streams.
 * `paths` are all the file system that stays reachable by name.
 * On failure *ret_what is the static name of what is missing or refused.
 * Errors: E_UNSUPPORTED (kernel), E_SYS, E_NOMEM.
 */
MUST_USE struct status jail_enter(const struct jail *j, uid_t uid, gid_t gid,
    const struct jail_path *paths, size_t npaths, const char **ret_what);

/*
 * The same for what a slot of the spawner runs, which already has an identity and a root
 * of its own, or a user's by hand: capabilities, files, system calls, core dumps.
 */
MUST_USE struct status jail_enter_slot(const struct jail *j, const char **ret_what);

/* What this kernel lacks of what jails need; OK when nothing. *ret_what names it. */
MUST_USE struct status jail_check_kernel(const char **ret_what);

/* Close all descriptors above 2 but those listed. */
MUST_USE struct status jail_close_others(const int *keep, size_t nkeep);

#endif
