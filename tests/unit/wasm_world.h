/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_WASM_WORLD_H
#define TESTS_WASM_WORLD_H

/* The real binaries wasm-compile and wasm-run, as the spawner would start them. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/io.h>

static inline void
must_(struct status st, int line)
{
	if (!is_ok(st)) {
		print_error("line %d: %s\n", line, status_text(st));
		_fail(__FILE__, line);
	}
}
#define must(st) must_(st, __LINE__)

/* build/src/<folder>/<name>, from build/tests/unit/test_… */
static inline void
wasm_path(const char *folder, const char *name, char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 64);
	char *slash;

	assert_true(n > 0);
	path[n] = '\0';
	for (int up = 0; up < 3; up++) {
		slash = strrchr(path, '/');
		assert_non_null(slash);
		*slash = '\0';
	}
	(void)snprintf(path + strlen(path), 64, "/src/%s/%s", folder, name);
}

static inline int
sealed_file(struct span content)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	must(io_write_all(fd, content));
	assert_int_equal(
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	return fd;
}

/* Descriptors 0, 1, 2 of a child that runs `folder`/`name`. */
static inline pid_t
wasm_spawn(const char *folder, const char *name, const int fds[3])
{
	char path[512];
	pid_t pid;

	wasm_path(folder, name, path, sizeof(path));
	pid = fork();
	if (pid != 0)
		return pid;
	for (int i = 0; i < 3; i++) {
		int high = fcntl(fds[i], F_DUPFD, 64);

		(void)dup2(high, i);
		(void)close(high);
	}
	/* Leaks are looked for with ptrace, which a jail forbids. */
	(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	(void)execl(path, name, (char *)NULL);
	_exit(127);
}

struct compiled {
	int status; /* of waitpid */
	struct buf file;
	char line[512];
	uint64_t elapsed_ms;
};

static inline void
read_line(int fd, char *line, size_t size)
{
	ssize_t n = read(fd, line, size - 1);

	line[n < 0 ? 0 : n] = '\0';
	line[strcspn(line, "\n")] = '\0';
}

/* One module through the compile worker; `fd` is its descriptor 0. */
static inline void
compile_fd(int fd, struct compiled *ret)
{
	uint64_t begun = clock_mono_ns();
	int out = memfd_create("out", MFD_CLOEXEC | MFD_ALLOW_SEALING), line[2];
	pid_t pid;

	*ret = (struct compiled){ .file = BUF_INIT(64U << 20) };
	assert_int_equal(pipe2(line, O_CLOEXEC), 0);
	pid = wasm_spawn("wasm_compile", "wasm-compile", (const int[]){ fd, out, line[1] });
	(void)close(line[1]);
	assert_int_equal(waitpid(pid, &ret->status, 0), pid);
	ret->elapsed_ms = (clock_mono_ns() - begun) / NS_PER_MS;
	read_line(line[0], ret->line, sizeof(ret->line));
	(void)close(line[0]);
	assert_int_equal(lseek(out, 0, SEEK_SET), 0);
	must(io_read_all(out, &ret->file));
	(void)close(out);
}

static inline void
compile_module(struct span module, struct compiled *ret)
{
	int fd = sealed_file(module);

	compile_fd(fd, ret);
	(void)close(fd);
}

/* tests/vectors/wasm/NAME.wasm */
static inline void
read_vector(const char *name, struct buf *out)
{
	char path[512];

	*out = BUF_INIT(1U << 20);
	(void)snprintf(
	    path, sizeof(path), "%s/vectors/wasm/%s.wasm", getenv("SALLYPORT_TEST_DATA"), name);
	must(io_read_file(AT_FDCWD, path, out));
}

static inline void
compile_vector(const char *name, struct compiled *ret)
{
	auto_buf struct buf module;

	read_vector(name, &module);
	compile_module(buf_span(&module), ret);
}

#endif
