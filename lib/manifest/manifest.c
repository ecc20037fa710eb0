/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.json: its shape by a schema of ours, then what a schema cannot say.
 *
 * Runs in:    gateway (each upload), authority (the same text again, from the executor),
 *             CLI. Each has one thread.
 * Trusts:     nothing of the text.
 * Owns:       the compiled schema of tool.json, made on first use, for good.
 * Invariants: what was accepted has both schemas within the subset that we can check with,
 *             at a bounded cost, and no hidden characters in what is shown to others.
 * See:        docs/tools.md; json/schema.h for the subset.
 */
#include <manifest/manifest.h>

#include <base/cleanup.h>

#include "clean.h"

#define OWN_SCHEMA_BYTES_MAX (256U << 10)

static const char own_schema_text[] =
    "{\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"name\",\"description\",\"input_schema\"],\"properties\":{"
    "\"name\":{\"type\":\"string\",\"pattern\":\"^[a-zA-Z0-9_-]{1,64}$\"},"
    "\"description\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":1024},"
    "\"input_schema\":{\"type\":\"object\",\"required\":[\"type\"],"
    "\"properties\":{\"type\":{\"const\":\"object\"}}},"
    "\"output_schema\":{\"type\":[\"object\",\"boolean\"]},"
    "\"limits\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"time_ms\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":60000},"
    "\"memory_mb\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1024},"
    "\"output_kb\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":512}}},"
    "\"capabilities\":{\"type\":\"array\",\"uniqueItems\":true,\"maxItems\":8,"
    "\"items\":{\"enum\":[\"files\"]}},"
    "\"env\":{\"type\":\"object\",\"maxProperties\":64,\"additionalProperties\":false,"
    "\"patternProperties\":{\"^[A-Z_][A-Z0-9_]{0,63}$\":"
    "{\"type\":\"string\",\"maxLength\":1024}}},"
    "\"examples\":{\"type\":\"array\",\"maxItems\":16,\"items\":{\"type\":\"object\","
    "\"required\":[\"arguments\"],\"additionalProperties\":false,"
    "\"properties\":{\"arguments\":{\"type\":\"object\"},\"output\":true}}}}}";

static struct status check(
    const struct json_doc *d, struct arena *a, struct manifest *ret, struct manifest_fault *fault);
static struct status check_shape(const struct json_doc *d, struct manifest_fault *fault);
static struct status check_clean(const struct json_doc *d, struct manifest_fault *fault);
static struct status check_schema(
    const struct json_doc *d, const char *member, struct manifest_fault *fault);
static struct status read_members(
    const struct json_doc *d, struct arena *a, struct manifest *ret, uint32_t *ret_tok);
static struct status read_limits(const struct json_doc *d, struct manifest *ret);
static struct status read_capabilities(const struct json_doc *d, struct manifest *ret);
static struct status read_env(const struct json_doc *d, struct arena *a, struct manifest *ret);
static void blame(struct manifest_fault *fault, const char *prefix, const char *pointer,
    const char *message, struct span member);
static void blame_tok(
    struct manifest_fault *fault, const struct json_doc *d, uint32_t tok, const char *message);

static struct arena own_arena = ARENA_INIT(OWN_SCHEMA_BYTES_MAX);
static const struct schema *own_schema;

static const struct json_opts opts = {
	.depth_max = MANIFEST_DEPTH_MAX,
	.tokens_max = MANIFEST_TOKENS_MAX,
	.size_max = MANIFEST_MAX,
	.refuse_duplicates = true,
	.refuse_surrogates = true,
	.refuse_nul = true,
};

struct status
manifest_parse(
    struct span text, struct arena *a, struct manifest *ret, struct manifest_fault *fault)
{
	struct manifest_fault unused = { .message = NULL };
	auto_json struct json_doc d = { .count = 0 };
	struct manifest m = { .time_ms = 0 };
	struct status st;

	fault = fault != NULL ? fault : &unused;
	*fault = (struct manifest_fault){ .message = NULL };
	TRY(json_init(&d, &opts));
	st = json_parse(&d, text);
	if (!is_ok(st)) {
		auto_buf struct buf pointer = BUF_INIT(MANIFEST_MAX);

		(void)is_ok(json_fault_pointer(&d, &pointer));
		(void)is_ok(buf_put_u8(&pointer, 0));
		blame(fault, "", pointer.len > 0 ? (const char *)pointer.ptr : "",
		    d.fault.message != NULL ? d.fault.message : "is not JSON", SPAN_EMPTY);
		return st;
	}
	TRY(check(&d, a, &m, fault));
	*ret = m;
	return OK;
}

struct status
manifest_read(struct span text, struct arena *a, struct manifest *ret)
{
	auto_json struct json_doc d = { .count = 0 };
	struct manifest m = { .time_ms = 0 };
	uint32_t tok;

	TRY(json_init(&d, &opts));
	TRY(json_parse(&d, text));
	TRY(read_members(&d, a, &m, &tok));
	*ret = m;
	return OK;
}

bool
manifest_name_ok(struct span name)
{
	if (name.len == 0 || name.len > MANIFEST_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];
		uint8_t lower = c | 0x20;

		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '_' &&
		    c != '-')
			return false;
	}
	return true;
}

/* ---- checks ---- */

static struct status
check(const struct json_doc *d, struct arena *a, struct manifest *ret, struct manifest_fault *fault)
{
	struct status st;
	uint32_t tok = 0;

	TRY(check_shape(d, fault));
	TRY(check_clean(d, fault));
	TRY(check_schema(d, "input_schema", fault));
	TRY(check_schema(d, "output_schema", fault));
	st = read_members(d, a, ret, &tok);
	if (!is_ok(st) && st.code != E_NOMEM)
		blame_tok(fault, d, tok, "is too large");
	return st;
}

static struct status
check_shape(const struct json_doc *d, struct manifest_fault *fault)
{
	struct schema_fault why = { .message = NULL };
	struct status st;

	if (own_schema == NULL)
		TRY(schema_compile(span_str(own_schema_text), &own_arena, &own_schema, NULL));
	st = schema_validate(own_schema, d, 0, &why);
	if (!is_ok(st) && st.code != E_NOMEM)
		blame(fault, "", why.pointer, why.message, why.member);
	return st;
}

/* What models and other people are shown; and variables, which who may see the tool sees. */
static struct status
check_clean(const struct json_doc *d, struct manifest_fault *fault)
{
	static const char *const members[] = { "description", "input_schema", "output_schema",
		"env" };
	auto_buf struct buf tmp = BUF_INIT(MANIFEST_MAX);

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		uint32_t value = json_get_str(d, 0, members[i]);
		uint32_t tok = 0;
		struct status st;

		if (value == JSON_NONE)
			continue;
		st = clean_check(d, value, &tmp, &tok);
		if (st.code == E_SYNTAX)
			blame_tok(fault, d, tok, "has control or invisible characters");
		TRY(st);
	}
	return OK;
}

static struct status
check_schema(const struct json_doc *d, const char *member, struct manifest_fault *fault)
{
	auto_arena struct arena a = ARENA_INIT(MANIFEST_COMPILED_MAX);
	uint32_t tok = json_get_str(d, 0, member);
	const struct schema *schema;
	struct schema_fault why = { .message = NULL };
	char prefix[32] = "/";
	struct status st;

	if (tok == JSON_NONE)
		return OK;
	st = schema_compile(json_bytes(d, tok), &a, &schema, &why);
	if (is_ok(st))
		return OK;
	memcpy(prefix + 1, member, strlen(member));
	blame(fault, prefix, why.pointer,
	    why.message != NULL ? why.message : "needs too much memory", SPAN_EMPTY);
	/* Memory within a cap of ours is the schema's fault. */
	return st.code == E_NOMEM ? fail(E_RANGE) : st;
}

/* ---- members ---- */

static struct status
read_members(const struct json_doc *d, struct arena *a, struct manifest *ret, uint32_t *ret_tok)
{
	*ret_tok = json_get_str(d, 0, "name");
	TRY(json_str(d, *ret_tok, a, &ret->name));
	*ret_tok = json_get_str(d, 0, "description");
	TRY(json_str(d, *ret_tok, a, &ret->description));
	ret->input_schema = json_bytes(d, json_get_str(d, 0, "input_schema"));
	ret->output_schema = json_bytes(d, json_get_str(d, 0, "output_schema"));
	ret->examples = json_bytes(d, json_get_str(d, 0, "examples"));
	*ret_tok = json_get_str(d, 0, "limits");
	TRY(read_limits(d, ret));
	*ret_tok = json_get_str(d, 0, "capabilities");
	TRY(read_capabilities(d, ret));
	*ret_tok = json_get_str(d, 0, "env");
	return read_env(d, a, ret);
}

static struct status
read_limits(const struct json_doc *d, struct manifest *ret)
{
	uint32_t limits = json_get_str(d, 0, "limits");
	const struct {
		const char *name;
		uint32_t max;
		uint32_t *to;
	} rows[] = {
		{ "time_ms", MANIFEST_TIME_MS_MAX, &ret->time_ms },
		{ "memory_mb", MANIFEST_MEMORY_MB_MAX, &ret->memory_mb },
		{ "output_kb", MANIFEST_OUTPUT_KB_MAX, &ret->output_kb },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t tok = json_get_str(d, limits, rows[i].name);
		uint64_t v;

		if (tok == JSON_NONE)
			continue;
		TRY(json_u64(d, tok, rows[i].max, &v));
		*rows[i].to = (uint32_t)v;
	}
	return OK;
}

static struct status
read_capabilities(const struct json_doc *d, struct manifest *ret)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "capabilities"));

	while (json_next(&it)) {
		if (!json_str_eq_str(d, it.val, "files"))
			return fail(E_SYNTAX);
		ret->capabilities |= MANIFEST_CAN_FILES;
	}
	return OK;
}

static struct status
read_env(const struct json_doc *d, struct arena *a, struct manifest *ret)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "env"));
	auto_buf struct buf env = BUF_INIT(MANIFEST_ENV_MAX);

	while (json_next(&it)) {
		struct status st = json_str_put(d, it.key, &env);

		if (is_ok(st))
			st = buf_put_u8(&env, '=');
		if (is_ok(st))
			st = json_str_put(d, it.val, &env);
		if (is_ok(st))
			st = buf_put_u8(&env, 0);
		if (!is_ok(st))
			return st.code == E_FULL ? fail(E_RANGE) : st;
	}
	return env.len == 0 ? OK : arena_copy(a, buf_span(&env), &ret->env);
}

/* ---- faults ---- */

/* "pointer: message (member)", cut between characters where it is too long. */
static void
blame(struct manifest_fault *fault, const char *prefix, const char *pointer, const char *message,
    struct span member)
{
	auto_buf struct buf text = BUF_INIT(MANIFEST_MAX);
	struct buf *t = &text;
	struct status st = OK;
	size_t n;

	fault->message = message;
	if (prefix[0] != '\0' || pointer[0] != '\0')
		st = buf_printf(t, "%s%s: ", prefix, pointer);
	if (is_ok(st))
		st = buf_put_str(t, message);
	if (is_ok(st) && member.len > 0)
		st = buf_printf(t, ": %.*s", SPAN_FMT(member));
	n = text.len < MANIFEST_FAULT_MAX - 1 ? text.len : MANIFEST_FAULT_MAX - 1;
	while (n < text.len && n > 0 && (text.ptr[n] & 0xc0) == 0x80)
		n--;
	if (n > 0)
		memcpy(fault->text, text.ptr, n);
	fault->text[n] = '\0';
	/* A pointer may quote what the author wrote; it is told to others. */
	if (!clean_text(span_str(fault->text)) || !is_ok(st)) {
		n = strlen(message) < MANIFEST_FAULT_MAX ? strlen(message) : MANIFEST_FAULT_MAX - 1;
		memcpy(fault->text, message, n);
		fault->text[n] = '\0';
	}
}

static void
blame_tok(struct manifest_fault *fault, const struct json_doc *d, uint32_t tok, const char *message)
{
	auto_buf struct buf pointer = BUF_INIT(MANIFEST_MAX);
	struct status st = json_pointer(d, tok == JSON_NONE ? 0 : tok, &pointer);

	if (is_ok(st))
		st = buf_put_u8(&pointer, 0);
	blame(fault, "", is_ok(st) ? (const char *)pointer.ptr : "", message, SPAN_EMPTY);
}
