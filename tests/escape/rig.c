/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig.c: executor and spawner alone, between a supervisor, an authority and a
 * gateway that are this program. For tests: lines on standard input are runs,
 * lines on standard output are what comes back, one JSON object each.
 *
 *	rig LIBEXEC CONFIG.yaml
 *	run ID LANGUAGE TURN KEEP NOTEBOOK TIMEOUT_MS HEX_CODE HEX_STDIN
 *	tool ID TURN TIME_MS MEMORY_MB OUTPUT_KB HEX_NATIVE HEX_ARGUMENTS
 *	cancel ID | replay ID | turn-end TURN | close
 *
 * Runs in: tests, as root. Trusts: its caller.
 */
#include <base/clock.h>
#include <base/encode.h>
#include <base/io.h>
#include <base/memfd.h>
#include <base/rand.h>
#include <conf/conf.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>
#include <daemon/tables.h>
#include <link/link.h>
#include <wire/authority_executor.h>
#include <wire/control.h>
#include <wire/executor_spawner.h>
#include <wire/gateway_executor.h>
#include <wire/topology.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_LEN (4U << 20)
#define RUNS_MAX 4096
#define GATEWAY_PEER 77

struct rig_run {
	unsigned id;
	struct stream *stream;
	struct buf body;
	size_t sent;
	struct ge_open open;
	struct buf files;
	uint64_t opened_ns;
	bool first;
};

static uv_loop_t loop;
static const char *libexec;
static struct buf slices[2];
static struct link *controls[2];
static pid_t pids[2];
static int ready;
static struct link *authority, *gateway;
static struct rig_run runs[RUNS_MAX];
static struct buf line;
static struct buf native; /* of the last tool: what the store would have */

static void
must(struct status st, const char *what)
{
	if (is_ok(st))
		return;
	(void)fprintf(stderr, "rig: %s: %s\n", what, status_text(st));
	exit(1);
}

static void
pair(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		must(fail_errno(), "socketpair");
}

static void
send_peer(struct link *control, enum edge edge, int fd)
{
	struct ctl_peer m = { (uint8_t)edge, edge == EDGE_GATEWAY_EXECUTOR ? GATEWAY_PEER : 1, 0 };

	must(link_send_fds(control, 0, CTL_PEER, &m, &fd, 1), "peer");
	(void)close(fd);
}

static void
on_hello(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	size_t which = (size_t)(uintptr_t)ctx;
	const char *base = getenv("RIG_UID_BASE");
	const char *instance = getenv("RIG_INSTANCE");
	uint32_t uid_base = base == NULL ? 760000 : (uint32_t)strtoul(base, NULL, 10);
	enum proc proc = which == 0 ? PROC_EXECUTOR : PROC_SPAWNER;
	struct ctl_start m = { .instance = span_str(instance == NULL ? "716" : instance),
		.uid = uid_base + UID_OF(proc),
		.uid_base = uid_base,
		.peer_id = (uint32_t)which + 1,
		.generation = 1,
		.config = buf_span(&slices[which]) };
	const struct wire_none none = { 0 };

	(void)id, (void)msg;
	must(link_send(l, 0, CTL_START, &m), "start");
	must(link_send(l, 0, CTL_GO, &none), "go");
}

static void on_aturn_ended(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_adone(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_stdin(uv_poll_t *p, int status, int events);

static void
on_link_closed(struct link *l, struct status why, void *ctx)
{
	(void)l, (void)ctx;
	(void)printf("{\"event\":\"link-closed\",\"why\":\"%s\"}\n", status_text(why));
	(void)fflush(stdout);
	exit(3);
}

static void
on_artefact_get(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct ae_artefact m = { .env = span_of("GREETING=it's me", sizeof("GREETING=it's me")) };
	int fd = -1;

	(void)msg, (void)ctx;
	must(sha256(buf_span(&native), m.digest), "digest");
	must(memfd_of("native", buf_span(&native), &fd), "native");
	must(link_send_fds(l, id, AE_ARTEFACT, &m, &fd, 1), "artefact");
	(void)close(fd);
}

static const struct link_rule authority_rules[] = {
	{ AE_ARTEFACT_GET, 0, on_artefact_get },
	{ AE_DONE, 0, on_adone },
	{ AE_TURN_ENDED, 0, on_aturn_ended },
};
static const struct link_ops authority_ops = { authority_rules, 3, on_link_closed };
static const struct link_ops gateway_ops = { NULL, 0, on_link_closed };

static void
connect_all(void)
{
	static uv_poll_t in;
	int fds[2];

	pair(fds);
	send_peer(controls[0], EDGE_EXECUTOR_SPAWNER, fds[0]);
	send_peer(controls[1], EDGE_EXECUTOR_SPAWNER, fds[1]);
	pair(fds);
	send_peer(controls[0], EDGE_AUTHORITY_EXECUTOR, fds[1]);
	must(link_new(&loop, fds[0], &ae_edge, true, &authority_ops, NULL, &authority), "link");
	pair(fds);
	send_peer(controls[0], EDGE_GATEWAY_EXECUTOR, fds[1]);
	must(link_new(&loop, fds[0], &ge_edge, true, &gateway_ops, NULL, &gateway), "link");
	(void)printf(
	    "{\"event\":\"ready\",\"executor\":%d,\"spawner\":%d}\n", (int)pids[0], (int)pids[1]);
	(void)fflush(stdout);
	line = BUF_INIT(LINE_MAX_LEN);
	(void)uv_poll_init(&loop, &in, 0);
	(void)uv_poll_start(&in, UV_READABLE, on_stdin);
}

static void
on_ready(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	if (++ready == 2)
		connect_all();
}

static const struct link_rule control_rules[] = {
	{ CTL_HELLO, 0, on_hello },
	{ CTL_READY, 0, on_ready },
};
static const struct link_ops control_ops = { control_rules, 2, on_link_closed };

static void
start_process(size_t which, const char *name)
{
	char path[1024];
	int fds[2];

	pair(fds);
	(void)snprintf(path, sizeof(path), "%s/%s", libexec, name);
	pids[which] = fork();
	if (pids[which] == 0) {
		(void)dup2(fds[1], 3);
		(void)execl(path, path, (char *)NULL);
		_exit(127);
	}
	(void)close(fds[1]);
	must(link_new(&loop, fds[0], &ctl_edge, true, &control_ops, (void *)(uintptr_t)which,
		 &controls[which]),
	    "control");
}

static void
print_hex(const char *key, struct span s)
{
	char *text = malloc(2 * s.len + 1);

	hex_encode(s, text);
	(void)printf(",\"%s\":\"%.*s\"", key, (int)(2 * s.len), text);
	free(text);
}

static double
since_ms(const struct rig_run *r)
{
	return (double)(clock_mono_ns() - r->opened_ns) / 1e6;
}

static void
on_adone(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ae_done *m = msg;

	(void)l, (void)id, (void)ctx;
	(void)printf("{\"event\":\"done\",\"turn\":%llu,\"error\":%u,\"status\":\"%s\"}\n",
	    (unsigned long long)m->turn, m->error, run_status_names[m->status]);
	(void)fflush(stdout);
}

static void
on_aturn_ended(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct turn_ref *m = msg;

	(void)l, (void)id, (void)ctx;
	(void)printf("{\"event\":\"turn-ended\",\"turn\":%llu}\n", (unsigned long long)m->turn);
	(void)fflush(stdout);
}

static void
on_msg(struct stream *s, uint16_t type, const void *msg, void *ctx)
{
	struct rig_run *r = ctx;
	const struct ge_result *res = msg;
	const struct ge_failed *failed = msg;
	const struct ge_started *started = msg;

	(void)s;
	if (type == GE_STARTED)
		(void)printf("{\"event\":\"started\",\"id\":%u,\"ms\":%.2f,\"sandbox\":\"%.*s\"}\n",
		    r->id, since_ms(r), SPAN_FMT(started->sandbox));
	if (type == GE_FAILED)
		(void)printf("{\"event\":\"failed\",\"id\":%u,\"ms\":%.2f,\"error\":\"%s\"}\n",
		    r->id, since_ms(r), error_rows[failed->error].code);
	if (type == GE_RESULT) {
		(void)printf("{\"event\":\"result\",\"id\":%u,\"ms\":%.2f,\"status\":\"%s\","
			     "\"exit_code\":%u,\"truncated\":%u,\"dropped\":%u,\"duration\":%u",
		    r->id, since_ms(r), run_status_names[res->status], res->exit_code,
		    res->truncated, res->files_dropped, res->duration_ms);
		print_hex("files", buf_span(&r->files));
		(void)printf("}\n");
	}
	(void)fflush(stdout);
}

static void
on_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	struct rig_run *r = ctx;

	stream_consumed(s, data.len);
	if (channel == RUN_FILES) {
		must(buf_put_span(&r->files, data), "files");
		return;
	}
	(void)printf("{\"event\":\"%s\",\"id\":%u,\"ms\":%.2f",
	    channel == RUN_STDOUT ? "stdout" : "stderr", r->id, since_ms(r));
	print_hex("data", data);
	(void)printf("}\n");
	(void)fflush(stdout);
}

static void
write_body(struct stream *s, void *ctx)
{
	struct rig_run *r = ctx;
	size_t taken = 0;

	if (r->sent == r->body.len)
		return;
	must(stream_write(s, RUN_REQUEST, span_from(buf_span(&r->body), r->sent), &taken), "body");
	r->sent += taken;
	if (r->sent == r->body.len)
		stream_end(s);
}

static void
on_stream_end(struct stream *s, void *ctx)
{
	(void)ctx;
	stream_end(s);
}

static void
on_stream_closed(struct stream *s, struct status why, void *ctx)
{
	struct rig_run *r = ctx;

	(void)s, (void)why;
	r->stream = NULL;
	buf_done(&r->body);
	buf_done(&r->files);
}

static const struct stream_ops stream_ops = { .on_msg = on_msg,
	.on_data = on_data,
	.on_end = on_stream_end,
	.on_writable = write_body,
	.on_closed = on_stream_closed };

/* A grant that its stream overtakes. */
static struct {
	unsigned ms; /* of the next run; 0: it comes first */
	struct grant grant;
	char language[LANGUAGE_MAX];
	uv_timer_t timer;
} late;

static void
on_late(uv_timer_t *t)
{
	(void)t;
	must(link_send(authority, 0, AE_GRANT, &late.grant), "late grant");
	late.ms = 0;
}

static void
send_late(const struct grant *g)
{
	late.grant = *g;
	memcpy(late.language, g->target.ptr, g->target.len);
	late.grant.target = span_of(late.language, g->target.len);
	(void)uv_timer_init(&loop, &late.timer);
	(void)uv_timer_start(&late.timer, on_late, late.ms, 0);
}

/* `body` of r is the request that `g` is for. */
static void
grant_and_open(struct rig_run *r, struct grant *g)
{
	g->gateway = GATEWAY_PEER;
	g->tenant = SPAN_LIT("acme");
	g->user = SPAN_LIT("ann");
	g->expires_ms = GRANT_TTL_MS;
	must(rand_bytes(g->grant, sizeof(g->grant)), "grant");
	must(sha256(buf_span(&r->body), g->digest), "digest");
	g->body_len = (uint32_t)r->body.len;
	if (late.ms > 0) {
		send_late(g);
	} else {
		must(link_send(authority, 0, AE_GRANT, g), "grant");
		link_flush(authority);
	}
	memcpy(r->open.grant, g->grant, sizeof(g->grant));
	r->open.body_len = g->body_len;
	must(stream_open(gateway, GE_OPEN, &r->open, &stream_ops, r, &r->stream), "open");
	write_body(r->stream, r);
}

static void
begin(struct rig_run *r)
{
	r->body = BUF_INIT(RUN_BLOB_MAX);
	r->files = BUF_INIT(RUN_BLOB_MAX);
	r->sent = 0;
	r->opened_ns = clock_mono_ns();
}

static void
open_run(struct rig_run *r, const struct run_request *req, uint64_t turn, uint8_t keep)
{
	struct grant g = { .kind = GRANT_RUN, .turn = turn, .target = req->language, .keep = keep };

	begin(r);
	must(wire_encode(&run_request_table, req, &r->body), "request");
	grant_and_open(r, &g);
}

static void
unhex(const char *hex, struct buf *out)
{
	buf_clear(out);
	must(buf_reserve(out, strlen(hex) / 2 + 1), "hex");
	out->len = strlen(hex) / 2;
	must(hex_decode(span_str(hex), out->ptr, out->len), "hex");
}

/* words: tool ID TURN TIME_MS MEMORY_MB OUTPUT_KB HEX_NATIVE HEX_ARGUMENTS */
static void
open_tool(struct rig_run *r, char *const *words)
{
	static uint64_t id;
	struct buf arguments = BUF_INIT(TOOL_ARGUMENTS_MAX);
	struct grant g = { .kind = GRANT_TOOL,
		.turn = strtoull(words[2], NULL, 10),
		.target = SPAN_LIT("tool"),
		.tool = { .id = ++id,
		    .sandbox = TOOL_GVISOR,
		    .time_ms = (uint32_t)strtoul(words[3], NULL, 10),
		    .memory_mb = (uint32_t)strtoul(words[4], NULL, 10),
		    .output_kb = (uint32_t)strtoul(words[5], NULL, 10) } };
	struct tool_request req;

	native.max = TOOL_NATIVE_MAX;
	unhex(words[6], &native);
	unhex(words[7], &arguments);
	req.arguments = buf_span(&arguments);
	r->id = (unsigned)strtoul(words[1], NULL, 10);
	begin(r);
	must(sha256(buf_span(&native), g.tool.artefact), "digest");
	must(wire_encode(&tool_request_table, &req, &r->body), "request");
	grant_and_open(r, &g);
	buf_done(&arguments);
}

/* The same grant again: it must be refused. */
static void
replay(struct rig_run *r)
{
	begin(r);
	must(stream_open(gateway, GE_OPEN, &r->open, &stream_ops, r, &r->stream), "open");
}

static void
on_line(char *text)
{
	char *words[10] = { NULL }, *save = NULL;
	struct run_request req = { .timeout_ms = 0 };
	struct buf code = BUF_INIT(RUN_BLOB_MAX), input = BUF_INIT(RUN_BLOB_MAX);
	struct rig_run *r;
	size_t n = 0;

	for (char *w = strtok_r(text, " ", &save); w != NULL && n < 10;
	     w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	if (n == 1 && strcmp(words[0], "close") == 0)
		exit(0);
	if (n < 2)
		return;
	if (strcmp(words[0], "late") == 0)
		late.ms = (unsigned)strtoul(words[1], NULL, 10);
	r = &runs[strtoul(words[1], NULL, 10) % RUNS_MAX];
	if (strcmp(words[0], "turn-end") == 0) {
		struct turn_ref m = { strtoull(words[1], NULL, 10) };

		must(link_send(authority, 9, AE_TURN_END, &m), "turn end");
	}
	if (strcmp(words[0], "cancel") == 0 && r->stream != NULL) {
		stream_cancel(r->stream, 1);
		r->stream = NULL;
	}
	if (strcmp(words[0], "replay") == 0)
		replay(r);
	if (n == 8 && strcmp(words[0], "tool") == 0)
		open_tool(r, words);
	if (n < 8 || strcmp(words[0], "run") != 0)
		return;
	r->id = (unsigned)strtoul(words[1], NULL, 10);
	req.language = span_str(words[2]);
	req.notebook = words[5][0] == '1';
	req.timeout_ms = (uint32_t)strtoul(words[6], NULL, 10);
	unhex(words[7], &code);
	if (n > 8)
		unhex(words[8], &input);
	req.code = buf_span(&code);
	req.input = buf_span(&input);
	open_run(r, &req, strtoull(words[3], NULL, 10), words[4][0] == '1');
	buf_done(&code);
	buf_done(&input);
}

static void
on_stdin(uv_poll_t *p, int status, int events)
{
	uint8_t bytes[65536];
	ssize_t n = read(0, bytes, sizeof(bytes));
	uint8_t *nl;

	(void)p, (void)status, (void)events;
	if (n <= 0)
		exit(0);
	must(buf_put(&line, bytes, (size_t)n), "line");
	while ((nl = memchr(line.ptr, '\n', line.len)) != NULL) {
		size_t len = (size_t)(nl - line.ptr);

		*nl = '\0';
		on_line((char *)line.ptr);
		buf_shift(&line, len + 1);
	}
}

int
main(int argc, char **argv)
{
	static const char *const executor_keys[] = { "sandboxes", "wasm", "tools", "limits", NULL };
	static const char *const spawner_keys[] = { "sandboxes", "engines", NULL };
	struct buf yaml = BUF_INIT(CONF_FILE_MAX);
	char error[CONF_ERROR_MAX] = "";
	struct conf *conf = NULL;
	struct status st;

	if (argc != 3) {
		(void)fprintf(stderr, "usage: rig LIBEXEC CONFIG.yaml\n");
		return 2;
	}
	libexec = argv[1];
	must(crypto_init(), "crypto");
	must(io_read_file(AT_FDCWD, argv[2], &yaml), "configuration");
	st = conf_parse(buf_span(&yaml), &conf, error);
	if (!is_ok(st))
		(void)fprintf(stderr, "rig: %s\n", error);
	must(st, "configuration");
	slices[0] = slices[1] = BUF_INIT(CONF_SLICE_MAX);
	must(conf_slice(conf, executor_keys, &slices[0]), "slice");
	must(conf_slice(conf, spawner_keys, &slices[1]), "slice");
	(void)uv_loop_init(&loop);
	start_process(0, "executor");
	start_process(1, "spawner");
	return uv_run(&loop, UV_RUN_DEFAULT);
}
