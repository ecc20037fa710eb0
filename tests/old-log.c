/* SPDX-License-Identifier: Apache-2.0 */
/*
 * old-log DIR DAYS: begin the audit log of a state directory that was never started, as if that had
 * been so many days ago: one record, signed by the instance's key. Tests of what is due by its age
 * start the real service on it. Only the clock is false (--wrap=clock_real_ns).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/io.h>
#include <crypto/crypto.h>
#include <crypto/file_secret.h>

#include <log.h>
#include <signing.h>

uint64_t __real_clock_real_ns(void);
uint64_t __wrap_clock_real_ns(void);

static uint64_t days;

uint64_t
__wrap_clock_real_ns(void)
{
	return __real_clock_real_ns() - days * 86400 * NS_PER_S;
}

static struct status
append(struct log *l)
{
	const struct audit_value values[] = { { AUDIT_V_STR, 0, SPAN_LIT("internal_error") },
		{ AUDIT_V_STR, 0, SPAN_LIT("A record of long ago.") } };
	const struct audit_rec r = { .event = EVENT_ERROR,
		.outcome = AUDIT_FAILURE,
		.config = 1,
		.proc_seq = 1,
		.values = { values, 2 } };
	const struct record_sender from = { .name = "authority", .id = 1 };

	TRY(log_admit(l, &r, 1, 1));
	log_append(l, &r, &from, 1, false);
	TRY(log_commit(l));
	return log_checkpoint(l);
}

/* "sallyport/INSTANCE/audit+…" */
static struct status
instance_of(int dir, char *ret, size_t size)
{
	struct buf pub = BUF_INIT(AUDITLOG_NOTE_MAX);
	const uint8_t *first, *second = NULL;
	struct status st = io_read_file(dir, "audit.pub", &pub);

	if (!is_ok(st))
		return st;
	first = memchr(pub.ptr, '/', pub.len);
	if (first != NULL)
		second = memchr(first + 1, '/', (size_t)(pub.ptr + pub.len - first - 1));
	st = second == NULL
		 ? fail(E_SYNTAX)
		 : span_to_cstr(span_of(first + 1, (size_t)(second - first - 1)), ret, size);
	buf_done(&pub);
	return st;
}

/* What the log's key is sealed under; no passphrase is expected over master.key. */
static struct status
seal_of(int dir, struct secret *ret)
{
	auto_secret struct secret master = SECRET_NONE;
	auto_fd int fd = openat(dir, "master.key", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno();
	TRY(master_key_read(fd, &master));
	return key_file_key(&master, KEY_FILE_AUDIT, ret);
}

static struct status
begin_log(const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int audit = openat(dir, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int keys = openat(dir, "keys/audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct log_opts opts = LOG_OPTS_DEFAULT;
	auto_secret struct secret seal = SECRET_NONE;
	struct signing signing = SIGNING_NONE;
	struct log log = { .fd = -1 };
	char instance[64];
	const char *why = "";
	struct status st;

	if (dir < 0 || audit < 0 || keys < 0)
		return fail_errno();
	TRY(instance_of(dir, instance, sizeof(instance)));
	TRY(seal_of(dir, &seal));
	TRY(signing_open(&signing, keys, &seal));
	st = log_open(
	    &log, audit, instance, &(struct log_keys){ signing.key, signing.next }, &opts, &why);
	if (is_ok(st))
		st = append(&log);
	else
		(void)fprintf(stderr, "old-log: %s\n", why);
	log_close(&log);
	signing_close(&signing);
	return st;
}

int
main(int argc, char **argv)
{
	struct status st;

	if (argc != 3 || !is_ok(span_u64(span_str(argv[2]), 3650, &days)))
		return 2;
	st = crypto_init();
	if (is_ok(st))
		st = begin_log(argv[1]);
	if (!is_ok(st))
		(void)fprintf(stderr, "old-log: %s\n", status_text(st));
	return is_ok(st) ? 0 : 1;
}
