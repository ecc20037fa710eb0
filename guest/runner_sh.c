/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The warm shell inside a sandbox: keeps one dash waiting, runs each step's code in it, sends what
 * it left behind.
 *
 * Runs in:  a gVisor sandbox, as 65534, as the parent of user code. Statically linked, C library
 * only. Trusts:   its control pipe. It protects nothing from user code, which has the same uid.
 * Owns:     /tmp/.run (code and stdin of the step), the shell, the pipes to it.
 * Invariants: every error of its own ends it with EXIT_PROTOCOL: the host then sees the end of the
 * sandbox. See:      PROTOCOL.md.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PAYLOAD_MAX = 65536,
	FRAME_HEAD = 5,
	NAME_LEN_MAX = 255,
	FILES_SEEN_MAX = 1024,
	EXIT_PROTOCOL = 70,
	FLAG_ONE_SHOT = 2,
	EXIT_SIGNAL = 256, /* DONE's exit code: this plus the signal that ended the shell */
	EXIT_SHELL_SIGNAL = 128,
	SHELL_STATUS_FD = 8,
	SHELL_COMMAND_FD = 9,
};

#define WORK "/tmp/work"
#define OUT "/tmp/out"
#define RUN "/tmp/.run"

struct request {
	uint32_t step, flags, files_max, bytes_max;
};

struct seen {
	char name[NAME_LEN_MAX + 1];
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

static int control_in = -1;
static int control_out = -1;
static int command_fd = -1;
static int status_fd = -1;
static pid_t shell = -1;
static uint8_t payload[PAYLOAD_MAX];
static struct seen seen[FILES_SEEN_MAX];
static size_t seen_len;

static void give_up(void) __attribute__((noreturn));
static void read_full(int fd, void *buf, size_t len, int eof_ok);
static void write_full(int fd, const void *buf, size_t len);
static void frame_send(char type, const void *data, size_t len);
static void request_read(struct request *req);
static void shell_start(void);
static uint32_t shell_run(const struct request *req);
static uint32_t files_send(const struct request *req);

/* A SIGCHLD only has to interrupt ppoll. */
static void
on_child(int sig)
{
	(void)sig;
}

static void
give_up(void)
{
	_exit(EXIT_PROTOCOL);
}

static void
make_dir(const char *path)
{
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		give_up();
}

static void
set_up(void)
{
	struct sigaction act = { .sa_handler = on_child };
	sigset_t set;

	control_in = fcntl(0, F_DUPFD_CLOEXEC, 10);
	control_out = fcntl(3, F_DUPFD_CLOEXEC, 10);
	if (control_in < 0 || control_out < 0)
		give_up();
	(void)close(3);
	(void)close(0);
	if (open("/dev/null", O_RDONLY) != 0)
		give_up();
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)sigaction(SIGCHLD, &act, NULL);
	make_dir(WORK);
	make_dir(OUT);
	make_dir(RUN);
	if (chdir(WORK) != 0)
		give_up();
}

static int
exit_status(uint32_t code)
{
	return (int)(code < EXIT_SIGNAL ? code : code - EXIT_SIGNAL + EXIT_SHELL_SIGNAL);
}

int
main(void)
{
	struct request req;
	uint32_t done[3];

	set_up();
	shell_start();
	frame_send('R', "\001sh", 3);
	for (;;) {
		request_read(&req);
		done[0] = htonl(req.step);
		done[1] = htonl(shell_run(&req));
		done[2] = htonl(files_send(&req));
		frame_send('E', done, sizeof(done));
		if ((req.flags & FLAG_ONE_SHOT) != 0)
			_exit(exit_status(ntohl(done[1])));
		if (shell < 0)
			shell_start();
	}
}

static void
read_full(int fd, void *buf, size_t len, int eof_ok)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = read(fd, (uint8_t *)buf + at, len - at);
		if (n == 0 && at == 0 && eof_ok)
			_exit(0);
		if (n == 0 || (n < 0 && errno != EINTR))
			give_up();
		if (n > 0)
			at += (size_t)n;
	}
}

static void
write_full(int fd, const void *buf, size_t len)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = write(fd, (const uint8_t *)buf + at, len - at);
		if (n < 0 && errno != EINTR)
			give_up();
		if (n > 0)
			at += (size_t)n;
	}
}

static void
frame_send(char type, const void *data, size_t len)
{
	uint8_t head[FRAME_HEAD];
	uint32_t length = htonl((uint32_t)len);

	head[0] = (uint8_t)type;
	memcpy(head + 1, &length, sizeof(length));
	write_full(control_out, head, sizeof(head));
	write_full(control_out, data, len);
}

static uint32_t
frame_read(char *ret_type)
{
	uint8_t head[FRAME_HEAD];
	uint32_t length;

	read_full(control_in, head, sizeof(head), 1);
	memcpy(&length, head + 1, sizeof(length));
	length = ntohl(length);
	if (length > PAYLOAD_MAX)
		give_up();
	read_full(control_in, payload, length, 0);
	*ret_type = (char)head[0];
	return length;
}

static int
file_create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		give_up();
	return fd;
}

static int
work_file_create(uint32_t len)
{
	char path[sizeof(WORK) + NAME_LEN_MAX + 1];

	if (len == 0 || len > NAME_LEN_MAX)
		give_up();
	(void)snprintf(path, sizeof(path), WORK "/%.*s", (int)len, (const char *)payload);
	return file_create(path);
}

static void
run_decode(struct request *req, uint32_t len)
{
	uint32_t field[4];

	if (len != sizeof(field))
		give_up();
	memcpy(field, payload, sizeof(field));
	*req = (struct request){ .step = ntohl(field[0]),
		.flags = ntohl(field[1]),
		.files_max = ntohl(field[2]),
		.bytes_max = ntohl(field[3]) };
}

/* Reads up to and including RUN; code and stdin go to files, since the shell reads them from there.
 */
static void
request_read(struct request *req)
{
	int code = file_create(RUN "/main.sh");
	int stdin_fd = file_create(RUN "/stdin");
	int file = -1;
	char type = 0;

	while (type != 'r') {
		uint32_t len = frame_read(&type);
		if (type == 'f') {
			(void)close(file);
			file = work_file_create(len);
		} else if (type == 'd' && file >= 0) {
			write_full(file, payload, len);
		} else if (type == 'c') {
			write_full(code, payload, len);
		} else if (type == 'i') {
			write_full(stdin_fd, payload, len);
		} else if (type == 'r') {
			run_decode(req, len);
		} else {
			give_up();
		}
	}
	(void)close(file);
	(void)close(code);
	(void)close(stdin_fd);
}

static void
shell_exec(int command, int status)
{
	static const char loop[] =
	    "while IFS= read -r sallyport_step <&9; do eval \"$sallyport_step\"; done";
	sigset_t set;

	/* Both above 9 first, so that neither dup2 overwrites the other. */
	command = fcntl(command, F_DUPFD_CLOEXEC, 10);
	status = fcntl(status, F_DUPFD_CLOEXEC, 10);
	(void)sigemptyset(&set);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	if (setsid() < 0 || dup2(command, SHELL_COMMAND_FD) < 0 ||
	    dup2(status, SHELL_STATUS_FD) < 0)
		_exit(EXIT_PROTOCOL);
	(void)execl("/bin/sh", "sh", "-c", loop, "sh", (char *)NULL);
	_exit(EXIT_PROTOCOL);
}

/*
 * Wait for a line on status_fd or for the end of the shell, reaping others'; DONE's exit code. A
 * signal counts when it ends the shell itself; of its children the shell says 128 + n, as ever.
 */
static uint32_t
shell_wait(void)
{
	struct pollfd ready = { .fd = status_fd, .events = POLLIN };
	char line[8];
	sigset_t none;

	(void)sigemptyset(&none);
	for (;;) {
		int wstatus;
		pid_t pid = waitpid(-1, &wstatus, WNOHANG);
		if (pid == shell) {
			shell = -1;
			return WIFEXITED(wstatus) ? (uint32_t)WEXITSTATUS(wstatus)
						  : EXIT_SIGNAL + (uint32_t)WTERMSIG(wstatus);
		}
		if (pid > 0)
			continue;
		if (ppoll(&ready, 1, NULL, &none) <= 0)
			continue;
		ssize_t n = read(status_fd, line, sizeof(line) - 1);
		if (n <= 0)
			continue;
		line[n] = '\0';
		return (uint32_t)strtoul(line, NULL, 10) & 255;
	}
}

static void
shell_start(void)
{
	static const char probe[] =
	    "exec 0</dev/null; . /dev/null 8>&- 9<&-; { command printf '0\\n' >&8; } 2>/dev/null\n";
	int command[2], status[2];

	(void)close(command_fd);
	(void)close(status_fd);
	if (pipe2(command, O_CLOEXEC) != 0 || pipe2(status, O_CLOEXEC) != 0)
		give_up();
	shell = fork();
	if (shell < 0)
		give_up();
	if (shell == 0)
		shell_exec(command[0], status[1]);
	(void)close(command[0]);
	(void)close(status[1]);
	command_fd = command[1];
	status_fd = status[0];
	write_full(command_fd, probe, sizeof(probe) - 1);
	(void)shell_wait();
}

static uint32_t
shell_run(const struct request *req)
{
	static const char step[] = "exec 0<" RUN "/stdin; . " RUN "/main.sh 8>&- 9<&-; "
				   "{ command printf '%s\\n' \"$?\" >&8; } 2>/dev/null\n";
	static const char script[] = "exec 0<" RUN "/stdin 9<&-; . " RUN "/main.sh 8>&-; exit\n";
	int one_shot = (req->flags & FLAG_ONE_SHOT) != 0;

	if (one_shot)
		write_full(command_fd, script, sizeof(script) - 1);
	else
		write_full(command_fd, step, sizeof(step) - 1);
	return shell_wait();
}

/* Whether this file is new or changed since it was last asked about; remembers it. */
static int
is_news(const char *name, const struct stat *info)
{
	struct seen *entry = NULL;

	for (size_t i = 0; i < seen_len && entry == NULL; i++)
		if (strcmp(seen[i].name, name) == 0)
			entry = &seen[i];
	if (entry == NULL) {
		if (seen_len == FILES_SEEN_MAX)
			return 0;
		entry = &seen[seen_len++];
		(void)snprintf(entry->name, sizeof(entry->name), "%s", name);
	} else if (entry->ino == info->st_ino && entry->size == info->st_size &&
		   entry->mtime.tv_sec == info->st_mtim.tv_sec &&
		   entry->mtime.tv_nsec == info->st_mtim.tv_nsec) {
		return 0;
	}
	entry->ino = info->st_ino;
	entry->size = info->st_size;
	entry->mtime = info->st_mtim;
	return 1;
}

/* At most `size` bytes of an open file, as FILE_DATA. */
static void
content_send(int fd, uint64_t size)
{
	while (size > 0) {
		ssize_t n = read(fd, payload, size < PAYLOAD_MAX ? (size_t)size : PAYLOAD_MAX);
		if (n <= 0)
			return;
		frame_send('D', payload, (size_t)n);
		size -= (uint64_t)n;
	}
}

/* Send what fits; the number of files that did not. */
static uint32_t
files_send(const struct request *req)
{
	struct dirent **entries = NULL;
	uint32_t count = 0, left_out = 0;
	uint64_t left = req->bytes_max;
	int dir = open(OUT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int n = dir < 0 ? 0 : scandir(OUT, &entries, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		struct stat info;
		if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode) ||
		    !is_news(name, &info))
			continue;
		int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || count == req->files_max || (uint64_t)info.st_size > left) {
			left_out++;
		} else {
			frame_send('F', name, strlen(name));
			content_send(fd, (uint64_t)info.st_size);
			count++;
			left -= (uint64_t)info.st_size;
		}
		(void)close(fd);
	}
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	(void)close(dir);
	return left_out;
}
