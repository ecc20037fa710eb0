/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_provider.c: what a provider's keys say together.
 *
 * Runs in: CLI, supervisor. Trusts: that each value fits its row.
 * Invariants: no key without effect; nothing in clear, without a credential or to a private
 * address unless the entry says so by name; a key of a provider of kind demo changes nothing.
 * See: check.c, conf/conf.h.
 */
#include "internal.h"

#include <arpa/inet.h>

#include <base/address.h>
#include <base/cleanup.h>
#include <base/encode.h>

#define HOST_MAX 247 /* as in the broker: with its port it goes into records */
#define PIN_LEN 32

/* What one provider's keys are. */
struct provider_keys {
	const char *url, *credential, *ca_file, *pin;
	char host[HOST_MAX + 1];
	bool tls, plain, private_ok;
	bool loopback;              /* the URL names loopback literally */
	enum address_class literal; /* of an address in the URL; a name is public */
};

static struct provider_keys
keys_of(const struct conf *c, struct span name)
{
	return (struct provider_keys){
		.url = conf_strf(c, "providers.%.*s.base_url", PART(name)),
		.credential = conf_strf(c, "providers.%.*s.credential", PART(name)),
		.ca_file = conf_strf(c, "providers.%.*s.ca_file", PART(name)),
		.pin = conf_strf(c, "providers.%.*s.pin_sha256", PART(name)),
		.plain = conf_boolf(c, "providers.%.*s.allow_plain_loopback", PART(name)),
		.private_ok = conf_boolf(c, "providers.%.*s.allow_private", PART(name)),
	};
}

/* ---- the URL ---- */
static bool
port_ok(const char *s)
{
	uint64_t port;
	size_t n = strcspn(s, "/");

	if (*s == '\0' || *s == '/')
		return true;
	return *s == ':' && is_ok(span_u64(span_of(s + 1, n - 1), UINT16_MAX, &port)) && port > 0;
}

/* False: no host and port that could be reached. */
static bool
url_split(struct provider_keys *k)
{
	const char *host = strstr(k->url, "://") + 3, *end;
	bool six = host[0] == '[';

	k->tls = strncmp(k->url, "https:", 6) == 0;
	host += six;
	end = host + strcspn(host, six ? "]" : ":/");
	if (six && *end != ']')
		return false;
	if (end == host ||
	    !is_ok(span_to_cstr(span_of(host, (size_t)(end - host)), k->host, sizeof(k->host))))
		return false;
	return port_ok(end + six);
}

static enum address_class
class_of(const char *host)
{
	struct in_addr four;
	struct in6_addr six;

	if (inet_pton(AF_INET, host, &four) == 1)
		return address_class4(&four);
	if (inet_pton(AF_INET6, host, &six) == 1)
		return address_class6(&six);
	return strcmp(host, "localhost") == 0 ? ADDRESS_LOOPBACK : ADDRESS_PUBLIC;
}

/* What an address parser older than ours might take for one: 127.1, 2130706433, 0x7f.0.0.1. */
static bool
is_number(const char *host)
{
	const char *dot = strrchr(host, '.'), *last = dot == NULL ? host : dot + 1;

	if (strchr(host, ':') != NULL)
		return false; /* IPv6 */
	return last[strspn(last, "0123456789")] == '\0' || strncmp(last, "0x", 2) == 0 ||
	       strncmp(last, "0X", 2) == 0;
}

static const char *
url_fault(struct provider_keys *k)
{
	struct in_addr four;

	if (k->url == NULL)
		return "is missing";
	if (!url_split(k))
		return "has no host and port that could be reached";
	if (is_number(k->host) && inet_pton(AF_INET, k->host, &four) != 1)
		return "has an address that is not written as four decimal numbers";
	k->literal = class_of(k->host);
	k->loopback = k->literal == ADDRESS_LOOPBACK;
	if (!k->tls && !(k->plain && k->loopback))
		return "http: needs a loopback address and allow_plain_loopback: true";
	if (k->literal == ADDRESS_METADATA || k->literal == ADDRESS_BAD)
		return "names an address that no provider can have";
	if (k->literal == ADDRESS_PRIVATE && !k->private_ok)
		return "names a private address, which needs allow_private: true";
	return NULL;
}

const char *
conf_origin_fault(const char *url, bool plain, bool private_ok, struct conf_origin *ret)
{
	struct provider_keys k = { .url = url, .plain = plain, .private_ok = private_ok };
	const char *why = url_fault(&k);

	*ret = (struct conf_origin){ .tls = k.tls, .loopback = k.loopback };
	return why;
}

/* ---- the rest ---- */
static const char *
pin_fault(const char *pin)
{
	auto_buf struct buf raw = BUF_INIT(64);

	if (!is_ok(base64_decode(span_str(pin), &raw)) || raw.len != PIN_LEN)
		return "expects the base64 of 32 bytes";
	return NULL;
}

static const char *
inert_fault(const struct provider_keys *k, const char **key)
{
	*key = "allow_plain_loopback";
	if (k->plain && k->tls)
		return "can never match: the URL is not http:";
	*key = "allow_private";
	if (k->private_ok && k->loopback)
		return "can never match: the URL names a loopback address";
	*key = "ca_file";
	if (k->ca_file != NULL && !k->tls)
		return "can never match: the URL is not https:";
	*key = "pin_sha256";
	if (k->pin != NULL && !k->tls)
		return "can never match: the URL is not https:";
	return k->pin != NULL ? pin_fault(k->pin) : NULL;
}

static const char *
credential_fault(const struct provider_keys *k)
{
	if (k->credential == NULL)
		return "is missing";
	if (strcmp(k->credential, "none") == 0 && !k->loopback)
		return "none is allowed for a loopback address only";
	return NULL;
}

/* The first thing wrong: its key and why. */
static const char *
provider_fault(struct provider_keys *k, const char **key)
{
	const char *why;

	*key = "base_url";
	if ((why = url_fault(k)) != NULL)
		return why;
	if ((why = inert_fault(k, key)) != NULL)
		return why;
	*key = "credential";
	return credential_fault(k);
}

static struct status
check_demo(const struct checker *k, struct span name)
{
	const struct provider_keys p = keys_of(k->c, name);
	const struct {
		const char *key;
		bool given;
	} inert[] = {
		{ "base_url", p.url != NULL },
		{ "ca_file", p.ca_file != NULL },
		{ "pin_sha256", p.pin != NULL },
		{ "allow_plain_loopback", p.plain },
		{ "allow_private", p.private_ok },
	};

	for (size_t i = 0; i < sizeof(inert) / sizeof(inert[0]); i++) {
		if (inert[i].given)
			return conf_refuse(
			    k, "providers", name, inert[i].key, "is not for kind demo");
	}
	if (p.credential != NULL && strcmp(p.credential, "none") != 0)
		return conf_refuse(k, "providers", name, "credential", "kind demo takes none");
	return OK;
}

struct status
conf_check_provider(const struct checker *k, struct span name)
{
	struct provider_keys p = keys_of(k->c, name);
	const char *key, *why;

	if (strcmp(conf_strf(k->c, "providers.%.*s.kind", PART(name)), "demo") == 0)
		return check_demo(k, name);
	why = provider_fault(&p, &key);
	return why == NULL ? OK : conf_refuse(k, "providers", name, key, why);
}
