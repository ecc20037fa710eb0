/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

/*
 * The command `sallyport`: what its files share. A command is a row of the table
 * in main.c; an option is a row of the table in options.c.
 */
#include <stdio.h>

#include <base/span.h>
#include <conf/conf.h>

#define CLI_ARGS_MAX 8    /* words after the command's name */
#define CLI_PATH_MAX 4096 /* with its NUL */
#define CLI_PROMPT_MAX (1U << 20)
#define CLI_CODE_MAX (4U << 20)

enum cli_exit { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum option_id {
	OPT_CONFIG,
	OPT_LISTEN,
	OPT_MODEL,
	OPT_LANGUAGE,
	OPT_TIMEOUT,
	OPT_TENANT,
	OPT_USER,
	OPT_POLICY,
	OPT_EXPIRES,
	OPT_JSON,
	OPT_FOLLOW,
	OPT_PACKAGES,
	OPT_REQUEST,
	OPT_KEY,
	OPT_SINCE,
	OPT_VERSION,
	OPT_MODULE,
	OPT_NATIVE,
	OPT_OVERLAP,
	OPT_ROLES,
	OPT_SCOPE_ENDPOINTS,
	OPT_SCOPE_MODELS,
	OPT_SCOPE_TOOLS,
	OPT_SCOPE_LANGUAGES,
	OPT_NETWORK,
	OPT_DATA,
	OPT_NAMES,
	OPT_PUB,
	OPT_URL,
	OPT_ISSUER,
	OPT_TYPE,
	OPT_PASSPHRASE,
	OPT_PASSPHRASE_FILE,
	OPT_NEW_PASSPHRASE_FILE,
	OPT_HELP,
	OPT_COUNT,
};
#define OPT(id) (1ULL << (id))

struct invocation {
	const struct command *command;
	const char *options[OPT_COUNT]; /* NULL: not given; flags: "" */
	const char *args[CLI_ARGS_MAX];
	size_t nargs;
};

typedef int command_fn(const struct invocation *inv);

struct command {
	const char *name; /* one word or two: "key create" */
	const char *args; /* as in the usage line */
	size_t args_min, args_max;
	uint64_t options; /* OPT() bits */
	uint64_t required;
	const char *summary;
	command_fn *run;
};

/* main.c's table; a row without a name ends it. */
extern const struct command commands[];

/* options.c: parse what follows the command's name. EXIT_DONE, or EXIT_USAGE after a message. */
int options_parse(const struct command *c, int argc, char **argv, struct invocation *ret);
void options_help(const struct command *c, FILE *to);

/* "sallyport: what: why" on standard error, unprintable bytes replaced. Returns EXIT_FAILED. */
int cli_error(const char *what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cli_status(const char *what, struct status st);
/* Nobody reads standard output any more, as with `| head`: the command fails without a word. */
bool cli_reader_left(void);

/* ---- state.c: a state directory and this installation ---- */
struct state {
	char conf_path[CLI_PATH_MAX]; /* absolute */
	char dir[CLI_PATH_MAX];       /* absolute, its folder */
	int dir_fd;
	struct conf *conf;
};
#define STATE_NONE ((struct state){ .dir_fd = -1 })
#define auto_state __attribute__((cleanup(state_close)))
/* Open and check the configuration; a message was printed when it is false. */
bool state_open(const char *conf_path, struct state *ret);
void state_close(struct state *s);
/* --config, or sallyport.yaml here, or /etc/sallyport/sallyport.yaml. */
const char *conf_option(const struct invocation *inv);
bool state_open_option(const struct invocation *inv, struct state *ret);
/* `name` beside this executable (build/) or installed (../): false when neither is there. */
bool find_beside(const char *name, char ret[CLI_PATH_MAX]);
/* The supervisor's name of the instance at dir (absolute, without links). */
void instance_name(int dir_fd, const char *dir, char ret[33]);

/* ---- uids.c: ranges of user ids, one an instance ---- */
#define UIDS_DIR "/var/lib/sallyport/uids"
struct uids_lock {
	int fd;
};
/* Serialises all inits of this machine until uids_unlock(). */
MUST_USE struct status uids_lock(const char *uids_dir, struct uids_lock *ret);
void uids_unlock(struct uids_lock *l);
/*
 * Reserve a range for the state directory (again, when it has one). State: locked.
 * Errors: E_FULL (none is free), E_SYS.
 */
MUST_USE struct status uids_reserve(
    struct uids_lock *l, const char *etc_dir, const char *state_dir, uint32_t *ret_base);
MUST_USE struct status uids_release(struct uids_lock *l, uint32_t base);
/* Does a line of passwd, group (subordinate: subuid, subgid) lie in base..base+len-1? */
bool uids_overlap(struct span file, bool subordinate, uint32_t base, uint32_t len);

/* "https://127.0.0.1:8443": how a client on this host reaches `listen`. */
bool listen_url(const char *listen, char *ret, size_t size);

/* management.c: "90s", "15m", "12h", "30d", at most a hundred years. */
bool parse_duration(const char *text, uint64_t *ret_s);

/* ---- term.c: text of models and of their code ---- */
/* Control bytes but tab and line feed become U+FFFD. */
MUST_USE struct status term_safe(struct span s, struct buf *out);
/* Write and flush: made safe on a terminal, as it is elsewhere. */
bool term_put(FILE *to, struct span s);

/* login.c, me.c */
command_fn cmd_login, cmd_logout;
command_fn cmd_me_show, cmd_me_keys, cmd_me_revoke_key, cmd_me_sessions, cmd_me_end_session,
    cmd_me_export, cmd_me_erase, cmd_audit_read;

command_fn cmd_init, cmd_serve, cmd_reload, cmd_status, cmd_key_create, cmd_key_list,
    cmd_key_rotate, cmd_key_revoke, cmd_user_list, cmd_user_create, cmd_user_set, cmd_user_disable,
    cmd_user_enable, cmd_user_hold, cmd_user_release, cmd_tenant_list, cmd_policy_list,
    cmd_session_list, cmd_session_revoke, cmd_approval_list, cmd_approval_show,
    cmd_approval_approve, cmd_approval_refuse, cmd_secret_set, cmd_secret_rotate, cmd_secret_list,
    cmd_secret_remove, cmd_tool_allow, cmd_tool_disallow, cmd_tool_list_all, cmd_tool_push,
    cmd_tool_list, cmd_tool_show, cmd_tool_call, cmd_tool_remove, cmd_tool_current, cmd_tool_test,
    cmd_usage, cmd_session_keys_rotate, cmd_session_keys_status, cmd_kek_rotate, cmd_kek_status,
    cmd_store_accept, cmd_backup, cmd_restore, cmd_user_export, cmd_tenant_export, cmd_user_erase,
    cmd_ask, cmd_exec, cmd_audit_tail, cmd_audit_verify, cmd_config_check;
command_fn cmd_passphrase_set, cmd_passphrase_remove;
command_fn cmd_audit_rotate_key, cmd_cert_rotate, cmd_rotate_all, cmd_pepper_rotate,
    cmd_pepper_status;

/* What the image was made of: all of it, or how many. Exit status of the command. */
int packages_print(const char *manifest, bool whole);

#endif
