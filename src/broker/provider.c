/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider.c: the providers of the configuration, by their kinds.
 *
 * Runs in: broker. Trusts: its slice of the configuration, which was checked, and the files that
 * the supervisor gives; a certificate file may still be no certificate.
 * Owns: the table of providers; a provider lives as long as the last call that uses it.
 * Invariants: a request's head holds nothing of the client's but the values that GB_OPEN names;
 * the secret is not among what is put here.
 * See: provider.h, wire/endpoint.h.
 */
#include "broker.h"

#include <assert.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <crypto/hash.h>

#define ANTHROPIC_VERSION "2023-06-01"
#define USER_AGENT "sallyport/" SALLYPORT_VERSION

static const struct provider_row rows[] = {
	{ .kind = "demo", .base = "/v1", .gone = ERROR_UNAVAILABLE },
	{ .kind = "openai",
	    .base = "/v1",
	    .secret_name = "authorization",
	    .secret_prefix = "Bearer ",
	    .remote = true,
	    .gone = ERROR_UPSTREAM },
	{ .kind = "anthropic",
	    .base = "/v1",
	    .base_end = "/v1",
	    .secret_name = "x-api-key",
	    .secret_prefix = "",
	    .versioned = true,
	    .remote = true,
	    .gone = ERROR_UPSTREAM },
};

/* What a provider is made from. */
struct making {
	struct broker *b;
	const char *name;
	const struct provider_row *row;
	struct buf ca;
	uint8_t print[SHA256_LEN];
};

static const struct provider_row *
row_of(const char *kind)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].kind, kind) == 0)
			return &rows[i];
	}
	return NULL;
}

/* ---- what it is made from ---- */
static const char *
key_of(const struct making *m, const char *key)
{
	const char *v = conf_strf(m->b->d->conf, "providers.%s.%s", m->name, key);

	return v == NULL ? "" : v;
}

static struct status
read_ca(struct making *m)
{
	int fd = daemon_filef(m->b->d, "providers.%s.ca_file", m->name);

	if (fd < 0)
		return buf_put_span(&m->ca, buf_span(&m->b->system_ca));
	return daemon_read_file(fd, &m->ca);
}

/* Two configurations make the same provider if their fingerprints are the same. */
static struct status
fingerprint(struct making *m)
{
	static const char *const keys[] = { "kind", "base_url", "tls_min", "pin_sha256",
		"allow_private", "allow_plain_loopback", "http", "first_byte_s", "idle_s" };
	auto_buf struct buf all = BUF_INIT(PROVIDER_FILE_MAX + 8192);

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		TRY(buf_put_str(&all, key_of(m, keys[i])));
		TRY(buf_put_u8(&all, '\0'));
	}
	TRY(buf_put_span(&all, buf_span(&m->ca)));
	return sha256(buf_span(&all), m->print);
}

static struct status
put_base(struct provider *p, const char *path)
{
	struct span base = span_str(path[0] == '\0' ? p->row->base : path);
	const char *end = p->row->base_end;
	bool ends = end == NULL || (base.len >= strlen(end) &&
				       span_eq_str(span_from(base, base.len - strlen(end)), end));
	int n = snprintf(p->base, sizeof(p->base), "%.*s%s", SPAN_FMT(base), ends ? "" : end);

	return n >= 0 && (size_t)n < sizeof(p->base) ? OK : fail(E_RANGE);
}

static enum upstream_http
http_of(const char *value)
{
	static const char *const names[] = {
		[UPSTREAM_HTTP_1] = "1.1", [UPSTREAM_HTTP_2] = "2", [UPSTREAM_HTTP_AUTO] = "auto"
	};
	enum upstream_http i = UPSTREAM_HTTP_1;

	while (i < UPSTREAM_HTTP_AUTO && strcmp(value, names[i]) != 0)
		i++;
	return i;
}

static struct status
make_remote(const struct making *m, struct provider *p)
{
	auto_buf struct buf pin = BUF_INIT(UPSTREAM_PIN_LEN);
	const struct conf *c = m->b->d->conf;
	struct upstream_opts o = { .loop = m->b->d->loop,
		.resolver = m->b->resolver,
		.url = key_of(m, "base_url"),
		.allow = conf_boolf(c, "providers.%s.allow_private", m->name)
			     ? ADDRESS_BIT(ADDRESS_PRIVATE)
			     : 0,
		.plain = conf_boolf(c, "providers.%s.allow_plain_loopback", m->name),
		.http = http_of(key_of(m, "http")),
		.allow_tls12 = strcmp(key_of(m, "tls_min"), "1.2") == 0,
		.ca_pem = buf_span(&m->ca),
		.limits = {
		    .first_byte_ms = (uint32_t)conf_u64f(c, "providers.%s.first_byte_s", m->name) *
				     1000,
		    .idle_ms = (uint32_t)conf_u64f(c, "providers.%s.idle_s", m->name) * 1000,
		} };

	if (key_of(m, "pin_sha256")[0] != '\0') {
		TRY(base64_decode(span_str(key_of(m, "pin_sha256")), &pin));
		if (pin.len != UPSTREAM_PIN_LEN)
			return fail(E_RANGE);
		o.pin = pin.ptr;
	}
	TRY(upstream_new(&o, &p->upstream));
	return put_base(p, upstream_base(p->upstream));
}

static struct status
make_parts(const struct making *m, struct provider *p)
{
	const char *spec = key_of(m, "credential");

	TRY(span_to_cstr(span_str(m->name), p->name, sizeof(p->name)));
	TRY(span_to_cstr(span_str(spec[0] == '\0' ? "none" : spec), p->spec, sizeof(p->spec)));
	memcpy(p->print, m->print, sizeof(p->print));
	TRY(credential_new(m->b, p->spec, &p->credential));
	if (p->row->secret_name != NULL)
		return make_remote(m, p);
	TRY(put_base(p, ""));
	return upstream_new_local(m->b->d->loop, p->row->kind, demo_connect, m->b, &p->upstream);
}

static void
destroy(struct provider *p)
{
	daemon_metric_add(METRIC_BREAKERS_OPEN, -(int64_t)breakers_open(&p->breakers));
	upstream_free(p->upstream);
	credential_free(p->credential);
	free(p);
}

static struct status
make(const struct making *m)
{
	struct provider *p = calloc(1, sizeof(*p));
	struct status st;

	if (p == NULL)
		return fail(E_NOMEM);
	p->refs = 1;
	p->row = m->row;
	p->found = true;
	st = make_parts(m, p);
	if (is_ok(st))
		LIST_INSERT_HEAD(&m->b->providers, p, entry);
	else
		destroy(p);
	return st;
}

/* ---- the table ---- */
struct provider *
provider_find(struct broker *b, const char *name)
{
	struct provider *p;

	LIST_FOREACH(p, &b->providers, entry)
	{
		if (strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

void
provider_ref(struct provider *p)
{
	assert(p->refs > 0);
	p->refs++;
}

void
provider_release(struct provider *p)
{
	if (--p->refs == 0)
		destroy(p);
}

static void
forget(struct provider *p)
{
	LIST_REMOVE(p, entry);
	provider_release(p);
}

/* Keep the one there is if it would become the same, else put a new one in its place. */
static struct status
load_one(struct broker *b, const char *name)
{
	struct making m = { .b = b, .name = name, .ca = BUF_INIT(PROVIDER_FILE_MAX) };
	struct provider *old = provider_find(b, name);
	struct status st;

	m.row = row_of(key_of(&m, "kind"));
	if (m.row == NULL)
		return fail(E_UNSUPPORTED);
	st = read_ca(&m);
	if (is_ok(st))
		st = fingerprint(&m);
	if (is_ok(st) && old != NULL && memcmp(old->print, m.print, sizeof(m.print)) == 0 &&
	    (strcmp(old->spec, key_of(&m, "credential")) == 0 || old->row->secret_name == NULL)) {
		old->found = true;
	} else {
		if (is_ok(st)) /* before the old one goes: they may share a credential */
			st = make(&m);
		if (old != NULL)
			forget(old);
	}
	buf_done(&m.ca);
	return st;
}

struct status
providers_load(struct broker *b)
{
	struct status first = OK;
	struct provider *p, *next;
	struct span name;
	char text[PROVIDER_MAX + 1];

	LIST_FOREACH(p, &b->providers, entry)
	p->found = false;
	for (size_t i = 0; conf_each(b->d->conf, "providers", &i, &name);) {
		struct status st = span_to_cstr(name, text, sizeof(text));

		if (is_ok(st))
			st = load_one(b, text);
		if (is_ok(st))
			continue;
		diag(DIAG_ERROR, "providers.%.*s: %s", SPAN_FMT(name),
		    st.code == E_SYNTAX ? "its URL or certificates cannot be used"
					: status_text(st));
		if (is_ok(first))
			first = st;
	}
	for (p = LIST_FIRST(&b->providers); p != NULL; p = next) {
		next = LIST_NEXT(p, entry);
		if (!p->found)
			forget(p);
	}
	return first;
}

void
providers_free(struct broker *b)
{
	while (!LIST_EMPTY(&b->providers))
		forget(LIST_FIRST(&b->providers));
}

/* ---- the head of a request ---- */
static struct status
add(struct exchange_request *r, const char *name, struct span value)
{
	assert(r->field_count < EXCHANGE_FIELDS_MAX);
	if (!http_value_ok(value))
		return fail(E_SYNTAX);
	r->fields[r->field_count++] = (struct http_field){ span_str(name), value };
	return OK;
}

static struct status
add_versions(const struct gb_open *open, struct exchange_request *r)
{
	struct span version = open->anthropic_version;

	if (version.len == 0)
		version = SPAN_LIT(ANTHROPIC_VERSION);
	TRY(add(r, "anthropic-version", version));
	return open->anthropic_beta.len == 0 ? OK : add(r, "anthropic-beta", open->anthropic_beta);
}

struct status
provider_request(const struct provider *p, const char *path, const struct gb_open *open,
    char target[PROVIDER_TARGET_MAX], struct exchange_request *ret)
{
	const struct provider_row *row = p->row;
	int n = snprintf(target, PROVIDER_TARGET_MAX, "%s%s", p->base, path);
	struct exchange_request r = { .authority = span_str(upstream_authority(p->upstream)) };

	if (n < 0 || n >= PROVIDER_TARGET_MAX)
		return fail(E_FULL);
	r.target = span_of(target, (size_t)n);
	TRY(add(&r, "user-agent", SPAN_LIT(USER_AGENT)));
	TRY(add(&r, "accept",
	    open->stream ? SPAN_LIT("text/event-stream") : SPAN_LIT("application/json")));
	TRY(add(&r, "content-type", SPAN_LIT("application/json")));
	if (row->versioned)
		TRY(add_versions(open, &r));
	if (row->secret_name != NULL) {
		r.secret_name = span_str(row->secret_name);
		r.secret_prefix = span_str(row->secret_prefix);
	}
	*ret = r;
	return OK;
}

/* ---- the answer ---- */
/* OpenAI's name and that of most; Anthropic's. */
static const char *const id_names[] = { "x-request-id", "request-id" };

static bool
is_id(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
			return false;
	}
	return s.len > 0 && s.len <= UPSTREAM_ID_MAX;
}

struct span
provider_request_id(const struct http_response *head)
{
	struct span v;

	for (size_t i = 0; i < sizeof(id_names) / sizeof(id_names[0]); i++) {
		if (is_ok(http_field_one(head->fields, head->field_count, id_names[i], &v)) &&
		    is_id(v))
			return v;
	}
	return SPAN_EMPTY;
}
