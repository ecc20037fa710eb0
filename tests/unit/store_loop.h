/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_STORE_LOOP_H
#define TESTS_STORE_LOOP_H

/* A store with its loop: what it does by itself, or step by step, goes on while that is run. */
#include "store_world.h"

#include <conf/conf.h>

static uv_loop_t loop;
static struct daemon d;

static void
loop_begin(const char *yaml)
{
	char error[CONF_ERROR_MAX];

	assert_int_equal(uv_loop_init(&loop), 0);
	d = (struct daemon){ .loop = &loop };
	if (!is_ok(conf_parse(span_str(yaml), &d.conf, error)))
		test_fail("%s", error);
}

static void
close_one(uv_handle_t *h, void *ctx)
{
	(void)ctx;
	uv_close(h, NULL);
}

static void
end(struct db *db)
{
	privacy_stop();
	conf_free(d.conf);
	uv_walk(&loop, close_one, NULL);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	db_close(db);
}

#endif
