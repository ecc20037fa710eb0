/* SPDX-License-Identifier: Apache-2.0 */
/* lib/tls: does one file of lists revoke what another one does not? */
#include "tls_crl_rig.h"

static bool
more(struct buf *old, struct buf *fresh)
{
	return tls_crls_more(buf_span(old), buf_span(fresh));
}

static void
one_more_serial_is_more(void **state)
{
	auto_buf struct buf nobody = BUF_INIT(TEXT_MAX), one = BUF_INIT(TEXT_MAX);
	auto_buf struct buf again = BUF_INIT(TEXT_MAX), two = BUF_INIT(TEXT_MAX);
	auto_buf struct buf none = BUF_INIT(TEXT_MAX);

	(void)state;
	put_list(&nobody, &pki.root, &(struct list){ NOW });
	put_list(&one, &pki.root, &(struct list){ NOW, .serial = 1000000 });
	put_list(&again, &pki.root,
	    &(struct list){ .from_s = -1, .until_s = 2L * HOUR, .serial = 1000000 });
	put_list(&two, &pki.root, &(struct list){ NOW, .serial = 7, .more = 1 });
	assert_false(more(&nobody, &nobody));
	assert_true(more(&nobody, &one));
	assert_true(more(&none, &one));
	assert_false(more(&none, &nobody));
	assert_false(more(&none, &none));
	assert_false(more(&one, &again)); /* issued anew, and says the same */
	assert_true(more(&one, &two));
	assert_false(more(&two, &one)); /* one left it, as those that are over do */
	assert_false(more(&one, &none));
}

/* The serial of one authority is not that of another; of several lists each counts. */
static void
of_its_own_authority(void **state)
{
	auto_buf struct buf old = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);
	struct party stranger = issue(
	    &(struct wish){ .cn = "stranger", .from_s = -60, .until_s = 600, .ca = true }, NULL);

	(void)state;
	put_list(&old, &pki.root, &(struct list){ NOW, .serial = 7 });
	put_list(&old, &stranger, &(struct list){ NOW });
	put_list(&fresh, &stranger, &(struct list){ NOW });
	assert_false(more(&old, &fresh));
	put_list(&fresh, &pki.root, &(struct list){ NOW, .serial = 7 });
	assert_false(more(&old, &fresh));
	buf_clear(&fresh);
	put_list(&fresh, &pki.root, &(struct list){ NOW, .serial = 7 });
	put_list(&fresh, &stranger, &(struct list){ NOW, .serial = 7 });
	assert_true(more(&old, &fresh));
	/* Two of one authority: what either names was named. */
	put_list(&old, &stranger, &(struct list){ NOW, .serial = 7 });
	assert_false(more(&old, &fresh));
	party_done(&stranger);
}

static void
long_ones_take_no_time(void **state)
{
	auto_buf struct buf old = BUF_INIT(TEXT_MAX), fresh = BUF_INIT(TEXT_MAX);

	(void)state;
	put_list(&old, &pki.root, &(struct list){ NOW, .more = 20000 });
	put_list(&fresh, &pki.root, &(struct list){ NOW, .more = 20000, .serial = 5 });
	assert_false(more(&old, &old));
	assert_true(more(&old, &fresh));
	assert_false(more(&fresh, &old));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_more_serial_is_more),
		cmocka_unit_test(of_its_own_authority),
		cmocka_unit_test(long_ones_take_no_time),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
