/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leaf.c: the short-lived certificate of the public side, from the instance's own CA.
 *
 * Runs in: `sallyport init`; supervisor; as root.
 * Trusts: DIR/ca.pem and DIR/ca.key, which only root can write.
 * Owns: tls/cert.pem and tls/key.pem; with ca.key, that they are sealed.
 * Invariants: names are localhost, 127.0.0.1, ::1 and the listening host; each file is replaced
 * atomically, and a pair torn by a crash is noticed and issued again.
 * See: crypto/cert.h, crypto/key_file.h.
 */
#include <crypto/leaf.h>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>

#define CA_KEY "ca.key"

struct status
leaf_host(const char *listen, char host[LEAF_HOST_MAX])
{
	const char *colon = strrchr(listen, ':');
	struct span s;

	if (colon == NULL)
		return fail(E_SYNTAX);
	s = span_of(listen, (size_t)(colon - listen));
	if (s.len >= 2 && s.ptr[0] == '[')
		s = span_of(s.ptr + 1, s.len - 2);
	return span_to_cstr(s, host, LEAF_HOST_MAX);
}

bool
leaf_host_is_any(const char *host)
{
	return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

bool
leaf_is_own(int dir_fd, const char *certificate)
{
	return strcmp(certificate, "tls/cert.pem") == 0 &&
	       faccessat(dir_fd, CA_KEY, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static struct status
read_key(int dir_fd, const char *path, const struct secret *key, struct secret *ret)
{
	auto_fd int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool clear;

	return fd < 0 ? fail_errno() : key_file_read(fd, key, path, ret, &clear);
}

static struct status
write_pair(
    int dir_fd, const struct buf *cert, const struct secret *leaf_key, const struct secret *key)
{
	auto_fd int tls = openat(dir_fd, "tls", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (tls < 0)
		return fail_errno();
	TRY(key_file_write(tls, "key.pem", key, LEAF_KEY_NAME, leaf_key));
	return io_replace_file(tls, "cert.pem", buf_span(cert), 0644);
}

static size_t
leaf_names(const char *host, char *node, size_t node_size, struct span sans[5])
{
	size_t n = 0;

	sans[n++] = SPAN_LIT("localhost");
	sans[n++] = SPAN_LIT("127.0.0.1");
	sans[n++] = SPAN_LIT("::1");
	if (leaf_host_is_any(host)) {
		if (gethostname(node, node_size) == 0 && strcmp(node, "localhost") != 0 &&
		    node[0] != '\0')
			sans[n++] = span_str(node);
		return n;
	}
	for (size_t i = 0; i < 3; i++) {
		if (span_eq_str(sans[i], host))
			return n;
	}
	sans[n++] = span_str(host);
	return n;
}

struct status
leaf_issue(int dir_fd, const char *listen, const struct secret *key)
{
	auto_buf struct buf ca = BUF_INIT(CERT_PEM_LEN_MAX), cert = BUF_INIT(CERT_PEM_LEN_MAX);
	auto_secret struct secret ca_key = SECRET_NONE, leaf_key = SECRET_NONE;
	char host[LEAF_HOST_MAX], node[65] = "";
	struct span sans[5];
	struct cert_leaf leaf = {
		.common_name = SPAN_LIT("sallyport"), .sans = sans, .ttl_s = LEAF_TTL_S
	};

	TRY(leaf_host(listen, host));
	leaf.san_count = leaf_names(host, node, sizeof(node) - 1, sans);
	TRY(io_read_file(dir_fd, "ca.pem", &ca));
	TRY(read_key(dir_fd, CA_KEY, key, &ca_key));
	TRY(cert_leaf_issue(buf_span(&ca), &ca_key, &leaf, &cert, &leaf_key));
	return write_pair(dir_fd, &cert, &leaf_key, key);
}

bool
leaf_is_due(int64_t not_after_s, int64_t now_s)
{
	int64_t left = not_after_s - now_s;

	return left <= (int64_t)LEAF_TTL_S / 3 || left > (int64_t)LEAF_TTL_S + CERT_BACKDATE_S;
}

static bool
still_good(int dir_fd, const char *listen, const struct secret *key)
{
	auto_buf struct buf cert = BUF_INIT(CERT_PEM_LEN_MAX);
	auto_secret struct secret leaf_key = SECRET_NONE;
	char host[LEAF_HOST_MAX];
	int64_t not_after;

	if (!is_ok(leaf_host(listen, host)) ||
	    !is_ok(io_read_file(dir_fd, "tls/cert.pem", &cert)) ||
	    !is_ok(read_key(dir_fd, LEAF_KEY_NAME, key, &leaf_key)) ||
	    !is_ok(cert_key_matches(buf_span(&cert), &leaf_key)) ||
	    !is_ok(cert_not_after(buf_span(&cert), &not_after)))
		return false;
	if (!leaf_host_is_any(host) && !cert_is_for(buf_span(&cert), host))
		return false;
	return !leaf_is_due(not_after, (int64_t)time(NULL));
}

struct status
leaf_renew(int dir_fd, const char *listen, const struct secret *key, bool *ret_renewed)
{
	*ret_renewed = false;
	if (still_good(dir_fd, listen, key))
		return OK;
	TRY(leaf_issue(dir_fd, listen, key));
	*ret_renewed = true;
	return OK;
}

struct status
leaf_carry(int dir_fd, const char *certificate, const struct secret *key)
{
	auto_fd int tls = openat(dir_fd, "tls", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	TRY(key_file_carry(dir_fd, CA_KEY, key, CA_KEY));
	if (!leaf_is_own(dir_fd, certificate))
		return OK;
	return tls < 0 ? fail_errno() : key_file_carry(tls, "key.pem", key, LEAF_KEY_NAME);
}
