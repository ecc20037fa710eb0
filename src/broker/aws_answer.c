/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aws_answer.c: reads what AWS answers.
 *
 * Runs in: broker. Trusts: nothing in an answer but its origin.
 * Owns: the tape while it reads; it holds offsets, no text.
 * Invariants: keys and values go from the answer into a struct secret without a copy elsewhere;
 * of XML only the few elements are read that are asked for, each of which must be there once,
 * without attributes, entities or markup in it.
 * See: aws_answer.h; the API references of Secrets Manager and STS.
 */
#include "aws_answer.h"

#include <stdio.h>
#include <time.h>

#include <base/cleanup.h>

#include "member.h"

#define TOKENS_MAX 8192
#define VERSIONS_SEEN_MAX 256

void
aws_keys_done(struct aws_keys *k)
{
	secret_done(&k->secret);
	secret_done(&k->token);
	*k = (struct aws_keys){ .expires_s = 0 };
}

#define auto_keys __attribute__((cleanup(aws_keys_done)))

static void
keys_move(struct aws_keys *from, struct aws_keys *to)
{
	*to = *from;
	*from = (struct aws_keys){ .expires_s = 0 };
}

static struct status
parse(struct json_doc *d, struct span body)
{
	const struct json_opts opts = { .tokens_max = TOKENS_MAX,
		.depth_max = 32,
		.refuse_surrogates = true,
		.refuse_nul = true };

	TRY(json_init(d, &opts));
	if (!is_ok(json_parse(d, body)) || json_type(d, 0) != JSON_OBJECT)
		return fail(E_SYNTAX);
	return OK;
}

/* ---- Secrets Manager ---- */
static struct status
take_field(const struct secret *whole, struct span field, struct secret *ret)
{
	auto_json struct json_doc d = { 0 };

	TRY(parse(&d, secret_borrow(whole)));
	return member_secret(&d, json_get(&d, 0, field), SECRET_LEN_MAX - 2, ret);
}

struct status
aws_value_parse(
    struct span body, struct span field, struct secret *ret, char version[AWS_VERSION_MAX + 1])
{
	auto_json struct json_doc d = { 0 };
	auto_secret struct secret whole = SECRET_NONE;

	TRY(parse(&d, body));
	TRY(member_text(&d, json_get_str(&d, 0, "VersionId"), version, AWS_VERSION_MAX + 1));
	TRY(member_secret(&d, json_get_str(&d, 0, "SecretString"), SECRET_LEN_MAX - 2, &whole));
	if (field.len > 0)
		return take_field(&whole, field, ret);
	*ret = secret_take(&whole);
	return OK;
}

static bool
is_current(const struct json_doc *d, uint32_t stages)
{
	struct json_iter it = json_iter(d, stages);

	while (json_next(&it)) {
		if (json_str_eq_str(d, it.val, "AWSCURRENT"))
			return true;
	}
	return false;
}

struct status
aws_describe_parse(struct span body, char version[AWS_VERSION_MAX + 1])
{
	auto_json struct json_doc d = { 0 };
	struct json_iter it;
	uint32_t deleted;

	TRY(parse(&d, body));
	version[0] = '\0';
	deleted = json_get_str(&d, 0, "DeletedDate");
	if (json_type(&d, deleted) != JSON_ABSENT && json_type(&d, deleted) != JSON_NULL)
		return OK;
	it = json_iter(&d, json_get_str(&d, 0, "VersionIdsToStages"));
	while (json_next(&it)) {
		if (it.key == JSON_NONE || it.index >= VERSIONS_SEEN_MAX)
			return fail(E_SYNTAX);
		if (is_current(&d, it.val))
			return member_text(&d, it.key, version, AWS_VERSION_MAX + 1);
	}
	return fail(E_NOTFOUND);
}

/* ---- keys ---- */
struct status
aws_time_parse(struct span s, int64_t *ret_s)
{
	char text[32];
	struct tm tm = { 0 };
	const char *rest;

	TRY(span_to_cstr(s, text, sizeof(text)));
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (rest != NULL && *rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (rest == NULL || strcmp(rest, "Z") != 0)
		return fail(E_SYNTAX);
	*ret_s = (int64_t)timegm(&tm);
	return OK;
}

struct status
aws_keys_parse(struct span body, struct aws_keys *ret)
{
	auto_json struct json_doc d = { 0 };
	auto_keys struct aws_keys k = { .expires_s = 0 };
	char when[32];
	uint32_t code;

	TRY(parse(&d, body));
	code = json_get_str(&d, 0, "Code");
	if (code != JSON_NONE && !json_str_eq_str(&d, code, "Success"))
		return fail(E_NOTFOUND);
	TRY(member_text(&d, json_get_str(&d, 0, "AccessKeyId"), k.id, sizeof(k.id)));
	TRY(member_secret(&d, json_get_str(&d, 0, "SecretAccessKey"), AWS_KEY_MAX, &k.secret));
	TRY(member_secret(&d, json_get_str(&d, 0, "Token"), AWS_TOKEN_MAX, &k.token));
	TRY(member_text(&d, json_get_str(&d, 0, "Expiration"), when, sizeof(when)));
	TRY(aws_time_parse(span_str(when), &k.expires_s));
	keys_move(&k, ret);
	return OK;
}

/* The text between <name> and </name>, in which there is no markup. */
static struct status
element(struct span body, const char *name, struct span *ret)
{
	char open[64], close[64];
	const uint8_t *from, *to;
	size_t left;

	(void)snprintf(open, sizeof(open), "<%s>", name);
	(void)snprintf(close, sizeof(close), "</%s>", name);
	from = body.len == 0 ? NULL : memmem(body.ptr, body.len, open, strlen(open));
	if (from == NULL)
		return fail(E_NOTFOUND);
	from += strlen(open);
	left = body.len - (size_t)(from - body.ptr);
	to = left == 0 ? NULL : memmem(from, left, close, strlen(close));
	if (to == NULL || memmem(from, left, open, strlen(open)) != NULL)
		return fail(E_SYNTAX);
	*ret = span_of(from, (size_t)(to - from));
	return OK;
}

static struct status
leaf(struct span body, const char *name, size_t len_max, struct span *ret)
{
	TRY(element(body, name, ret));
	while (ret->len > 0 && ret->ptr[0] <= ' ') /* blanks around it are no part of it */
		*ret = span_of(ret->ptr + 1, ret->len - 1);
	while (ret->len > 0 && ret->ptr[ret->len - 1] <= ' ')
		ret->len--;
	if (ret->len == 0 || ret->len > len_max)
		return fail(E_RANGE);
	for (size_t i = 0; i < ret->len; i++) {
		if (ret->ptr[i] <= ' ' || ret->ptr[i] > '~' || strchr("<>&", ret->ptr[i]) != NULL)
			return fail(E_SYNTAX);
	}
	return OK;
}

struct status
aws_sts_parse(struct span body, struct aws_keys *ret)
{
	auto_keys struct aws_keys k = { .expires_s = 0 };
	struct span creds, part;

	TRY(element(body, "Credentials", &creds));
	TRY(leaf(creds, "AccessKeyId", AWS_KEY_ID_MAX, &part));
	TRY(span_to_cstr(part, k.id, sizeof(k.id)));
	TRY(leaf(creds, "SecretAccessKey", AWS_KEY_MAX, &part));
	TRY(secret_from_span(part, &k.secret));
	TRY(leaf(creds, "SessionToken", AWS_TOKEN_MAX, &part));
	TRY(secret_from_span(part, &k.token));
	TRY(leaf(creds, "Expiration", 31, &part));
	TRY(aws_time_parse(part, &k.expires_s));
	keys_move(&k, ret);
	return OK;
}

/* ---- the shared file ---- */
static struct span
trim(struct span s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = span_of(s.ptr + 1, s.len - 1);
	while (s.len > 0 &&
	       (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t' || s.ptr[s.len - 1] == '\r'))
		s.len--;
	return s;
}

static struct status
take_setting(struct aws_keys *k, struct span name, struct span value)
{
	if (span_eq_str(name, "aws_access_key_id"))
		return span_to_cstr(value, k->id, sizeof(k->id));
	if (span_eq_str(name, "aws_secret_access_key") && k->secret.ptr == NULL)
		return value.len > AWS_KEY_MAX ? fail(E_RANGE)
					       : secret_from_span(value, &k->secret);
	if (span_eq_str(name, "aws_session_token") && k->token.ptr == NULL)
		return value.len > AWS_TOKEN_MAX ? fail(E_RANGE)
						 : secret_from_span(value, &k->token);
	return OK;
}

static struct status
take_line(struct aws_keys *k, struct span line, const char *profile, bool *inside)
{
	const uint8_t *eq;

	line = trim(line);
	if (line.len == 0 || line.ptr[0] == '#' || line.ptr[0] == ';')
		return OK;
	if (line.ptr[0] == '[') {
		struct span name = span_of(line.ptr + 1, line.len - 1);

		if (name.len == 0 || name.ptr[name.len - 1] != ']')
			return fail(E_SYNTAX);
		name.len--;
		*inside = span_eq_str(trim(name), profile);
		return OK;
	}
	eq = memchr(line.ptr, '=', line.len);
	if (!*inside || eq == NULL)
		return OK;
	return take_setting(k, trim(span_of(line.ptr, (size_t)(eq - line.ptr))),
	    trim(span_from(line, (size_t)(eq - line.ptr) + 1)));
}

struct status
aws_profile_parse(struct span text, const char *profile, struct aws_keys *ret)
{
	auto_keys struct aws_keys k = { .expires_s = 0 };
	bool inside = false;

	while (text.len > 0) {
		const uint8_t *end = memchr(text.ptr, '\n', text.len);
		size_t len = end == NULL ? text.len : (size_t)(end - text.ptr);

		TRY(take_line(&k, span_of(text.ptr, len), profile, &inside));
		text = span_from(text, len + 1);
	}
	if (k.id[0] == '\0' || k.secret.ptr == NULL)
		return fail(E_NOTFOUND);
	keys_move(&k, ret);
	return OK;
}

/* ---- KMS ---- */
static void
key_name(const struct json_doc *d, char key[AWS_VERSION_MAX + 1])
{
	char arn[2048 + 1];
	const char *slash;

	key[0] = '\0'; /* it only names the key, on record */
	if (!is_ok(member_text(d, json_get_str(d, 0, "KeyId"), arn, sizeof(arn))))
		return;
	slash = strrchr(arn, '/');
	(void)snprintf(
	    key, AWS_VERSION_MAX + 1, "%.*s", AWS_VERSION_MAX, slash == NULL ? arn : slash + 1);
}

struct status
aws_ciphertext_parse(struct span body, struct secret *ret, char key[AWS_VERSION_MAX + 1])
{
	auto_json struct json_doc d = { 0 };
	auto_secret struct secret text = SECRET_NONE, blob = SECRET_NONE;
	uint32_t tok;

	TRY(parse(&d, body));
	tok = json_get_str(&d, 0, "CiphertextBlob");
	TRY(member_secret(&d, tok, AWS_CIPHERTEXT_MAX, &text));
	if (text.len > AWS_CIPHERTEXT_MAX)
		return fail(E_RANGE);
	TRY(member_secret_base64(&d, tok, AWS_CIPHERTEXT_MAX, &blob)); /* it is base64 */
	key_name(&d, key);
	*ret = secret_take(&text);
	return OK;
}

struct status
aws_plaintext_parse(
    struct span body, size_t len_max, struct secret *ret, char key[AWS_VERSION_MAX + 1])
{
	auto_json struct json_doc d = { 0 };

	TRY(parse(&d, body));
	key_name(&d, key);
	return member_secret_base64(&d, json_get_str(&d, 0, "Plaintext"), len_max, ret);
}

/* ---- errors ---- */
static const struct {
	const char *type;
	struct aws_error error;
} errors[] = {
	{ "ResourceNotFoundException", { SECRET_NOT_FOUND, AWS_GIVE_UP } },
	{ "InvalidRequestException", { SECRET_NOT_FOUND, AWS_GIVE_UP } }, /* to be deleted */
	{ "InvalidParameterException", { SECRET_INVALID, AWS_GIVE_UP } },
	{ "ValidationException", { SECRET_INVALID, AWS_GIVE_UP } },
	{ "AccessDeniedException", { SECRET_DENIED, AWS_GIVE_UP } },
	{ "NotFoundException", { SECRET_NOT_FOUND, AWS_GIVE_UP } },
	{ "DisabledException", { SECRET_DENIED, AWS_GIVE_UP } },
	{ "KMSInvalidStateException", { SECRET_DENIED, AWS_GIVE_UP } }, /* to be deleted */
	{ "InvalidKeyUsageException", { SECRET_INVALID, AWS_GIVE_UP } },
	{ "IncorrectKeyException", { SECRET_INVALID, AWS_GIVE_UP } },
	{ "InvalidCiphertextException", { SECRET_INVALID, AWS_GIVE_UP } },
	{ "KeyUnavailableException", { SECRET_UNREACHABLE, AWS_LATER } },
	{ "DependencyTimeoutException", { SECRET_UNREACHABLE, AWS_LATER } },
	{ "KMSInternalException", { SECRET_UNREACHABLE, AWS_LATER } },
	{ "AccessDenied", { SECRET_DENIED, AWS_GIVE_UP } },
	{ "DecryptionFailure", { SECRET_DENIED, AWS_LATER } },
	{ "InternalServiceError", { SECRET_UNREACHABLE, AWS_LATER } },
	{ "InternalServiceErrorException", { SECRET_UNREACHABLE, AWS_LATER } },
	{ "InternalFailure", { SECRET_UNREACHABLE, AWS_LATER } },
	{ "ServiceUnavailable", { SECRET_UNREACHABLE, AWS_LATER } },
	{ "ThrottlingException", { SECRET_THROTTLED, AWS_LATER } },
	{ "TooManyRequestsException", { SECRET_THROTTLED, AWS_LATER } },
	{ "ExpiredTokenException", { SECRET_LOGIN, AWS_NEW_KEYS } },
	{ "ExpiredToken", { SECRET_LOGIN, AWS_NEW_KEYS } },
	{ "UnrecognizedClientException", { SECRET_LOGIN, AWS_NEW_KEYS } },
	{ "InvalidClientTokenId", { SECRET_LOGIN, AWS_NEW_KEYS } },
	{ "IncompleteSignatureException", { SECRET_LOGIN, AWS_GIVE_UP } },
	{ "MissingAuthenticationTokenException", { SECRET_LOGIN, AWS_GIVE_UP } },
	{ "InvalidSignatureException", { SECRET_LOGIN, AWS_CLOCK } },
	{ "SignatureDoesNotMatch", { SECRET_LOGIN, AWS_CLOCK } },
	{ "RequestExpired", { SECRET_LOGIN, AWS_CLOCK } },
	{ "RequestTimeTooSkewed", { SECRET_LOGIN, AWS_CLOCK } },
};

static struct aws_error
error_of_status(uint16_t status)
{
	if (status == 429)
		return (struct aws_error){ SECRET_THROTTLED, AWS_LATER };
	if (status == 401 || status == 403)
		return (struct aws_error){ SECRET_DENIED, AWS_GIVE_UP };
	if (status == 404)
		return (struct aws_error){ SECRET_NOT_FOUND, AWS_GIVE_UP };
	if (status == 400)
		return (struct aws_error){ SECRET_INVALID, AWS_GIVE_UP };
	return (struct aws_error){ SECRET_UNREACHABLE, AWS_LATER };
}

/* "com.amazonaws.x#Name" or "Name": its last part. */
static struct span
short_type(const char *type)
{
	const char *hash = strrchr(type, '#');

	return span_str(hash == NULL ? type : hash + 1);
}

struct aws_error
aws_error_of(uint16_t status, struct span body)
{
	auto_json struct json_doc d = { 0 };
	char type[160];
	struct span name;

	if (is_ok(parse(&d, body)) &&
	    is_ok(member_text(&d, json_get_str(&d, 0, "__type"), type, sizeof(type))))
		name = short_type(type);
	else if (!is_ok(leaf(body, "Code", 128, &name)))
		return error_of_status(status);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (span_eq_str(name, errors[i].type))
			return errors[i].error;
	}
	return error_of_status(status);
}
