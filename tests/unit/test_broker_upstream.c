/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/upstream.c, pool.c: names, addresses, how many connections; origin.c: URLs. */
#include "upstream_rig.h"

/* ---- names and addresses ---- */
static void
names_come_from_dns(void **state)
{
	struct upstream_opts o = opts("https", "provider.example");

	(void)state;
	issue("provider.example", 3600, &w.ca, &w.ca_key);
	w.server.ctx = w.tls;
	w.dns.rows[0] = "127.0.0.1";
	w.dns.nrows = 1;
	o.allow = ADDRESS_BIT(ADDRESS_LOOPBACK);
	assert_int_equal(dialled(&o), E_OK);
	exchange();
	upstream_discard(w.u, w.x);
	w.x = NULL;
	assert_int_equal(dialled(&o), E_OK);
	assert_int_equal(w.dns.questions, 1); /* the answer is kept for its time */
}

static void
the_hosts_file_comes_first(void **state)
{
	struct upstream_opts o = opts("https", "IN-hosts");

	(void)state;
	issue("in-hosts", 3600, &w.ca, &w.ca_key);
	w.server.ctx = w.tls;
	o.allow = ADDRESS_BIT(ADDRESS_LOOPBACK);
	assert_int_equal(dialled(&o), E_OK);
	exchange();
	assert_int_equal(w.dns.questions, 0);
}

/* Whatever DNS says of a name that is not loopback itself. */
static void
addresses_are_checked(void **state)
{
	static const char *const bad[] = { "127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0",
		"100.64.0.1", "224.0.0.1" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct upstream_opts o = opts("https", "provider.example");

		w.dns.rows[0] = bad[i];
		w.dns.nrows = 1;
		assert_int_equal(dialled(&o), E_DENIED);
		upstream_free(w.u);
		w.u = NULL;
	}
	assert_int_equal(w.server.nconns, 0);
}

static void
private_addresses_need_leave(void **state)
{
	struct upstream_opts o = opts("https", "private.example");

	(void)state;
	assert_int_equal(dialled(&o), E_DENIED);
	upstream_free(w.u);
	w.u = NULL;
	o.allow = ADDRESS_BIT(ADDRESS_LOOPBACK);
	assert_int_equal(dialled(&o), E_DENIED);
}

static void
nothing_in_clear_leaves_the_machine(void **state)
{
	static const char *const bad[] = { "10.1.2.3", "198.41.0.4" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct upstream_opts o = opts("http", "provider.example");

		o.plain = true;
		o.allow = ADDRESS_BIT(ADDRESS_PRIVATE) | ADDRESS_BIT(ADDRESS_LOOPBACK);
		w.dns.rows[0] = bad[i];
		w.dns.nrows = 1;
		assert_int_equal(dialled(&o), E_DENIED);
		upstream_free(w.u);
		w.u = NULL;
	}
}

static void
ipv4_in_disguise_is_refused(void **state)
{
	static const char *const bad[] = { "::ffff:127.0.0.1", "::1", "64:ff9b::7f00:1",
		"fd00:ec2::254", "fe80::1", "2002:7f00:1::" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct upstream_opts o = opts("https", "six.example");

		w.dns.rows[0] = "none";
		w.dns.nrows = 1;
		w.dns.six = bad[i];
		assert_int_equal(dialled(&o), E_DENIED);
		upstream_free(w.u);
		w.u = NULL;
	}
}

/* An answer that was good is asked again when its time is over, and checked again. */
static void
a_name_that_moves_is_checked_again(void **state)
{
	struct upstream_opts o = opts("https", "provider.example");

	(void)state;
	issue("provider.example", 3600, &w.ca, &w.ca_key);
	w.server.ctx = w.tls;
	w.dns.ttl_s = 1;
	w.dns.rows[0] = "127.0.0.1";
	w.dns.rows[1] = "169.254.169.254";
	w.dns.nrows = 2;
	o.allow = ADDRESS_BIT(ADDRESS_LOOPBACK);
	assert_int_equal(dialled(&o), E_OK);
	exchange();
	upstream_discard(w.u, w.x);
	w.x = NULL;
	(void)usleep(1100000);
	(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	assert_int_equal(dialled(&o), E_DENIED);
	assert_int_equal(w.dns.questions, 2);
}

static void
a_name_that_is_not_there(void **state)
{
	struct upstream_opts o = opts("https", "nowhere.example");

	(void)state;
	w.dns.rows[0] = NULL;
	w.dns.nrows = 1;
	assert_int_equal(dialled(&o), E_NOTFOUND);
	assert_int_equal(dialled(&o), E_NOTFOUND);
	assert_int_equal(w.dns.questions, 1);
}

static void
a_silent_name_server_times_out(void **state)
{
	struct upstream_opts o = opts("https", "silent.example");
	uint64_t began = uv_hrtime();

	(void)state;
	w.dns.rows[0] = "";
	w.dns.nrows = 1;
	w.dns.six = "";
	assert_int_equal(dialled(&o), E_TIMEOUT);
	assert_true(uv_hrtime() - began < (RESOLVE_MS + 1000) * 1000000ULL);
}

/* It takes the connection and says nothing. */
static void
a_silent_handshake_times_out(void **state)
{
	struct upstream_opts o = opts("https", "127.0.0.1");
	uint64_t began = uv_hrtime();

	(void)state;
	w.server.mute = true;
	assert_int_equal(dialled(&o), E_TIMEOUT);
	assert_true(uv_hrtime() - began < (DIAL_HANDSHAKE_MS + 1000) * 1000000ULL);
}

static void
nobody_listens(void **state)
{
	struct upstream_opts o = opts("https", "localhost");

	(void)state;
	snprintf(w.url, sizeof(w.url), "https://127.0.0.1:1");
	assert_int_equal(dialled(&o), E_CLOSED);
}

static void
a_wait_is_cancelled(void **state)
{
	struct upstream_opts o = opts("https", "localhost");

	(void)state;
	assert_true(is_ok(upstream_new(&o, &w.u)));
	assert_int_equal(upstream_acquire(w.u, true, on_done, NULL, &w.wait, &w.x).code, E_AGAIN);
	upstream_cancel(w.wait);
	assert_int_equal(upstream_open(w.u), 0);
	w.dns.rows[0] = "";
	w.dns.nrows = 1;
	upstream_free(w.u);
	snprintf(w.url, sizeof(w.url), "https://silent.example");
	assert_true(is_ok(upstream_new(&o, &w.u)));
	assert_int_equal(upstream_acquire(w.u, true, on_done, NULL, &w.wait, &w.x).code, E_AGAIN);
	(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	upstream_cancel(w.wait);
	upstream_free(w.u); /* while its question is under way */
	w.u = NULL;
	assert_int_equal(w.done, 0);
}

static void
connections_are_bounded(void **state)
{
	struct upstream_opts o = opts("https", "silent.example");
	static struct upstream_wait *waits[UPSTREAM_OPEN_MAX];
	struct upstream_wait *more;

	(void)state;
	w.dns.rows[0] = "";
	w.dns.nrows = 1;
	assert_true(is_ok(upstream_new(&o, &w.u)));
	for (size_t i = 0; i < UPSTREAM_OPEN_MAX; i++)
		assert_int_equal(
		    upstream_acquire(w.u, false, on_done, NULL, &waits[i], &w.x).code, E_AGAIN);
	assert_int_equal(upstream_acquire(w.u, false, on_done, NULL, &more, &w.x).code, E_FULL);
	for (size_t i = 0; i < UPSTREAM_OPEN_MAX; i++)
		upstream_cancel(waits[i]);
}

#define CROWD (UPSTREAM_DIALS_MAX + 40)

static struct {
	struct upstream_wait *waits[CROWD];
	struct exchange *x[CROWD];
	unsigned made, refused;
} crowd;

static void
on_crowd(void *ctx, struct status st, struct exchange *x)
{
	size_t i = (uintptr_t)ctx;

	crowd.waits[i] = NULL;
	crowd.x[i] = x;
	crowd.made += is_ok(st);
	crowd.refused += st.code == E_DENIED;
}

static void
ask_crowd(const struct upstream_opts *o)
{
	memset(&crowd, 0, sizeof(crowd));
	assert_true(is_ok(upstream_new(o, &w.u)));
	for (size_t i = 0; i < CROWD; i++)
		assert_int_equal(
		    upstream_acquire(w.u, false, on_crowd, (void *)i, &crowd.waits[i], &crowd.x[i])
			.code,
		    E_AGAIN);
}

/* Those for whom none is made yet wait for their turn, and come to it. */
static void
connections_being_made_are_bounded(void **state)
{
	struct upstream_opts o = opts("https", "127.0.0.1");

	(void)state;
	issue("127.0.0.1", 3600, &w.ca, &w.ca_key);
	w.server.ctx = w.tls;
	w.server.mute = true;
	ask_crowd(&o);
	for (int i = 0; i < 5000 && w.server.nconns < UPSTREAM_DIALS_MAX; i++) {
		(void)usleep(1000);
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	}
	for (int i = 0; i < 50; i++)
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	assert_int_equal(w.server.nconns, UPSTREAM_DIALS_MAX);
	for (size_t i = 0; i < CROWD; i++)
		upstream_cancel(crowd.waits[i]);
	assert_int_equal(upstream_open(w.u), 0);
	upstream_free(w.u);
	origin_stop(&w.server);
	for (int i = 0; i < 10; i++)
		(void)uv_run(&w.loop, UV_RUN_NOWAIT); /* handles of the first server */
	origin_start(&w.server, &w.loop, w.tls);
	PLAY(&w.server, { .text = OK_REPLY });
	o = opts("https", "127.0.0.1");
	ask_crowd(&o);
	wait_for(&crowd.made, CROWD);
	assert_int_equal(w.server.nconns, CROWD);
	for (size_t i = 0; i < CROWD; i++)
		upstream_discard(w.u, crowd.x[i]);
}

/* One that fails is one wait's fate, not that of all who have not had their turn. */
static void
a_crowd_is_refused_one_by_one(void **state)
{
	struct upstream_opts o = opts("https", "127.0.0.1");

	(void)state;
	issue("127.0.0.1", 3600, &w.other_ca, &w.other_key);
	w.server.ctx = w.tls;
	ask_crowd(&o);
	wait_for(&crowd.refused, CROWD);
	assert_int_equal(w.server.nconns, CROWD);
}

/* ---- URLs ---- */
static void
urls_have_parts(void **state)
{
	static const struct {
		const char *url, *host, *authority, *base;
		uint16_t port;
		bool loopback;
	} rows[] = {
		{ "https://API.Example.com", "api.example.com", "api.example.com", "", 443, false },
		{ "https://h:443/", "h", "h", "", 443, false },
		{ "https://h:8443/v1/", "h", "h:8443", "/v1", 8443, false },
		{ "http://127.0.0.1:80/a/b", "127.0.0.1", "127.0.0.1", "/a/b", 80, true },
		{ "http://[::1]:8000", "::1", "[::1]:8000", "", 8000, true },
		{ "https://localhost", "localhost", "localhost", "", 443, true },
		{ "https://localhost.evil", "localhost.evil", "localhost.evil", "", 443, false },
	};
	static const char *const bad[] = { "", "ftp://h", "https://", "https://:1", "https://h:0",
		"https://h:65536", "https://h:x", "https://[::1", "https://[zz]",
		"https://[::1]x" };
	struct origin o;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(is_ok(origin_parse(rows[i].url, &o)));
		assert_string_equal(o.host, rows[i].host);
		assert_string_equal(o.authority, rows[i].authority);
		assert_string_equal(o.base, rows[i].base);
		assert_int_equal(o.port, rows[i].port);
		assert_int_equal(o.loopback, rows[i].loopback);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(is_ok(origin_parse(bad[i], &o)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(names_come_from_dns),
		T(the_hosts_file_comes_first),
		T(addresses_are_checked),
		T(private_addresses_need_leave),
		T(nothing_in_clear_leaves_the_machine),
		T(ipv4_in_disguise_is_refused),
		T(a_name_that_moves_is_checked_again),
		T(a_name_that_is_not_there),
		T(a_silent_name_server_times_out),
		T(a_silent_handshake_times_out),
		T(nobody_listens),
		T(a_wait_is_cancelled),
		T(connections_are_bounded),
		T(connections_being_made_are_bounded),
		T(a_crowd_is_refused_one_by_one),
		cmocka_unit_test(urls_have_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
