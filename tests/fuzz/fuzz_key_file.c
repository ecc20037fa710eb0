/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys as they lie on disk: any bytes (byte 0 odd), or a sealed file that was made here
 * with what the input changes in it: two bytes where, one byte what, and one byte at the end how
 * much is cut off. What opens is what was sealed; what is no sealed file is given as it is.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/crypto.h>
#include <crypto/key_file.h>

#define NAME "ca.key"
#define VALUE SPAN_LIT("-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----")

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct secret key;
static struct buf made = BUF_INIT(KEY_FILE_TEXT_MAX);

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

static void
make(void)
{
	auto_secret struct secret value = SECRET_NONE;
	struct span text = VALUE;

	expect(is_ok(crypto_init()) && is_ok(secret_random(SEAL_KEY_LEN, &key)));
	expect(is_ok(secret_new(text.len, &value)));
	memcpy(value.ptr, text.ptr, text.len);
	expect(is_ok(key_file_seal(&key, NAME, &value, &made)));
}

static void
change(struct buf *text, struct span in)
{
	for (size_t i = 0; i + 2 < in.len; i += 3)
		text->ptr[((size_t)in.ptr[i] << 8 | in.ptr[i + 1]) % text->len] ^= in.ptr[i + 2];
	if (in.len % 3 == 1)
		text->len -= in.ptr[in.len - 1] % text->len;
}

/* A last line feed is not part of what lies there. */
static struct span
without_end(struct span text)
{
	return text.len > 0 && text.ptr[text.len - 1] == '\n' ? span_of(text.ptr, text.len - 1)
							      : text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf text = BUF_INIT(2 * KEY_FILE_TEXT_MAX);
	auto_secret struct secret got = SECRET_NONE;
	auto_fd int fd = memfd_create("key", MFD_CLOEXEC);
	bool clear = false, raw = size > 0 && data[0] % 2 == 1;
	struct span in;

	if (size == 0 || size > text.max)
		return 0;
	if (key.len == 0)
		make();
	in = span_of(data + 1, size - 1);
	expect(is_ok(buf_put_span(&text, raw ? in : buf_span(&made))));
	if (!raw)
		change(&text, in);
	expect(fd >= 0 && is_ok(io_write_all(fd, buf_span(&text))) && lseek(fd, 0, SEEK_SET) == 0);
	if (!is_ok(key_file_read(fd, &key, NAME, &got, &clear)))
		expect(got.ptr == NULL);
	else if (clear)
		expect(span_eq(secret_borrow(&got), without_end(buf_span(&text))));
	else
		expect(!raw && span_eq(secret_borrow(&got), VALUE));
	return 0;
}
