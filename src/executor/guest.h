/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXECUTOR_GUEST_H
#define EXECUTOR_GUEST_H

/*
 * The guest protocol (guest/PROTOCOL.md), host side, without any I/O: bytes in,
 * state out. Everything that is read here is hostile.
 */
#include <wire/gateway_executor.h>

#define GUEST_VERSION 1
#define GUEST_HEAD_LEN 5
#define GUEST_PAYLOAD_MAX 65536
#define GUEST_KIND_MAX 16
#define GUEST_FLAG_ECHO 1U
#define GUEST_FLAG_ONE_SHOT 2U
#define GUEST_EXIT_MAX 255U
#define GUEST_EXIT_SIGNAL 256U /* and the signal that ended the code */
#define GUEST_SIGNAL_MAX 64U

enum guest_state {
	GUEST_STARTING, /* READY has not come */
	GUEST_IDLE,     /* nothing may come */
	GUEST_RUNNING,  /* files, then DONE */
	GUEST_BROKEN,   /* it lied: fit to be killed only */
};

struct guest_file {
	size_t name_at, name_len; /* in bytes */
	size_t content_at, content_len;
};

struct guest {
	enum guest_state state;
	uint8_t head[GUEST_HEAD_LEN];
	size_t head_len;
	uint32_t payload_len; /* of the frame under way */
	struct buf payload;
	char kind[GUEST_KIND_MAX + 1];

	/* The run. */
	uint32_t step;
	uint32_t files_max;
	uint32_t file_bytes_max;
	struct guest_file files[FILES_MAX];
	uint32_t nfiles;
	bool skipping;    /* the file under way has a name that cannot be told to anyone */
	bool file_open;   /* FILE_DATA may come */
	struct buf bytes; /* names and contents of files */
	uint32_t content_total;
	uint32_t left_out;
	uint32_t exit_code; /* up to GUEST_EXIT_MAX, or GUEST_EXIT_SIGNAL + 1..GUEST_SIGNAL_MAX */
	bool done;
};

void guest_init(struct guest *g);
void guest_done(struct guest *g);
/* Take what came on the control pipe, whole. E_PROTO (state is BROKEN then), E_NOMEM. */
MUST_USE struct status guest_feed(struct guest *g, struct span in);
/* A run begins; state IDLE only. Forgets the files of the last one. */
void guest_begin(struct guest *g, uint32_t files_max, uint32_t file_bytes_max);
/* `items` has room for FILES_MAX; they borrow from `g` until the next run. */
struct run_files guest_files(const struct guest *g, struct run_file *items);

/*
 * The frames of a run: files, code, input, RUN. E_RANGE: a file's name is not one.
 */
MUST_USE struct status guest_put_run(
    const struct guest *g, const struct run_request *req, uint32_t flags, struct buf *out);
bool guest_name_ok(struct span name); /* one path component, printable UTF-8 */

/* Whether Python code names a module that the data variant has imported. */
bool scan_names_data(struct span code);

#endif
