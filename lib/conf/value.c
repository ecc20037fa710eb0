/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.c: one scalar of the file against its row of the table.
 *
 * Runs in: CLI, supervisor. Trusts: nothing.
 * Invariants: what leaves here is canonical (numbers without leading zeros, true or false) and
 * printable UTF-8; a reason never holds the value, which might be a secret in the wrong place.
 * See: conf/conf.h, table.c.
 */
#include "internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <base/encode.h>
#include <conf/reference.h>

typedef const char *value_checker(const struct conf_row *row, struct span s);

static bool
printable(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return false;
	}
	return utf8_valid_len(s) == s.len;
}

static const char *
check_u64(const struct conf_row *row, struct span s)
{
	uint64_t v;

	if (!is_ok(span_u64(s, UINT64_MAX, &v)))
		return "expects a whole number";
	if (s.len > 1 && s.ptr[0] == '0')
		return "a number has no leading zero here";
	return v < row->min || v > row->max ? "is out of its range" : NULL;
}

static const char *
check_bool(const struct conf_row *row, struct span s)
{
	(void)row;
	return span_eq_str(s, "true") || span_eq_str(s, "false") ? NULL : "expects true or false";
}

static const char *
check_text(const struct conf_row *row, struct span s)
{
	if (s.len < row->min)
		return "is empty or too short";
	return s.len > row->max ? "is too long" : NULL;
}

static bool
choice_ok(const char *choices, struct span s)
{
	while (*choices != '\0') {
		size_t len = strcspn(choices, "|");

		if (span_eq(s, span_of(choices, len)))
			return true;
		choices += len + (choices[len] == '|');
	}
	return false;
}

static const char *
check_enum(const struct conf_row *row, struct span s)
{
	return choice_ok(row->choices, s) ? NULL : "is not one of its choices";
}

/* One item of a list. */
static const char *
check_item(const struct conf_row *row, struct span s)
{
	if (span_eq_str(s, "*"))
		return NULL;
	if (row->choices != NULL)
		return choice_ok(row->choices, s) ? NULL : "names something that does not exist";
	if (s.len == 0 || s.len > CONF_ALIAS_MAX || memchr(s.ptr, ' ', s.len) != NULL ||
	    memchr(s.ptr, '*', s.len) != NULL)
		return "is not a name";
	return NULL;
}

/* host[:port] with nothing that could name a user, a query or a fragment. */
static const char *
check_uri(const struct conf_row *row, struct span s)
{
	size_t scheme = span_starts(s, SPAN_LIT("https://"))  ? 8
			: span_starts(s, SPAN_LIT("http://")) ? 7
							      : 0;
	struct span rest = span_from(s, scheme);

	if (check_text(row, s) != NULL)
		return check_text(row, s);
	if (scheme == 0 || rest.len == 0 || rest.ptr[0] == '/' || rest.ptr[0] == ':')
		return "expects https://HOST[:PORT][/PATH]";
	for (size_t i = 0; i < rest.len; i++) {
		if (rest.ptr[i] <= ' ' || rest.ptr[i] >= 0x7f ||
		    memchr("@?#\\\"<>", rest.ptr[i], 7) != NULL)
			return "holds a character that is not allowed in such a URL";
	}
	return NULL;
}

static const char *
check_address(const struct conf_row *row, struct span s)
{
	struct sockaddr_storage ss;
	socklen_t len;

	(void)row;
	return is_ok(conf_address(s, &ss, &len)) ? NULL : "expects HOST:PORT with an IP address";
}

static const char *
check_credential(const struct conf_row *row, struct span s)
{
	struct reference r;
	const char *why;

	if (check_text(row, s) != NULL)
		return check_text(row, s);
	return is_ok(reference_parse(s, &r, &why)) ? NULL : why;
}

static const char *
check_kek(const struct conf_row *row, struct span s)
{
	struct kek_reference r;
	const char *why;

	if (check_text(row, s) != NULL)
		return check_text(row, s);
	return is_ok(kek_reference_parse(s, &r, &why)) ? NULL : why;
}

static const char *
check_mount(const struct conf_row *row, struct span s)
{
	return check_text(row, s) != NULL ? check_text(row, s)
	       : reference_path_ok(s)     ? NULL
					  : "expects a path without empty parts, . or ..";
}

static const char *
check_region(const struct conf_row *row, struct span s)
{
	if (check_text(row, s) != NULL)
		return check_text(row, s);
	for (size_t i = 0; i < s.len; i++) {
		bool dash = s.ptr[i] == '-' && i > 0 && i + 1 < s.len;

		if (!dash && !(s.ptr[i] >= 'a' && s.ptr[i] <= 'z') &&
		    !(s.ptr[i] >= '0' && s.ptr[i] <= '9'))
			return "is not the name of a region";
	}
	return NULL;
}

/* No blanks; and no empty part, unless a ':' makes it one name. */
static const char *
check_claim(const struct conf_row *row, struct span s)
{
	if (check_text(row, s) != NULL)
		return check_text(row, s);
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
			return "is not the name of a claim";
	}
	if (memchr(s.ptr, ':', s.len) != NULL)
		return NULL;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '.' && (i == 0 || i + 1 == s.len || s.ptr[i + 1] == '.'))
			return "has an empty part";
	}
	return NULL;
}

static const struct {
	value_checker *check;
	bool plain; /* quotes would make it text */
} checkers[CONF_TYPE_COUNT] = {
	[CONF_U64] = { check_u64, true },
	[CONF_BOOL] = { check_bool, true },
	[CONF_STRING] = { check_text, false },
	[CONF_ENUM] = { check_enum, false },
	[CONF_LIST] = { check_item, false },
	[CONF_PATH] = { check_text, false },
	[CONF_SOCKET_PATH] = { check_text, false },
	[CONF_URI] = { check_uri, false },
	[CONF_ADDRESS] = { check_address, false },
	[CONF_CREDENTIAL] = { check_credential, false },
	[CONF_KEK] = { check_kek, false },
	[CONF_MOUNT] = { check_mount, false },
	[CONF_REGION] = { check_region, false },
	[CONF_CLAIM] = { check_claim, false },
};

static bool
is_null(const struct conf_scalar *in)
{
	return in->plain &&
	       (in->text.len == 0 || span_eq_str(in->text, "~") || span_eq_str(in->text, "null"));
}

struct status
conf_value_check(
    const struct conf_row *row, const struct conf_scalar *in, struct buf *out, const char **why)
{
	if (is_null(in))
		*why = "has no value";
	else if (!printable(in->text))
		*why = "holds a control character or is not UTF-8";
	else if (in->text.len > CONF_VALUE_MAX)
		*why = "is too long";
	else if (checkers[row->type].plain && !in->plain)
		*why = "is quoted text";
	else
		*why = checkers[row->type].check(row, in->text);
	return *why == NULL ? buf_put_span(out, in->text) : fail(E_SYNTAX);
}

static struct status
address4(const char *host, uint16_t port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &in.sin_addr) !=
	    1)
		return fail(E_SYNTAX);
	*ret = (struct sockaddr_storage){ 0 };
	memcpy(ret, &in, sizeof(in));
	*ret_len = sizeof(in);
	return OK;
}

static struct status
address6(const char *host, uint16_t port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (inet_pton(AF_INET6, host, &in6.sin6_addr) != 1)
		return fail(E_SYNTAX);
	*ret = (struct sockaddr_storage){ 0 };
	memcpy(ret, &in6, sizeof(in6));
	*ret_len = sizeof(in6);
	return OK;
}

struct status
conf_address(struct span s, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	char host[INET6_ADDRSTRLEN];
	const uint8_t *colon = s.len == 0 ? NULL : memrchr(s.ptr, ':', s.len);
	size_t host_len = colon == NULL ? 0 : (size_t)(colon - s.ptr);
	bool six = s.len > 0 && s.ptr[0] == '[';
	uint64_t port;

	if (host_len == 0 || !is_ok(span_u64(span_from(s, host_len + 1), UINT16_MAX, &port)) ||
	    port == 0)
		return fail(E_SYNTAX);
	if (six && (host_len < 3 || s.ptr[host_len - 1] != ']'))
		return fail(E_SYNTAX);
	if (!is_ok(
		span_to_cstr(span_of(s.ptr + six, host_len - (six ? 2 : 0)), host, sizeof(host))))
		return fail(E_SYNTAX);
	return six ? address6(host, (uint16_t)port, ret, ret_len)
		   : address4(host, (uint16_t)port, ret, ret_len);
}
