/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.c: the OCI configuration of a sandbox, from a fixed template.
 *
 * Runs in: the launcher. Trusts: numbers checked by the spawner; no text of
 * anyone's gets in here.
 * Invariants: user 65534, no capabilities, no new privileges, read-only root
 * out of the image, one size-capped /tmp, no network, no host path.
 * See: guest/PROTOCOL.md and guest/kinds.json for commands and environment.
 */
#include "launcher.h"

#define ENV_COMMON "\"PATH=/usr/local/bin:/usr/bin:/bin\",\"HOME=/tmp\",\"LANG=C.UTF-8\",\"TZ=UTC\""
#define ENV_PYTHON                                               \
	ENV_COMMON ",\"MPLBACKEND=module://sallyport_backend\"," \
		   "\"MPLCONFIGDIR=/tmp/.matplotlib\",\"OPENBLAS_NUM_THREADS=1\""
#define ARGV_PYTHON "\"/usr/bin/python3\",\"-I\",\"/usr/lib/sallyport/runner.py\""

/*
 * Address space as a multiple of the memory limit: what is touched is the
 * control group's to judge; a single absurd reservation fails at once. V8
 * reserves its cage whatever it uses, so node has none.
 */
#define AS_FACTOR 8
#define GUEST_NOFILE 1024
/*
 * Threads of the guest, of which the control group sees next to nothing. More
 * than its processes may be, so that these meet the group's limit, which tells.
 */
#define NPROC_FACTOR 2
#define SHM_SIZE "16m"
#define FSIZE_FACTOR 1 /* of /tmp's size */

static const struct {
	const char *name;
	const char *argv;
	const char *env;
	bool limit_as;
} runners[] = {
	[RUNNER_PYTHON] = { "python", ARGV_PYTHON, ENV_PYTHON, true },
	[RUNNER_PYTHON_DATA] = { "python-data", ARGV_PYTHON ",\"--data\"", ENV_PYTHON, true },
	[RUNNER_NODE] = { "javascript",
	    "\"/usr/bin/node\",\"--no-warnings\",\"/usr/lib/sallyport/runner.js\"", ENV_COMMON,
	    false },
	[RUNNER_SH] = { "sh", "\"/usr/lib/sallyport/runner-sh\"", ENV_COMMON, true },
};

static struct status put_rlimit(struct buf *out, const char *name, uint64_t value);

const char *
runner_name(enum es_runner runner)
{
	return runners[runner].name;
}

struct status
bundle_write(enum es_runner runner, const struct launch_cmd *cmd, struct buf *out)
{
	uint64_t tmp = (uint64_t)cmd->tmp_mb << 20;

	TRY(buf_printf(out,
	    "{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":false,"
	    "\"user\":{\"uid\":65534,\"gid\":65534},\"cwd\":\"/\",\"args\":[%s],\"env\":[%s],",
	    runners[runner].argv, runners[runner].env));
	TRY(buf_put_str(out,
	    "\"capabilities\":{\"bounding\":[],\"effective\":[],\"inheritable\":[],"
	    "\"permitted\":[],\"ambient\":[]},\"noNewPrivileges\":true,\"rlimits\":["));
	TRY(put_rlimit(out, "NOFILE", GUEST_NOFILE));
	TRY(buf_put_str(out, ","));
	TRY(put_rlimit(out, "FSIZE", tmp * FSIZE_FACTOR));
	TRY(buf_put_str(out, ","));
	TRY(put_rlimit(out, "NPROC", (uint64_t)cmd->pids * NPROC_FACTOR));
	TRY(buf_put_str(out, ","));
	if (runners[runner].limit_as) {
		TRY(put_rlimit(out, "AS", ((uint64_t)cmd->memory_mb << 20) * AS_FACTOR));
		TRY(buf_put_str(out, ","));
	}
	TRY(put_rlimit(out, "CORE", 0));
	TRY(buf_printf(out,
	    "]},\"root\":{\"path\":\"/rootfs\",\"readonly\":true},\"hostname\":\"sandbox\","
	    "\"annotations\":{\"dev.gvisor.spec.rootfs.source\":\"/image\","
	    "\"dev.gvisor.spec.rootfs.type\":\"erofs\",\"dev.gvisor.spec.rootfs.overlay\":"
	    "\"memory\"},"
	    "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
	    "{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":"
	    "[\"size=" SHM_SIZE "\",\"mode=1777\",\"nosuid\",\"nodev\"]},"
	    "{\"destination\":\"/tmp\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":"
	    "[\"size=%llu\",\"mode=1777\",\"nosuid\",\"nodev\"]}],",
	    (unsigned long long)tmp));
	return buf_put_str(out,
	    "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"},"
	    "{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"}]}}");
}

static struct status
put_rlimit(struct buf *out, const char *name, uint64_t value)
{
	return buf_printf(out, "{\"type\":\"RLIMIT_%s\",\"hard\":%llu,\"soft\":%llu}", name,
	    (unsigned long long)value, (unsigned long long)value);
}
