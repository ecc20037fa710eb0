/* SPDX-License-Identifier: Apache-2.0 */
/* The log's reader and the heads of its records, on any bytes. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <auditlog/auditlog.h>
#include <crypto/crypto.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
scratch(void)
{
	static char path[] = "/dev/shm/sallyport-fuzz-XXXXXX";

	return mkdtemp(path) == NULL ? -1 : open(path, O_RDONLY | O_DIRECTORY);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int dir = -2;
	auto_auditlog struct auditlog_reader *r = NULL;
	struct span line, member;
	struct auditlog_head h;
	struct checkpoint before = { .origin = SPAN_LIT("sallyport/0123456789ab/audit") };
	struct auditlog_rotation rotation;
	struct note_verifier key, next;
	struct status st;
	int fd;

	if (dir == -2)
		dir = is_ok(crypto_init()) ? scratch() : -1;
	fd = openat(dir, "00000001.jsonl", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) < 0)
		abort();
	if (!is_ok(auditlog_open(dir, &r)))
		return 0;
	for (size_t lines = 0; (st = auditlog_next(r, &line)).code != E_EOF; lines++) {
		if (lines > size)
			abort(); /* it must end */
		if (is_ok(st) && auditlog_rotation_of(line, &rotation) &&
		    is_ok(auditlog_vkey_parse(rotation.key, &key)) &&
		    is_ok(auditlog_rotation_verify(&rotation, &before, &key, &next)))
			abort(); /* nobody signed it */
		if (is_ok(st) && is_ok(auditlog_head_of(line, &h)) &&
		    auditlog_member(h.rest, "phase", &member) && member.len > line.len)
			abort();
	}
	if (!is_ok(auditlog_seek_last(r, size % 5)))
		abort();
	return 0;
}
