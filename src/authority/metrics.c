/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c: the counters of all processes, as Prometheus reads them.
 *
 * Runs in: authority. Trusts: the supervisor for who a page belongs to; the
 * numbers on a page are their process's own and are only ever printed.
 * Owns: read-only mappings of all pages. Invariants: one entry per process and
 * index; a process that came again replaces the one before.
 * See: wire/metrics.h.
 */
#include "authority.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <json/write.h>

#define PROCS_MAX 1100 /* all workers, and those that drain */

struct proc_entry {
	struct ctl_metrics m;
	const struct metrics_page *page; /* NULL: could not be mapped */
	bool up;
};

struct procs {
	struct proc_entry items[PROCS_MAX];
	size_t n;
};

struct status
procs_init(struct authority *a)
{
	a->procs = calloc(1, sizeof(*a->procs));
	return a->procs == NULL ? fail(E_NOMEM) : OK;
}

void
procs_done(struct authority *a)
{
	for (size_t i = 0; a->procs != NULL && i < a->procs->n; i++) {
		if (a->procs->items[i].page != NULL)
			(void)munmap((void *)(uintptr_t)a->procs->items[i].page, METRICS_PAGE_LEN);
	}
	free(a->procs);
	a->procs = NULL;
}

static struct proc_entry *
entry_for(struct procs *ps, const struct ctl_metrics *m)
{
	for (size_t i = 0; i < ps->n; i++) {
		if (ps->items[i].m.proc == m->proc && ps->items[i].m.index == m->index)
			return &ps->items[i];
	}
	return ps->n < PROCS_MAX ? &ps->items[ps->n++] : NULL;
}

void
procs_add(struct authority *a, const struct ctl_metrics *m, int fd)
{
	void *page = mmap(NULL, METRICS_PAGE_LEN, PROT_READ, MAP_SHARED, fd, 0);
	struct proc_entry *e = m->proc < PROC_COUNT ? entry_for(a->procs, m) : NULL;

	(void)close(fd);
	if (e == NULL || page == MAP_FAILED)
		diag(DIAG_WARN, "the counters of a process cannot be read");
	if (e == NULL) {
		if (page != MAP_FAILED)
			(void)munmap(page, METRICS_PAGE_LEN);
		return;
	}
	if (e->page != NULL)
		(void)munmap((void *)(uintptr_t)e->page, METRICS_PAGE_LEN);
	*e = (struct proc_entry){ *m, page == MAP_FAILED ? NULL : page, true };
}

void
procs_gone(struct authority *a, uint32_t peer_id)
{
	for (size_t i = 0; i < a->procs->n; i++) {
		if (a->procs->items[i].m.peer_id == peer_id)
			a->procs->items[i].up = false;
	}
}

static uint64_t
page_value(const struct metrics_page *page, enum metric metric)
{
	return page == NULL ? 0 : __atomic_load_n(&page->values[metric], __ATOMIC_RELAXED);
}

/* Of a process of which there is one; 0 where it is away. */
static uint64_t
of_proc(const struct authority *a, enum proc proc, enum metric metric)
{
	for (size_t i = 0; i < a->procs->n; i++) {
		const struct proc_entry *e = &a->procs->items[i];

		if (e->m.proc == proc && e->up)
			return page_value(e->page, metric);
	}
	return 0;
}

static uint64_t
of_executor(const struct authority *a, enum metric metric)
{
	return of_proc(a, PROC_EXECUTOR, metric);
}

const char *
procs_store_waits(const struct authority *a)
{
	uint64_t wait = of_proc(a, PROC_STORE, METRIC_STORE_KEK_WAIT);

	if (wait == 0)
		return NULL;
	return wait == 1 || wait > SECRET_FAULT_COUNT ? "waiting" : secret_fault_names[wait - 1];
}

bool
procs_pools_ready(const struct authority *a)
{
	return of_executor(a, METRIC_POOLS_READY) != 0;
}

void
procs_put_workers(const struct authority *a, struct json_writer *w)
{
	static const struct {
		const char *key;
		enum metric metric;
	} rows[] = { { "live", METRIC_WORKERS }, { "tenants", METRIC_WORKER_TENANTS },
		{ "most_of_one_tenant", METRIC_WORKERS_OF_ONE },
		{ "calls_waiting", METRIC_TOOL_CALLS_QUEUED } };

	json_put_object(w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_put_key(w, rows[i].key);
		json_put_u64(w, of_executor(a, rows[i].metric));
	}
	json_put_end(w);
}

static struct status
put_metric(const struct procs *ps, size_t metric, struct buf *out)
{
	TRY(buf_printf(out, "# HELP sallyport_%s %s\n# TYPE sallyport_%s %s\n",
	    metric_rows[metric].name, metric_rows[metric].help, metric_rows[metric].name,
	    metric_rows[metric].type));
	for (size_t i = 0; i < ps->n; i++) {
		const struct proc_entry *e = &ps->items[i];

		if (e->page == NULL || (metric_rows[metric].owners >> e->m.proc & 1) == 0)
			continue;
		TRY(buf_printf(out, "sallyport_%s{process=\"%s\",index=\"%u\"} %llu\n",
		    metric_rows[metric].name, proc_names[e->m.proc], e->m.index,
		    (unsigned long long)__atomic_load_n(
			&e->page->values[metric], __ATOMIC_RELAXED)));
	}
	return OK;
}

struct status
procs_put_metrics(const struct authority *a, struct buf *out)
{
	const struct procs *ps = a->procs;

	for (size_t metric = 0; metric < METRIC_COUNT; metric++)
		TRY(put_metric(ps, metric, out));
	TRY(buf_put_str(out, "# HELP sallyport_up Whether the process is there.\n"
			     "# TYPE sallyport_up gauge\n"));
	for (size_t i = 0; i < ps->n; i++)
		TRY(buf_printf(out, "sallyport_up{process=\"%s\",index=\"%u\"} %d\n",
		    proc_names[ps->items[i].m.proc], ps->items[i].m.index, ps->items[i].up));
	return OK;
}

/* Null: it is not, or it has nothing to say about it. */
static void
put_starting(struct json_writer *w, const struct metrics_page *page)
{
	uint64_t done = page_value(page, METRIC_START_DONE);
	uint64_t total = page_value(page, METRIC_START_TOTAL);

	json_put_key(w, "starting");
	if (done == 0 && total == 0) {
		json_put_null(w);
		return;
	}
	json_put_object(w);
	json_put_key(w, "done");
	json_put_u64(w, done);
	json_put_key(w, "total");
	if (total == 0)
		json_put_null(w);
	else
		json_put_u64(w, total);
	json_put_end(w);
}

static void
put_process(struct json_writer *w, const char *name, const struct ctl_metrics *m, bool up,
    const struct metrics_page *page)
{
	json_put_object(w);
	json_put_key(w, "name");
	json_put_text(w, name);
	json_put_key(w, "index");
	json_put_u64(w, m->index);
	json_put_key(w, "pid");
	json_put_u64(w, m->pid);
	json_put_key(w, "uid");
	json_put_u64(w, m->uid);
	json_put_key(w, "up");
	json_put_bool(w, up);
	put_starting(w, page);
	json_put_end(w);
}

void
procs_put_status(const struct authority *a, struct json_writer *w)
{
	const struct ctl_metrics supervisor = { .pid = a->supervisor_pid };

	json_put_array(w);
	put_process(w, proc_names[PROC_SUPERVISOR], &supervisor, true, NULL);
	for (size_t i = 0; i < a->procs->n; i++) {
		const struct proc_entry *e = &a->procs->items[i];

		put_process(w, proc_names[e->m.proc], &e->m, e->up, e->page);
	}
	json_put_end(w);
}
