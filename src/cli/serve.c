/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.c: `sallyport serve`: looks before it leaps, then becomes the supervisor.
 *
 * Runs in: CLI, as root. Trusts: root's files; nothing in the environment.
 * Invariants: no secret in the environment is tolerated, and none of it is passed on; a kernel
 * that lacks a feature or a configuration with a fault does not start. A passphrase goes to the
 * supervisor in a sealed memory file, descriptor 3.
 * See: docs/configuration.md; src/supervisor.
 */
#include "cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/memfd.h>
#include <jail/jail.h>

#include "passphrase.h"

#define PASSPHRASE_FD 3 /* as the supervisor has it */

/* Credentials that must come from where the configuration says, never from here. */
static const char *const refused_env[] = {
	"ANTHROPIC_API_KEY",
	"ANTHROPIC_AUTH_TOKEN",
	"AWS_BEARER_TOKEN_BEDROCK",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN",
	"AZURE_API_KEY",
	"AZURE_OPENAI_API_KEY",
	"COHERE_API_KEY",
	"DEEPSEEK_API_KEY",
	"FIREWORKS_API_KEY",
	"GEMINI_API_KEY",
	"GOOGLE_API_KEY",
	"GROQ_API_KEY",
	"HF_TOKEN",
	"MISTRAL_API_KEY",
	"OPENAI_API_KEY",
	"OPENROUTER_API_KEY",
	"PERPLEXITY_API_KEY",
	"TOGETHER_API_KEY",
	"VAULT_TOKEN",
	"XAI_API_KEY",
};

static bool
environment_ok(void)
{
	for (size_t i = 0; i < sizeof(refused_env) / sizeof(refused_env[0]); i++) {
		if (getenv(refused_env[i]) != NULL) {
			(void)cli_error(refused_env[i],
			    "is in the environment: credentials come from the configured source, "
			    "unset it");
			return false;
		}
	}
	return true;
}

#define ENV_MAX 16
struct environment {
	char *lines[ENV_MAX + 1];
	char text[ENV_MAX][CONF_VALUE_MAX + 64];
};

/* Nothing is passed on but the few variables that name a file, a role, a region or a URL. */
static void
environment_keep(struct environment *e)
{
	size_t n = 0;

	for (size_t i = 0; conf_env_variable(i) != NULL && n < ENV_MAX; i++) {
		const char *name = conf_env_variable(i), *value = getenv(name);
		int len;

		if (value == NULL)
			continue;
		len = snprintf(e->text[n], sizeof(e->text[n]), "%s=%s", name, value);
		if (len > 0 && (size_t)len < sizeof(e->text[n])) {
			e->lines[n] = e->text[n];
			n++;
		}
	}
	e->lines[n] = NULL;
}

static bool
kernel_ok(void)
{
	const char *what = "";
	struct status st = jail_check_kernel(&what);

	if (!is_ok(st))
		(void)cli_error("kernel", "lacks %s (%s)", what, status_text(st));
	return is_ok(st);
}

/* *ret_needed: it lies at PASSPHRASE_FD. Whether it is the right one the supervisor finds out. */
static bool
passphrase_pass_on(const struct invocation *inv, const struct state *s, bool *ret_needed)
{
	const struct passphrase_from from = { inv->options[OPT_PASSPHRASE_FILE],
		"Passphrase of master.key", false };
	auto_secret struct secret text = SECRET_NONE, passphrase = SECRET_NONE;
	auto_fd int fd = -1;
	struct status st;

	if (!master_text_read(s->dir_fd, &text))
		return false;
	*ret_needed = master_file_is_sealed(secret_borrow(&text));
	if (!*ret_needed)
		return true;
	if (!passphrase_read(&from, &passphrase))
		return false;
	st = memfd_of("passphrase", secret_borrow(&passphrase), &fd);
	if (is_ok(st) && fd == PASSPHRASE_FD) {
		fd = -1;
		if (fcntl(PASSPHRASE_FD, F_SETFD, 0) < 0)
			st = fail_errno();
	} else if (is_ok(st) && dup2(fd, PASSPHRASE_FD) < 0) {
		st = fail_errno();
	}
	if (!is_ok(st))
		(void)cli_status("passphrase", st);
	return is_ok(st);
}

int
cmd_serve(const struct invocation *inv)
{
	struct environment env;
	auto_state struct state s = STATE_NONE;
	char supervisor[CLI_PATH_MAX], option[] = "-c", sealed[] = "-p";
	char *argv[] = { supervisor, option, s.conf_path, NULL, NULL };
	bool needed = false;

	if (!environment_ok())
		return EXIT_FAILED;
	if (geteuid() != 0)
		return cli_error(
		    "serve", "needs root: it drops it in every process that it starts");
	if (!kernel_ok() || !state_open(inv->options[OPT_CONFIG], &s))
		return EXIT_FAILED;
	if (!find_beside("libexec/sallyport/supervisor", supervisor))
		return cli_error(
		    "libexec/sallyport/supervisor", "is not there: run ./dev build first");
	if (!passphrase_pass_on(inv, &s, &needed))
		return EXIT_FAILED;
	if (needed)
		argv[3] = sealed;
	environment_keep(&env);
	(void)fflush(NULL);
	(void)execve(supervisor, argv, env.lines);
	return cli_status(supervisor, fail_errno());
}
