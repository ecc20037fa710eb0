/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the place of wasm-run and wasm-compile: does what the first byte on descriptor 0
 * says, and tells what it can reach. Static, as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <netinet/in.h>

extern char **environ;
static char text[4096];

static void
put(const char *name, long value)
{
	size_t len = strlen(text);

	(void)snprintf(text + len, sizeof(text) - len, "%s=%ld\n", name, value);
}

static void
put_errno(const char *name, long rc)
{
	put(name, rc < 0 ? errno : 0);
}

static void
report(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(80) };
	struct rlimit core = { 1, 1 };
	int fds = 0, bounding = 0;

	(void)syscall(SYS_capget, &head, data);
	for (int cap = 0; cap < 64; cap++)
		bounding += prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1;
	for (int fd = 0; fd < 1024; fd++)
		fds += fcntl(fd, F_GETFD) >= 0;
	(void)getrlimit(RLIMIT_CORE, &core);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	put("pid", getpid());
	put("uid", getuid());
	put("gid", getgid());
	put("groups", getgroups(0, NULL));
	put("caps", (long)(data[0].permitted | data[0].effective | data[0].inheritable |
			   data[1].permitted));
	put("bounding", bounding);
	put("nnp", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	put("fds", fds);
	put("core", (long)core.rlim_max);
	put("environ", environ[0] != NULL);
	put_errno("setuid", setuid(0));
	put_errno("create", open("/x", O_CREAT | O_WRONLY, 0600));
	put_errno("proc", open("/proc/self/status", O_RDONLY));
	put_errno("etc", open("/etc/passwd", O_RDONLY));
	put_errno("dev", open("/dev/null", O_RDONLY));
	put_errno("parent", open("/../..", O_RDONLY | O_PATH | O_NOFOLLOW));
	put_errno("mount", mount("t", "/", "tmpfs", 0, NULL));
	put_errno("remount", mount(NULL, "/", NULL, MS_REMOUNT, NULL));
	put_errno("connect",
	    connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof(to)));
	put_errno("kill", kill(2, 9));
	put_errno("exec", execl("/proc/self/exe", "x", (char *)NULL));
}

static void
greedy(void)
{
	const size_t step = 16U << 20;

	for (;;) {
		char *p = malloc(step);

		if (p == NULL)
			_exit(9);
		memset(p, 1, step);
		__asm__ volatile("" : : "r"(p) : "memory"); /* it is used, however odd */
	}
}

int
main(int argc, char **argv)
{
	int run = argc == 1 && strcmp(argv[0], "wasm-run") == 0;
	char mode = 0;
	int children = 0;

	if (read(0, &mode, 1) != 1)
		return 7;
	if (mode == 'r')
		report();
	if (mode == 'm')
		greedy();
	if (mode == 'c')
		*(volatile int *)0 = 1;
	while (mode == 's')
		continue;
	if (mode == 'f') {
		pid_t pid;

		while (children < 1000 && (pid = fork()) >= 0) {
			if (pid == 0)
				for (;;)
					(void)pause();
			children++;
		}
		put("children", children);
	}
	if (mode == 'b' && ftruncate(1, 1L << 30) != 0)
		put_errno("truncate", -1);
	(void)!write(run ? 0 : 1, text, strlen(text));
	if (!run)
		(void)!write(2, "a line\n", 7);
	return mode == 'e' ? 3 : 0;
}
