/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c: finding a state directory by its configuration file, and this installation's parts.
 *
 * Runs in: CLI. Trusts: the file system below root's folders.
 * Owns: the open folder and the parsed configuration.
 * See: cli.h; src/supervisor/instance.c (the same name of the instance).
 */
#include "cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/io.h>
#include <crypto/leaf.h>

bool
state_open(const char *conf_path, struct state *ret)
{
	auto_buf struct buf text = BUF_INIT(CONF_FILE_MAX + 1);
	char error[CONF_ERROR_MAX];
	struct status st;

	if (realpath(conf_path, ret->conf_path) == NULL) {
		(void)cli_status(conf_path, fail_errno());
		return false;
	}
	memcpy(ret->dir, ret->conf_path, sizeof(ret->dir));
	*strrchr(ret->dir, '/') = '\0';
	ret->dir_fd = open(
	    ret->dir[0] == '\0' ? "/" : ret->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	st = ret->dir_fd < 0 ? fail_errno() : io_read_file(AT_FDCWD, ret->conf_path, &text);
	if (!is_ok(st)) {
		(void)cli_status(ret->conf_path, st);
		return false;
	}
	if (!is_ok(conf_parse(buf_span(&text), &ret->conf, error))) {
		(void)cli_error(ret->conf_path, "%s", error);
		return false;
	}
	return true;
}

const char *
conf_option(const struct invocation *inv)
{
	static const char here[] = "sallyport.yaml", installed[] = "/etc/sallyport/sallyport.yaml";

	if (inv->options[OPT_CONFIG] != NULL)
		return inv->options[OPT_CONFIG];
	return access(here, F_OK) == 0 ? here : installed;
}

bool
state_open_option(const struct invocation *inv, struct state *ret)
{
	return state_open(conf_option(inv), ret);
}

void
state_close(struct state *s)
{
	if (s->dir_fd >= 0)
		(void)close(s->dir_fd);
	conf_free(s->conf);
	*s = STATE_NONE;
}

bool
listen_url(const char *listen, char *ret, size_t size)
{
	const char *port = strrchr(listen, ':');
	char host[LEAF_HOST_MAX];
	bool six;

	if (!is_ok(leaf_host(listen, host)))
		return false;
	six = strchr(host, ':') != NULL;
	if (leaf_host_is_any(host))
		(void)snprintf(host, sizeof(host), "%s", six ? "::1" : "127.0.0.1");
	return snprintf(ret, size, six ? "https://[%s]%s" : "https://%s%s", host, port) < (int)size;
}

bool
find_beside(const char *name, char ret[CLI_PATH_MAX])
{
	static const char *const places[] = { "", "../", "../libexec/sallyport/" };
	char exe[CLI_PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n <= 0)
		return false;
	exe[n] = '\0';
	strrchr(exe, '/')[1] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char path[CLI_PATH_MAX * 2];

		(void)snprintf(path, sizeof(path), "%s%s%s", exe, places[i], name);
		if (access(path, R_OK) == 0 && realpath(path, ret) != NULL)
			return true;
	}
	return false;
}

void
instance_name(int dir_fd, const char *dir, char ret[33])
{
	struct stat sb = { 0 };
	uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a: a name, not a secret */
	uint8_t bytes[6];

	(void)fstat(dir_fd, &sb);
	for (const char *p = dir; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3ULL;
	h = (h ^ (uint64_t)sb.st_ino) * 0x100000001b3ULL;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(h >> 8 * i);
	hex_encode(span_of(bytes, sizeof(bytes)), ret);
	ret[2 * sizeof(bytes)] = '\0';
}
