/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin-routes-dump: the routes of /admin/v1, one a line with tabs between: method, path, whose
 * door, action, names of the query, schema of the body ("-": none). With "codes": what errors are
 * called, and at whose door. For tests/system/test_openapi.py.
 */
#include <admin_call.h>
#include <stdio.h>
#include <string.h>

static const char *const doors[] = { "none", "operator", "person", "both" };

static int
dump_codes(void)
{
	for (size_t i = 0; i < admin_codes_count; i++)
		printf("%s\t%s\n", admin_codes[i].code, doors[admin_codes[i].doors]);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "codes") == 0)
		return dump_codes();
	for (size_t i = 0; i < admin_routes_count; i++) {
		const struct admin_route *r = &admin_routes[i];

		printf("%s\t%s\t%s\t%s\t%s\t%s\n", r->method, r->path, doors[r->doors],
		    action_name(r->action), r->query, r->schema == NULL ? "-" : r->schema);
	}
	return 0;
}
