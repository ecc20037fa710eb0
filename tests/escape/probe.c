/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.c: tries to get out of a sandbox by system calls, one line a technique.
 *
 * Runs in: a sandbox, as the user code of a run; static, so that it needs
 * nothing of the image. Each technique is a child of its own: some are killed.
 * A line is technique, tab, expected, tab, seen. Seen is `denied ERRNO`,
 * `allowed`, `contained` (it worked on the sandbox's own kernel and reached
 * nothing) or `killed N`.
 * See: run.py, which judges the lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NEXIT_DENIED 0 /* plus errno in a pipe */
#define NEXIT_ALLOWED 1
#define NEXIT_CONTAINED 2
#define X32_BIT 0x40000000L
#define LINES 4096

static char scratch[LINES];

/* ---- one function where a plain call does not do ---- */

static long
drop_into_userns(void)
{
	long rc = unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID);

	if (rc != 0)
		return rc;
	/* Root of an own namespace of the sandbox's own kernel: what does the host lose? */
	if (mount("/dev/vda", "/mnt", "ext4", 0, NULL) == 0 ||
	    mount("/dev/sda1", "/mnt", "ext4", 0, NULL) == 0 || open("/dev/mem", O_RDWR) >= 0 ||
	    chroot("/proc/1/root/../..") == 0 || syscall(SYS_init_module, scratch, 1L, "") == 0)
		return 0;
	return -2;
}

static long
dirty_pipe(void)
{
	int pipes[2], fd = open("/etc/passwd", O_RDONLY);
	char before[16] = { 0 }, after[16] = { 0 };
	loff_t off = 1;

	if (fd < 0 || pipe(pipes) != 0)
		return -1;
	(void)!pread(fd, before, sizeof(before), 0);
	for (int i = 0; i < 16; i++)
		(void)!write(pipes[1], scratch, 4096);
	for (int i = 0; i < 16; i++)
		(void)!read(pipes[0], scratch, 4096);
	if (splice(fd, &off, pipes[1], NULL, 1, 0) < 0)
		return -1;
	(void)!write(pipes[1], "XXXX", 4);
	(void)!pread(fd, after, sizeof(after), 0);
	errno = EPERM;
	return memcmp(before, after, sizeof(before)) == 0 ? -1 : 0;
}

static long
dirty_cow(void)
{
	int fd = open("/etc/passwd", O_RDONLY), mem = open("/proc/self/mem", O_RDWR);
	char after[4] = { 0 };
	char *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	if (map == MAP_FAILED || mem < 0)
		return -1;
	if (pwrite(mem, "XXXX", 4, (off_t)(uintptr_t)map) < 0)
		return -1;
	(void)!pread(fd, after, sizeof(after), 0);
	errno = EPERM;
	return memcmp(after, "XXXX", 4) == 0 ? 0 : -1;
}

static long
overwrite_python(void)
{
	int fd = open("/usr/bin/python3", O_WRONLY);

	return fd < 0 ? -1 : write(fd, "X", 1);
}

static long
overwrite_runner(void)
{
	int fd = open("/proc/1/exe", O_WRONLY | O_TRUNC);

	return fd < 0 ? -1 : 0;
}

static long
open_for(const char *path, int flags)
{
	int fd = open(path, flags);

	return fd;
}

static long
full_capset(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { ~0U, ~0U, ~0U }, { ~0U, ~0U, ~0U } };

	return syscall(SYS_capset, &head, data);
}

static long
any_capability(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

	if (syscall(SYS_capget, &head, data) != 0)
		return -1;
	errno = EPERM;
	for (int cap = 0; cap < 41; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			return 0;
	}
	return (data[0].permitted | data[1].permitted | data[0].effective) != 0 ? 0 : -1;
}

static long
new_privileges(void)
{
	errno = EPERM;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? -1 : 0;
}

static long
int80(void)
{
#ifdef __x86_64__
	long rc;

	/* i386's mkdir; the 64-bit table has something else at this number. */
	__asm__ volatile("int $0x80" : "=a"(rc) : "a"(39L), "b"(0L), "c"(0L) : "memory");
	errno = rc < 0 ? (int)-rc : 0;
	return rc < 0 ? -1 : 0;
#else
	errno = ENOSYS;
	return -1;
#endif
}

static long
attach_to(pid_t pid)
{
	return ptrace(PTRACE_ATTACH, pid, NULL, NULL);
}

static long
make_device(unsigned major, unsigned minor)
{
	return mknod("/tmp/device", S_IFCHR | 0666, makedev(major, minor));
}

static long
core_size(void)
{
	errno = EPERM;
	return open_for("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static long
stack_of_kernel(void)
{
	return open_for("/proc/kcore", O_RDONLY);
}

static long
set_clock(void)
{
	struct timespec ts = { 1, 0 };

	return clock_settime(CLOCK_REALTIME, &ts);
}

static long
too_many_files(void)
{
	for (int i = 0; i < 100000; i++) {
		if (open("/dev/null", O_RDONLY) < 0)
			return -1;
	}
	return 0;
}

static long
signal_everyone(void)
{
	/* Everybody that can be seen; the neighbours and the host must not notice. */
	return kill(-1, 0) == 0 ? -2 : -1;
}

struct technique {
	const char *name;
	const char *expected; /* a prefix of what may be seen; alternatives by '|' */
	long (*fn)(void);
	long call; /* else a plain call */
	long args[6];
};

#define P(x) ((long)(uintptr_t)(x))
#define CALL(nr, ...)       \
	NULL, nr,           \
	{                   \
		__VA_ARGS__ \
	}

static long
try_mem(void)
{
	return open_for("/dev/mem", O_RDWR);
}
static long
try_kvm(void)
{
	return open_for("/dev/kvm", O_RDWR);
}
static long
try_fuse(void)
{
	char options[64];
	int fd = open("/dev/fuse", O_RDWR);

	if (fd < 0)
		return -1;
	(void)snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	return mount("fuse", "/tmp", "fuse", 0, options);
}
static long
try_loop(void)
{
	return open_for("/dev/loop-control", O_RDWR);
}
static long
try_vsock_dev(void)
{
	return open_for("/dev/vsock", O_RDWR);
}
static long
try_sysrq(void)
{
	return open_for("/proc/sysrq-trigger", O_WRONLY);
}
static long
try_uevent(void)
{
	return open_for("/sys/kernel/uevent_helper", O_WRONLY);
}
static long
try_modprobe(void)
{
	return open_for("/proc/sys/kernel/modprobe", O_WRONLY);
}
static long
try_root(void)
{
	return open("/owned", O_WRONLY | O_CREAT, 0600);
}
static long
try_etc(void)
{
	return open_for("/etc/passwd", O_WRONLY);
}
static long
try_shadow(void)
{
	return open_for("/etc/shadow", O_RDONLY);
}
static long
try_mknod_mem(void)
{
	return make_device(1, 1);
}
static long
try_mknod_disk(void)
{
	return make_device(8, 0);
}
static long
try_ptrace_1(void)
{
	return attach_to(1);
}
static long
try_ptrace_parent(void)
{
	return attach_to(99999);
}
static long
try_release(void)
{
	return open_for("/sys/fs/cgroup/release_agent", O_WRONLY);
}
static long
try_iopl(void)
{
	return syscall(SYS_iopl, 3L);
}

static const struct technique techniques[] = {
	{ "identity: setuid 0", "denied", CALL(SYS_setuid, 0) },
	{ "identity: setresuid 0", "denied", CALL(SYS_setresuid, 0, 0, 0) },
	{ "identity: setgid 0", "denied", CALL(SYS_setgid, 0) },
	{ "identity: setgroups", "denied", CALL(SYS_setgroups, 1, P(scratch)) },
	{ "identity: capset all", "denied", full_capset },
	{ "identity: any capability", "denied", any_capability },
	{ "identity: new privileges possible", "denied", new_privileges },
	{ "keyring: add_key", "denied", CALL(SYS_add_key, P("user"), P("k"), P("v"), 1, -4) },
	{ "keyring: keyctl join session", "denied|contained|allowed", CALL(SYS_keyctl, 1, 0) },
	{ "keyring: request_key", "denied", CALL(SYS_request_key, P("user"), P("k"), 0, 0) },
	{ "files: create in /", "denied", try_root },
	{ "files: write /etc/passwd", "denied", try_etc },
	{ "files: read /etc/shadow", "denied", try_shadow },
	{ "files: overwrite the interpreter", "denied", overwrite_python },
	{ "files: overwrite the runner", "denied", overwrite_runner },
	{ "files: dirty pipe", "denied", dirty_pipe },
	{ "files: dirty cow", "denied", dirty_cow },
	{ "mount: tmpfs", "denied", CALL(SYS_mount, P("t"), P("/tmp"), P("tmpfs"), 0, 0) },
	{ "mount: remount / writable", "denied",
	    CALL(SYS_mount, 0, P("/"), 0, MS_REMOUNT | MS_BIND, 0) },
	{ "mount: bind /proc", "denied", CALL(SYS_mount, P("/proc"), P("/tmp"), 0, MS_BIND, 0) },
	{ "mount: umount /proc", "denied", CALL(SYS_umount2, P("/proc"), 0) },
	{ "mount: pivot_root", "denied", CALL(SYS_pivot_root, P("/tmp"), P("/tmp")) },
	{ "mount: chroot", "denied", CALL(SYS_chroot, P("/tmp")) },
	{ "mount: fsopen", "denied", CALL(430, P("ext4"), 0) },
	{ "mount: open_tree", "denied", CALL(428, AT_FDCWD, P("/"), 1) },
	{ "mount: move_mount", "denied", CALL(429, AT_FDCWD, P("/tmp"), AT_FDCWD, P("/"), 0) },
	{ "mount: mount_setattr", "denied", CALL(442, AT_FDCWD, P("/"), 0, P(scratch), 32) },
	{ "device: mknod mem", "denied", try_mknod_mem },
	{ "device: mknod disk", "denied", try_mknod_disk },
	{ "device: /dev/mem", "denied", try_mem },
	{ "device: /dev/kvm", "denied", try_kvm },
	{ "device: mount through /dev/fuse", "denied", try_fuse },
	{ "device: /dev/loop-control", "denied", try_loop },
	{ "device: /dev/vsock", "denied", try_vsock_dev },
	{ "device: iopl", "denied", try_iopl },
	{ "device: ioperm", "denied", CALL(SYS_ioperm, 0, 16, 1) },
	{ "proc: sysrq-trigger", "denied", try_sysrq },
	{ "proc: core_pattern", "denied", core_size },
	{ "proc: modprobe", "denied", try_modprobe },
	{ "proc: kcore", "denied", stack_of_kernel },
	{ "sys: uevent_helper", "denied", try_uevent },
	{ "sys: cgroup release_agent", "denied", try_release },
	{ "kernel: unshare user+mount+pid", "denied|contained", drop_into_userns },
	{ "kernel: setns 1", "denied", CALL(SYS_setns, 0, 0) },
	{ "kernel: bpf", "denied", CALL(SYS_bpf, 0, P(scratch), 72) },
	{ "kernel: perf_event_open", "denied",
	    CALL(SYS_perf_event_open, P(scratch), 0, -1, -1, 0) },
	{ "kernel: io_uring_setup", "denied", CALL(SYS_io_uring_setup, 8, P(scratch)) },
	{ "kernel: userfaultfd", "denied", CALL(SYS_userfaultfd, 0) },
	{ "kernel: init_module", "denied", CALL(SYS_init_module, P(scratch), 1, P("")) },
	{ "kernel: finit_module", "denied", CALL(SYS_finit_module, 0, P(""), 0) },
	{ "kernel: delete_module", "denied", CALL(SYS_delete_module, P("x"), 0) },
	{ "kernel: kexec_load", "denied", CALL(SYS_kexec_load, 0, 0, 0, 0) },
	{ "kernel: open_by_handle_at", "denied", CALL(SYS_open_by_handle_at, 3, P(scratch), 0) },
	{ "kernel: memfd_secret", "denied", CALL(447, 0) },
	{ "kernel: landlock", "denied|allowed", CALL(444, 0, 0, 1) },
	{ "kernel: modify_ldt", "denied", CALL(SYS_modify_ldt, 1, P(scratch), 16) },
	{ "kernel: vhangup", "denied", CALL(SYS_vhangup) },
	{ "kernel: swapon", "denied", CALL(SYS_swapon, P("/tmp/x"), 0) },
	{ "kernel: reboot", "denied", CALL(SYS_reboot, 0xfee1dead, 672274793, 0x1234567, 0) },
	{ "kernel: acct", "denied", CALL(SYS_acct, P("/tmp/x")) },
	{ "kernel: quotactl", "denied", CALL(SYS_quotactl, 0, P("/"), 0, 0) },
	{ "kernel: sethostname", "denied", CALL(SYS_sethostname, P("x"), 1) },
	{ "kernel: set the clock", "denied", set_clock },
	{ "kernel: adjtimex", "denied", CALL(SYS_adjtimex, P(scratch)) },
	{ "kernel: x32 entry", "denied|killed", CALL(X32_BIT | SYS_getpid) },
	{ "kernel: i386 entry", "denied|killed", int80 },
	{ "processes: ptrace a stranger", "denied", try_ptrace_parent },
	{ "processes: ptrace the first", "denied|allowed", try_ptrace_1 },
	{ "processes: process_vm_readv a stranger", "denied",
	    CALL(SYS_process_vm_readv, 99999, P(scratch), 1, P(scratch), 1, 0) },
	{ "processes: signal everyone", "denied|contained", signal_everyone },
	{ "processes: a thousand descriptors and more", "denied EMFILE", too_many_files },
	{ "socket: AF_PACKET", "denied", CALL(SYS_socket, AF_PACKET, SOCK_RAW, 0) },
	{ "socket: raw ICMP", "denied", CALL(SYS_socket, AF_INET, SOCK_RAW, 1) },
	{ "socket: raw IP", "denied", CALL(SYS_socket, AF_INET, SOCK_RAW, 255) },
	{ "socket: AF_VSOCK", "denied", CALL(SYS_socket, 40, SOCK_STREAM, 0) },
	{ "socket: AF_ALG", "denied", CALL(SYS_socket, 38, SOCK_SEQPACKET, 0) },
	{ "socket: AF_BLUETOOTH", "denied", CALL(SYS_socket, 31, SOCK_RAW, 0) },
	{ "socket: AF_XDP", "denied", CALL(SYS_socket, 44, SOCK_RAW, 0) },
	{ "socket: netfilter", "denied", CALL(SYS_socket, AF_NETLINK, SOCK_RAW, 12) },
	{ "socket: kobject uevents", "denied|allowed", CALL(SYS_socket, AF_NETLINK, SOCK_RAW, 15) },
};

static long
run(const struct technique *t)
{
	if (t->fn != NULL)
		return t->fn();
	return syscall(
	    t->call, t->args[0], t->args[1], t->args[2], t->args[3], t->args[4], t->args[5]);
}

static void
attempt(const struct technique *t)
{
	int pipes[2], wait_status = 0, err = 0;
	pid_t pid;

	if (pipe(pipes) != 0 || (pid = fork()) < 0) {
		(void)printf("%s\t%s\tnot tried\n", t->name, t->expected);
		return;
	}
	if (pid == 0) {
		long rc = run(t);

		err = errno;
		(void)!write(pipes[1], &err, sizeof(err));
		_exit(rc == -2 ? NEXIT_CONTAINED : rc < 0 ? NEXIT_DENIED : NEXIT_ALLOWED);
	}
	(void)close(pipes[1]);
	(void)!read(pipes[0], &err, sizeof(err));
	(void)waitpid(pid, &wait_status, 0);
	(void)close(pipes[0]);
	if (WIFSIGNALED(wait_status))
		(void)printf("%s\t%s\tkilled %d\n", t->name, t->expected, WTERMSIG(wait_status));
	else if (WEXITSTATUS(wait_status) == NEXIT_DENIED)
		(void)printf("%s\t%s\tdenied %s\n", t->name, t->expected, strerrorname_np(err));
	else
		(void)printf("%s\t%s\t%s\n", t->name, t->expected,
		    WEXITSTATUS(wait_status) == NEXIT_ALLOWED ? "allowed" : "contained");
	(void)fflush(stdout);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(techniques) / sizeof(techniques[0]); i++)
		attempt(&techniques[i]);
	return 0;
}
