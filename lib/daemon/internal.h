/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_INTERNAL_H
#define DAEMON_INTERNAL_H

#include <daemon/daemon.h>

void diag_set_name(const char *name, uint32_t index);
/* Map the page that the supervisor gave; takes fd. */
MUST_USE struct status metric_map(int fd);

/* files.c */
struct file_row {
	char name[CONF_PATH_MAX + 1];
	int fd;
};
struct files {
	struct file_row rows[DAEMON_FILES_MAX];
	size_t count;
};
int files_find(const struct files *f, struct span name); /* -1: none */
/* Takes fd on OK. E_FULL, E_EXISTS, E_RANGE. */
MUST_USE struct status files_add(struct files *f, struct span name, int fd);
/* `by` is empty afterwards. */
void files_replace(struct files *f, struct files *by);
/* Those of `by` take the place of the same names; the others stay. */
void files_merge(struct files *f, struct files *by);

#endif
