/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bound.c: the system calls that anything below the supervisor may make.
 *
 * Runs in: supervisor, whose filter its children, the launcher and runsc inherit.
 * Trusts: nothing. Owns: a const table.
 * Invariants: what a leaf's jail allows is in here too; a call that is missing
 * gets ENOSYS. Measured with every runner in runsc, plus what runsc's own
 * filter lists, plus what a process does on its way into its jail.
 * See: filter.c.
 */
#include "internal.h"

#include <seccomp.h>

const int bound_calls[] = { SCMP_SYS(accept4), SCMP_SYS(access), SCMP_SYS(arch_prctl),
	SCMP_SYS(bind), SCMP_SYS(brk), SCMP_SYS(capget), SCMP_SYS(capset), SCMP_SYS(chdir),
	SCMP_SYS(chmod), SCMP_SYS(chown), SCMP_SYS(chroot), SCMP_SYS(clock_getres),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(clone), SCMP_SYS(clone3),
	SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(connect), SCMP_SYS(copy_file_range),
	SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(epoll_create),
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
	SCMP_SYS(epoll_wait), SCMP_SYS(eventfd), SCMP_SYS(eventfd2), SCMP_SYS(execve),
	SCMP_SYS(execveat), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(fadvise64), SCMP_SYS(fallocate), SCMP_SYS(fchdir),
	SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(fchown), SCMP_SYS(fchownat), SCMP_SYS(fcntl),
	SCMP_SYS(fdatasync), SCMP_SYS(fgetxattr), SCMP_SYS(flock), SCMP_SYS(fork),
	SCMP_SYS(fsetxattr), SCMP_SYS(fstat), SCMP_SYS(fstatfs), SCMP_SYS(fsync),
	SCMP_SYS(ftruncate), SCMP_SYS(futex), SCMP_SYS(futex_waitv), SCMP_SYS(get_mempolicy),
	SCMP_SYS(getcpu), SCMP_SYS(getcwd), SCMP_SYS(getdents), SCMP_SYS(getdents64),
	SCMP_SYS(getegid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getgroups),
	SCMP_SYS(getitimer), SCMP_SYS(getpeername), SCMP_SYS(getpgid), SCMP_SYS(getpgrp),
	SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(getpriority), SCMP_SYS(getrandom),
	SCMP_SYS(getresgid), SCMP_SYS(getresuid), SCMP_SYS(getrlimit), SCMP_SYS(getrusage),
	SCMP_SYS(getsid), SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(gettid),
	SCMP_SYS(gettimeofday), SCMP_SYS(getuid), SCMP_SYS(getxattr), SCMP_SYS(ioctl),
	SCMP_SYS(ioprio_set), SCMP_SYS(kill), SCMP_SYS(landlock_add_rule),
	SCMP_SYS(landlock_create_ruleset), SCMP_SYS(landlock_restrict_self), SCMP_SYS(lchown),
	SCMP_SYS(lgetxattr), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(listen),
	SCMP_SYS(listxattr), SCMP_SYS(lseek), SCMP_SYS(lstat), SCMP_SYS(madvise), SCMP_SYS(mbind),
	SCMP_SYS(membarrier), SCMP_SYS(memfd_create), SCMP_SYS(memfd_secret), SCMP_SYS(mincore),
	SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(mmap),
	SCMP_SYS(mount), SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(msync), SCMP_SYS(munlock),
	SCMP_SYS(munmap), SCMP_SYS(name_to_handle_at), SCMP_SYS(nanosleep), SCMP_SYS(newfstatat),
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_send_signal), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(pivot_root),
	SCMP_SYS(pkey_alloc), SCMP_SYS(pkey_free), SCMP_SYS(pkey_mprotect), SCMP_SYS(poll),
	SCMP_SYS(ppoll), SCMP_SYS(prctl), SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(preadv2),
	SCMP_SYS(prlimit64), SCMP_SYS(process_madvise), SCMP_SYS(pselect6), SCMP_SYS(ptrace),
	SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(pwritev2), SCMP_SYS(read),
	SCMP_SYS(readahead), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(readv),
	SCMP_SYS(recvfrom), SCMP_SYS(recvmmsg), SCMP_SYS(recvmsg), SCMP_SYS(rename),
	SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(restart_syscall), SCMP_SYS(rmdir),
	SCMP_SYS(rseq), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigsuspend),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_tgsigqueueinfo), SCMP_SYS(sched_get_priority_max),
	SCMP_SYS(sched_get_priority_min), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getattr),
	SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(sched_setaffinity),
	SCMP_SYS(sched_setattr), SCMP_SYS(sched_setscheduler), SCMP_SYS(sched_yield),
	SCMP_SYS(seccomp), SCMP_SYS(sendfile), SCMP_SYS(sendmmsg), SCMP_SYS(sendmsg),
	SCMP_SYS(sendto), SCMP_SYS(set_mempolicy), SCMP_SYS(set_robust_list),
	SCMP_SYS(set_tid_address), SCMP_SYS(setdomainname), SCMP_SYS(setfsgid), SCMP_SYS(setfsuid),
	SCMP_SYS(setgid), SCMP_SYS(setgroups), SCMP_SYS(sethostname), SCMP_SYS(setitimer),
	SCMP_SYS(setns), SCMP_SYS(setpgid), SCMP_SYS(setpriority), SCMP_SYS(setregid),
	SCMP_SYS(setresgid), SCMP_SYS(setresuid), SCMP_SYS(setreuid), SCMP_SYS(setrlimit),
	SCMP_SYS(setsid), SCMP_SYS(setsockopt), SCMP_SYS(setuid), SCMP_SYS(shutdown),
	SCMP_SYS(sigaltstack), SCMP_SYS(signalfd4), SCMP_SYS(socket), SCMP_SYS(socketpair),
	SCMP_SYS(splice), SCMP_SYS(stat), SCMP_SYS(statfs), SCMP_SYS(statx), SCMP_SYS(symlink),
	SCMP_SYS(symlinkat), SCMP_SYS(sync_file_range), SCMP_SYS(syncfs), SCMP_SYS(sysinfo),
	SCMP_SYS(tee), SCMP_SYS(tgkill), SCMP_SYS(time), SCMP_SYS(timer_create),
	SCMP_SYS(timer_delete), SCMP_SYS(timer_settime), SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_gettime), SCMP_SYS(timerfd_settime), SCMP_SYS(times), SCMP_SYS(tkill),
	SCMP_SYS(truncate), SCMP_SYS(umask), SCMP_SYS(umount2), SCMP_SYS(uname), SCMP_SYS(unlink),
	SCMP_SYS(unlinkat), SCMP_SYS(unshare), SCMP_SYS(utimensat), SCMP_SYS(vfork),
	SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(write), SCMP_SYS(writev) };
const size_t bound_calls_count = sizeof(bound_calls) / sizeof(bound_calls[0]);
