/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.c: make, limit, weigh, kill and remove the control groups of slots.
 *
 * Runs in: the launcher, as root.
 * Trusts: slot numbers and limits (checked by the spawner).
 * Owns: sallyport-<instance> and everything below it, in each controller.
 * Invariants: nothing outside that folder is ever touched; every wait is bounded.
 * See: cgroup.h; cgroup_text.c for what the files say.
 */
#include "cgroup.h"

#include <base/cleanup.h>
#include <base/io.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIDS_TEXT_MAX (64U << 10)

/* Weights of background and foreground: v1 cpu.shares, v2 cpu.weight. */
static const char *const weights[2][2] = { { "256", "1024" }, { "25", "100" } };
static const char *const weight_files[2] = { "cpu.shares", "cpu.weight" };

static struct status path_of(const struct cgroups *cg, enum cgroup_ctl ctl, uint32_t slot,
    const char *file, char out[CGROUP_PATH_MAX]);
static struct status group_path(
    const struct cgroups *cg, enum cgroup_ctl ctl, const char *file, char out[CGROUP_PATH_MAX]);
static struct status write_text(const char *path, const char *text);
static struct status write_slot(
    const struct cgroups *cg, enum cgroup_ctl ctl, uint32_t slot, const char *file, uint64_t value);
static struct status read_slot(const struct cgroups *cg, enum cgroup_ctl ctl, uint32_t slot,
    const char *file, struct buf *out);
static struct status make_dir(const char *path);
static struct status sweep_dir(const struct cgroups *cg, enum cgroup_ctl ctl);
static struct status end_slot(const struct cgroups *cg, uint32_t slot);

struct status
cgroups_open(const struct cgroups *cg)
{
	char path[CGROUP_PATH_MAX];

	if (cg->v2) {
		/* May be enabled already, and may be refused where it is: the next write decides.
		 */
		if (snprintf(path, sizeof(path), "%s/cgroup.subtree_control", cg->mount[0]) >=
		    (int)sizeof(path))
			return fail(E_RANGE);
		(void)!is_ok(write_text(path, "+memory +pids +cpu"));
	}
	for (size_t i = 0; i < cg->ndirs; i++) {
		TRY(group_path(cg, cg->dirs[i], "", path));
		TRY(make_dir(path));
	}
	if (cg->v2) {
		TRY(group_path(cg, CGROUP_MEMORY, "cgroup.subtree_control", path));
		TRY(write_text(path, "+memory +pids +cpu"));
	}
	cgroups_weigh(cg, false);
	return OK;
}

struct status
cgroups_sweep(const struct cgroups *cg)
{
	for (size_t i = 0; i < cg->ndirs; i++)
		TRY(sweep_dir(cg, cg->dirs[i]));
	return OK;
}

struct status
cgroups_close(const struct cgroups *cg)
{
	char path[CGROUP_PATH_MAX];

	TRY(cgroups_sweep(cg));
	for (size_t i = 0; i < cg->ndirs; i++) {
		TRY(group_path(cg, cg->dirs[i], "", path));
		if (rmdir(path) != 0 && errno != ENOENT)
			return fail_errno();
	}
	return OK;
}

void
cgroups_weigh(const struct cgroups *cg, bool foreground)
{
	char path[CGROUP_PATH_MAX];

	if (is_ok(group_path(cg, CGROUP_CPU, weight_files[cg->v2], path)))
		(void)!is_ok(write_text(path, weights[cg->v2][foreground]));
}

static struct status
sweep_dir(const struct cgroups *cg, enum cgroup_ctl ctl)
{
	char path[CGROUP_PATH_MAX];
	const struct dirent *entry;
	uint64_t slot;
	DIR *dir;

	TRY(group_path(cg, ctl, "", path));
	dir = opendir(path);
	if (dir == NULL)
		return errno == ENOENT ? OK : fail_errno();
	while ((entry = readdir(dir)) != NULL) {
		struct span name = span_str(entry->d_name);

		if (!span_starts(name, SPAN_LIT("slot-")) ||
		    !is_ok(span_u64(span_from(name, 5), UINT32_MAX, &slot)))
			continue;
		if (!is_ok(end_slot(cg, (uint32_t)slot))) {
			(void)closedir(dir);
			return fail(E_TIMEOUT);
		}
	}
	(void)closedir(dir);
	return OK;
}

static struct status
end_slot(const struct cgroups *cg, uint32_t slot)
{
	for (int i = 0; i < CGROUP_KILL_ROUNDS; i++) {
		if (!cgroup_kill(cg, slot) && is_ok(cgroup_remove(cg, slot)))
			return OK;
		(void)usleep(CGROUP_KILL_WAIT_US);
	}
	return fail(E_TIMEOUT);
}

struct status
cgroup_make(const struct cgroups *cg, uint32_t slot, const struct cgroup_limits *limits)
{
	char path[CGROUP_PATH_MAX];

	for (size_t i = 0; i < cg->ndirs; i++) {
		TRY(path_of(cg, cg->dirs[i], slot, "", path));
		if (mkdir(path, 0755) != 0)
			return errno == EEXIST ? fail(E_EXISTS) : fail_errno();
	}
	TRY(cgroup_set_memory(cg, slot, limits->memory_mb));
	return write_slot(cg, CGROUP_PIDS, slot, "pids.max", limits->pids);
}

struct status
cgroup_set_memory(const struct cgroups *cg, uint32_t slot, uint32_t memory_mb)
{
	const uint64_t bytes = (uint64_t)memory_mb << 20;

	if (cg->v2) {
		TRY(write_slot(cg, CGROUP_MEMORY, slot, "memory.max", bytes));
		/* Without swap accounting the file is missing, and so is the need. */
		(void)!is_ok(write_slot(cg, CGROUP_MEMORY, slot, "memory.swap.max", 0));
		return write_slot(cg, CGROUP_MEMORY, slot, "memory.oom.group", 1);
	}
	TRY(write_slot(cg, CGROUP_MEMORY, slot, "memory.limit_in_bytes", bytes));
	(void)!is_ok(write_slot(cg, CGROUP_MEMORY, slot, "memory.memsw.limit_in_bytes", bytes));
	return OK;
}

struct status
cgroup_enter(const struct cgroups *cg, uint32_t slot, pid_t pid)
{
	if (cg->v2)
		return OK;
	for (size_t i = 0; i < cg->ndirs; i++)
		TRY(write_slot(cg, cg->dirs[i], slot, "cgroup.procs", (uint64_t)pid));
	return OK;
}

int
cgroup_fd(const struct cgroups *cg, uint32_t slot)
{
	char path[CGROUP_PATH_MAX];

	if (!cg->v2 || !is_ok(path_of(cg, CGROUP_MEMORY, slot, "", path)))
		return -1;
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void
cgroup_weigh(const struct cgroups *cg, uint32_t slot, bool foreground)
{
	char path[CGROUP_PATH_MAX];

	if (is_ok(path_of(cg, CGROUP_CPU, slot, weight_files[cg->v2], path)))
		(void)!is_ok(write_text(path, weights[cg->v2][foreground]));
}

struct status
cgroup_open_stats(const struct cgroups *cg, uint32_t slot, int *ret_cpu, int *ret_memory)
{
	const char *cpu_file = cg->v2 ? "cpu.stat" : "cpuacct.usage";
	const char *memory_file = cg->v2 ? "memory.events" : "memory.oom_control";
	char path[CGROUP_PATH_MAX];
	auto_fd int cpu = -1;
	int memory;

	TRY(path_of(cg, CGROUP_CPUACCT, slot, cpu_file, path));
	cpu = open(path, O_RDONLY | O_CLOEXEC);
	if (cpu < 0)
		return fail_errno();
	TRY(path_of(cg, CGROUP_MEMORY, slot, memory_file, path));
	memory = open(path, O_RDONLY | O_CLOEXEC);
	if (memory < 0)
		return fail_errno();
	*ret_cpu = fd_take(&cpu);
	*ret_memory = memory;
	return OK;
}

void
cgroup_stats(const struct cgroups *cg, uint32_t slot, struct cgroup_stats *ret)
{
	auto_buf struct buf text = BUF_INIT(CGROUP_FILE_MAX);
	const char *cpu_file = cg->v2 ? "cpu.stat" : "cpuacct.usage";
	const char *memory_file = cg->v2 ? "memory.events" : "memory.oom_control";
	uint64_t hits = 0;

	*ret = (struct cgroup_stats){ .cpu_us = 0 };
	if (is_ok(read_slot(cg, CGROUP_CPUACCT, slot, cpu_file, &text)))
		ret->cpu_us = cgroup_cpu_us(buf_span(&text));
	buf_clear(&text);
	if (is_ok(read_slot(cg, CGROUP_MEMORY, slot, memory_file, &text)))
		ret->oom = cgroup_oom(buf_span(&text));
	buf_clear(&text);
	if (is_ok(read_slot(cg, CGROUP_PIDS, slot, "pids.events", &text)))
		ret->pids_hit = cgroup_value(buf_span(&text), "max", &hits) && hits > 0;
}

bool
cgroup_kill(const struct cgroups *cg, uint32_t slot)
{
	auto_buf struct buf text = BUF_INIT(PIDS_TEXT_MAX);
	bool any = false;

	if (cg->v2)
		(void)!is_ok(write_slot(cg, CGROUP_MEMORY, slot, "cgroup.kill", 1));
	if (!is_ok(read_slot(cg, CGROUP_PIDS, slot, "cgroup.procs", &text)))
		return false;
	for (struct span left = buf_span(&text); left.len > 0;) {
		const uint8_t *nl = memchr(left.ptr, '\n', left.len);
		size_t len = nl == NULL ? left.len : (size_t)(nl - left.ptr);
		uint64_t pid = 0;

		if (is_ok(span_u64(span_of(left.ptr, len), INT32_MAX, &pid)) && pid > 1) {
			(void)kill((pid_t)pid, SIGKILL);
			any = true;
		}
		left = span_from(left, len + 1);
	}
	return any;
}

struct status
cgroup_remove(const struct cgroups *cg, uint32_t slot)
{
	char path[CGROUP_PATH_MAX];

	for (size_t i = 0; i < cg->ndirs; i++) {
		TRY(path_of(cg, cg->dirs[i], slot, "", path));
		if (rmdir(path) != 0 && errno != ENOENT)
			return errno == EBUSY ? fail(E_AGAIN) : fail_errno();
	}
	return OK;
}

static struct status
group_path(
    const struct cgroups *cg, enum cgroup_ctl ctl, const char *file, char out[CGROUP_PATH_MAX])
{
	int n = snprintf(out, CGROUP_PATH_MAX, "%s/%s/%s", cg->mount[ctl], cg->group, file);

	return n < CGROUP_PATH_MAX ? OK : fail(E_RANGE);
}

static struct status
path_of(const struct cgroups *cg, enum cgroup_ctl ctl, uint32_t slot, const char *file,
    char out[CGROUP_PATH_MAX])
{
	int n = snprintf(
	    out, CGROUP_PATH_MAX, "%s/%s/slot-%u/%s", cg->mount[ctl], cg->group, slot, file);

	return n < CGROUP_PATH_MAX ? OK : fail(E_RANGE);
}

static struct status
make_dir(const char *path)
{
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		return fail_errno();
	return OK;
}

static struct status
write_text(const char *path, const char *text)
{
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno();
	return io_write_all(fd, span_str(text));
}

static struct status
write_slot(
    const struct cgroups *cg, enum cgroup_ctl ctl, uint32_t slot, const char *file, uint64_t value)
{
	char path[CGROUP_PATH_MAX];
	char text[24];

	TRY(path_of(cg, ctl, slot, file, path));
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return write_text(path, text);
}

static struct status
read_slot(
    const struct cgroups *cg, enum cgroup_ctl ctl, uint32_t slot, const char *file, struct buf *out)
{
	char path[CGROUP_PATH_MAX];
	auto_fd int fd = -1;

	TRY(path_of(cg, ctl, slot, file, path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno();
	return io_read_all(fd, out);
}
