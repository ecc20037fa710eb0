/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasm_worker.c: what one call of a user's tool takes inside a run worker.
 *
 *	wasm_worker COMPILED ARGUMENTS COUNT
 *
 * Runs in:    a shell, bench/run.py. Prints one JSON object: microseconds of a call from
 *             its arguments to its output wiped, resident memory of the process.
 * Trusts:     COMPILED, which wasm-compile made.
 * Owns:       nothing.
 * Invariants: the same code as wasm-run's, with its ticks, without its link and its jail;
 *             a call that does not exit 0 ends the measurement.
 * See:        run.py, wasm/run.h, src/wasm_run.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/io.h>
#include <wasm/run.h>

#define COUNT_MAX 1000000
#define WARM_CALLS 100

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "wasm_worker: %s\n", what);
	exit(1);
}

static void
must(struct status st, const char *what)
{
	if (!is_ok(st))
		die(what);
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void *
tick(void *engine)
{
	const struct timespec step = { 0, WASM_TICK_MS * 1000000L };

	for (;;) {
		(void)nanosleep(&step, NULL);
		wasm_engine_tick(engine);
	}
	return NULL;
}

static uint64_t
one_call(struct wasm_engine *e, const struct wasm_module *m, struct wasi_ctx *wasi, struct span in)
{
	static const uint8_t name[] = "tool";
	const struct wasm_call call = {
		.given = { .args = span_of(name, sizeof(name)),
		    .in = in,
		    .out_max = 256U << 10,
		    .err_max = 64U << 10 },
		.time_ms = 5000,
		.memory_max = 64U << 20,
	};
	uint64_t begun = clock_mono_ns();
	struct wasm_result r;

	must(wasm_run(e, m, &call, wasi, &r), "call");
	if (r.end != WASM_EXIT || r.exit_code != 0 || wasi->out.len == 0)
		die(r.trap_len > 0 ? r.trap : "the tool did not end well");
	wasi_end(wasi);
	return clock_mono_ns() - begun;
}

static long
resident_kb(void)
{
	char line[256];
	long kb = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		(void)sscanf(line, "VmRSS: %ld", &kb);
	if (f != NULL)
		(void)fclose(f);
	return kb;
}

int
main(int argc, char **argv)
{
	static struct wasi_ctx wasi;
	auto_buf struct buf artefact = BUF_INIT(WASM_ARTEFACT_MAX);
	uint64_t count, *samples, begun, loaded;
	struct wasm_engine *e;
	struct wasm_module *m;
	pthread_t ticker;

	if (argc != 4 || !is_ok(span_u64(span_str(argv[3]), COUNT_MAX, &count)) || count == 0)
		die("usage: wasm_worker COMPILED ARGUMENTS COUNT");
	must(io_read_file(AT_FDCWD, argv[1], &artefact), argv[1]);
	must(wasm_engine_open(&e), "engine");
	begun = clock_mono_ns();
	must(wasm_module_load(e, buf_span(&artefact), &m), "compiled file");
	loaded = clock_mono_ns() - begun;
	buf_done(&artefact);
	if (pthread_create(&ticker, NULL, tick, e) != 0)
		die("thread");
	samples = calloc(count, sizeof(*samples));
	if (samples == NULL)
		die("memory");
	wasi_init(&wasi);
	for (int i = 0; i < WARM_CALLS; i++)
		(void)one_call(e, m, &wasi, span_str(argv[2]));
	begun = clock_mono_ns();
	for (uint64_t i = 0; i < count; i++)
		samples[i] = one_call(e, m, &wasi, span_str(argv[2]));
	begun = clock_mono_ns() - begun;
	qsort(samples, count, sizeof(*samples), by_value);
	printf("{\"p50_us\": %.3f, \"p99_us\": %.3f, \"calls_per_s\": %.0f, \"load_us\": %.1f, "
	       "\"rss_kb\": %ld}\n",
	    (double)samples[count / 2] / 1e3, (double)samples[count * 99 / 100] / 1e3,
	    (double)count * 1e9 / (double)begun, (double)loaded / 1e3, resident_kb());
	return 0;
}
