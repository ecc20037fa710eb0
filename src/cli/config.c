/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.c: `sallyport config check FILE`.
 *
 * Runs in: CLI. Trusts: nothing in the file. Owns: nothing.
 * Invariants: of the files that it names only the lists of revoked certificates are looked at: a
 * service with bad ones does not start. Their owner and mode are the supervisor's to judge.
 * See: conf/conf.h, tls/crl.h, docs/configuration.md.
 */
#include "cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <tls/crl.h>

#define CAS_LEN_MAX (512U << 10)

/* Relative to the configuration file's folder, as the service has it. */
static struct status
read_beside(const char *conf_path, const char *name, struct buf *out)
{
	const char *slash = strrchr(conf_path, '/');
	auto_fd int dir = -1, fd = -1;
	char folder[CLI_PATH_MAX] = ".";

	if (slash != NULL)
		TRY(span_to_cstr(
		    span_of(conf_path, (size_t)(slash - conf_path) + 1), folder, sizeof(folder)));
	dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? fail_errno() : io_read_all(fd, out);
}

static int
check_lists(const char *path, const struct conf *c)
{
	auto_buf struct buf cas = BUF_INIT(CAS_LEN_MAX);
	auto_buf struct buf crls = BUF_INIT(TLS_CRLS_LEN_MAX);
	const char *ca = conf_str(c, "client_certificates.ca_file"),
		   *crl = conf_str(c, "client_certificates.crl_file");
	struct tls_crl_report report;
	struct status st;
	char text[128];

	if (ca == NULL || crl == NULL)
		return EXIT_DONE;
	st = read_beside(path, ca, &cas);
	if (!is_ok(st))
		return cli_error(path, "client_certificates: %s: %s", ca, status_text(st));
	st = read_beside(path, crl, &crls);
	if (is_ok(st))
		st = tls_crls_check(buf_span(&cas), buf_span(&crls), (uint64_t)time(NULL), &report);
	if (is_ok(st))
		return EXIT_DONE;
	if (st.code != E_DENIED)
		return cli_error(path, "client_certificates: %s: %s", crl, status_text(st));
	tls_crl_say(&report, text, sizeof(text));
	return cli_error(path, "client_certificates: %s: %s", crl, text);
}

int
cmd_config_check(const struct invocation *inv)
{
	auto_buf struct buf text = BUF_INIT(CONF_FILE_MAX + 1);
	const char *path = inv->args[0];
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;
	int rc;
	struct status st = fd < 0 ? fail_errno() : io_read_all(fd, &text);

	if (!is_ok(st))
		return cli_status(path, st);
	if (!is_ok(conf_parse_env(buf_span(&text), getenv, &c, error)))
		return cli_error(path, "%s", error);
	rc = check_lists(path, c);
	conf_free(c);
	if (rc == EXIT_DONE)
		(void)fprintf(stderr, "sallyport: %s: no fault\n", path);
	return rc;
}
