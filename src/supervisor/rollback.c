/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rollback.c: an older database that was put back is noticed, once, and not forgotten.
 *
 * Runs in: supervisor. Trusts: the store for the number that its database has, not for the one
 * that was before. Owns: DIR/store.generation, the last number; DIR/store.rollback, the last
 * notice, which stays until an operator removes it.
 * Invariants: the notice is on disk before the number that it is about is replaced, and says that
 * it is on record only when that is durable: whatever dies in between, the next start records it
 * (and may do so twice). A number that is missing beside a database that was there is a notice.
 * See: src/store/generation.c; record.c; docs/audit-format.md, StoreRolledBack.
 */
#include "supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/io.h>

#define GENERATION_FILE "store.generation"
#define ROLLBACK_FILE "store.rollback"
#define STORE_FILE "store/store.db"
#define TEXT_MAX 128

static struct status
write_notice(const struct supervisor *sv)
{
	const struct rollback *r = &sv->rollback;
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);

	TRY(buf_printf(&text, "%llu %llu %llu %u\n", (unsigned long long)r->generation,
	    (unsigned long long)r->expected, (unsigned long long)r->noticed_s, r->recorded));
	return io_replace_file(sv->inst.dir_fd, ROLLBACK_FILE, buf_span(&text), 0600);
}

/* Numbers with one blank between them and an LF behind. */
static bool
read_numbers(const struct supervisor *sv, const char *file, uint64_t *ret, size_t n)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	struct span rest;

	if (!is_ok(io_read_file(sv->inst.dir_fd, file, &text)))
		return false;
	rest = buf_span(&text);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *end = rest.len == 0
					 ? NULL
					 : memchr(rest.ptr, i + 1 < n ? ' ' : '\n', rest.len);

		if (end == NULL || !is_ok(span_u64(span_of(rest.ptr, (size_t)(end - rest.ptr)),
				       UINT64_MAX, &ret[i])))
			return false;
		rest = span_from(rest, (size_t)(end - rest.ptr) + 1);
	}
	return rest.len == 0;
}

static struct status
write_generation(const struct supervisor *sv, uint64_t generation)
{
	auto_buf struct buf line = BUF_INIT(32);

	TRY(buf_printf(&line, "%llu\n", (unsigned long long)generation));
	return io_replace_file(sv->inst.dir_fd, GENERATION_FILE, buf_span(&line), 0600);
}

/* Where there is no database yet, the first number is none that is missing. */
static struct status
begin_at_zero(const struct supervisor *sv)
{
	if (faccessat(sv->inst.dir_fd, GENERATION_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
	    faccessat(sv->inst.dir_fd, STORE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return OK;
	return errno == ENOENT ? write_generation(sv, 0) : fail_errno();
}

struct status
rollback_open(struct supervisor *sv)
{
	uint64_t n[4];

	TRY(begin_at_zero(sv));
	if (!read_numbers(sv, ROLLBACK_FILE, n, 4))
		return OK;
	sv->rollback = (struct rollback){ .noticed = true,
		.generation = n[0],
		.expected = n[1],
		.noticed_s = n[2],
		.recorded = n[3] != 0 };
	return OK;
}

void
rollback_start(struct supervisor *sv)
{
	const struct rollback *r = &sv->rollback;

	if (r->noticed && !r->recorded)
		record_store_rolled_back(sv, r->generation, r->expected);
}

struct status
rollback_tell(const struct child *authority)
{
	const struct rollback *r = &authority->sv->rollback;
	const struct ctl_rolled_back m = {
		.generation = r->generation, .expected = r->expected, .noticed_s = r->noticed_s
	};

	return r->noticed ? link_send(authority->control, 0, CTL_ROLLED_BACK, &m) : OK;
}

static struct status
notice(struct supervisor *sv, uint64_t generation, uint64_t expected)
{
	struct child *authority = child_of(sv, PROC_AUTHORITY, true);

	sv->rollback = (struct rollback){ .noticed = true,
		.generation = generation,
		.expected = expected,
		.noticed_s = clock_real_ns() / NS_PER_S };
	TRY(write_notice(sv));
	diag(DIAG_ERROR,
	    "the database of the store is an older one: generation %llu, not %llu (0: not known); "
	    "keys that were revoked and people that were erased since may be back",
	    (unsigned long long)generation, (unsigned long long)expected);
	record_store_rolled_back(sv, generation, expected);
	if (authority != NULL && !is_ok(rollback_tell(authority)))
		diag(DIAG_WARN, "the authority does not read what it is told");
	return OK;
}

struct status
rollback_on_generation(struct supervisor *sv, uint64_t generation)
{
	/* What is told has just grown by one: a copy of yesterday's would catch up with it. */
	uint64_t found = generation == 0 ? 0 : generation - 1, kept = 0;
	bool known = read_numbers(sv, GENERATION_FILE, &kept, 1);

	/* The first number of a database without one says nothing of what was before. */
	if (known ? found < kept : found > 0)
		TRY(notice(sv, found, kept));
	return write_generation(sv, generation);
}

void
rollback_recorded(struct supervisor *sv, uint64_t generation, uint64_t expected)
{
	struct rollback *r = &sv->rollback;
	struct status st;

	if (!r->noticed || r->generation != generation || r->expected != expected)
		return;
	r->recorded = true;
	st = write_notice(sv);
	if (!is_ok(st))
		diag(DIAG_ERROR, ROLLBACK_FILE ": %s", status_text(st));
}
