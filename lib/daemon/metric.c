/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric.c: this process's page of counters.
 *
 * Runs in: every process. Trusts: nothing; a page is only written here.
 * Owns: one shared mapping. Invariants: before the page is mapped, counts go to
 * a private page, so callers need not care.
 * See: wire/metrics.h.
 */
#include "internal.h"

#include <sys/mman.h>
#include <unistd.h>

_Static_assert(sizeof(struct metrics_page) <= METRICS_PAGE_LEN, "metrics fit one page");

static struct metrics_page private_page;
static struct metrics_page *page = &private_page;

struct status
metric_map(int fd)
{
	void *p = mmap(NULL, METRICS_PAGE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	(void)close(fd);
	if (p == MAP_FAILED)
		return fail_errno();
	page = p;
	return OK;
}

void
daemon_metric_add(enum metric m, int64_t n)
{
	(void)__atomic_fetch_add(&page->values[m], (uint64_t)n, __ATOMIC_RELAXED);
}

void
daemon_metric_set(enum metric m, uint64_t v)
{
	__atomic_store_n(&page->values[m], v, __ATOMIC_RELAXED);
}
