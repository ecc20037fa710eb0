/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_text.c: read the texts of control groups and of the mount table.
 *
 * Runs in: the launcher and the spawner. Trusts: the kernel's texts, but checks
 * every length. Owns: nothing.
 * See: cgroup.h; proc(5) for mountinfo; the kernel's admin-guide/cgroup-v1, -v2.
 */
#include "cgroup.h"

#include <stdio.h>

static const char *const ctl_names[CGROUP_CTLS] = {
	[CGROUP_MEMORY] = "memory",
	[CGROUP_PIDS] = "pids",
	[CGROUP_CPU] = "cpu",
	[CGROUP_CPUACCT] = "cpuacct",
};

/* One line of mountinfo, cut up. */
struct mount_line {
	struct span point;
	struct span type;
	struct span options; /* of the super block */
};

static struct span line_next(struct span *text);
static struct span word_next(struct span *line);
static bool mount_read(struct span line, struct mount_line *ret);
static bool has_option(struct span options, const char *name);
static void dirs_count(struct cgroups *cg);

struct status
cgroups_find(struct span mountinfo, const char *instance, struct cgroups *ret)
{
	struct cgroups cg = { .v2 = false };
	struct span unified = SPAN_EMPTY;
	struct mount_line m;

	while (mountinfo.len > 0) {
		if (!mount_read(line_next(&mountinfo), &m))
			continue;
		if (span_eq_str(m.type, "cgroup2") && unified.len == 0)
			unified = m.point;
		if (!span_eq_str(m.type, "cgroup"))
			continue;
		for (size_t i = 0; i < CGROUP_CTLS; i++) {
			if (has_option(m.options, ctl_names[i]))
				TRY(span_to_cstr(m.point, cg.mount[i], CGROUP_PATH_MAX));
		}
	}
	/* Version 1 controllers beside an empty unified mount mean version 1. */
	cg.v2 = cg.mount[CGROUP_MEMORY][0] == '\0' && unified.len > 0;
	for (size_t i = 0; i < CGROUP_CTLS; i++) {
		if (cg.v2)
			TRY(span_to_cstr(unified, cg.mount[i], CGROUP_PATH_MAX));
		if (cg.mount[i][0] == '\0')
			return fail(E_UNSUPPORTED);
	}
	if (snprintf(cg.group, sizeof(cg.group), "sallyport-%s", instance) >= (int)sizeof(cg.group))
		return fail(E_RANGE);
	dirs_count(&cg);
	*ret = cg;
	return OK;
}

static void
dirs_count(struct cgroups *cg)
{
	for (size_t i = 0; i < CGROUP_CTLS; i++) {
		bool seen = false;

		for (size_t j = 0; j < i; j++)
			seen = seen || strcmp(cg->mount[i], cg->mount[j]) == 0;
		if (!seen)
			cg->dirs[cg->ndirs++] = (enum cgroup_ctl)i;
	}
}

static struct span
line_next(struct span *text)
{
	const uint8_t *nl = text->len == 0 ? NULL : memchr(text->ptr, '\n', text->len);
	size_t len = nl == NULL ? text->len : (size_t)(nl - text->ptr);
	struct span line = span_of(text->ptr, len);

	*text = span_from(*text, len + 1);
	return line;
}

static struct span
word_next(struct span *line)
{
	const uint8_t *space = line->len == 0 ? NULL : memchr(line->ptr, ' ', line->len);
	size_t len = space == NULL ? line->len : (size_t)(space - line->ptr);
	struct span word = span_of(line->ptr, len);

	*line = span_from(*line, len + 1);
	return word;
}

/* id parent major:minor root POINT options [optional…] - TYPE source OPTIONS */
static bool
mount_read(struct span line, struct mount_line *ret)
{
	for (int i = 0; i < 4; i++)
		(void)word_next(&line);
	ret->point = word_next(&line);
	while (line.len > 0 && !span_eq_str(word_next(&line), "-"))
		continue;
	ret->type = word_next(&line);
	(void)word_next(&line);
	ret->options = word_next(&line);
	return ret->point.len > 0 && ret->options.len > 0;
}

static bool
has_option(struct span options, const char *name)
{
	while (options.len > 0) {
		const uint8_t *comma = memchr(options.ptr, ',', options.len);
		size_t len = comma == NULL ? options.len : (size_t)(comma - options.ptr);

		if (span_eq_str(span_of(options.ptr, len), name))
			return true;
		options = span_from(options, len + 1);
	}
	return false;
}

bool
cgroup_value(struct span text, const char *key, uint64_t *ret)
{
	while (text.len > 0) {
		struct span line = line_next(&text);
		struct span word = word_next(&line);

		if (span_eq_str(word, key))
			return is_ok(span_u64(line, UINT64_MAX, ret));
	}
	return false;
}

uint64_t
cgroup_cpu_us(struct span text)
{
	struct span whole = text;
	uint64_t v = 0;

	if (cgroup_value(text, "usage_usec", &v))
		return v;
	if (is_ok(span_u64(line_next(&whole), UINT64_MAX, &v)))
		return v / 1000;
	return 0;
}

bool
cgroup_oom(struct span text)
{
	uint64_t n = 0;

	return cgroup_value(text, "oom_kill", &n) && n > 0;
}
