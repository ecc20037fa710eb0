/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsync.c: what the disk alone takes to make one audit record durable.
 *
 *	fsync DIR COUNT [INTERVAL_US]
 *
 * Runs in:    a shell, bench/run.py, beside each measurement. Prints one JSON object.
 * Trusts:     DIR: the disk that the audit log is on.
 * Owns:       a file in DIR, without a name.
 * Invariants: each sample is one append of 400 bytes and its fdatasync; with INTERVAL_US
 *             they begin that far apart, as under load, else one after the other.
 * See:        run.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <stdint.h>

#define RECORD_LEN 400
#define COUNT_MAX 1000000
#define P99_SAMPLES_MIN 2000
#define NS_PER_S 1000000000ULL

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "fsync: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void
sleep_until(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		continue;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t
append_ns(int fd)
{
	static char record[RECORD_LEN];
	uint64_t start;

	memset(record, 'a', sizeof(record));
	start = now_ns();
	if (write(fd, record, sizeof(record)) != RECORD_LEN || fdatasync(fd) != 0)
		die("write");
	return now_ns() - start;
}

int
main(int argc, char **argv)
{
	size_t count = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 0;
	uint64_t interval_ns = argc > 3 ? strtoull(argv[3], NULL, 10) * 1000 : 0;
	uint64_t *ns, start;
	int fd;

	if (count == 0 || count > COUNT_MAX) {
		fprintf(stderr, "usage: fsync DIR COUNT [INTERVAL_US]\n");
		return 2;
	}
	prctl(PR_SET_TIMERSLACK, 1UL);
	ns = calloc(count, sizeof(*ns));
	fd = open(argv[1], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (ns == NULL || fd < 0)
		die(argv[1]);
	start = now_ns();
	for (size_t i = 0; i < count; i++) {
		if (interval_ns > 0)
			sleep_until(start + i * interval_ns);
		ns[i] = append_ns(fd);
	}
	qsort(ns, count, sizeof(*ns), by_value);
	printf("{\"n\":%zu,\"p50_us\":%.1f", count, (double)ns[count / 2] / 1e3);
	if (count >= P99_SAMPLES_MIN)
		printf(",\"p99_us\":%.1f}\n", (double)ns[count * 99 / 100] / 1e3);
	else
		printf(",\"p99_us\":null}\n");
	free(ns);
	return 0;
}
