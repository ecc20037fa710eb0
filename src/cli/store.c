/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c: `sallyport store accept`: rows that others have changed are true from now on.
 *
 * Runs in: CLI, as root. Trusts: the service's answers no further than their form.
 * Owns: nothing. Invariants: none.
 * See: src/authority/unfit.c.
 */
#include "operate.h"

int
cmd_store_accept(const struct invocation *inv)
{
	auto_reply struct reply r = { .x = {
					  .method = "POST", .target = "/admin/v1/store/accept" } };
	auto_state struct state s = STATE_NONE;

	if (!state_open_option(inv, &s) || !operate("store accept", &s, &r))
		return EXIT_FAILED;
	(void)printf("accepted: ");
	print_cell(&r.d, 0, "accepted", 0);
	(void)putchar('\n');
	return EXIT_DONE;
}
