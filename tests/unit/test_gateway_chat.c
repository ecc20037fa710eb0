/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: routes, schemas, exact names, and the named edits of a chat body. */
#include "unit.h"

#include <stdio.h>

#include <chat.h>
#include <json/schema.h>
#include <routes.h>
#include <strict.h>

static struct json_doc doc;
static struct arena arena = ARENA_INIT(1UL << 20);

static const struct chat *
read_ok(const char *body)
{
	struct prompt *p = NULL;
	struct fault fault;

	assert_int_equal(json_parse(&doc, span_str(body)).code, E_OK);
	assert_int_equal(chat_read(&doc, &arena, &p, &fault).code, E_OK);
	return chat_of(p);
}

#define TOOL_HEAD "{\"type\":\"function\",\"function\":{\"name\":\"code_interpreter\""

struct edit_case {
	const char *body;
	bool attach;
	const char *more;
	const char *want; /* exact, with @ for our tool's definition */
};

static const struct edit_case edit_cases[] = {
	{ "{\"model\":\"demo\",\"messages\":[{\"a\":1}]}", false, "",
	    "{\"model\":\"demo\",\"messages\":[{\"a\":1}]}" },
	{ " {\"messages\" : [ ] , \"model\":\"de\\u006do\" } ", false, "",
	    "{\"messages\" : [ ] , \"model\":\"demo\" }" },
	{ "{\"model\":\"demo\",\"store\" : true ,\"messages\":[1]}", false, ",2",
	    "{\"model\":\"demo\",\"store\" : false ,\"messages\":[1,2]}" },
	{ "{\"metadata\":{\"a\":\"b\"},\"store\":true,\"model\":\"demo\",\"messages\":[1]}", false,
	    "", "{\"metadata\":null,\"store\":false,\"model\":\"demo\",\"messages\":[1]}" },
	{ "{\"metadata\":{\"a\":\"b\"},\"model\":\"demo\",\"messages\":[1]}", false, "",
	    "{\"metadata\":{\"a\":\"b\"},\"model\":\"demo\",\"messages\":[1]}" },
	{ "{\"store\":null,\"model\":\"demo\",\"messages\":[{\"store\":true}]}", false, "",
	    "{\"store\":null,\"model\":\"demo\",\"messages\":[{\"store\":true}]}" },
	{ "{\"model\":\"demo\",\"messages\":[1],\"store\":false}", false, "",
	    "{\"model\":\"demo\",\"messages\":[1],\"store\":false}" },
	{ "{\"model\":\"demo\",\"messages\":[1],\"stream\":true}", false, "",
	    "{\"stream_options\":{\"include_usage\":true},\"model\":\"demo\",\"messages\":[1],"
	    "\"stream\":true}" },
	{ "{\"model\":\"demo\",\"messages\":[1],\"stream\":true,\"stream_options\":null}", false,
	    "",
	    "{\"model\":\"demo\",\"messages\":[1],\"stream\":true,\"stream_options\":"
	    "{\"include_usage\":true}}" },
	{ "{\"model\":\"demo\",\"messages\":[1],\"stream\":true,\"stream_options\":{}}", false, "",
	    "{\"model\":\"demo\",\"messages\":[1],\"stream\":true,\"stream_options\":"
	    "{\"include_usage\":true}}" },
	{ "{\"stream_options\":{\"include_obfuscation\":false},\"model\":\"demo\",\"messages\":[1],"
	  "\"stream\":true}",
	    false, "",
	    "{\"stream_options\":{\"include_usage\":true,\"include_obfuscation\":false},"
	    "\"model\":\"demo\",\"messages\":[1],\"stream\":true}" },
	{ "{\"stream_options\":{\"include_usage\":false},\"model\":\"demo\",\"messages\":[1],"
	  "\"stream\":true}",
	    false, "",
	    "{\"stream_options\":{\"include_usage\":true},\"model\":\"demo\",\"messages\":[1],"
	    "\"stream\":true}" },
	{ "{\"model\":\"demo\",\"messages\":[1],\"tools\":[{\"type\":\"code_interpreter\"}]}",
	    false, "", "{\"model\":\"demo\",\"messages\":[1],\"tools\":[@]}" },
	{ "{\"model\":\"demo\",\"messages\":[1]}", true, "",
	    "{\"tools\":[@],\"model\":\"demo\",\"messages\":[1]}" },
	{ "{\"model\":\"demo\",\"messages\":[1],\"tools\":[]}", true, "",
	    "{\"model\":\"demo\",\"messages\":[1],\"tools\":[@]}" },
	{ "{\"model\":\"demo\",\"messages\":[1],\"tools\":[{\"x\":1} ]}", true, ",{\"m\":2}",
	    "{\"model\":\"demo\",\"messages\":[1,{\"m\":2}],\"tools\":[{\"x\":1} ,@]}" },
	{ "{\"model\":\"demo\",\"messages\":[1],\"tools\":[{\"type\":\"code_interpreter\"}],"
	  "\"tool_choice\":{\"type\":\"code_interpreter\"}}",
	    false, "",
	    "{\"model\":\"demo\",\"messages\":[1],\"tools\":[@],\"tool_choice\":{\"type\":"
	    "\"function\",\"function\":{\"name\":\"code_interpreter\"}}}" },
	{ "{\"model\":\"demo\",\"messages\":[1],\"tools\":[{\"type\":\"code_interpreter\"}],"
	  "\"tool_choice\":\"required\"}",
	    false, ",2",
	    "{\"model\":\"demo\",\"messages\":[1,2],\"tools\":[@],\"tool_choice\":\"auto\"}" },
	{ "{\"model\":\"demo\",\"messages\":[1],\"tools\":[{\"type\":\"code_interpreter\"}],"
	  "\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\","
	  "\"tools\":[{\"type\":\"code_interpreter\"}]}}}",
	    false, ",2",
	    "{\"model\":\"demo\",\"messages\":[1,2],\"tools\":[@],\"tool_choice\":{\"type\":"
	    "\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[{\"type\":"
	    "\"function\",\"function\":{\"name\":\"code_interpreter\"}}]}}}" },
	/* One thing within another, to be replaced both: the outer one goes. */
	{ "{\"model\":\"demo\",\"messages\":[1],\"tool_choice\":{\"type\":\"code_interpreter\","
	  "\"allowed_tools\":{\"mode\":\"required\",\"tools\":[{\"type\":\"code_interpreter\"}]}}}",
	    false, ",2", "{\"model\":\"demo\",\"messages\":[1,2],\"tool_choice\":\"auto\"}" },
	{ "{\"model\":\"demo\",\"messages\":[1],\"tool_choice\":\"none\"}", false, ",2",
	    "{\"model\":\"demo\",\"messages\":[1,2],\"tool_choice\":\"none\"}" },
};

/* Replace the definition of our tool by '@'. */
static void
hide_tool(struct buf *b)
{
	uint8_t *at = memmem(b->ptr, b->len, TOOL_HEAD, sizeof(TOOL_HEAD) - 1);
	uint8_t *end;
	static const char tail[] = "\"additionalProperties\":false}}}";

	if (at == NULL)
		return;
	end = memmem(at, b->len - (size_t)(at - b->ptr), tail, sizeof(tail) - 1);
	assert_non_null(end);
	end += sizeof(tail) - 1;
	*at = '@';
	memmove(at + 1, end, b->len - (size_t)(end - b->ptr));
	b->len -= (size_t)(end - at) - 1;
}

static void
edits(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(edit_cases); i++) {
		const struct edit_case *t = &edit_cases[i];
		const struct chat *c = read_ok(t->body);
		const struct edits e = { t->attach, span_str(t->more) };
		uint32_t off = 0;
		struct buf out = BUF_INIT(1UL << 16);
		struct json_doc again = { .count = 0 };

		assert_int_equal(chat_write(&c->p, &e, &out, &off).code, E_OK);
		assert_true(span_starts(span_from(buf_span(&out), off), SPAN_LIT("\"demo\"")));
		assert_int_equal(json_init(&again, &JSON_STRICT).code, E_OK);
		assert_int_equal(json_parse(&again, buf_span(&out)).code, E_OK);
		json_done(&again);
		hide_tool(&out);
		assert_int_equal(out.len, strlen(t->want));
		assert_memory_equal(out.ptr, t->want, out.len);
		buf_done(&out);
	}
}

static void
reads_what_matters(void **state)
{
	const struct chat *c = read_ok("{\"model\":\"demo\",\"messages\":[],\"stream\":true,"
				       "\"stream_options\":{\"include_usage\":true},\"n\":2}");

	(void)state;
	assert_true(c->p.stream && c->usage && !c->p.interpreter && !c->p.attachable);
	assert_int_equal(c->n, 2);
	assert_true(span_eq_str(c->p.model, "demo"));
	c = read_ok("{\"model\":\"demo\",\"messages\":[],\"tools\":[{\"type\":\"function\","
		    "\"function\":{\"name\":\"code_interpreter\"}}]}");
	assert_false(c->p.interpreter || c->p.attachable);
	c = read_ok("{\"model\":\"demo\",\"messages\":[]}");
	assert_true(c->p.attachable);
}

static void
refuses_what_clashes(void **state)
{
	static const struct {
		const char *body;
		const char *pointer;
	} rows[] = {
		{ "{\"model\":\"m\",\"messages\":[],\"n\":2,\"tools\":"
		  "[{\"type\":\"code_interpreter\"}]}",
		    "/n" },
		{ "{\"model\":\"m\",\"messages\":[],\"tools\":[{\"type\":\"code_interpreter\"},"
		  "{\"type\":\"code_interpreter\"}]}",
		    "/tools/1" },
		{ "{\"model\":\"m\",\"messages\":[],\"tools\":[{\"type\":\"code_interpreter\"},"
		  "{\"type\":\"function\",\"function\":{\"name\":\"code_interpreter\"}}]}",
		    "/tools/1" },
		{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"file_id\"},{"
		  "\"role\":"
		  "\"user\",\"content\":[{\"type\":\"file\",\"file\":{\"file_id\":null}},{\"type\":"
		  "\"file\",\"file\":{\"file_data\":\"x\",\"file_id\":\"file-1\"}}]}]}",
		    "/messages/1/content/1/file/file_id" },
		{ "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"audio\":null},{"
		  "\"role\":"
		  "\"assistant\",\"audio\":{\"id\":null}},{\"role\":\"assistant\",\"content\":null,"
		  "\"audio\":{\"id\":\"audio_1\"}}]}",
		    "/messages/2/audio/id" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct prompt *c = NULL;
		struct fault fault;
		struct buf p = BUF_INIT(256);

		assert_int_equal(json_parse(&doc, span_str(rows[i].body)).code, E_OK);
		assert_int_equal(chat_read(&doc, &arena, &c, &fault).code, E_SYNTAX);
		assert_int_equal(json_pointer(&doc, fault.tok, &p).code, E_OK);
		assert_true(span_eq_str(buf_span(&p), rows[i].pointer));
		buf_done(&p);
	}
}

/* A path of the route, and what it has for the parameter. */
static const char *
param_of(const struct route *route, char *path, size_t size)
{
	const char *hole = strstr(route->path, "{}");
	bool open = route->path[strlen(route->path) - 1] == '/';

	if (hole == NULL) {
		(void)snprintf(path, size, "%s%s", route->path, open ? "x/y" : "");
		return open ? "x/y" : "";
	}
	(void)snprintf(path, size, "%.*sa_b-1%s", (int)(hole - route->path), route->path, hole + 2);
	return "a_b-1";
}

static bool
has_row(const char *method, const char *path)
{
	for (size_t i = 0; i < routes_count; i++) {
		if (strcmp(routes[i].method, method) == 0 && strcmp(routes[i].path, path) == 0)
			return true;
	}
	return false;
}

static void
routes_by_methods(void **state)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS",
		"PATCH", "get", "post", "POSTX", "" };

	(void)state;
	for (size_t i = 0; i < routes_count; i++) {
		for (size_t m = 0; m < COUNT(methods); m++) {
			const struct route *r = NULL;
			char path[128];
			const char *param = param_of(&routes[i], path, sizeof(path));
			enum error e = route_find(span_str(methods[m]), span_str(path), &r);

			assert_true(span_eq_str(route_param(&routes[i], span_str(path)), param));
			if (has_row(methods[m], routes[i].path)) {
				assert_int_equal(e, ERROR_NONE);
				assert_string_equal(r->method, methods[m]);
			} else {
				assert_int_equal(e, ERROR_METHOD);
			}
			assert_string_equal(r->path, routes[i].path);
		}
		/* A route takes a body exactly if there is a schema, or a form, for it. */
		if (strcmp(routes[i].path, "/admin/v1/") != 0) /* the authority has the schemas */
			assert_int_equal(routes[i].schema != NULL || routes[i].form,
			    strcmp(routes[i].method, "POST") == 0);
		assert_false(routes[i].schema != NULL && routes[i].form);
		/* What the path takes is checked, but for names of models. */
		assert_int_equal(routes[i].param_ok != NULL, strstr(routes[i].path, "{}") != NULL);
		assert_non_null(routes[i].run);
	}
}

static void
no_other_path(void **state)
{
	static const char *const paths[] = { "/", "/v1", "/v1/", "/v1/models/", "/v1/model",
		"/V1/models", "//v1/models", "/v1//models", "/healthz", "/metrics", "/v1/execute/x",
		"/v1/chat/completions/", "/admin/keys", "*", "/v1/tools/", "/v1/tools//call",
		"/v1/tools/a/", "/v1/tools/a/b", "/v1/tools/a/call/", "/v1/tools/a/b/call",
		"/v1/tools/a/callx", "/v1/tools/call/" };

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		const struct route *r = NULL;

		assert_int_equal(
		    route_find(SPAN_LIT("GET"), span_str(paths[i]), &r), ERROR_NO_ROUTE);
		assert_null(r);
	}
}

/* ---- schemas ---- */

struct schema_case {
	const struct span *schema;
	const char *body;
	const char *pointer; /* NULL: conforms */
};

#define CHAT(rest) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]" rest "}"

static const struct schema_case schema_cases[] = {
	{ &schema_chat, CHAT(""), NULL },
	{ &schema_chat, CHAT(",\"stream\":true,\"seed\":1,\"x_new\":{\"a\":1}"), NULL },
	{ &schema_chat, CHAT(",\"tools\":[{\"type\":\"code_interpreter\"}]"), NULL },
	{ &schema_chat, CHAT(",\"tools\":[{\"type\":\"code_interpreter\",\"container\":{}}]"),
	    NULL },
	{ &schema_chat, CHAT(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"),
	    NULL },
	{ &schema_chat, CHAT(",\"tools\":[{\"type\":\"function\"}]"), "/tools/0" },
	{ &schema_chat, CHAT(",\"tools\":[{\"type\":\"shell\"}]"), "/tools/0/type" },
	{ &schema_chat, CHAT(",\"stream\":1"), "/stream" },
	{ &schema_chat, CHAT(",\"stream_options\":{\"include_usaGe\":true}"),
	    "/stream_options/include_usaGe" },
	{ &schema_chat, CHAT(",\"n\":0"), "/n" },
	{ &schema_chat, CHAT(",\"n\":1.5"), "/n" },
	{ &schema_chat, CHAT(",\"temperature\":\"hot\""), "/temperature" },
	{ &schema_chat, CHAT(",\"base_url\":\"http://x\""), "/base_url" },
	{ &schema_chat, CHAT(",\"api_key\":\"x\""), "/api_key" },
	{ &schema_chat, "{\"model\":\"m\",\"messages\":[]}", "/messages" },
	{ &schema_chat, "{\"model\":\"m\",\"messages\":[{\"role\":\"root\"}]}",
	    "/messages/0/role" },
	{ &schema_chat, "{\"messages\":[{\"role\":\"user\"}]}", "" },
	{ &schema_chat, "[]", "" },
	{ &schema_execute, "{\"language\":\"python\",\"code\":\"\"}", NULL },
	{ &schema_execute,
	    "{\"language\":\"python\",\"code\":\"1\",\"stdin\":\"\",\"timeout_ms\":1,\"stream\":"
	    "true,"
	    "\"files\":[{\"name\":\"a b.txt\",\"content_base64\":\"\"}]}",
	    NULL },
	{ &schema_execute, "{\"language\":\"python\"}", "" },
	{ &schema_execute, "{\"language\":\"Python\",\"code\":\"\"}", "/language" },
	{ &schema_execute, "{\"language\":\"python\",\"code\":1}", "/code" },
	{ &schema_execute, "{\"language\":\"python\",\"code\":\"\",\"env\":{}}", "/env" },
	{ &schema_execute, "{\"language\":\"python\",\"code\":\"\",\"timeout_ms\":0}",
	    "/timeout_ms" },
	{ &schema_execute,
	    "{\"language\":\"python\",\"code\":\"\",\"files\":[{\"name\":\"../a\","
	    "\"content_base64\":\"\"}]}",
	    "/files/0/name" },
	{ &schema_execute,
	    "{\"language\":\"python\",\"code\":\"\",\"files\":[{\"name\":\"..\","
	    "\"content_base64\":\"\"}]}",
	    "/files/0/name" },
	{ &schema_execute,
	    "{\"language\":\"python\",\"code\":\"\",\"files\":[{\"name\":\"a\\nb\","
	    "\"content_base64\":\"\"}]}",
	    "/files/0/name" },
};

static void
schemas_hold(void **state)
{
	struct arena a = ARENA_INIT(8UL << 20);

	(void)state;
	for (size_t i = 0; i < COUNT(schema_cases); i++) {
		const struct schema_case *t = &schema_cases[i];
		const struct schema *s = NULL;
		struct schema_fault fault;
		struct status st;

		assert_int_equal(schema_compile(*t->schema, &a, &s, &fault).code, E_OK);
		assert_int_equal(json_parse(&doc, span_str(t->body)).code, E_OK);
		st = schema_validate(s, &doc, 0, &fault);
		assert_int_equal(st.code, t->pointer == NULL ? E_OK : E_SYNTAX);
		if (t->pointer != NULL)
			assert_string_equal(fault.pointer, t->pointer);
		arena_reset(&a);
	}
	arena_done(&a);
}

static void
case_variants(void **state)
{
	static const struct {
		const char *body;
		bool found;
	} rows[] = {
		{ CHAT(""), false },
		{ CHAT(",\"Tools\":[]"), true },
		{ CHAT(",\"STREAM\":true"), true },
		{ CHAT(",\"t\\u006fols\":[]"), false },
		{ CHAT(",\"T\\u006fols\":[]"), true },
		{ CHAT(",\"toolsx\":[]"), false },
		{ CHAT(",\"metadata\":{\"Tools\":\"x\"}"), false },
	};

	(void)state;
	assert_int_equal(strict_learn(schema_chat).code, E_OK);
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(json_parse(&doc, span_str(rows[i].body)).code, E_OK);
		assert_int_equal(
		    strict_find_variant(&doc, schema_chat) != JSON_NONE, rows[i].found);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits),
		cmocka_unit_test(reads_what_matters),
		cmocka_unit_test(refuses_what_clashes),
		cmocka_unit_test(routes_by_methods),
		cmocka_unit_test(no_other_path),
		cmocka_unit_test(schemas_hold),
		cmocka_unit_test(case_variants),
	};

	if (!is_ok(json_init(&doc, &JSON_STRICT)))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
