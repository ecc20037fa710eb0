/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models.c: GET /v1/models and /v1/models/{id}: the aliases that the caller's key may use.
 *
 * Runs in: gateway. Trusts: the authority, which names them.
 * Owns: nothing. Invariants: the answer is made from the authority's list alone.
 * See: wire/gateway_authority.h, ga_admitted.models.
 */
#include <base/cleanup.h>

#include "request.h"
#include "routes.h"

void
models_run(struct request *r)
{
	r->turn.admit.endpoint = ENDPOINT_MODELS;
	turn_admit(&r->turn, KIND_PLAIN);
}

void
models_put_one_openai(const struct request *r, struct json_writer *w, struct span name)
{
	(void)r;
	json_put_object(w);
	json_put_key(w, "id");
	json_put_str(w, name);
	json_put_key(w, "object");
	json_put_text(w, "model");
	json_put_key(w, "created");
	json_put_u64(w, 0);
	json_put_key(w, "owned_by");
	json_put_text(w, "sallyport");
	json_put_end(w);
}

bool
style_next_name(struct span *names, struct span *ret)
{
	while (names->len > 0) {
		const uint8_t *end = memchr(names->ptr, '\n', names->len);
		size_t len = end == NULL ? names->len : (size_t)(end - names->ptr);

		*ret = span_of(names->ptr, len);
		*names = span_from(*names, len + 1);
		if (len > 0)
			return true;
	}
	return false;
}

void
models_put_openai(const struct request *r, struct json_writer *w, struct span names)
{
	struct span name;

	json_put_object(w);
	json_put_key(w, "object");
	json_put_text(w, "list");
	json_put_key(w, "data");
	json_put_array(w);
	while (style_next_name(&names, &name))
		models_put_one_openai(r, w, name);
	json_put_end(w);
	json_put_end(w);
}

/* What the key may not use is not there. */
static bool
has_name(struct span names, struct span wanted)
{
	struct span name;

	while (style_next_name(&names, &name)) {
		if (span_eq(name, wanted))
			return true;
	}
	return false;
}

void
models_finish(struct turn *t, const struct ga_admitted *m)
{
	auto_buf struct buf out = BUF_INIT(16UL << 20);
	struct json_writer w = json_writer(&out);
	struct request *r = t->r;
	struct span wanted = r->route_param;

	if (wanted.len == 0)
		r->style->put_models(r, &w, m->models);
	else if (has_name(m->models, wanted))
		r->style->put_model(r, &w, wanted);
	if (wanted.len > 0 && out.len == 0)
		reply_error(r, ERROR_MODEL_NOT_FOUND);
	else if (is_ok(json_writer_finish(&w)))
		reply_json(r, 200, buf_span(&out));
	else
		reply_error(r, ERROR_INTERNAL);
}
