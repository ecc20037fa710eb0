/* SPDX-License-Identifier: Apache-2.0 */
/* The spawner without privileges: control groups' texts, the bundle, packets. */
#include "unit.h"

#include <cgroup.h>
#include <launcher.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static const char v1[] =
    "24 23 0:21 / /sys rw - sysfs sysfs rw\n"
    "30 24 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
    "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
    "32 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "33 24 0:29 / /sys/fs/cgroup/pids rw shared:11 master:2 - cgroup cgroup rw,pids\n";
static const char v2[] =
    "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

/* cmocka's fail_msg() needs its fail(), which unit.h takes away. */
#define broken(...)                       \
	do {                              \
		print_error(__VA_ARGS__); \
		assert_true(false);       \
	} while (0)

static void
version_1_is_found(void **state)
{
	struct cgroups cg;

	(void)state;
	assert_true(is_ok(cgroups_find(span_str(v1), "ab12", &cg)));
	assert_false(cg.v2);
	assert_string_equal(cg.group, "sallyport-ab12");
	assert_string_equal(cg.mount[CGROUP_MEMORY], "/sys/fs/cgroup/memory");
	assert_string_equal(cg.mount[CGROUP_CPU], "/sys/fs/cgroup/cpu,cpuacct");
	assert_string_equal(cg.mount[CGROUP_CPUACCT], "/sys/fs/cgroup/cpu,cpuacct");
	assert_int_equal(cg.ndirs, 3);
}

static void
version_2_is_found(void **state)
{
	struct cgroups cg;

	(void)state;
	assert_true(is_ok(cgroups_find(span_str(v2), "ab12", &cg)));
	assert_true(cg.v2);
	assert_int_equal(cg.ndirs, 1);
	assert_string_equal(cg.mount[CGROUP_PIDS], "/sys/fs/cgroup");
}

static void
a_missing_controller_is_told(void **state)
{
	struct cgroups cg;
	char instance[128];

	(void)state;
	memset(instance, 'a', sizeof(instance) - 1);
	instance[sizeof(instance) - 1] = '\0';
	assert_int_equal(
	    cgroups_find(span_str("1 2 0:1 / / rw - ext4 x rw\n"), "i", &cg).code, E_UNSUPPORTED);
	assert_int_equal(
	    cgroups_find(span_str("32 24 0:28 / /m rw - cgroup cgroup rw,memory\n"), "i", &cg).code,
	    E_UNSUPPORTED);
	assert_int_equal(cgroups_find(SPAN_EMPTY, "i", &cg).code, E_UNSUPPORTED);
	assert_int_equal(cgroups_find(span_str("- - - -"), "i", &cg).code, E_UNSUPPORTED);
	assert_int_equal(cgroups_find(span_str(v2), instance, &cg).code, E_RANGE);
}

static void
texts(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_int_equal(cgroup_cpu_us(span_str("123456789\n")), 123456);
	assert_int_equal(
	    cgroup_cpu_us(span_str("usage_usec 777\nuser_usec 700\nsystem_usec 77\n")), 777);
	assert_int_equal(cgroup_cpu_us(span_str("")), 0);
	assert_int_equal(cgroup_cpu_us(span_str("x\n")), 0);
	assert_true(cgroup_oom(span_str("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")));
	assert_false(cgroup_oom(span_str("oom_kill_disable 1\nunder_oom 1\noom_kill 0\n")));
	assert_true(cgroup_oom(span_str("low 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 1\n")));
	assert_false(cgroup_oom(span_str("max 9\noom 2\n")));
	assert_true(cgroup_value(span_str("max 12\n"), "max", &v));
	assert_int_equal(v, 12);
	assert_false(cgroup_value(span_str("maximum 12\n"), "max", &v));
	assert_false(cgroup_value(span_str("max twelve\n"), "max", &v));
}

static void
bundles(void **state)
{
	static const char *const wanted[] = { "\"uid\":65534", "\"bounding\":[]",
		"\"effective\":[]", "\"permitted\":[]", "\"inheritable\":[]", "\"ambient\":[]",
		"\"noNewPrivileges\":true", "\"readonly\":true", "size=7340032\",\"mode=1777\"",
		"{\"type\":\"RLIMIT_NPROC\",\"hard\":10,\"soft\":10}",
		"{\"type\":\"RLIMIT_CORE\",\"hard\":0,\"soft\":0}", "\"type\":\"network\"" };
	struct launch_cmd cmd = { .memory_mb = 64, .pids = 5, .tmp_mb = 7 };

	(void)state;
	for (enum es_runner r = RUNNER_PYTHON; r <= RUNNER_SH; r++) {
		struct buf out = BUF_INIT(8192);

		assert_true(is_ok(bundle_write(r, &cmd, &out)));
		assert_true(is_ok(buf_put_u8(&out, 0)));
		for (size_t i = 0; i < COUNT(wanted); i++) {
			if (strstr((const char *)out.ptr, wanted[i]) == NULL)
				broken("%s: no %s", runner_name(r), wanted[i]);
		}
		assert_int_equal(
		    strstr((const char *)out.ptr, "RLIMIT_AS") == NULL, r == RUNNER_NODE);
		buf_done(&out);
	}
}

static void
packets_carry_descriptors(void **state)
{
	struct launch_event sent = { .what = LAUNCH_STARTED, .slot = 3 }, got;
	int pair[2], pipes[2], fds[LAUNCH_STATS];
	char byte = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_true(is_ok(packet_send(pair[0], &sent, sizeof(sent), pipes, 2)));
	assert_true(is_ok(packet_recv(pair[1], &got, sizeof(got), fds, LAUNCH_STATS)));
	assert_int_equal(got.slot, 3);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(packet_recv(pair[1], &got, sizeof(got), fds, 2).code, E_AGAIN);
	/* One descriptor more than expected is closed, not leaked; a wrong size is told. */
	assert_true(is_ok(packet_send(pair[0], &sent, sizeof(sent), pipes, 2)));
	assert_true(is_ok(packet_recv(pair[1], &got, sizeof(got), fds, 1)));
	assert_true(is_ok(packet_send(pair[0], &sent, sizeof(sent) - 1, NULL, 0)));
	assert_int_equal(packet_recv(pair[1], &got, sizeof(got), NULL, 0).code, E_PROTO);
	assert_true(is_ok(packet_send(pair[0], &sent, sizeof(sent), NULL, 0)));
	assert_int_equal(packet_recv(pair[1], &got, sizeof(got) - 1, NULL, 0).code, E_PROTO);
	(void)close(pair[0]);
	assert_int_equal(packet_recv(pair[1], &got, sizeof(got), NULL, 0).code, E_EOF);
	assert_int_equal(packet_send(pair[1], &sent, sizeof(sent), NULL, 0).code, E_CLOSED);
	(void)close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_is_found),
		cmocka_unit_test(version_2_is_found),
		cmocka_unit_test(a_missing_controller_is_told),
		cmocka_unit_test(texts),
		cmocka_unit_test(bundles),
		cmocka_unit_test(packets_carry_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
