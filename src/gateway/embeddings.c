/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embeddings.c: POST /v1/embeddings: one call, its answer whole and as it came.
 *
 * Runs in: gateway. Trusts: nothing but that the body conforms to schema/embeddings.json.
 * Owns: nothing. Invariants: the provider gets the client's bytes but for the model's name.
 * See: dialect.h; docs/api.md, "Embeddings".
 */
#include <base/cleanup.h>

#include "answer.h"
#include "splice.h"

static struct status
embeddings_read(const struct json_doc *d, struct arena *a, struct prompt **ret, struct fault *fault)
{
	struct prompt *p = arena_alloc(a, sizeof(*p));
	uint32_t model = json_get_str(d, 0, "model");

	(void)fault;
	if (p == NULL)
		return fail(E_NOMEM);
	p->body = json_bytes(d, 0);
	p->model_part = json_bytes(d, model);
	*ret = p;
	return json_str(d, model, a, &p->model);
}

static struct status
embeddings_write(
    const struct prompt *p, const struct edits *e, struct buf *out, uint32_t *ret_model_off)
{
	auto_buf struct buf alias = BUF_INIT(1024);
	size_t before = out->len;
	struct splices s;

	(void)e;
	s.count = 0;
	TRY(splice_model(p, &alias, &s));
	TRY(splices_put(&s, p->body, out));
	*ret_model_off = (uint32_t)(before + splices_map(&s, p->body, p->model_part));
	return OK;
}

static struct status
embeddings_whole(struct answer *a)
{
	const struct json_doc *d = a->doc;
	uint32_t err = json_get_str(d, 0, "error");

	if (json_type(d, 0) != JSON_OBJECT ||
	    json_type(d, json_get_str(d, 0, "data")) != JSON_ARRAY)
		return fail(E_PROTO);
	if (err != JSON_NONE && json_type(d, err) != JSON_NULL)
		return fail(E_PROTO);
	answer_finished(a, false);
	return answer_usage(a, json_get_str(d, 0, "usage"), "prompt_tokens", NULL);
}

const struct dialect dialect_embeddings = {
	.name = "embeddings",
	.read = embeddings_read,
	.write = embeddings_write,
	.whole = embeddings_whole,
};
