/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: the command `sallyport`: finds the row of the command and runs it.
 *
 * Runs in: whoever calls it; `init`, `serve` and the operator commands as root.
 * Trusts: its arguments; nothing that a server or a model sends.
 * Owns: nothing.
 * Invariants: exit status 0 done, 1 failed, 2 usage; results on standard output, all else on
 * standard error.
 * See: docs/sallyport.1.
 */
#include "cli.h"

#include <signal.h>

#include <crypto/crypto.h>

#ifndef SALLYPORT_VERSION
#define SALLYPORT_VERSION "0.1.0"
#endif

const struct command commands[] = {
	{ "init", "DIR", 1, 1, OPT(OPT_LISTEN) | OPT(OPT_PASSPHRASE) | OPT(OPT_PASSPHRASE_FILE), 0,
	    "make a state directory with fresh keys, and print how clients reach it", cmd_init },
	{ "serve", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_PASSPHRASE_FILE), OPT(OPT_CONFIG),
	    "run the service in the foreground", cmd_serve },
	{ "reload", "", 0, 0, OPT(OPT_CONFIG), 0,
	    "make the running service take its configuration and certificate anew", cmd_reload },
	{ "status", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON) | OPT(OPT_PACKAGES), 0,
	    "show the processes and the state of the running service", cmd_status },
	{ "config check", "FILE", 1, 1, 0, 0, "check a configuration file", cmd_config_check },
	{ "key create", "", 0, 0,
	    OPT(OPT_CONFIG) | OPT(OPT_TENANT) | OPT(OPT_USER) | OPT(OPT_POLICY) | OPT(OPT_EXPIRES) |
		OPT(OPT_SCOPE_ENDPOINTS) | OPT(OPT_SCOPE_MODELS) | OPT(OPT_SCOPE_TOOLS) |
		OPT(OPT_SCOPE_LANGUAGES) | OPT(OPT_NETWORK),
	    OPT(OPT_TENANT) | OPT(OPT_USER), "create an API key and print it, this once",
	    cmd_key_create },
	{ "key list", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON) | OPT(OPT_TENANT) | OPT(OPT_USER),
	    0, "list the API keys", cmd_key_list },
	{ "key rotate", "ID", 1, 1, OPT(OPT_CONFIG) | OPT(OPT_OVERLAP), 0,
	    "create the key that replaces it, with the same rights, and print it, this once",
	    cmd_key_rotate },
	{ "key revoke", "ID", 1, 1, OPT(OPT_CONFIG), 0,
	    "revoke an API key; what runs under it has ended when this returns", cmd_key_revoke },
	{ "user list", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON) | OPT(OPT_TENANT), 0,
	    "list the users", cmd_user_list },
	{ "user create", "TENANT/USER", 1, 1, OPT(OPT_CONFIG) | OPT(OPT_ROLES), 0,
	    "create a user, with roles (user)", cmd_user_create },
	{ "user set", "[TENANT/]USER", 1, 1, OPT(OPT_CONFIG) | OPT(OPT_ROLES), OPT(OPT_ROLES),
	    "give a user these roles, and no others", cmd_user_set },
	{ "user disable", "[TENANT/]USER", 1, 1, OPT(OPT_CONFIG), 0,
	    "refuse a user; what runs has ended when this returns", cmd_user_disable },
	{ "user enable", "[TENANT/]USER", 1, 1, OPT(OPT_CONFIG), 0, "take that back",
	    cmd_user_enable },
	{ "user hold", "[TENANT/]USER", 1, 1, OPT(OPT_CONFIG), 0,
	    "put a legal hold on a user: nothing is erased or aged out", cmd_user_hold },
	{ "user release", "[TENANT/]USER", 1, 1, OPT(OPT_CONFIG), 0,
	    "lift the hold; another person must approve", cmd_user_release },
	{ "user export", "[TENANT/]USER", 1, 1, OPT(OPT_CONFIG), 0,
	    "print all that is kept of a user, JSON lines", cmd_user_export },
	{ "user erase", "[TENANT/]USER", 1, 1, OPT(OPT_CONFIG), 0,
	    "destroy a user's keys: nothing that is kept can be read any more", cmd_user_erase },
	{ "tenant list", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0, "list the tenants",
	    cmd_tenant_list },
	{ "tenant export", "TENANT", 1, 1, OPT(OPT_CONFIG), 0,
	    "print all that is kept of a tenant's people, JSON lines", cmd_tenant_export },
	{ "policy list", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0, "list the policies",
	    cmd_policy_list },
	{ "session list", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON) | OPT(OPT_TENANT), 0,
	    "list session tokens that are valid", cmd_session_list },
	{ "session revoke", "ID", 1, 1, OPT(OPT_CONFIG), 0, "end a session", cmd_session_revoke },
	{ "approval list", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0,
	    "list acts for a second person, and which of them are approved", cmd_approval_list },
	{ "approval show", "ID", 1, 1, OPT(OPT_CONFIG), 0, "print what became of such an act",
	    cmd_approval_show },
	{ "approval approve", "ID", 1, 1, OPT(OPT_CONFIG), 0, "have such an act done",
	    cmd_approval_approve },
	{ "approval refuse", "ID", 1, 1, OPT(OPT_CONFIG), 0, "have it not done",
	    cmd_approval_refuse },
	{ "usage", "", 0, 0,
	    OPT(OPT_CONFIG) | OPT(OPT_TENANT) | OPT(OPT_JSON) | OPT(OPT_KEY) | OPT(OPT_USER) |
		OPT(OPT_MODEL) | OPT(OPT_SINCE),
	    0, "show requests and tokens by key, user and model", cmd_usage },
	{ "secret set", "NAME", 1, 1, OPT(OPT_CONFIG) | OPT(OPT_PASSPHRASE_FILE), 0,
	    "keep a provider's credential for file:NAME, read from standard input",
	    cmd_secret_set },
	{ "secret rotate", "NAME", 1, 1, OPT(OPT_CONFIG) | OPT(OPT_PASSPHRASE_FILE), 0,
	    "set it anew, and keep the value that it has until the next time", cmd_secret_rotate },
	{ "secret list", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0,
	    "list the names of secrets, and their versions", cmd_secret_list },
	{ "secret remove", "NAME", 1, 1, OPT(OPT_CONFIG), 0, "forget a secret", cmd_secret_remove },
	{ "backup", "FILE", 1, 1, OPT(OPT_CONFIG) | OPT(OPT_PASSPHRASE_FILE), 0,
	    "write all that the store keeps into one sealed file", cmd_backup },
	{ "restore", "FILE", 1, 1, OPT(OPT_CONFIG) | OPT(OPT_PASSPHRASE_FILE), 0,
	    "put a backup back; the service must be stopped", cmd_restore },
	{ "kek rotate", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON) | OPT(OPT_DATA), 0,
	    "replace the key over the keys of what is stored, or with --data those of users",
	    cmd_kek_rotate },
	{ "pepper rotate", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0,
	    "hash API keys under a new pepper, as they are used", cmd_pepper_rotate },
	{ "pepper status", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0,
	    "show its versions, and which keys were not used since", cmd_pepper_status },
	{ "session-keys rotate", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0,
	    "sign session tokens with a new key", cmd_session_keys_rotate },
	{ "session-keys status", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0,
	    "show versions of that key, and how many sessions need older ones",
	    cmd_session_keys_status },
	{ "kek status", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0,
	    "show versions of keys, and how far a rotation is", cmd_kek_status },
	{ "store accept", "", 0, 0, OPT(OPT_CONFIG), 0,
	    "take rows that others have changed in the database as true, on record",
	    cmd_store_accept },
	{ "passphrase set", "", 0, 0,
	    OPT(OPT_CONFIG) | OPT(OPT_PASSPHRASE_FILE) | OPT(OPT_NEW_PASSPHRASE_FILE), 0,
	    "put master.key under a passphrase, or under another one", cmd_passphrase_set },
	{ "passphrase remove", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_PASSPHRASE_FILE), 0,
	    "have master.key in the clear again", cmd_passphrase_remove },
	{ "cert rotate", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0,
	    "serve with a new public certificate: a fresh one of ours, or the operator's files",
	    cmd_cert_rotate },
	{ "rotate all", "", 0, 0, OPT(OPT_CONFIG), 0,
	    "replace all keys and the certificate, one after the other, and say how far it is",
	    cmd_rotate_all },
	{ "tool allow", "TENANT/USER/NAME [VERSION]", 1, 2, OPT(OPT_CONFIG), 0,
	    "let others of the tenant call a version of a user's tool", cmd_tool_allow },
	{ "tool disallow", "TENANT/USER/NAME [VERSION]", 1, 2, OPT(OPT_CONFIG), 0,
	    "take that back; calls that run go on", cmd_tool_disallow },
	{ "audit tail", "", 0, 0,
	    OPT(OPT_CONFIG) | OPT(OPT_FOLLOW) | OPT(OPT_REQUEST) | OPT(OPT_NAMES), 0,
	    "print audit records", cmd_audit_tail },
	{ "audit verify", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_PUB), 0,
	    "verify the audit log: 0 intact, 1 tampered, 2 unreadable", cmd_audit_verify },
	{ "audit read", "", 0, 0, OPT(OPT_SINCE) | OPT(OPT_TYPE), 0,
	    "print the records of one's tenant, as an auditor, by the public API", cmd_audit_read },
	{ "audit rotate-key", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0,
	    "sign the audit log with a new key, and print its public part", cmd_audit_rotate_key },
	{ "tool push", "DIR", 1, 1, OPT(OPT_JSON) | OPT(OPT_MODULE) | OPT(OPT_NATIVE), 0,
	    "upload the tool in DIR as a new version", cmd_tool_push },
	{ "tool list", "", 0, 0, OPT(OPT_CONFIG) | OPT(OPT_JSON), 0,
	    "list the tools that the key may use; with -c those of all tenants", cmd_tool_list },
	{ "tool show", "NAME", 1, 1, OPT(OPT_JSON) | OPT(OPT_VERSION), 0,
	    "show a tool, its versions and its tool.json", cmd_tool_show },
	{ "tool call", "NAME [ARGUMENTS|-]", 1, 2, OPT(OPT_JSON) | OPT(OPT_VERSION), 0,
	    "call a tool with a JSON object, and print its output", cmd_tool_call },
	{ "tool current", "NAME VERSION", 2, 2, 0, 0, "choose the version that calls get",
	    cmd_tool_current },
	{ "tool remove", "NAME", 1, 1, OPT(OPT_VERSION), 0, "remove a tool, or one version of it",
	    cmd_tool_remove },
	{ "tool test", "DIR", 1, 1, OPT(OPT_MODULE) | OPT(OPT_NATIVE), 0,
	    "check the tool in DIR, and run its examples by the service", cmd_tool_test },
	{ "login", "", 0, 0, OPT(OPT_URL) | OPT(OPT_ISSUER), 0,
	    "sign in with the house's identity provider, for commands without a key", cmd_login },
	{ "logout", "", 0, 0, 0, 0, "end that session, and forget it", cmd_logout },
	{ "me show", "", 0, 0, OPT(OPT_JSON), 0, "show who one is to the service", cmd_me_show },
	{ "me keys", "", 0, 0, OPT(OPT_JSON), 0, "list one's own API keys", cmd_me_keys },
	{ "me revoke-key", "ID", 1, 1, 0, 0, "revoke one of them", cmd_me_revoke_key },
	{ "me sessions", "", 0, 0, OPT(OPT_JSON), 0, "list one's own sessions", cmd_me_sessions },
	{ "me end-session", "ID", 1, 1, 0, 0, "end one of them", cmd_me_end_session },
	{ "me export", "", 0, 0, 0, 0, "print all that is kept of oneself, JSON lines",
	    cmd_me_export },
	{ "me erase", "", 0, 0, 0, 0,
	    "destroy all that is kept of oneself, once one's name was typed", cmd_me_erase },
	{ "ask", "PROMPT", 1, 1, OPT(OPT_MODEL), 0,
	    "send a prompt, with the code interpreter, and stream the answer", cmd_ask },
	{ "exec", "[FILE|-]", 0, 1, OPT(OPT_LANGUAGE) | OPT(OPT_TIMEOUT), OPT(OPT_LANGUAGE),
	    "run code in a sandbox and stream its output", cmd_exec },
	{ NULL },
};

/* The commands of one word, such as `key`, or with NULL all; how many. */
static int
print_commands(const char *word, FILE *to)
{
	size_t len = word != NULL ? strlen(word) : 0;
	int n = 0, width = 0;

	for (const struct command *c = commands; c->name != NULL; c++)
		width = (int)strlen(c->name) > width ? (int)strlen(c->name) : width;
	for (const struct command *c = commands; c->name != NULL; c++) {
		if (word != NULL && (strncmp(c->name, word, len) != 0 || c->name[len] != ' '))
			continue;
		if (to != NULL)
			(void)fprintf(to, "  %-*s  %s\n", width, c->name, c->summary);
		n++;
	}
	return n;
}

static void
usage(FILE *to)
{
	(void)fprintf(to, "usage: sallyport COMMAND …\n\n");
	(void)print_commands(NULL, to);
	(void)fprintf(to,
	    "\n  --help        this, or after a command: its options\n"
	    "  --version     the version\n\n"
	    "ask, exec, tool, me and audit read take SALLYPORT_URL, SALLYPORT_API_KEY and\n"
	    "SALLYPORT_CA_FILE, or without a key what `sallyport login` has kept.\n");
}

/* What was asked for is no command. */
static int
not_a_command(int argc, char **argv)
{
	bool help = argc == 3 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0);
	FILE *to = help ? stdout : stderr;

	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (print_commands(argv[1], NULL) == 0) {
		(void)cli_error(argv[1], "no such command; sallyport --help shows all");
		return EXIT_USAGE;
	}
	if (!help && argc == 2)
		(void)cli_error(argv[1], "which of its commands?");
	else if (!help)
		(void)cli_error(argv[1], "has no command %.100s", argv[2]);
	(void)fprintf(to, "usage: sallyport %s COMMAND …\n\n", argv[1]);
	(void)print_commands(argv[1], to);
	return help ? EXIT_DONE : EXIT_USAGE;
}

/* The command that argv names, and how many words its name took. */
static const struct command *
find_command(int argc, char **argv, int *ret_words)
{
	for (const struct command *c = commands; c->name != NULL; c++) {
		size_t first = strcspn(c->name, " ");
		bool two = c->name[first] == ' ';

		if (strncmp(argv[1], c->name, first) != 0 || argv[1][first] != '\0')
			continue;
		if (two && (argc < 3 || strcmp(argv[2], c->name + first + 1) != 0))
			continue;
		*ret_words = two ? 2 : 1;
		return c;
	}
	return NULL;
}

static int
run(const struct command *c, int argc, char **argv)
{
	struct invocation inv = { .command = c };
	int rc = options_parse(c, argc, argv, &inv);
	struct status st;

	if (rc != EXIT_DONE)
		return rc;
	if (inv.options[OPT_HELP] != NULL) {
		options_help(c, stdout);
		return EXIT_DONE;
	}
	st = crypto_init();
	return is_ok(st) ? c->run(&inv) : cli_status("crypto", st);
}

/* Output that was lost, at the end or before it, is a failure. */
static int
end_output(int rc)
{
	bool lost = fflush(stdout) != 0 || ferror(stdout) != 0;

	if (!lost || rc != EXIT_DONE)
		return rc;
	return cli_reader_left() ? EXIT_FAILED : cli_error("standard output", "cannot be written");
}

int
main(int argc, char **argv)
{
	const struct command *c;
	int words = 0, rc;

	(void)signal(SIGPIPE, SIG_IGN);
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
			     strcmp(argv[1], "help") == 0)) {
		usage(stdout);
		return end_output(EXIT_DONE);
	}
	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		(void)printf("sallyport %s\n", SALLYPORT_VERSION);
		return end_output(EXIT_DONE);
	}
	c = argc < 2 ? NULL : find_command(argc, argv, &words);
	if (c == NULL)
		return not_a_command(argc, argv);
	rc = run(c, argc - words, argv + words);
	return end_output(rc);
}
