/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many records a second the audit log makes durable. Compiled by bench/run.py.
 *
 *	audit_speed DIR bare|link|paced SECONDS
 *
 *	bare:  one process that appends and commits in groups of GROUP requests
 *	link:  the audit process's server in a process of its own; WINDOW requests at
 *	       once over a link, each in two steps as the authority does it
 *	paced: the same link, an append each millisecond, the time to its receipt
 *
 * Runs in:    a shell. Prints one JSON object.
 * Trusts:     DIR: empty, on the disk to measure.
 * Owns:       what it writes to DIR.
 * Invariants: the mix is that of a chat request: Authentication and PromptSubmitted
 *             (intent) in one batch, then ResponseReturned that closes the intent; a
 *             record counts when its commit or its receipt has come; anything refused
 *             ends the run without a figure.
 * See:        src/audit/server.h, src/authority/admit.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <crypto/crypto.h>
#include <server.h>

#define GROUP 1000U
#define WINDOW 1024U
#define OWNER 1U
#define PEER 4U
#define CALL_MS 20000
#define PACE_NS 1000000UL
#define SAMPLES_MAX 200000U
#define P99_SAMPLES_MIN 2000U
#define STATE_INSTANCE "0123456789ab"

static const struct record_sender sender = { .name = "authority", .id = PEER };

static _Noreturn void
die(const char *what, struct status st)
{
	fprintf(stderr, "audit_speed: %s: %s\n", what, status_text(st));
	_exit(1);
}

static void
must(const char *what, struct status st)
{
	if (!is_ok(st))
		die(what, st);
}

/* ---- the records of a chat request ----------------------------------------------------------- */

#define IDENTITY                                                                                  \
	.request_id = { 1, 2, 3 }, .subject = { 9 }, .key = { 8 },                                \
	.source_ip = SPAN_LIT("p3Jr0vGQx2b1k9sT5uWm7eYhCq4LzAo8dNf6iBtXlRgKvEwSjMPc2UyHaZ1OrIq"), \
	.config = 1

static void
admission(struct audit_rec recs[2], uint64_t proc_seq)
{
	static const struct audit_value who[] = { { AUDIT_V_STR, 0, SPAN_LIT("api_key") },
		{ AUDIT_V_BOOL, 1, SPAN_EMPTY }, { AUDIT_V_NULL, 0, SPAN_EMPTY } };
	static const struct audit_value prompt[] = { { AUDIT_V_STR, 0, SPAN_LIT("demo") },
		{ AUDIT_V_U64, 12, SPAN_EMPTY }, { AUDIT_V_BOOL, 1, SPAN_EMPTY },
		{ AUDIT_V_U64, 90, SPAN_EMPTY },
		{ AUDIT_V_STR, 0,
		    SPAN_LIT("9f86d081884c7d659a2feaa0c55ad015"
			     "a3bf4f1b2b0b822cd15d6c15b0f00a08") } };

	recs[0] = (struct audit_rec){ IDENTITY, .event = EVENT_AUTHENTICATION,
		.outcome = AUDIT_SUCCESS, .resource = SPAN_LIT("endpoint:chat"),
		.proc_seq = proc_seq, .values = { who, 3 } };
	recs[1] = (struct audit_rec){ IDENTITY, .event = EVENT_PROMPT_SUBMITTED,
		.phase = AUDIT_PHASE_INTENT, .resource = SPAN_LIT("model:demo"),
		.proc_seq = proc_seq + 1, .values = { prompt, 5 } };
}

static void
ending(struct audit_rec *rec, uint64_t proc_seq, uint64_t intent_seq)
{
	static const struct audit_value values[] = { { AUDIT_V_U64, 118, SPAN_EMPTY },
		{ AUDIT_V_BOOL, 0, SPAN_EMPTY }, { AUDIT_V_U64, 200, SPAN_EMPTY },
		{ AUDIT_V_U64, 12, SPAN_EMPTY }, { AUDIT_V_U64, 0, SPAN_EMPTY },
		{ AUDIT_V_U64, 0, SPAN_EMPTY }, { AUDIT_V_U64, 0, SPAN_EMPTY } };

	*rec = (struct audit_rec){ IDENTITY, .event = EVENT_RESPONSE_RETURNED,
		.phase = AUDIT_PHASE_OUTCOME, .outcome = AUDIT_SUCCESS, .intent_seq = intent_seq,
		.resource = SPAN_LIT("model:demo"), .proc_seq = proc_seq, .values = { values, 7 } };
}

static void
open_log(struct log *l, const char *dir, struct sign_key **key)
{
	const struct log_opts opts = LOG_OPTS_DEFAULT;
	struct log_keys keys = { NULL, NULL };
	struct secret raw = SECRET_NONE;
	const char *why = "";
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		die(dir, fail_errno());
	must("crypto", crypto_init());
	must("key", secret_random(ED25519_KEY_LEN, &raw));
	must("key", sign_key_new(&raw, key));
	secret_done(&raw);
	keys.key = *key;
	must(why, log_open(l, fd, STATE_INSTANCE, &keys, &opts, &why));
}

/* ---- bare ------------------------------------------------------------------------------------ */

static void
append(struct log *l, const struct audit_rec *recs, uint32_t n)
{
	must("admit", log_admit(l, recs, n, OWNER));
	for (uint32_t i = 0; i < n; i++)
		log_append(l, &recs[i], &sender, OWNER, i + 1 < n);
}

static void
bare(const char *dir, double seconds)
{
	static uint64_t intents[GROUP];
	struct sign_key *key;
	struct log l;
	struct audit_rec recs[2];
	uint64_t seq = 0, start, signed_ns, now;

	open_log(&l, dir, &key);
	start = signed_ns = now = clock_mono_ns();
	while ((double)(now - start) < seconds * 1e9) {
		for (size_t i = 0; i < GROUP; i++) {
			if (intents[i] != 0) {
				ending(recs, ++seq, intents[i]);
				append(&l, recs, 1);
			}
			admission(recs, seq + 1);
			seq += 2;
			append(&l, recs, 2);
			intents[i] = l.now.size;
		}
		must("commit", log_commit(&l));
		now = clock_mono_ns();
		if (now - signed_ns > NS_PER_S) {
			must("checkpoint", log_checkpoint(&l));
			signed_ns = now;
		}
	}
	printf("{\"records\":%llu,\"per_s\":%.0f}\n", (unsigned long long)l.durable.size,
	    (double)l.durable.size * 1e9 / (double)(now - start));
}

/* ---- the server in a process of its own ------------------------------------------------------ */

static void
on_head(struct server *s, uint64_t size, struct span note)
{
	(void)s, (void)size, (void)note;
}

static void
on_recorded(struct server *s, uint64_t id, uint64_t seq, bool ok)
{
	(void)s, (void)id, (void)seq, (void)ok;
}

static void
on_dead(struct server *s, struct status why)
{
	(void)s;
	die("log", why);
}

static void
on_idle(struct server *s)
{
	uv_stop(s->loop);
}

static _Noreturn void
serve(const char *dir, int fd)
{
	static const struct server_hooks hooks = { on_head, on_recorded, on_dead, on_idle, NULL };
	static struct server server;
	static struct log l;
	struct sign_key *key;
	uv_loop_t loop;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	open_log(&l, dir, &key);
	(void)uv_loop_init(&loop);
	must("server", server_init(&server, &loop, &l, &hooks, 1, 1));
	must("server", server_start(&server));
	must("server", server_peer_add(&server, PEER, fd));
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	_exit(0);
}

/* ---- its client ------------------------------------------------------------------------------ */

struct client {
	uv_loop_t loop;
	struct link *link;
	uint64_t proc_seq, durable, start_ns, end_ns, ticks;
	uint32_t waiting;
	struct sample {
		struct client *client;
		uint64_t due_ns;
	} * samples; /* paced: by tick */
	uint64_t *ns;
	size_t n;
	uint64_t open[SAMPLES_MAX]; /* paced: intents that are durable and open */
	size_t nopen;
};

struct request {
	struct client *client;
	uint64_t intent_seq; /* 0: not admitted */
};

static void on_receipt(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);

static void
send_records(struct client *c, const struct audit_rec *recs, uint32_t n, link_reply *cb, void *ctx)
{
	const struct aa_append m = { .records = { recs, n } };

	must("append", link_call(c->link, AA_APPEND, &m, CALL_MS, cb, ctx, NULL));
	c->proc_seq += n;
	c->waiting++;
}

static void
request_next(struct request *r)
{
	struct audit_rec recs[2];

	if (r->intent_seq == 0) {
		admission(recs, r->client->proc_seq + 1);
		send_records(r->client, recs, 2, on_receipt, r);
	} else {
		ending(recs, r->client->proc_seq + 1, r->intent_seq);
		send_records(r->client, recs, 1, on_receipt, r);
	}
}

static const struct aa_receipt *
receipt(struct client *c, struct status st, uint16_t type, const void *msg)
{
	must("receipt", st);
	if (type != AA_RECEIPT)
		die("receipt", fail(E_DENIED));
	c->waiting--;
	return msg;
}

static void
on_receipt(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct request *r = ctx;
	struct client *c = r->client;
	const struct aa_receipt *m = receipt(c, st, type, msg);
	uint64_t now = clock_mono_ns();

	(void)l;
	if (now <= c->end_ns)
		c->durable += m->count;
	r->intent_seq = r->intent_seq == 0 ? m->first_seq + 1 : 0;
	if (now < c->end_ns)
		request_next(r);
	else if (c->waiting == 0)
		uv_stop(&c->loop);
}

static void
on_paced(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct sample *s = ctx;
	struct client *c = s->client;
	const struct aa_receipt *m = receipt(c, st, type, msg);
	uint64_t now = clock_mono_ns();

	(void)l;
	c->ns[c->n++] = now - s->due_ns;
	c->durable += m->count;
	if (m->count == 2)
		c->open[c->nopen++] = m->first_seq + 1;
	if (now >= c->end_ns && c->waiting == 0)
		uv_stop(&c->loop);
}

/* What is due by now, an intent and an ending in turns. */
static void
on_tick(uv_poll_t *poll, int status, int events)
{
	struct client *c = poll->data;
	struct audit_rec recs[2];
	uint64_t times, now = clock_mono_ns();
	int fd;

	(void)status, (void)events;
	(void)uv_fileno((uv_handle_t *)poll, &fd);
	if (read(fd, &times, sizeof(times)) != sizeof(times))
		return;
	while (now < c->end_ns && c->start_ns + c->ticks * PACE_NS <= now) {
		struct sample *s = &c->samples[c->ticks];

		*s = (struct sample){ c, c->start_ns + c->ticks * PACE_NS };
		if (c->ticks++ % 2 == 1 && c->nopen > 0) {
			ending(recs, c->proc_seq + 1, c->open[--c->nopen]);
			send_records(c, recs, 1, on_paced, s);
		} else {
			admission(recs, c->proc_seq + 1);
			send_records(c, recs, 2, on_paced, s);
		}
	}
	if (now >= c->end_ns && c->waiting == 0)
		uv_stop(&c->loop);
}

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)l, (void)ctx;
	die("link", why);
}

static struct client *
client_new(const char *dir, double seconds)
{
	static const struct link_ops ops = { .on_closed = on_closed };
	struct client *c = calloc(1, sizeof(*c));
	int fds[2];

	if (c == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		die("start", fail_errno());
	switch (fork()) {
	case -1:
		die("fork", fail_errno());
	case 0:
		(void)close(fds[0]);
		serve(dir, fds[1]);
	default:
		(void)close(fds[1]);
	}
	(void)uv_loop_init(&c->loop);
	must("link", link_new(&c->loop, fds[0], &aa_edge, true, &ops, c, &c->link));
	c->start_ns = clock_mono_ns() + NS_PER_S / 5; /* the server opens its log meanwhile */
	c->end_ns = c->start_ns + (uint64_t)(seconds * 1e9);
	return c;
}

static void
client_run(struct client *c)
{
	(void)uv_run(&c->loop, UV_RUN_DEFAULT);
	link_free(c->link);
	(void)uv_run(&c->loop, UV_RUN_DEFAULT);
	(void)wait(NULL);
}

static void
linked(const char *dir, double seconds)
{
	static struct request requests[WINDOW];
	struct client *c = client_new(dir, seconds);

	(void)usleep(200000);
	c->start_ns = clock_mono_ns();
	c->end_ns = c->start_ns + (uint64_t)(seconds * 1e9);
	for (size_t i = 0; i < WINDOW; i++) {
		requests[i].client = c;
		request_next(&requests[i]);
	}
	client_run(c);
	printf("{\"records\":%llu,\"per_s\":%.0f}\n", (unsigned long long)c->durable,
	    (double)c->durable / seconds);
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
paced(const char *dir, double seconds)
{
	struct client *c = client_new(dir, seconds);
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct itimerspec every = { .it_interval = { 0, PACE_NS },
		.it_value = { (time_t)(c->start_ns / NS_PER_S), (long)(c->start_ns % NS_PER_S) } };
	uv_poll_t poll = { .data = c };

	c->samples = calloc(SAMPLES_MAX, sizeof(*c->samples));
	c->ns = calloc(SAMPLES_MAX, sizeof(*c->ns));
	if (c->samples == NULL || c->ns == NULL || seconds * 1000 > SAMPLES_MAX)
		die("memory", fail(E_NOMEM));
	(void)prctl(PR_SET_TIMERSLACK, 1UL);
	if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &every, NULL) < 0)
		die("timer", fail_errno());
	(void)uv_poll_init(&c->loop, &poll, fd);
	poll.data = c;
	(void)uv_poll_start(&poll, UV_READABLE, on_tick);
	(void)uv_run(&c->loop, UV_RUN_DEFAULT);
	qsort(c->ns, c->n, sizeof(*c->ns), by_value);
	if (c->n == 0)
		die("receipts", fail(E_NOTFOUND));
	printf("{\"n\":%zu,\"p50_us\":%.1f,", c->n, (double)c->ns[c->n / 2] / 1e3);
	if (c->n < P99_SAMPLES_MIN)
		printf("\"p99_us\":null}\n");
	else
		printf("\"p99_us\":%.1f}\n", (double)c->ns[c->n * 99 / 100] / 1e3);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const char *dir, double seconds);
	} modes[] = { { "bare", bare }, { "link", linked }, { "paced", paced } };
	double seconds = argc == 4 ? strtod(argv[3], NULL) : 0;

	for (size_t i = 0; seconds > 0 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[2], modes[i].name) == 0) {
			modes[i].run(argv[1], seconds);
			return 0;
		}
	}
	fprintf(stderr, "usage: audit_speed DIR bare|link|paced SECONDS\n");
	return 2;
}
