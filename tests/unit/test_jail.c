/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/jail: what is allowed inside, and what is forbidden; each in a fork of its
 * own, since a jail is for good. Needs root.
 */
#include "unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jail/jail.h>

#define TEST_UID 799999
#define DIED_OF_SYS (1000 + SIGSYS)

static const int with_files[] = { SYS_openat, SYS_unlinkat, SYS_renameat, -1 };
static const int with_sockets[] = { SYS_socket, SYS_connect, SYS_bind, -1 };
static const struct jail plain = { .name = "plain", .nofile = 64 };
static const struct jail files = { .name = "files", .syscalls = with_files };
static const struct jail sockets = { .name = "sockets", .syscalls = with_sockets };

static const struct jail code = { .name = "code", .nofile = 64, .code = true };

static char dir[] = "/tmp/jail-test-XXXXXX";

/* The child's exit status; 1000 + signal where one ended it. */
static int
in_jail(const struct jail *j, const struct jail_path *paths, size_t npaths, int (*fn)(void))
{
	int ws;
	pid_t pid = fork();

	if (pid == 0) {
		const char *what;
		struct status st = jail_enter(j, TEST_UID, TEST_UID, paths, npaths, &what);

		if (!is_ok(st))
			_exit(99);
		_exit(fn());
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &ws, 0), pid);
	return WIFSIGNALED(ws) ? 1000 + WTERMSIG(ws) : WEXITSTATUS(ws);
}

/* ---- allowed ---- */
static int
may_work(void)
{
	void *p = malloc(1 << 20);
	char byte = 0;
	int fds[2] = { -1, -1 };

	if (p == NULL || syscall(SYS_getrandom, &byte, 1, 0) != 1)
		return 1;
	free(p);
	if (getuid() != TEST_UID || geteuid() != TEST_UID || getgid() != TEST_UID)
		return 2;
	return pipe(fds) == 0 ? 3 : 0; /* not in the base table */
}

static int
is_locked_down(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == -1 && errno == ENOSYS ? 0 : 1;
}

/* ---- forbidden ---- */
static int
regains_root(void)
{
	return setuid(0) == 0 ? 1 : 2;
}

static int
execs(void)
{
	(void)execl("/bin/true", "true", NULL);
	return 1;
}

static int
forks_by_clone3(void)
{
	return fork() >= 0 ? 1 : 0; /* glibc uses clone: ENOSYS */
}

static int
traces(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 1 : 2;
}

static int
mounts(void)
{
	return mount("none", "/mnt", "tmpfs", 0, NULL) == 0 ? 1 : 2;
}

static int
maps_executable(void)
{
	void *p = mmap(
	    NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED && errno == ENOSYS ? 0 : 1;
}

static int
makes_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0 && errno == ENOSYS ? 0 : 1;
}

static int
opens_by_name(void)
{
	return open("/etc/passwd", O_RDONLY) < 0 && errno == ENOSYS ? 0 : 1;
}

static int
opens_a_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == ENOSYS ? 0 : 1;
}

static int
signals_another(void)
{
	return kill(getppid(), 0) < 0 && errno == ENOSYS ? 0 : 1;
}

static int
uses_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL) == 0 ? 1 : 2;
}

static int
loads_bpf(void)
{
	return syscall(SYS_bpf, 0, NULL, 0) == 0 ? 1 : 2;
}

static const struct {
	const char *what;
	int (*fn)(void);
	int expected;
} rows[] = {
	{ "ordinary work", may_work, 0 },
	{ "prctl is not in the table", is_locked_down, 0 },
	{ "setuid(0)", regains_root, DIED_OF_SYS },
	{ "execve", execs, DIED_OF_SYS },
	{ "fork", forks_by_clone3, 0 },
	{ "ptrace", traces, DIED_OF_SYS },
	{ "mount", mounts, DIED_OF_SYS },
	{ "mmap PROT_EXEC", maps_executable, 0 },
	{ "mprotect PROT_EXEC", makes_executable, 0 },
	{ "open", opens_by_name, 0 },
	{ "socket", opens_a_socket, 0 },
	{ "kill", signals_another, 0 },
	{ "io_uring", uses_io_uring, DIED_OF_SYS },
	{ "bpf", loads_bpf, DIED_OF_SYS },
};

static void
plain_jail_allows_and_forbids(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int got = in_jail(&plain, NULL, 0, rows[i].fn);

		if (got != rows[i].expected)
			print_error("%s: got %d\n", rows[i].what, got);
		assert_int_equal(got, rows[i].expected);
	}
}

/* ---- Landlock, for a process whose table has openat ---- */
static int
reaches_listed_files_only(void)
{
	int fd;
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/a", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1)
		return 1;
	if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
		return 2;
	if (open("/proc/self/mem", O_RDWR) >= 0)
		return 3;
	return open("/tmp/jail-test-other", O_RDWR | O_CREAT, 0600) >= 0 ? 4 : 0;
}

static int
cannot_write_read_only(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/a", dir);
	if (open(path, O_RDONLY) < 0)
		return 1;
	if (open(path, O_RDWR) >= 0 || errno != EACCES)
		return 2;
	(void)snprintf(path, sizeof(path), "%s/b", dir);
	return open(path, O_RDWR | O_CREAT, 0600) >= 0 ? 3 : 0;
}

static void
landlock_opens_listed_paths_only(void **state)
{
	struct jail_path path = { .access = JAIL_READ | JAIL_WRITE };

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chown(dir, TEST_UID, TEST_UID), 0);
	path.fd = open(dir, O_PATH | O_CLOEXEC);
	assert_true(path.fd >= 0);
	assert_int_equal(in_jail(&files, &path, 1, reaches_listed_files_only), 0);
	path.access = JAIL_READ;
	assert_int_equal(in_jail(&files, &path, 1, cannot_write_read_only), 0);
	(void)close(path.fd);
}

/* TCP is forbidden by Landlock where the kernel can (ABI 4), sockets or not. */
static int
connects(void)
{
	static const uint8_t sockaddr[16] = { AF_INET, 0, 0, 9, 127, 0, 0, 1 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		return 1;
	return connect(fd, (const struct sockaddr *)(const void *)sockaddr, sizeof(sockaddr)) < 0 &&
		       (errno == EACCES || errno == ECONNREFUSED)
		   ? errno == EACCES ? 0 : 5
		   : 2;
}

static void
tcp_is_forbidden_where_the_kernel_can(void **state)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);

	(void)state;
	assert_int_equal(in_jail(&sockets, NULL, 0, connects), abi >= 4 ? 0 : 5);
}

/* ---- what the broker has ---- */
static const int broker_calls[] = { SYS_socketpair, SYS_connect, -1 };
static const struct jail outward = {
	.name = "outward", .syscalls = broker_calls, .sockets = true, .tcp_out = true
};

static int
connects_outward(void)
{
	return connects() == 5 ? 0 : 1; /* refused by the other side, not by the jail */
}

static int
makes_sockets_of_the_internet(void)
{
	static const int good[][3] = { { AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0 },
		{ AF_INET6, SOCK_STREAM, IPPROTO_TCP }, { AF_INET, SOCK_DGRAM, 0 },
		{ AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP } };
	int on = 1, fd = -1;

	for (size_t i = 0; i < COUNT(good); i++) {
		fd = socket(good[i][0], good[i][1], good[i][2]);
		if (fd < 0 && errno != EAFNOSUPPORT)
			return (int)i + 1;
	}
	fd = socket(AF_INET, SOCK_STREAM, 0);
	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 ? 0 : 10;
}

static int
makes_no_other_sockets(void)
{
	static const int bad[][2] = { { AF_UNIX, SOCK_STREAM }, { AF_NETLINK, SOCK_RAW },
		{ AF_INET, SOCK_RAW }, { AF_INET6, SOCK_RAW }, { AF_PACKET, SOCK_RAW },
		{ AF_INET, SOCK_SEQPACKET }, { AF_VSOCK, SOCK_STREAM },
		{ AF_ALG, SOCK_SEQPACKET } };
	struct sockaddr_in in = { .sin_family = AF_INET };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	for (size_t i = 0; i < COUNT(bad); i++) {
		if (socket(bad[i][0], bad[i][1], 0) >= 0 || errno != ENOSYS)
			return (int)i + 1;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 || errno != ENOSYS)
		return 20;
	if (bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 || errno != ENOSYS)
		return 21;
	return listen(fd, 1) == 0 || errno != ENOSYS ? 22 : 0;
}

static void
an_outward_jail_connects_and_does_not_listen(void **state)
{
	(void)state;
	assert_int_equal(in_jail(&outward, NULL, 0, connects_outward), 0);
	assert_int_equal(in_jail(&outward, NULL, 0, makes_sockets_of_the_internet), 0);
	assert_int_equal(in_jail(&outward, NULL, 0, makes_no_other_sockets), 0);
}

static void
a_jail_that_cannot_be_entered_is_an_error(void **state)
{
	const struct jail_path nowhere = { .fd = -1, .access = JAIL_READ };

	(void)state;
	assert_int_equal(in_jail(&files, &nowhere, 1, may_work), 99);
}

/* What a slot of the spawner runs: by jail_enter_slot, with its identity as it is. */
static int
in_slot(const struct jail *j, int (*fn)(void))
{
	int ws;
	pid_t pid = fork();

	if (pid == 0) {
		const char *what;

		_exit(is_ok(jail_enter_slot(j, &what)) ? fn() : 99);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &ws, 0), pid);
	return WIFSIGNALED(ws) ? 1000 + WTERMSIG(ws) : WEXITSTATUS(ws);
}

static void *
page(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* xor eax, eax; ret. */
static int
publishes_code(void)
{
	static const unsigned char code_bytes[] = { 0x31, 0xc0, 0xc3 };
	void *p = page();
	int (*fn)(void);

	if (p == NULL)
		return 1;
	memcpy(p, code_bytes, sizeof(code_bytes));
	if (mprotect(p, 4096, PROT_READ | PROT_EXEC) != 0)
		return 2;
	memcpy(&fn, &p, sizeof(fn));
	return fn();
}

/* 0: every other way to executable memory, and files and processes, are closed. */
static int
is_bounded(void)
{
	void *p = page();

	if (mprotect(p, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0 ||
	    mprotect(p, 4096, PROT_EXEC) == 0 ||
	    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		MAP_FAILED)
		return 1;
	if (open("/dev/null", O_RDONLY) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
		return 2;
	return fork() >= 0 ? 3 : 0;
}

static int
publishes_nothing(void)
{
	return mprotect(page(), 4096, PROT_READ | PROT_EXEC) == 0 ? 1 : 0;
}

static void
a_slot_publishes_code_where_its_table_says_so(void **state)
{
	(void)state;
	assert_int_equal(in_slot(&code, publishes_code), 0);
	assert_int_equal(in_slot(&code, is_bounded), 0);
	assert_int_equal(in_slot(&code, execs), DIED_OF_SYS);
	assert_int_equal(in_slot(&plain, publishes_nothing), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_jail_allows_and_forbids),
		cmocka_unit_test(landlock_opens_listed_paths_only),
		cmocka_unit_test(tcp_is_forbidden_where_the_kernel_can),
		cmocka_unit_test(an_outward_jail_connects_and_does_not_listen),
		cmocka_unit_test(a_jail_that_cannot_be_entered_is_an_error),
		cmocka_unit_test(a_slot_publishes_code_where_its_table_says_so),
	};

	if (geteuid() != 0) {
		print_message("needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
