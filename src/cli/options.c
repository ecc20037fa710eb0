/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.c: the options of all commands as one table.
 *
 * Runs in: CLI. Trusts: nothing. Owns: nothing.
 * See: cli.h.
 */
#include "cli.h"

#include <assert.h>
#include <getopt.h>
#include <poll.h>
#include <unistd.h>

static const struct {
	const char *name;
	char letter;
	const char *arg; /* NULL: a flag */
	const char *help;
} rows[OPT_COUNT] = {
	[OPT_CONFIG] = { "config", 'c', "FILE", "the configuration, DIR/sallyport.yaml" },
	[OPT_LISTEN] = { "listen", 'l', "HOST:PORT", "the public address (127.0.0.1:8443)" },
	[OPT_MODEL] = { "model", 'm', "NAME", "the model" },
	[OPT_LANGUAGE] = { "language", 'L', "NAME", "python, javascript or sh" },
	[OPT_TIMEOUT] = { "timeout", 't', "SECONDS", "end the run after that time" },
	[OPT_TENANT] = { "tenant", 'T', "NAME", "the tenant" },
	[OPT_USER] = { "user", 'u', "NAME", "the user" },
	[OPT_POLICY] = { "policy", 'p', "NAME", "what the key may do (default)" },
	[OPT_EXPIRES] = { "expires", 'e', "TIME", "for how long: 90s, 15m, 12h, 30d (for ever)" },
	[OPT_PACKAGES] = { "packages", 'p', NULL, "list what the sandbox image was made of" },
	[OPT_JSON] = { "json", 'j', NULL, "print JSON" },
	[OPT_FOLLOW] = { "follow", 'f', NULL, "go on as records are written" },
	[OPT_REQUEST] = { "request", 'r', "ID", "only records of this request" },
	[OPT_KEY] = { "key", 'k', "ID", "only this key" },
	[OPT_SINCE] = { "since", 's', "TIME",
	    "only the last 12h, 7d … (usage: whole days of UTC)" },
	[OPT_VERSION] = { "version", 'V', "N", "this version of the tool" },
	[OPT_MODULE] = { "module", 'M', "FILE", "the module, if it is not the only *.wasm there" },
	[OPT_NATIVE] = { "native", 'N', "FILE",
	    "the script or binary, if it is not `native` there" },
	[OPT_OVERLAP] = { "overlap", 'o', "TIME",
	    "how long the old key goes on: 12h, 7d, 0 (24h)" },
	[OPT_ROLES] = { "roles", 'R', "A,B", "user, service, auditor, administrator, owner" },
	[OPT_SCOPE_ENDPOINTS] = { "scope-endpoints", 'E', "A,B", "only these endpoints" },
	[OPT_SCOPE_MODELS] = { "scope-models", 'D', "A,B", "only these models" },
	[OPT_SCOPE_TOOLS] = { "scope-tools", 'O', "A,B", "only these tools" },
	[OPT_SCOPE_LANGUAGES] = { "scope-languages", 'G', "A,B", "only these languages" },
	[OPT_NETWORK] = { "network", 'n', "CIDR,…", "only from these networks" },
	[OPT_DATA] = { "data", 'd', NULL, "keys of tenants and users" },
	[OPT_NAMES] = { "names", 'w', NULL, "say who it was, as the running service knows" },
	[OPT_PUB] = { "pub", 'P', "FILE", "start from the key in FILE, not from DIR/audit.pub" },
	[OPT_URL] = { "url", 'U', "URL", "the service, https://HOST[:PORT] (SALLYPORT_URL)" },
	[OPT_ISSUER] = { "issuer", 'I', "URL", "the identity provider, where there are several" },
	[OPT_TYPE] = { "type", 'y', "TYPE", "only records of this type, such as KeyCreated" },
	[OPT_PASSPHRASE] = { "passphrase", 'S', NULL, "put master.key under a passphrase" },
	[OPT_PASSPHRASE_FILE] = { "passphrase-file", 'F', "FILE",
	    "read the passphrase of master.key from FILE; -: standard input" },
	[OPT_NEW_PASSPHRASE_FILE] = { "new-passphrase-file", 'W', "FILE",
	    "read the new one from FILE; -: standard input" },
	[OPT_HELP] = { "help", 'h', NULL, "this" },
};

static int
imax(int a, int b)
{
	return a > b ? a : b;
}

bool
cli_reader_left(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

static bool
takes(const struct command *c, size_t id)
{
	return id == OPT_HELP || (c->options & OPT(id)) != 0;
}

/* What UTF-8 text takes on a terminal, of ours: a column a code point. */
static int
columns(const char *text)
{
	int n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void
print_options(const struct command *c, FILE *to)
{
	int names = 0, args = 0;

	for (size_t i = 0; i < OPT_COUNT; i++) {
		if (!takes(c, i))
			continue;
		names = imax(names, columns(rows[i].name));
		args = imax(args, rows[i].arg != NULL ? columns(rows[i].arg) : 0);
	}
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const char *arg = rows[i].arg != NULL ? rows[i].arg : "";

		if (takes(c, i))
			(void)fprintf(to, "  -%c, --%-*s  %s%*s  %s\n", rows[i].letter, names,
			    rows[i].name, arg, args - columns(arg), "", rows[i].help);
	}
}

void
options_help(const struct command *c, FILE *to)
{
	(void)fprintf(to, "usage: sallyport %s", c->name);
	for (size_t i = 0; i < OPT_COUNT; i++) {
		if (i == OPT_HELP || !takes(c, i))
			continue;
		(void)fprintf(to, (c->required & OPT(i)) != 0 ? " --%s%s%s" : " [--%s%s%s]",
		    rows[i].name, rows[i].arg != NULL ? " " : "",
		    rows[i].arg != NULL ? rows[i].arg : "");
	}
	(void)fprintf(to, "%s%s\n\n%s\n\n", c->args[0] != '\0' ? " " : "", c->args, c->summary);
	print_options(c, to);
}

/* `what` is what was typed, or the option that it stands for. */
static int
usage_error(const struct command *c, const char *what, const char *why)
{
	(void)cli_error(c->name, "%s%s%s", what, what[0] != '\0' ? ": " : "", why);
	options_help(c, stderr);
	return EXIT_USAGE;
}

/* getopt's two forms of the command's options. */
static void
fill_getopt(const struct command *c, struct option longs[OPT_COUNT + 1], char *letters)
{
	size_t n = 0, l = 0;

	letters[l++] = ':'; /* errors are ours to print */
	for (size_t i = 0; i < OPT_COUNT; i++) {
		if (!takes(c, i))
			continue;
		longs[n++] = (struct option){ rows[i].name,
			rows[i].arg != NULL ? required_argument : no_argument, NULL,
			rows[i].letter };
		letters[l++] = rows[i].letter;
		if (rows[i].arg != NULL)
			letters[l++] = ':';
	}
	longs[n] = (struct option){ 0 };
	letters[l] = '\0';
}

/* The option of the command with that letter; OPT_COUNT: none. */
static size_t
by_letter(const struct command *c, int letter)
{
	size_t i = 0;

	while (i < OPT_COUNT && !(takes(c, i) && rows[i].letter == letter))
		i++;
	return i;
}

/* What getopt has just refused: '?' or ':', with the letter in optopt where it knows one. */
static int
refuse_option(const struct command *c, int why, const char *typed)
{
	size_t i = by_letter(c, optopt);
	char what[64];

	if (i < OPT_COUNT) {
		(void)snprintf(what, sizeof(what), "--%s", rows[i].name);
		return usage_error(c, what, why == ':' ? "lacks its value" : "takes no value");
	}
	if (optopt == 0)
		return usage_error(c, typed, "unknown option, or the beginning of several");
	(void)snprintf(what, sizeof(what), "-%c", optopt);
	return usage_error(c, what, "unknown option");
}

static int
take_option(const struct command *c, int letter, struct invocation *inv)
{
	size_t i = by_letter(c, letter);
	char what[64];

	assert(i < OPT_COUNT);
	(void)snprintf(what, sizeof(what), "--%s", rows[i].name);
	if (inv->options[i] != NULL && rows[i].arg != NULL)
		return usage_error(c, what, "was given twice");
	inv->options[i] = rows[i].arg != NULL ? optarg : "";
	return EXIT_DONE;
}

int
options_parse(const struct command *c, int argc, char **argv, struct invocation *ret)
{
	struct option longs[OPT_COUNT + 1];
	char letters[2 * OPT_COUNT + 2];
	int letter, rc;

	fill_getopt(c, longs, letters);
	opterr = 0;
	optind = 0; /* from the beginning, also where the last one ended within "-ab" */
	while ((letter = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		rc = letter == '?' || letter == ':' ? refuse_option(c, letter, argv[optind - 1])
						    : take_option(c, letter, ret);
		if (rc != EXIT_DONE)
			return rc;
	}
	if (ret->options[OPT_HELP] != NULL)
		return EXIT_DONE;
	for (; optind < argc; optind++) {
		if (ret->nargs == CLI_ARGS_MAX || ret->nargs == c->args_max)
			return usage_error(c, argv[optind], "too many arguments");
		ret->args[ret->nargs++] = argv[optind];
	}
	if (ret->nargs < c->args_min)
		return usage_error(c, "", "an argument is missing");
	for (size_t i = 0; i < OPT_COUNT; i++) {
		if ((c->required & OPT(i)) != 0 && ret->options[i] == NULL) {
			char what[64];

			(void)snprintf(what, sizeof(what), "--%s", rows[i].name);
			return usage_error(c, what, "is missing");
		}
	}
	return EXIT_DONE;
}
