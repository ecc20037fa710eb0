/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/sigv4.c against the published test vectors (tests/vectors/aws-sigv4). */
#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/io.h>
#include <crypto/crypto.h>
#include <json/json.h>
#include <sigv4.h>

#define FILE_MAX 65536

struct vector {
	struct buf request, context;
	struct json_doc doc;
	struct buf texts[8]; /* of strings of the context */
	size_t ntexts;
	struct http_field fields[SIGV4_FIELDS_MAX];
	struct secret secret;
	char hash[2 * SHA256_LEN];
	struct sigv4_key key;
	struct sigv4_request r;
	char date[SIGV4_DATE_LEN + 1];
};

static void
load(const char *dir, const char *name, struct buf *out)
{
	char path[512];

	*out = BUF_INIT(FILE_MAX);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_true(is_ok(io_read_file(AT_FDCWD, path, out)));
}

static struct span
text(struct vector *v, uint32_t tok)
{
	struct buf *b = &v->texts[v->ntexts++];

	*b = BUF_INIT(4096);
	assert_true(is_ok(json_str_put(&v->doc, tok, b)));
	return buf_span(b);
}

static struct span
cut(struct span *rest, const char *until)
{
	const char *end = memmem(rest->ptr, rest->len, until, strlen(until));
	struct span part = span_of(
	    rest->ptr, end == NULL ? rest->len : (size_t)(end - (const char *)rest->ptr));

	*rest = end == NULL ? SPAN_EMPTY : span_from(*rest, part.len + strlen(until));
	return part;
}

static void
add_field(struct vector *v, struct span name, struct span value)
{
	assert_true(v->r.field_count < SIGV4_FIELDS_MAX);
	v->fields[v->r.field_count++] = (struct http_field){ name, value };
}

/* "GET /path?query HTTP/1.1", fields (a line that begins with a blank goes on), body. */
static void
read_request(struct vector *v)
{
	struct span rest = buf_span(&v->request), line = cut(&rest, "\n"), target;
	size_t blank;

	v->r.method = cut(&line, " ");
	blank = line.len;
	while (blank > 0 && line.ptr[blank - 1] != ' ')
		blank--;
	target = span_of(line.ptr, blank - 1);
	v->r.path = cut(&target, "?");
	/* The one that is written encoded means the path before that (as for S3: encoded once). */
	if (span_eq_str(v->r.path, "/example%20space/"))
		v->r.path = SPAN_LIT("/example space/");
	v->r.query = target;
	v->r.fields = v->fields;
	while (rest.len > 0 && rest.ptr[0] != '\n') {
		line = cut(&rest, "\n");
		if (line.ptr[0] == ' ') {
			struct http_field *last = &v->fields[v->r.field_count - 1];

			last->value.len = (size_t)(line.ptr + line.len - last->value.ptr);
			continue;
		}
		add_field(v, cut(&line, ":"), line);
	}
	v->r.body = span_from(rest, 1);
}

static void
read_context(struct vector *v)
{
	const struct json_opts opts = { 0 };
	uint32_t creds, tok;
	struct span stamp;

	assert_true(is_ok(json_init(&v->doc, &opts)));
	assert_true(is_ok(json_parse(&v->doc, buf_span(&v->context))));
	creds = json_get_str(&v->doc, 0, "credentials");
	v->key.id = text(v, json_get_str(&v->doc, creds, "access_key_id"));
	assert_true(is_ok(secret_from_span(
	    text(v, json_get_str(&v->doc, creds, "secret_access_key")), &v->secret)));
	v->key.secret = &v->secret;
	v->r.region = text(v, json_get_str(&v->doc, 0, "region"));
	v->r.service = text(v, json_get_str(&v->doc, 0, "service"));
	v->r.normalize = json_type(&v->doc, json_get_str(&v->doc, 0, "normalize")) == JSON_TRUE;
	stamp = text(v, json_get_str(&v->doc, 0, "timestamp"));
	for (size_t i = 0, n = 0; i < stamp.len && n < SIGV4_DATE_LEN; i++) {
		if (stamp.ptr[i] != '-' && stamp.ptr[i] != ':')
			v->date[n++] = (char)stamp.ptr[i];
	}
	v->r.date = v->date;
	add_field(v, SPAN_LIT("X-Amz-Date"), span_str(v->date));
	if (json_type(&v->doc, json_get_str(&v->doc, 0, "sign_body")) == JSON_TRUE) {
		uint8_t hash[SHA256_LEN];

		assert_true(is_ok(sha256(v->r.body, hash)));
		hex_encode(span_of(hash, sizeof(hash)), v->hash);
		add_field(v, SPAN_LIT("X-Amz-Content-Sha256"), span_of(v->hash, sizeof(v->hash)));
	}
	tok = json_get_str(&v->doc, creds, "token");
	if (tok != JSON_NONE &&
	    json_type(&v->doc, json_get_str(&v->doc, 0, "omit_session_token")) != JSON_TRUE)
		add_field(v, SPAN_LIT("X-Amz-Security-Token"), text(v, tok));
}

static void
assert_file(const char *dir, const char *name, struct span got)
{
	struct buf want;

	load(dir, name, &want);
	if (!span_eq(buf_span(&want), got))
		print_error("%s/%s: got\n%.*s\n", dir, name, SPAN_FMT(got));
	assert_true(span_eq(buf_span(&want), got));
	buf_done(&want);
}

static void
check_vector(const char *dir)
{
	struct vector v = { .ntexts = 0 };
	auto_buf struct buf canonical = BUF_INIT(SIGV4_CANONICAL_MAX);
	auto_buf struct buf to_sign = BUF_INIT(4096), field = BUF_INIT(4096);
	char signature[SIGV4_SIGNATURE_LEN + 1];

	load(dir, "request.txt", &v.request);
	load(dir, "context.json", &v.context);
	read_request(&v);
	read_context(&v);
	assert_true(is_ok(sigv4_canonical(&v.r, &canonical)));
	assert_file(dir, "header-canonical-request.txt", buf_span(&canonical));
	assert_true(is_ok(sigv4_string_to_sign(&v.r, buf_span(&canonical), &to_sign)));
	assert_file(dir, "header-string-to-sign.txt", buf_span(&to_sign));
	assert_true(is_ok(sigv4_signature(&v.key, &v.r, buf_span(&to_sign), signature)));
	assert_file(dir, "header-signature.txt", span_str(signature));
	assert_true(is_ok(sigv4_authorization(&v.key, &v.r, &field)));
	assert_true(field.len > 64 && memcmp(field.ptr + field.len - 64, signature, 64) == 0);
	buf_done(&v.request);
	buf_done(&v.context);
	json_done(&v.doc);
	secret_done(&v.secret);
	for (size_t i = 0; i < v.ntexts; i++)
		buf_done(&v.texts[i]);
}

static void
published_vectors_agree(void **state)
{
	const char *data = getenv("SALLYPORT_TEST_DATA");
	char root[256], dir[768];
	struct dirent *e;
	size_t count = 0;
	DIR *d;

	(void)state;
	assert_non_null(data);
	(void)snprintf(root, sizeof(root), "%s/vectors/aws-sigv4", data);
	d = opendir(root);
	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || strchr(e->d_name, '-') == NULL)
			continue;
		(void)snprintf(dir, sizeof(dir), "%s/%s", root, e->d_name);
		check_vector(dir);
		count++;
	}
	(void)closedir(d);
	assert_int_equal(count, 38);
}

/* The two old ones that the crate keeps for paths that hold encoded characters. */
static void
an_encoded_path_is_encoded_again(void **state)
{
	const struct http_field host = { SPAN_LIT("host"), SPAN_LIT("h") };
	const struct sigv4_request r = { .method = SPAN_LIT("POST"),
		.path = SPAN_LIT("/functions/arn%3Aaws%3Alambda/invoke"),
		.fields = &host,
		.field_count = 1,
		.date = "20210511T154045Z" };
	auto_buf struct buf out = BUF_INIT(SIGV4_CANONICAL_MAX);

	(void)state;
	assert_true(is_ok(sigv4_canonical(&r, &out)));
	assert_true(span_starts(buf_span(&out),
	    SPAN_LIT("POST\n/functions/arn%253Aaws%253Alambda/invoke\n\nhost:h\n")));
}

static void
limits_hold(void **state)
{
	struct http_field fields[SIGV4_FIELDS_MAX + 1];
	struct sigv4_request r = { .method = SPAN_LIT("GET"),
		.path = SPAN_LIT("/"),
		.fields = fields,
		.field_count = SIGV4_FIELDS_MAX + 1,
		.date = "20210511T154045Z" };
	auto_buf struct buf out = BUF_INIT(SIGV4_CANONICAL_MAX);
	char many[4 * SIGV4_PARTS_MAX];
	char date[SIGV4_DATE_LEN + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(fields); i++)
		fields[i] = (struct http_field){ SPAN_LIT("a"), SPAN_LIT("b") };
	assert_int_equal(sigv4_canonical(&r, &out).code, E_RANGE);
	r.field_count = 1;
	memset(many, '/', sizeof(many));
	r.path = span_of(many, sizeof(many));
	assert_int_equal(sigv4_canonical(&r, &out).code, E_RANGE);
	r.path = SPAN_LIT("/");
	memset(many, '&', sizeof(many));
	r.query = span_of(many, sizeof(many));
	assert_int_equal(sigv4_canonical(&r, &out).code, E_RANGE);
	sigv4_date(1440938160, date);
	assert_string_equal(date, "20150830T123600Z");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors_agree),
		cmocka_unit_test(an_encoded_path_is_encoded_again),
		cmocka_unit_test(limits_hold),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
