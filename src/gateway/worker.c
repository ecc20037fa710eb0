/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c: one worker's start, configuration and hooks into the loop.
 *
 * Runs in: gateway. Trusts: the supervisor for configuration and certificate.
 * Owns: what struct gateway holds.
 * Invariants: TLS and schemas are ready before the jail; output is written and
 * links are flushed once a turn of the loop.
 * See: daemon/daemon.h for the order.
 */
#include "worker.h"

#include <seccomp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/rand.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>
#include <tls/crl.h>

#include "conn.h"
#include "routes.h"
#include "strict.h"
#include "toolcall.h"

#define SCHEMA_MEMORY_MAX (8UL << 20)
#define MODEL_MEMORY_MAX (1UL << 20)
#define FDS_RESERVED 64 /* of the limit, for links, loop and the like */
#define TICKET_INFO SPAN_LIT("sallyport gateway session tickets")

static void on_prepare(uv_prepare_t *handle);
static void on_check(uv_check_t *handle);
static void on_timer(uv_timer_t *handle);

static const int calls[] = { SCMP_SYS(accept4), SCMP_SYS(setsockopt), -1 };

const struct jail worker_jail = { .name = "gateway", .syscalls = calls, .nofile = 65536 };

/* ---- start ---- */

static struct status
compile_schemas(struct gateway *g)
{
	g->schema_arena = ARENA_INIT(SCHEMA_MEMORY_MAX);
	for (size_t i = 0; i < routes_count; i++) {
		struct schema_fault fault;
		struct status st;

		if (routes[i].schema == NULL)
			continue;
		st = schema_compile(*routes[i].schema, &g->schema_arena, &g->schemas[i], &fault);
		if (!is_ok(st)) {
			diag(DIAG_ERROR, "schema of %s: %s: %s", routes[i].path, fault.pointer,
			    fault.message);
			return st;
		}
		TRY(strict_learn(*routes[i].schema));
	}
	return toolcall_prepare();
}

/* Before the jail, which has no system call for it, and raises the soft limit to the hard one. */
static size_t
fds_max(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return FDS_RESERVED;
	return rl.rlim_max < worker_jail.nofile ? rl.rlim_max : worker_jail.nofile;
}

struct status
worker_init(struct daemon *d)
{
	struct gateway *g = d->ctx;

	g->listen_fd = daemon_fd(d, "listen");
	if (g->listen_fd < 0)
		return fail(E_NOTFOUND);
	g->fds_max = fds_max();
	g->cores = sysconf(_SC_NPROCESSORS_ONLN);
	return worker_prepare(d);
}

struct status
worker_prepare(struct daemon *d)
{
	struct gateway *g = d->ctx;
	uint64_t seed = 0;

	g->d = d;
	g->loop = d->loop;
	TRY(crypto_init());
	TRY(tls_init());
	TRY(rand_bytes(&seed, sizeof(seed)));
	sources_init(&g->sources, seed);
	timeouts_init(&g->timeouts);
	TAILQ_INIT(&g->conns);
	TAILQ_INIT(&g->dirty);
	TAILQ_INIT(&g->active);
	TAILQ_INIT(&g->spare);
	tool_sets_init(&g->tool_sets);
	TRY(json_init(&g->doc, &JSON_STRICT));
	TRY(json_init(&g->answer_doc, &answer_json_opts));
	return compile_schemas(g);
}

struct status
worker_start(struct daemon *d)
{
	struct gateway *g = d->ctx;

	worker_hook(d);
	return accept_start(g);
}

void
worker_hook(struct daemon *d)
{
	struct gateway *g = d->ctx;

	gateway_configure(g);
	g->timer_at_ms = UINT64_MAX;
	(void)uv_timer_init(g->loop, &g->timer);
	(void)uv_prepare_init(g->loop, &g->prepare);
	(void)uv_check_init(g->loop, &g->check);
	g->timer.data = g->prepare.data = g->check.data = g;
	(void)uv_prepare_start(&g->prepare, on_prepare);
	(void)uv_check_start(&g->check, on_check);
}

/* ---- configuration ---- */

static uint32_t
limit(const struct gateway *g, const char *path)
{
	uint64_t v = conf_u64(g->d->conf, path);

	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

/* One connection is one descriptor: hard limits are never raised, tables obey them. */
static size_t
connections_max(const struct gateway *g)
{
	size_t wanted = limit(g, "limits.connections");

	if (g->fds_max <= FDS_RESERVED)
		return 1;
	return wanted < g->fds_max - FDS_RESERVED ? wanted : g->fds_max - FDS_RESERVED;
}

/* Workers share one socket, but not their counts: each allows its part of what the service does. */
static uint32_t
part(const struct gateway *g, const char *path)
{
	uint64_t n = conf_u64(g->d->conf, "workers");

	if (n == 0)
		n = g->cores > 0 ? (uint64_t)g->cores : 1;
	if (n > WORKERS_MAX)
		n = WORKERS_MAX;
	return (uint32_t)((limit(g, path) + n - 1) / n);
}

static void
configure_timeouts(struct gateway *g)
{
	static const struct {
		enum timeout_kind kind;
		const char *path;
	} rows[] = {
		{ TIMEOUT_HANDSHAKE, "limits.handshake_timeout_ms" },
		{ TIMEOUT_HEADER, "limits.header_timeout_ms" },
		{ TIMEOUT_BODY, "limits.body_timeout_ms" },
		{ TIMEOUT_IDLE, "limits.idle_timeout_ms" },
		{ TIMEOUT_WRITE, "limits.write_timeout_ms" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		g->timeouts.len_ms[rows[i].kind] = conf_u64(g->d->conf, rows[i].path);
	g->timeouts.len_ms[TIMEOUT_LINGER] = LINGER_MS;
	g->timeouts.len_ms[TIMEOUT_ADMIT] = CALL_TIMEOUT_MS;
	g->timeouts.len_ms[TIMEOUT_RUN] = RUN_GRACE_MS;
	g->timeouts.len_ms[TIMEOUT_TURN] = 1000 * conf_u64(g->d->conf, "limits.turn_s");
}

/* What one entry's provider speaks, as bits. */
static uint32_t
endpoints_of(const struct conf *conf, const char *provider)
{
	const char *kind = conf_strf(conf, "providers.%s.kind", provider);
	uint32_t bits = 0;

	for (size_t i = 0; kind != NULL && i < PROVIDER_KINDS; i++) {
		if (strcmp(kind, provider_kinds[i].name) != 0)
			continue;
		for (unsigned e = 0; e < ENDPOINT_COUNT; e++)
			bits |= provider_kinds[i].paths[e] != NULL ? 1U << e : 0;
	}
	return bits;
}

/* Any entry may be the one that is asked: what one of them refuses is refused. */
static struct model_name
model_of(const struct conf *conf, struct span alias)
{
	struct model_name m = { .alias = alias };

	for (unsigned i = 0;; i++) {
		const char *provider = conf_strf(
		    conf, "models.%.*s.%u.provider", SPAN_FMT(alias), i);
		const char *unknown = provider == NULL
					  ? NULL
					  : conf_strf(
						conf, "providers.%s.unknown_fields", provider);

		if (provider == NULL)
			return m;
		m.endpoints |= endpoints_of(conf, provider);
		if (unknown != NULL && strcmp(unknown, "refuse") == 0)
			m.strict |= endpoints_of(conf, provider);
	}
}

static void
configure_models(struct gateway *g)
{
	struct span alias;
	size_t iter = 0;

	g->nmodels = 0;
	arena_done(&g->model_arena);
	g->model_arena = ARENA_INIT(MODEL_MEMORY_MAX);
	while (g->nmodels < MODELS_MAX && conf_each(g->d->conf, "models", &iter, &alias)) {
		struct model_name *m = &g->models[g->nmodels];

		*m = model_of(g->d->conf, alias);
		if (is_ok(arena_copy(&g->model_arena, alias, &m->alias)))
			g->nmodels++;
	}
}

void
gateway_configure(struct gateway *g)
{
	g->connections_max = connections_max(g);
	g->sources.limits = (struct source_limits){
		.connections = part(g, "limits.connections_per_source"),
		.handshakes_per_s = part(g, "limits.handshakes_per_source_per_s"),
		.auth_failures_per_s = part(g, "limits.auth_failures_per_s"),
		.sources_max = SOURCES_MAX,
	};
	g->h2_streams_max = limit(g, "limits.h2_streams");
	g->body_len_max = conf_u64(g->d->conf, "limits.body_bytes");
	budget_configure(
	    &g->bodies, conf_u64(g->d->conf, "limits.bodies_total_bytes"), g->body_len_max);
	g->turn_output_max = conf_u64(g->d->conf, "limits.turn_output_kb") << 10;
	configure_timeouts(g);
	configure_models(g);
	login_configure(g);
}

void
worker_config(struct daemon *d)
{
	struct gateway *g = d->ctx;

	gateway_configure(g);
	accept_resume(g);
}

static const struct model_name *
find_model(const struct gateway *g, struct span alias)
{
	for (size_t i = 0; i < g->nmodels; i++) {
		if (span_eq(g->models[i].alias, alias))
			return &g->models[i];
	}
	return NULL;
}

enum error
gateway_model(const struct gateway *g, struct span alias, enum ga_endpoint endpoint)
{
	const struct model_name *m = find_model(g, alias);

	if (m == NULL)
		return ERROR_MODEL_NOT_FOUND;
	return (m->endpoints & 1U << endpoint) != 0 ? ERROR_NONE : ERROR_DIALECT;
}

bool
gateway_model_is_strict(const struct gateway *g, struct span alias, enum ga_endpoint endpoint)
{
	const struct model_name *m = find_model(g, alias);

	return m != NULL && (m->strict & 1U << endpoint) != 0;
}

uint64_t
gateway_run_ms(const struct gateway *g, struct span language, uint32_t timeout_ms)
{
	uint64_t ms = g->timeouts.len_ms[TIMEOUT_TURN]; /* of a language that is not offered */
	size_t iter = 0;
	struct span name;

	while (conf_each(g->d->conf, "sandboxes", &iter, &name)) {
		if (span_eq(name, language))
			ms = 1000 * conf_u64f(g->d->conf, "sandboxes.%.*s.wall_s", SPAN_FMT(name));
	}
	return timeout_ms > 0 && timeout_ms < ms ? timeout_ms : ms;
}

/* Who vouches for clients and what these revoked, and by which name clients are known; without it
 * none is asked for one. */
static struct status
read_client_authorities(struct daemon *d, struct buf *cas, struct buf *crls)
{
	static const char *const names[TLS_NAME_COUNT] = {
		[TLS_NAME_URI] = "uri", [TLS_NAME_DNS] = "dns", [TLS_NAME_CN] = "cn"
	};
	struct gateway *g = d->ctx;
	const char *is = conf_str(d->conf, "client_certificates.identity");
	struct status st;

	if (conf_str(d->conf, "client_certificates.ca_file") == NULL)
		return OK;
	for (unsigned n = 0; n < TLS_NAME_COUNT; n++) {
		if (strcmp(is, names[n]) == 0)
			g->peer_name = (enum tls_name)n;
	}
	st = daemon_read_file(daemon_filef(d, "client_certificates.ca_file"), cas);
	if (!is_ok(st) || conf_str(d->conf, "client_certificates.crl_file") == NULL)
		return is_ok(st) && cas->len == 0 ? fail(E_SYNTAX) : st;
	st = daemon_read_file(daemon_filef(d, "client_certificates.crl_file"), crls);
	return is_ok(st) && (cas->len == 0 || crls->len == 0) ? fail(E_SYNTAX) : st;
}

/* Connections under way keep the context that they began with; their certificates are judged by the
 * new one (conn_certificate()). */
void
worker_cert(struct daemon *d, const struct ctl_cert *cert)
{
	struct gateway *g = d->ctx;
	uint8_t tickets[TLS_TICKET_KEY_LEN];
	auto_buf struct buf authorities = BUF_INIT(CLIENT_CAS_LEN_MAX);
	auto_buf struct buf revoked = BUF_INIT(TLS_CRLS_USED_LEN_MAX);
	static const char *const protocols[] = { "h2", "http/1.1", NULL };
	struct tls_server_opts o = { .cert_pem = cert->chain_pem,
		.key_pem = cert->key_pem,
		.alpn = protocols,
		.read_ahead = true };
	struct tls_ctx *fresh = NULL;
	struct status st = hkdf_sha256(span_of(cert->ticket_key, sizeof(cert->ticket_key)),
	    SPAN_EMPTY, TICKET_INFO, tickets, sizeof(tickets));

	if (is_ok(st))
		st = read_client_authorities(d, &authorities, &revoked);
	if (is_ok(st)) {
		o.ticket_key = span_of(tickets, sizeof(tickets));
		o.client_ca_pem = buf_span(&authorities);
		o.client_crl_pem = buf_span(&revoked);
		st = tls_server_ctx_new(&o, &fresh);
	}
	secret_wipe(tickets, sizeof(tickets));
	if (!is_ok(st)) {
		if (g->tls == NULL)
			diag_fatal("certificate, or clients' authorities: %s", status_text(st));
		diag(DIAG_ERROR, "certificate, or clients' authorities: %s; the last one is kept",
		    status_text(st));
		return;
	}
	tls_ctx_free(g->tls);
	g->tls = fresh;
	g->tls_generation++;
	accept_resume(g);
}

/* ---- hooks ---- */

static void
flush(struct link *l)
{
	if (l != NULL && link_queued(l) > 0)
		link_flush(l);
}

void
gateway_settle(struct gateway *g)
{
	struct conn *c;

	if (TAILQ_EMPTY(&g->dirty))
		return;
	while ((c = TAILQ_FIRST(&g->dirty)) != NULL) {
		TAILQ_REMOVE(&g->dirty, c, next_dirty);
		c->dirty = false;
		conn_settle(c);
	}
	flush(g->authority);
	flush(g->broker);
	flush(g->executor);
}

/* The one timer: for the earliest timeout, or the next report of failed credentials. */
static void
set_timer(struct gateway *g)
{
	uint64_t now = gateway_now(g);
	uint64_t at = timeouts_next(&g->timeouts);

	if (g->failures_pending && at > now + 1000)
		at = now + 1000;
	if (at >= g->timer_at_ms)
		return; /* the timer fires early at worst */
	g->timer_at_ms = at;
	(void)uv_timer_start(&g->timer, on_timer, at > now ? at - now : 0, 0);
}

static void
on_timer(uv_timer_t *handle)
{
	struct gateway *g = handle->data;

	g->timer_at_ms = UINT64_MAX;
	timeouts_run(&g->timeouts, gateway_now(g));
	accept_failures_report(g);
	drain_check(g);
}

static void
on_prepare(uv_prepare_t *handle)
{
	gateway_settle(handle->data);
	set_timer(handle->data);
}

static void
on_check(uv_check_t *handle)
{
	gateway_settle(handle->data);
}
