/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasm-guest: runs compiled modules one after the other in one engine, as a run worker does,
 * and says of each how it ended.
 *
 *	wasm-guest [-a ARG] [-e NAME=VALUE] [-f] [-d DIR] [-p FILE=TEXT] [-t MS] [-m MB] [-o BYTES]
 *[-n TIMES] COMPILED…
 *
 * Standard input is each one's; standard output gets a line of JSON for each run. -f gives the
 * scratch directory, -d and -p fill it before the guest begins.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <wasi_guest.h>
#include <wasm/run.h>

#define OPTION_MAX 64

struct settings {
	struct wasm_call call;
	const char *dirs[OPTION_MAX], *files[OPTION_MAX];
	size_t dirs_count, files_count;
	unsigned times;
};

struct status __real_wasi_begin(struct wasi_ctx *ctx, const struct wasi_given *given);
struct status __wrap_wasi_begin(struct wasi_ctx *ctx, const struct wasi_given *given);

static struct settings settings = { .call = { .time_ms = 10000, .memory_max = 64U << 20 },
	.times = 1 };
static struct wasi_ctx wasi;

static void
must(struct status st, const char *what)
{
	if (is_ok(st))
		return;
	(void)fprintf(stderr, "wasm-guest: %s: %s\n", what, status_text(st));
	exit(2);
}

static void *
tick(void *engine)
{
	for (;;) {
		(void)usleep(WASM_TICK_MS * 1000);
		wasm_engine_tick(engine);
	}
	return NULL;
}

/* A directory or a file, by the functions of the shim itself. */
static void
make(struct wasi_ctx *ctx, const char *dir, struct span path, struct span text)
{
	struct scratch_place at;
	uint32_t node, err;
	size_t n;

	err = scratch_walk(ctx->scratch, SCRATCH_ROOT, dir != NULL ? span_str(dir) : path, &at);
	if (err == WASI_OK)
		err = scratch_create(
		    ctx->scratch, &at, dir != NULL ? WASI_DIRECTORY : WASI_REGULAR, &node);
	if (err == WASI_OK && dir == NULL)
		err = scratch_write(ctx->scratch, node, 0, text.ptr, text.len, &n);
	must(err == WASI_OK ? OK : fail(E_RANGE), "file for the guest");
}

struct status
__wrap_wasi_begin(struct wasi_ctx *ctx, const struct wasi_given *given)
{
	TRY(__real_wasi_begin(ctx, given));
	for (size_t i = 0; i < settings.dirs_count; i++)
		make(ctx, settings.dirs[i], SPAN_EMPTY, SPAN_EMPTY);
	for (size_t i = 0; i < settings.files_count; i++) {
		const char *name = settings.files[i], *mark = strchr(name, '=');

		if (mark == NULL)
			must(fail(E_SYNTAX), name);
		else
			make(ctx, NULL, span_of(name, (size_t)(mark - name)), span_str(mark + 1));
	}
	return OK;
}

static void
print_hex(const char *name, struct span s)
{
	(void)printf(", \"%s\": \"", name);
	for (size_t i = 0; i < s.len; i++)
		(void)printf("%02x", s.ptr[i]);
	(void)printf("\"");
}

static void
run(struct wasm_engine *engine, const char *path)
{
	static const char *const ends[] = { [WASM_EXIT] = "exit",
		[WASM_TIMEOUT] = "timeout",
		[WASM_MEMORY] = "memory",
		[WASM_OUTPUT] = "output",
		[WASM_TRAP] = "trap" };
	auto_buf struct buf artefact = BUF_INIT(WASM_ARTEFACT_MAX);
	struct wasm_module *module = NULL;
	struct wasm_result r;

	must(io_read_file(AT_FDCWD, path, &artefact), path);
	must(wasm_module_load(engine, buf_span(&artefact), &module), path);
	for (unsigned i = 0; i < settings.times; i++) {
		must(wasm_run(engine, module, &settings.call, &wasi, &r), "run");
		(void)printf(
		    "{\"end\": \"%s\", \"exit_code\": %u, \"elapsed_us\": %llu, \"refused\": %llu, "
		    "\"err_cut\": %s",
		    ends[r.end], r.exit_code, (unsigned long long)r.elapsed_ns / 1000,
		    (unsigned long long)wasi.refused, wasi.err_cut ? "true" : "false");
		print_hex("trap", span_of(r.trap, r.trap_len));
		print_hex("out", buf_span(&wasi.out));
		print_hex("err", buf_span(&wasi.err));
		(void)printf("}\n");
		wasi_end(&wasi);
	}
	wasm_module_free(module);
}

static void
add(struct buf *list, const char *text)
{
	must(buf_put(list, text, strlen(text) + 1), text);
}

static uint64_t
number(const char *text)
{
	uint64_t v;

	must(span_u64(span_str(text), UINT32_MAX, &v), text);
	return v;
}

static void
option(int c, struct buf *args, struct buf *env)
{
	switch (c) {
	case 'a':
		add(args, optarg);
		break;
	case 'e':
		add(env, optarg);
		break;
	case 'f':
		settings.call.given.files = true;
		break;
	case 'd':
		settings.dirs[settings.dirs_count++ % OPTION_MAX] = optarg;
		break;
	case 'p':
		settings.files[settings.files_count++ % OPTION_MAX] = optarg;
		break;
	case 't':
		settings.call.time_ms = (uint32_t)number(optarg);
		break;
	case 'm':
		settings.call.memory_max = number(optarg) << 20;
		break;
	case 'o':
		settings.call.given.out_max = number(optarg);
		break;
	case 'n':
		settings.times = (unsigned)number(optarg);
		break;
	default:
		must(fail(E_SYNTAX), "option");
	}
}

int
main(int argc, char **argv)
{
	auto_buf struct buf args = BUF_INIT(65536), env = BUF_INIT(65536), in = BUF_INIT(1UL << 20);
	struct wasm_engine *engine;
	pthread_t ticker;
	int c;

	settings.call.given.out_max = 1UL << 20;
	settings.call.given.err_max = 65536;
	add(&args, "tool");
	while ((c = getopt(argc, argv, "a:e:fd:p:t:m:o:n:")) != -1)
		option(c, &args, &env);
	must(io_read_all(STDIN_FILENO, &in), "standard input");
	settings.call.given.args = buf_span(&args);
	settings.call.given.environment = buf_span(&env);
	settings.call.given.in = buf_span(&in);
	must(wasm_engine_open(&engine), "engine");
	if (pthread_create(&ticker, NULL, tick, engine) != 0)
		return 2;
	for (int i = optind; i < argc; i++)
		run(engine, argv[i]);
	wasi_done(&wasi);
	return 0;
}
