/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.c: `sallyport config check FILE`.
 *
 * Runs in: CLI. Trusts: nothing in the file. Owns: nothing.
 * See: conf/conf.h, docs/configuration.md.
 */
#include "cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>

int
cmd_config_check(const struct invocation *inv)
{
	auto_buf struct buf text = BUF_INIT(CONF_FILE_MAX + 1);
	const char *path = inv->args[0];
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;
	struct status st = fd < 0 ? fail_errno() : io_read_all(fd, &text);

	if (!is_ok(st))
		return cli_status(path, st);
	if (!is_ok(conf_parse_env(buf_span(&text), getenv, &c, error)))
		return cli_error(path, "%s", error);
	conf_free(c);
	return EXIT_DONE;
}
