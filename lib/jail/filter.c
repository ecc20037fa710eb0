/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.c: which system calls a process may make.
 *
 * Runs in: every process, once, as the last step of its jail.
 * Trusts: its tables. Owns: nothing afterwards; the kernel keeps the filter.
 * Invariants: an unknown or newer call gets ENOSYS; one that only an attacker
 * would make kills the process; no memory becomes executable, but where a process's
 * table says that it loads code.
 * See: jail/jail.h; seccomp(2); sandbox-seccomp-filter.c of OpenSSH for the form.
 */
#include "internal.h"

#include <netinet/in.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* What every process needs to serve its loop, its links and its end. */
static const int base_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(lseek),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(mlock),
	SCMP_SYS(munlock),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(sched_yield),
	SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(dup),
};

/* Calls that no process of ours ever makes: whoever does is not ours any more. */
static const int killed_always[] = {
	SCMP_SYS(bpf),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(reboot),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(acct),
	SCMP_SYS(quotactl),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(lookup_dcookie),
	SCMP_SYS(fanotify_init),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(vhangup),
};

/* The same, but not for the supervisor, from which runsc descends (bound.c). */
static const int killed_in_leaves[] = {
	SCMP_SYS(ptrace),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(move_mount),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsmount),
	SCMP_SYS(open_tree),
	SCMP_SYS(personality),
	SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(setgroups),
	SCMP_SYS(setresuid),
	SCMP_SYS(setresgid),
	SCMP_SYS(mknod),
	SCMP_SYS(mknodat),
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool
allows(const struct jail *j, int call)
{
	for (const int *c = j->syscalls; c != NULL && *c != -1; c++) {
		if (*c == call)
			return true;
	}
	return false;
}

static int
add_rules(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n, const struct jail *skip)
{
	for (size_t i = 0; i < n; i++) {
		int rc;

		if (calls[i] < 0 || (skip != NULL && allows(skip, calls[i])))
			continue; /* not on this architecture, or this process's table has it */
		rc = seccomp_rule_add(ctx, action, calls[i], 0);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Memory that can be written and then run is what an exploit wants. */
static int
add_memory_rules(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp not_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_exec);

	if (rc < 0)
		return rc;
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, not_exec);
}

/* Readable and executable, never writable: how an engine publishes what it wrote before. */
static int
add_code_rule(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp run = SCMP_A2(SCMP_CMP_EQ, PROT_READ | PROT_EXEC);

	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, run);
}

/* abort() of our own process; nobody else's. */
static int
add_self_kill(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp self = {
		.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid()
	};

	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &self);
}

/* libuv makes a descriptor non-blocking by this one request of ioctl(2). */
static int
add_nonblock_ioctl(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp nonblock = { .arg = 1, .op = SCMP_CMP_EQ, .datum_a = FIONBIO };

	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, &nonblock);
}

/*
 * Sockets of the internet: TCP, and UDP for DNS; no raw ones, no netlink. Of their options those of
 * TCP alone.
 */
static int
add_socket_rules(scmp_filter_ctx ctx)
{
	static const int families[] = { AF_INET, AF_INET6 }, types[] = { SOCK_STREAM, SOCK_DGRAM };
	const struct scmp_arg_cmp tcp = SCMP_A1(SCMP_CMP_EQ, IPPROTO_TCP);
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 1, tcp);

	for (size_t i = 0; i < COUNT(families) && rc == 0; i++) {
		for (size_t t = 0; t < COUNT(types) && rc == 0; t++)
			rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
			    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]),
			    SCMP_A1(SCMP_CMP_MASKED_EQ,
				~(scmp_datum_t)(SOCK_NONBLOCK | SOCK_CLOEXEC),
				(scmp_datum_t)types[t]));
	}
	return rc;
}

static int
add_leaf_rules(scmp_filter_ctx ctx, const struct jail *j)
{
	size_t n = 0;
	int rc;

	while (j->syscalls != NULL && j->syscalls[n] != -1)
		n++;
	if ((rc = add_rules(ctx, SCMP_ACT_ALLOW, base_calls, COUNT(base_calls), j)) < 0)
		return rc;
	if (n > 0 && (rc = add_rules(ctx, SCMP_ACT_ALLOW, j->syscalls, n, NULL)) < 0)
		return rc;
	if (!allows(j, SCMP_SYS(mmap)) && (rc = add_memory_rules(ctx)) < 0)
		return rc;
	if (j->code && (rc = add_code_rule(ctx)) < 0)
		return rc;
	if (!allows(j, SCMP_SYS(tgkill)) && (rc = add_self_kill(ctx)) < 0)
		return rc;
	if (!allows(j, SCMP_SYS(ioctl)) && (rc = add_nonblock_ioctl(ctx)) < 0)
		return rc;
	if (j->sockets && (rc = add_socket_rules(ctx)) < 0)
		return rc;
	return add_rules(ctx, SCMP_ACT_KILL_PROCESS, killed_in_leaves, COUNT(killed_in_leaves), j);
}

struct status
filter_load(const struct jail *j, const char **ret_what)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int rc;

	*ret_what = "seccomp filter";
	if (ctx == NULL)
		return fail(E_NOMEM);
	rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		rc = add_rules(ctx, SCMP_ACT_KILL_PROCESS, killed_always, COUNT(killed_always), j);
	if (rc == 0)
		rc = j->is_supervisor
			 ? add_rules(ctx, SCMP_ACT_ALLOW, bound_calls, bound_calls_count, NULL)
			 : add_leaf_rules(ctx, j);
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc == 0)
		return OK;
	errno = -rc;
	return fail_errno();
}
