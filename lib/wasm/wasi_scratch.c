/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasi_scratch.c: a small tree of files in memory, which lives as long as one call.
 *
 * Runs in: the run worker of one tenant, on behalf of its guests.
 * Trusts: nothing of the guest: paths, names, offsets and sizes are checked here.
 * Owns: the names and bytes of all nodes; wiped when they go.
 * Invariants: a linked node's parent is a linked directory, and following parents ends at the
 * root within WASI_DEPTH_MAX steps; `bytes` is the sum of all `cap` and never above
 * WASI_SCRATCH_MAX; bytes behind a file's end are zero; a node that is neither linked nor open is
 * free. See: wasi_scratch.h; wasi_path.c and wasi_io.c use it.
 */
#include <wasi_scratch.h>

#include <assert.h>
#include <stdlib.h>

#include <base/clock.h>
#include <wasi_abi.h>

#define FILE_CAP_MIN 1024U

static uint32_t component(
    const struct wasi_scratch *s, struct span name, uint32_t from, unsigned *depth, uint32_t *dir);
static uint32_t node_find(const struct wasi_scratch *s, uint32_t dir, struct span name);
static uint32_t node_depth(const struct wasi_scratch *s, uint32_t node);
static bool is_below(const struct wasi_scratch *s, uint32_t node, uint32_t above);
static uint32_t deepest_below(const struct wasi_scratch *s, uint32_t node);
static bool has_entries(const struct wasi_scratch *s, uint32_t dir);
static uint32_t name_set(struct scratch_node *n, struct span name);
static uint32_t replaceable(const struct wasi_scratch *s, uint32_t from, uint32_t to);
static void node_unlink(struct wasi_scratch *s, uint32_t node);
static void node_free(struct wasi_scratch *s, uint32_t node);
static void touch(struct scratch_node *n);
static uint64_t file_room(const struct wasi_scratch *s, const struct scratch_node *n);
static bool file_reserve(struct wasi_scratch *s, struct scratch_node *n, uint64_t len);

struct wasi_scratch *
scratch_new(void)
{
	struct wasi_scratch *s = calloc(1, sizeof(*s));
	struct scratch_node *root;

	if (s == NULL)
		return NULL;
	root = &s->nodes[SCRATCH_ROOT];
	root->kind = WASI_DIRECTORY;
	root->linked = true;
	root->parent = SCRATCH_ROOT;
	root->inode = ++s->inodes;
	s->top = SCRATCH_ROOT + 1;
	touch(root);
	root->atim_ns = root->mtim_ns;
	return s;
}

void
scratch_free(struct wasi_scratch *s)
{
	if (s == NULL)
		return;
	for (uint32_t i = 0; i < s->top; i++)
		node_free(s, i);
	explicit_bzero(s, sizeof(*s)); /* sizes and times: all else is gone with its node */
	free(s);
}

/* ---- paths ---- */

uint32_t
scratch_walk(
    const struct wasi_scratch *s, uint32_t from, struct span path, struct scratch_place *ret)
{
	struct scratch_place at = { .dir = from, .node = from };
	unsigned depth = 0;
	size_t i = 0;

	if (path.len == 0)
		return WASI_ENOENT;
	if (path.len > WASI_PATH_MAX)
		return WASI_ENAMETOOLONG;
	if (memchr(path.ptr, 0, path.len) != NULL)
		return WASI_EINVAL;
	if (path.ptr[0] == '/')
		return WASI_ENOTCAPABLE;
	while (i < path.len) {
		size_t begin = i;
		struct span name;
		uint32_t err;

		while (i < path.len && path.ptr[i] != '/')
			i++;
		name = span_of(path.ptr + begin, i - begin);
		at.slash = i < path.len;
		while (i < path.len && path.ptr[i] == '/')
			i++;
		/* What stood before this name has to be a directory. */
		if (at.node == SCRATCH_NONE)
			return WASI_ENOENT;
		err = component(s, name, at.node, &depth, &at.dir);
		if (err != WASI_OK)
			return err;
		at.name = span_eq_str(name, ".") || span_eq_str(name, "..") ? SPAN_EMPTY : name;
		at.node = at.name.len == 0 ? at.dir : node_find(s, at.dir, name);
	}
	if (at.slash && at.node != SCRATCH_NONE && s->nodes[at.node].kind != WASI_DIRECTORY)
		return WASI_ENOTDIR;
	*ret = at;
	return WASI_OK;
}

/* One name of a path below directory `from`: the directory in which it is to be looked for. */
static uint32_t
component(
    const struct wasi_scratch *s, struct span name, uint32_t from, unsigned *depth, uint32_t *dir)
{
	if (s->nodes[from].kind != WASI_DIRECTORY)
		return WASI_ENOTDIR;
	if (name.len > WASI_NAME_MAX)
		return WASI_ENAMETOOLONG;
	*dir = from;
	if (span_eq_str(name, "."))
		return WASI_OK;
	if (!span_eq_str(name, "..")) {
		(*depth)++;
		return WASI_OK;
	}
	if (*depth == 0)
		return WASI_ENOTCAPABLE;
	(*depth)--;
	*dir = s->nodes[from].parent;
	return WASI_OK;
}

static uint32_t
node_find(const struct wasi_scratch *s, uint32_t dir, struct span name)
{
	for (uint32_t i = SCRATCH_ROOT + 1; i < s->top; i++) {
		const struct scratch_node *n = &s->nodes[i];

		if (n->linked && n->parent == dir && span_eq(span_of(n->name, n->name_len), name))
			return i;
	}
	return SCRATCH_NONE;
}

static uint32_t
node_depth(const struct wasi_scratch *s, uint32_t node)
{
	uint32_t depth = 0;

	for (; node != SCRATCH_ROOT; node = s->nodes[node].parent)
		depth++;
	return depth;
}

static bool
is_below(const struct wasi_scratch *s, uint32_t node, uint32_t above)
{
	for (; node != SCRATCH_ROOT; node = s->nodes[node].parent) {
		if (node == above)
			return true;
	}
	return above == SCRATCH_ROOT;
}

/* Of `node` and all below it, how far the deepest lies from the root. */
static uint32_t
deepest_below(const struct wasi_scratch *s, uint32_t node)
{
	uint32_t deepest = node_depth(s, node);

	for (uint32_t i = SCRATCH_ROOT + 1; i < s->top; i++) {
		if (s->nodes[i].linked && is_below(s, i, node)) {
			uint32_t depth = node_depth(s, i);

			deepest = depth > deepest ? depth : deepest;
		}
	}
	return deepest;
}

static bool
has_entries(const struct wasi_scratch *s, uint32_t dir)
{
	return scratch_next(s, dir, 0) != SCRATCH_NONE;
}

uint32_t
scratch_next(const struct wasi_scratch *s, uint32_t dir, uint64_t from)
{
	for (uint64_t i = from <= SCRATCH_ROOT ? SCRATCH_ROOT + 1 : from; i < s->top; i++) {
		if (s->nodes[i].linked && s->nodes[i].parent == dir)
			return (uint32_t)i;
	}
	return SCRATCH_NONE;
}

/* ---- entries ---- */

uint32_t
scratch_create(
    struct wasi_scratch *s, const struct scratch_place *at, uint8_t kind, uint32_t *ret_node)
{
	struct scratch_node *n;
	uint32_t i = SCRATCH_ROOT + 1, err;

	if (at->node != SCRATCH_NONE)
		return WASI_EEXIST;
	if (!s->nodes[at->dir].linked)
		return WASI_ENOENT;
	if (node_depth(s, at->dir) >= WASI_DEPTH_MAX)
		return WASI_ENOSPC;
	while (i < s->top && s->nodes[i].kind != 0)
		i++;
	if (i == WASI_FILES_MAX)
		return WASI_ENOSPC;
	n = &s->nodes[i];
	err = name_set(n, at->name);
	if (err != WASI_OK)
		return err;
	n->kind = kind;
	n->linked = true;
	n->parent = at->dir;
	n->inode = ++s->inodes;
	touch(n);
	n->atim_ns = n->mtim_ns;
	touch(&s->nodes[at->dir]);
	if (i == s->top)
		s->top++;
	*ret_node = i;
	return WASI_OK;
}

static uint32_t
name_set(struct scratch_node *n, struct span name)
{
	uint8_t *copy;

	assert(name.len > 0 && name.len <= WASI_NAME_MAX);
	copy = malloc(name.len);
	if (copy == NULL)
		return WASI_ENOSPC;
	memcpy(copy, name.ptr, name.len);
	if (n->name != NULL)
		explicit_bzero(n->name, n->name_len);
	free(n->name);
	n->name = copy;
	n->name_len = (uint8_t)name.len;
	return WASI_OK;
}

uint32_t
scratch_remove(struct wasi_scratch *s, const struct scratch_place *at, uint8_t kind)
{
	if (at->node == SCRATCH_NONE)
		return WASI_ENOENT;
	if (at->node == SCRATCH_ROOT)
		return WASI_EBUSY;
	if (kind == WASI_DIRECTORY && s->nodes[at->node].kind != WASI_DIRECTORY)
		return WASI_ENOTDIR;
	if (kind != WASI_DIRECTORY && s->nodes[at->node].kind == WASI_DIRECTORY)
		return WASI_EISDIR;
	if (at->name.len == 0)
		return WASI_EINVAL;
	if (has_entries(s, at->node))
		return WASI_ENOTEMPTY;
	touch(&s->nodes[at->dir]);
	node_unlink(s, at->node);
	return WASI_OK;
}

uint32_t
scratch_rename(
    struct wasi_scratch *s, const struct scratch_place *from, const struct scratch_place *to)
{
	struct scratch_node *n;
	uint32_t err, deep;

	if (from->node == SCRATCH_NONE)
		return WASI_ENOENT;
	if (from->name.len == 0 || to->name.len == 0)
		return from->node == SCRATCH_ROOT || to->node == SCRATCH_ROOT ? WASI_EBUSY
									      : WASI_EINVAL;
	if (!s->nodes[to->dir].linked)
		return WASI_ENOENT;
	n = &s->nodes[from->node];
	if (to->slash && n->kind != WASI_DIRECTORY)
		return WASI_ENOTDIR;
	if (to->node == from->node)
		return WASI_OK;
	if (is_below(s, to->dir, from->node))
		return WASI_EINVAL;
	err = replaceable(s, from->node, to->node);
	if (err != WASI_OK)
		return err;
	deep = deepest_below(s, from->node) - node_depth(s, from->node);
	if (node_depth(s, to->dir) + 1 + deep > WASI_DEPTH_MAX)
		return WASI_ENOSPC;
	err = name_set(n, to->name);
	if (err != WASI_OK)
		return err;
	if (to->node != SCRATCH_NONE)
		node_unlink(s, to->node);
	touch(&s->nodes[n->parent]);
	touch(&s->nodes[to->dir]);
	n->parent = to->dir;
	n->ctim_ns = clock_real_ns();
	return WASI_OK;
}

/* What rename(2) lets take the place of `to`: a file of a file, a directory of an empty one. */
static uint32_t
replaceable(const struct wasi_scratch *s, uint32_t from, uint32_t to)
{
	bool dir = s->nodes[from].kind == WASI_DIRECTORY;

	if (to == SCRATCH_NONE)
		return WASI_OK;
	if (dir && s->nodes[to].kind != WASI_DIRECTORY)
		return WASI_ENOTDIR;
	if (!dir && s->nodes[to].kind == WASI_DIRECTORY)
		return WASI_EISDIR;
	return dir && has_entries(s, to) ? WASI_ENOTEMPTY : WASI_OK;
}

void
scratch_open(struct wasi_scratch *s, uint32_t node)
{
	assert(s->nodes[node].kind != 0 && s->nodes[node].opens < UINT16_MAX);
	s->nodes[node].opens++;
}

void
scratch_close(struct wasi_scratch *s, uint32_t node)
{
	assert(s->nodes[node].opens > 0);
	if (--s->nodes[node].opens == 0 && !s->nodes[node].linked)
		node_free(s, node);
}

/* Without a name its parent may go: nothing climbs out of it any more. */
static void
node_unlink(struct wasi_scratch *s, uint32_t node)
{
	s->nodes[node].linked = false;
	s->nodes[node].parent = SCRATCH_ROOT;
	if (s->nodes[node].opens == 0)
		node_free(s, node);
}

static void
node_free(struct wasi_scratch *s, uint32_t node)
{
	struct scratch_node *n = &s->nodes[node];

	if (n->name != NULL)
		explicit_bzero(n->name, n->name_len);
	free(n->name);
	if (n->data != NULL)
		explicit_bzero(n->data, n->len);
	free(n->data);
	s->bytes -= n->cap;
	*n = (struct scratch_node){ 0 };
}

static void
touch(struct scratch_node *n)
{
	n->mtim_ns = n->ctim_ns = clock_real_ns();
}

/* ---- bytes ---- */

size_t
scratch_read(struct wasi_scratch *s, uint32_t node, uint64_t at, uint8_t *out, size_t len)
{
	struct scratch_node *n = &s->nodes[node];

	if (at >= n->len)
		return 0;
	if (len > n->len - at)
		len = n->len - at;
	if (len > 0)
		memcpy(out, n->data + at, len);
	return len;
}

uint32_t
scratch_write(struct wasi_scratch *s, uint32_t node, uint64_t at, const uint8_t *in, size_t len,
    size_t *ret_len)
{
	struct scratch_node *n = &s->nodes[node];
	uint64_t room = file_room(s, n);

	*ret_len = 0;
	if (len == 0)
		return WASI_OK;
	if (at >= WASI_SCRATCH_MAX)
		return WASI_EFBIG;
	if (at >= room)
		return WASI_ENOSPC;
	if (len > room - at)
		len = room - at;
	if (!file_reserve(s, n, at + len))
		return WASI_ENOSPC;
	memcpy(n->data + at, in, len);
	if (at + len > n->len)
		n->len = at + len;
	touch(n);
	*ret_len = len;
	return WASI_OK;
}

uint32_t
scratch_resize(struct wasi_scratch *s, uint32_t node, uint64_t len)
{
	struct scratch_node *n = &s->nodes[node];

	if (len > WASI_SCRATCH_MAX)
		return WASI_EFBIG;
	if (len > file_room(s, n) || !file_reserve(s, n, len))
		return WASI_ENOSPC;
	/* What lies behind the end is always zero, so that growing shows nothing old. */
	if (len < n->len)
		explicit_bzero(n->data + len, n->len - len);
	n->len = len;
	touch(n);
	return WASI_OK;
}

/* How long this file can become. */
static uint64_t
file_room(const struct wasi_scratch *s, const struct scratch_node *n)
{
	return WASI_SCRATCH_MAX - s->bytes + n->cap;
}

/* The caller looked at file_room. */
static bool
file_reserve(struct wasi_scratch *s, struct scratch_node *n, uint64_t len)
{
	uint64_t cap = n->cap < FILE_CAP_MIN ? FILE_CAP_MIN : n->cap * 2, room = file_room(s, n);
	uint8_t *grown;

	if (len <= n->cap)
		return true;
	if (cap < len)
		cap = len;
	if (cap > room)
		cap = room;
	assert(cap >= len);
	grown = calloc(1, cap);
	if (grown == NULL)
		return false;
	if (n->data != NULL) {
		memcpy(grown, n->data, n->len);
		explicit_bzero(n->data, n->len);
		free(n->data);
	}
	s->bytes += cap - n->cap;
	n->data = grown;
	n->cap = cap;
	return true;
}
