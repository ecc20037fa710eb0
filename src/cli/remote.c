/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote.c: `sallyport ask` and `sallyport exec`: a client of the public API.
 *
 * Runs in: CLI, as anybody. Trusts: the certificate authority in SALLYPORT_CA_FILE; not what the
 * model or its code says.
 * Owns: the connection.
 * Invariants: the answer goes to standard output, steps and all else to standard error; what ended
 * a run or a stream before its end is an error.
 * See: docs/api.md, docs/sallyport.1.
 */
#include "cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/io.h>
#include <http/sse.h>
#include <json/json.h>
#include <json/write.h>

#include "remote.h"

#define REMOTE_TIMEOUT_MS 600000
#define EVENT_ARENA_MAX (32U << 20)
#define EVENT_LEN_MAX (32U << 20) /* a result with all its files and output */
#define MODEL_NAME_MAX 129

/* What a stream of events becomes. */
struct stream {
	struct sse_reader reader;
	struct json_doc d;
	const char *what; /* for messages */
	void (*on_event)(struct stream *s, struct span name);
	bool ended; /* the last event came */
	bool broken;
	bool told; /* a message was printed */
	int rc;
};

/* ---- the three variables ---- */
static const char *
variable(const char *name)
{
	const char *value = getenv(name);

	if (value == NULL || value[0] == '\0') {
		(void)cli_error(name, "is not set (sallyport init prints it), and nobody has "
				      "signed in (sallyport login)");
		return NULL;
	}
	return value;
}

bool
read_authorities(const char *path, struct buf *out)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct status st;

	*out = BUF_INIT(CA_FILE_MAX);
	st = fd < 0 ? fail_errno() : io_read_all(fd, out);
	if (!is_ok(st))
		(void)cli_status(path, st);
	return is_ok(st);
}

/* Without a key: who has signed in, at the service that the session is of. False after a message.
 */
static bool
take_session(struct remote *r, const char **ret_ca)
{
	const char *url = getenv("SALLYPORT_URL"), *ca = getenv("SALLYPORT_CA_FILE");
	struct status st = session_file_load(&r->session);

	if (st.code == E_NOTFOUND) { /* as if there were no such thing */
		if (variable("SALLYPORT_URL") != NULL)
			(void)variable("SALLYPORT_API_KEY");
		return false;
	}
	if (!is_ok(st)) {
		(void)cli_error("the kept session", "%s: sign in anew (sallyport login)",
		    st.code == E_DENIED ? "is not yours alone to read" : status_text(st));
		return false;
	}
	if (url != NULL && strcmp(url, r->session.url) != 0) {
		(void)cli_error(
		    "SALLYPORT_URL", "is not where you have signed in, %s", r->session.url);
		return false;
	}
	if (clock_real_ns() / 1000000000ULL >= r->session.expires_s) {
		(void)cli_error("the kept session", "has ended: sign in anew (sallyport login)");
		return false;
	}
	r->url = r->session.url;
	r->key = (const char *)secret_borrow(&r->session.token).ptr;
	*ret_ca = ca != NULL && ca[0] != '\0' ? ca : r->session.ca;
	return true;
}

/* A key in the environment counts before a session. */
static bool
take_environment(struct remote *r, const char **ret_ca)
{
	const char *key = getenv("SALLYPORT_API_KEY");

	if (key == NULL || key[0] == '\0') {
		return take_session(r, ret_ca);
	}
	r->url = variable("SALLYPORT_URL");
	r->key = key;
	*ret_ca = r->url == NULL ? NULL : variable("SALLYPORT_CA_FILE");
	return *ret_ca != NULL;
}

bool
remote_open(struct remote *r)
{
	const char *ca = NULL;

	if (!take_environment(r, &ca))
		return false;
	if (!url_authority(r->url, r->authority, sizeof(r->authority))) {
		(void)cli_error("SALLYPORT_URL", "expects https://HOST[:PORT]");
		return false;
	}
	return read_authorities(ca, &r->ca);
}

void
remote_close(struct remote *r)
{
	buf_done(&r->ca);
	session_file_done(&r->session);
}

bool
remote_run(struct remote *r, struct exchange *x)
{
	auto_channel struct channel c = CHANNEL_NONE;
	const char *why = "";
	struct status st = channel_tls(r->url, buf_span(&r->ca), REMOTE_TIMEOUT_MS, &c, &why);

	if (!is_ok(st)) {
		(void)cli_error(r->url, "%s (%s)", why, status_text(st));
		return false;
	}
	x->authority = r->authority;
	x->bearer = span_str(r->key);
	st = exchange_run(&c, x);
	if (!is_ok(st) && st.code != E_CLOSED) /* E_CLOSED: we ended it and said why */
		(void)cli_error(r->url, "%s", status_text(st));
	return is_ok(st);
}

/* The error of a body or of an event; false when there is none. */
static bool
print_error(const char *what, const struct json_doc *d)
{
	auto_arena struct arena a = ARENA_INIT(EVENT_ARENA_MAX);
	uint32_t error = json_get_str(d, 0, "error");
	struct span text = SPAN_LIT("the service refused"), code = SPAN_EMPTY;

	if (json_type(d, error) != JSON_OBJECT)
		return false;
	(void)is_ok(json_str(d, json_get_str(d, error, "message"), &a, &text));
	(void)is_ok(json_str(d, json_get_str(d, error, "code"), &a, &code));
	(void)cli_error(what, "%.*s (%.*s)", SPAN_FMT(text), SPAN_FMT(code));
	return true;
}

bool
answer_ok(const char *what, const struct exchange *x, struct json_doc *d)
{
	bool json = is_ok(json_parse(d, buf_span(&x->answer)));

	if (x->status >= 200 && x->status <= 299 && json)
		return true;
	if (!json || !print_error(what, d))
		(void)cli_error(what, "the service answered with status %u", x->status);
	return false;
}

bool
remote_name(const struct json_doc *d, const char *member, char ret[REMOTE_NAME_MAX])
{
	auto_buf struct buf text = BUF_INIT(REMOTE_NAME_MAX - 1);

	if (!is_ok(json_str_put(d, json_get_str(d, 0, member), &text)) ||
	    !is_ok(span_to_cstr(buf_span(&text), ret, REMOTE_NAME_MAX)))
		return false;
	for (const char *p = ret; *p != '\0'; p++) {
		if (*p <= ' ' || *p > '~' || strchr("/?&#%\"\\", *p) != NULL)
			return false;
	}
	return ret[0] != '\0';
}

bool
remote_next(const struct json_doc *d, char next[REMOTE_NEXT_MAX])
{
	auto_buf struct buf text = BUF_INIT(REMOTE_NEXT_MAX - 1);
	uint32_t tok = json_get_str(d, 0, "next");

	if (json_type(d, tok) == JSON_NUMBER)
		(void)is_ok(buf_put_span(&text, json_bytes(d, tok)));
	else
		(void)is_ok(json_str_put(d, tok, &text));
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] <= ' ' || text.ptr[i] > '~' || strchr("&#%", text.ptr[i]) != NULL)
			return false;
	}
	return text.len > 0 && is_ok(span_to_cstr(buf_span(&text), next, REMOTE_NEXT_MAX));
}

/* ---- streams ---- */
static bool
on_stream(void *ctx, struct span part)
{
	struct stream *s = ctx;
	struct sse_event e;
	struct status st;

	while (is_ok(st = sse_reader_feed(&s->reader, &part, &e))) {
		if (span_eq_str(e.data, "[DONE]")) {
			s->ended = true;
			continue;
		}
		if (!is_ok(json_parse(&s->d, e.data))) {
			s->told = true;
			(void)cli_error(s->what, "an event is not JSON");
			return false;
		}
		if (print_error(s->what, &s->d)) {
			s->told = true;
			return false;
		}
		s->on_event(s, e.name);
		if (s->broken)
			return false;
	}
	if (st.code == E_AGAIN)
		return true;
	s->told = true;
	(void)cli_error(s->what, "an event is too long");
	return false;
}

static bool
put_string(struct stream *s, FILE *to, uint32_t tok)
{
	auto_arena struct arena a = ARENA_INIT(EVENT_ARENA_MAX);
	struct span text;

	if (!is_ok(json_str(&s->d, tok, &a, &text)))
		return false;
	if (!term_put(to, text))
		s->broken = true; /* the reader has left */
	return true;
}

/* Run it; EXIT_DONE when the stream came to its end. */
static int
run_stream(struct remote *r, struct stream *s, const char *target, struct span body)
{
	struct exchange x = {
		.method = "POST", .target = target, .body = body, .on_stream = on_stream, .ctx = s
	};
	bool ok;

	sse_reader_init(&s->reader, EVENT_LEN_MAX, EVENT_LEN_MAX);
	ok = is_ok(json_init(&s->d, &(struct json_opts){ .depth_max = 32 })) && remote_run(r, &x);
	if (ok && (x.status != 200 || !x.sse)) {
		ok = false;
		if (!answer_ok(s->what, &x, &s->d))
			s->told = true;
	}
	if (ok && !s->ended && !s->told)
		(void)cli_error(s->what, "the answer was cut off");
	sse_reader_done(&s->reader);
	json_done(&s->d);
	exchange_done(&x);
	return ok && s->ended ? s->rc : EXIT_FAILED;
}

/* ---- ask ---- */
static void
ask_step(struct stream *s, uint32_t step)
{
	uint32_t event = json_get_str(&s->d, step, "event");

	if (json_str_eq_str(&s->d, event, "started")) {
		(void)fputs("── runs ", stderr);
		(void)put_string(s, stderr, json_get_str(&s->d, step, "language"));
		(void)fputs(" ──\n", stderr);
		(void)put_string(s, stderr, json_get_str(&s->d, step, "code"));
		(void)fputs("\n── output ──\n", stderr);
	} else if (json_str_eq_str(&s->d, event, "stdout") ||
		   json_str_eq_str(&s->d, event, "stderr")) {
		(void)put_string(s, stderr, json_get_str(&s->d, step, "data"));
	} else if (json_str_eq_str(&s->d, event, "result")) {
		(void)fputs("── ", stderr);
		(void)put_string(s, stderr, json_get_str(&s->d, step, "status"));
		(void)fputs(" ──\n", stderr);
	}
}

static void
ask_event(struct stream *s, struct span name)
{
	uint32_t choice = json_at(&s->d, json_get_str(&s->d, 0, "choices"), 0);
	uint32_t delta = json_get_str(&s->d, choice, "delta");
	uint32_t step = json_get_str(&s->d, json_get_str(&s->d, 0, "sallyport"), "step");

	(void)name;
	if (step != JSON_NONE)
		ask_step(s, step);
	(void)put_string(s, stdout, json_get_str(&s->d, delta, "content"));
}

/* The first model that the key may use. */
static bool
first_model(struct remote *r, char model[MODEL_NAME_MAX])
{
	struct exchange x = { .method = "GET", .target = "/v1/models" };
	auto_json struct json_doc d = { .count = 0 };
	auto_arena struct arena a = ARENA_INIT(1U << 20);
	struct span id = SPAN_EMPTY;
	bool ok = is_ok(json_init(&d, &JSON_STRICT)) && remote_run(r, &x) &&
		  answer_ok("models", &x, &d);

	if (ok &&
	    (!is_ok(json_str(&d,
		 json_get_str(&d, json_at(&d, json_get_str(&d, 0, "data"), 0), "id"), &a, &id)) ||
		!is_ok(span_to_cstr(id, model, MODEL_NAME_MAX)))) {
		(void)cli_error("ask", "the key may use no model");
		ok = false;
	}
	exchange_done(&x);
	return ok;
}

static struct status
put_prompt(const char *model, struct span prompt, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "model");
	json_put_text(&w, model);
	json_put_key(&w, "stream");
	json_put_bool(&w, true);
	json_put_key(&w, "tools");
	json_put_raw(&w, SPAN_LIT("[{\"type\":\"code_interpreter\"}]"));
	json_put_key(&w, "messages");
	json_put_array(&w);
	json_put_object(&w);
	json_put_key(&w, "role");
	json_put_text(&w, "user");
	json_put_key(&w, "content");
	json_put_str(&w, prompt);
	json_put_end(&w);
	json_put_end(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* An argument, or standard input for "-". */
bool
read_input(const char *what, const char *path, struct buf *out)
{
	bool from_stdin = strcmp(path, "-") == 0;
	auto_fd int fd = from_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
				    : open(path, O_RDONLY | O_CLOEXEC);
	struct status st = fd < 0 ? fail_errno() : io_read_all(fd, out);

	if (st.code == E_FULL)
		(void)cli_error(what, "is larger than %zu bytes", out->max);
	else if (!is_ok(st))
		(void)cli_status(path, st);
	return is_ok(st);
}

int
cmd_ask(const struct invocation *inv)
{
	struct remote r = { .url = NULL };
	struct stream s = { .what = "ask", .on_event = ask_event };
	auto_buf struct buf prompt = BUF_INIT(CLI_PROMPT_MAX), body = BUF_INIT(8 * CLI_PROMPT_MAX);
	char model[MODEL_NAME_MAX] = "";
	const char *named = inv->options[OPT_MODEL];
	int rc = EXIT_FAILED;

	if (strcmp(inv->args[0], "-") == 0 && !read_input("prompt", "-", &prompt))
		return EXIT_FAILED;
	if (strcmp(inv->args[0], "-") != 0 && !is_ok(buf_put_str(&prompt, inv->args[0])))
		return cli_error("prompt", "is larger than %u bytes", CLI_PROMPT_MAX);
	if (remote_open(&r) && (named != NULL || first_model(&r, model)) &&
	    is_ok(put_prompt(named != NULL ? named : model, buf_span(&prompt), &body)))
		rc = run_stream(&r, &s, "/v1/chat/completions", buf_span(&body));
	if (rc == EXIT_DONE)
		(void)putchar('\n');
	remote_close(&r);
	return rc;
}

/* ---- exec ---- */
static void
exec_result(struct stream *s)
{
	auto_arena struct arena a = ARENA_INIT(1U << 20);
	struct span status = SPAN_LIT("unknown");
	struct json_iter it = json_iter(&s->d, json_get_str(&s->d, 0, "files"));
	bool cut = false;
	uint64_t code = 1;

	s->ended = true;
	(void)is_ok(json_str(&s->d, json_get_str(&s->d, 0, "status"), &a, &status));
	(void)is_ok(json_u64(&s->d, json_get_str(&s->d, 0, "exit_code"), 255, &code));
	while (json_next(&it)) {
		struct span name = SPAN_EMPTY;

		(void)is_ok(json_str(&s->d, json_get_str(&s->d, it.val, "name"), &a, &name));
		(void)cli_error("exec", "file %.*s was made", SPAN_FMT(name));
	}
	if (is_ok(json_bool(&s->d, json_get_str(&s->d, 0, "truncated"), &cut)) && cut)
		(void)cli_error("exec", "the output was truncated");
	if (!span_eq_str(status, "exit"))
		s->rc = cli_error("exec", "the run was ended: %.*s", SPAN_FMT(status));
	else if (code != 0)
		s->rc = cli_error("exec", "the code ended with status %u", (unsigned)code);
}

static void
exec_event(struct stream *s, struct span name)
{
	if (span_eq_str(name, "stdout"))
		(void)put_string(s, stdout, json_get_str(&s->d, 0, "data"));
	else if (span_eq_str(name, "stderr"))
		(void)put_string(s, stderr, json_get_str(&s->d, 0, "data"));
	else if (span_eq_str(name, "result"))
		exec_result(s);
}

static struct status
put_code(const char *language, uint64_t timeout_s, struct span code, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "language");
	json_put_text(&w, language);
	json_put_key(&w, "code");
	json_put_str(&w, code);
	json_put_key(&w, "stream");
	json_put_bool(&w, true);
	if (timeout_s > 0) {
		json_put_key(&w, "timeout_ms");
		json_put_u64(&w, timeout_s * 1000);
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}

int
cmd_exec(const struct invocation *inv)
{
	struct remote r = { .url = NULL };
	struct stream s = { .what = "exec", .on_event = exec_event };
	auto_buf struct buf code = BUF_INIT(CLI_CODE_MAX), body = BUF_INIT(8 * CLI_CODE_MAX);
	const char *timeout = inv->options[OPT_TIMEOUT];
	uint64_t timeout_s = 0;
	int rc = EXIT_FAILED;

	if (timeout != NULL &&
	    (!is_ok(span_u64(span_str(timeout), 600, &timeout_s)) || timeout_s == 0)) {
		(void)cli_error(timeout, "expects 1 to 600 seconds");
		return EXIT_USAGE;
	}
	if (!read_input("code", inv->nargs > 0 ? inv->args[0] : "-", &code))
		return EXIT_FAILED;
	if (remote_open(&r) &&
	    is_ok(put_code(inv->options[OPT_LANGUAGE], timeout_s, buf_span(&code), &body)))
		rc = run_stream(&r, &s, "/v1/execute", buf_span(&body));
	remote_close(&r);
	return rc;
}
