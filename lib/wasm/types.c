/* SPDX-License-Identifier: Apache-2.0 */
/*
 * types.c: what a call of WASI takes and answers, as the engine says it.
 *
 * Runs in: wasm-compile, wasm-run. Trusts: wasi_calls. Owns: nothing.
 * Invariants: both sides read the same table.
 * See: types.h, wasm/wasi.h.
 */
#include "types.h"

static wasm_valkind_t
kind_of(char c)
{
	return c == 'I' ? WASM_I64 : WASM_I32;
}

const struct wasi_call *
types_find(struct span name)
{
	for (size_t i = 0; i < WASI_CALLS; i++) {
		if (span_eq_str(name, wasi_calls[i].name))
			return &wasi_calls[i];
	}
	return NULL;
}

bool
types_match(const struct wasi_call *call, const wasm_functype_t *type)
{
	const wasm_valtype_vec_t *params = wasm_functype_params(type);
	const wasm_valtype_vec_t *results = wasm_functype_results(type);

	if (params->size != strlen(call->params) || results->size != (call->answers ? 1 : 0))
		return false;
	for (size_t i = 0; i < params->size; i++) {
		if (wasm_valtype_kind(params->data[i]) != kind_of(call->params[i]))
			return false;
	}
	return !call->answers || wasm_valtype_kind(results->data[0]) == WASM_I32;
}

bool
types_plain(const wasm_functype_t *type)
{
	return wasm_functype_params(type)->size == 0 && wasm_functype_results(type)->size == 0;
}

wasm_functype_t *
types_of(const struct wasi_call *call)
{
	wasm_valtype_t *types[WASI_PARAMS_MAX];
	wasm_valtype_vec_t params, results;
	size_t n = strlen(call->params);

	for (size_t i = 0; i < n && i < WASI_PARAMS_MAX; i++)
		types[i] = wasm_valtype_new(kind_of(call->params[i]));
	wasm_valtype_vec_new(&params, n, types);
	wasm_valtype_vec_new_empty(&results);
	if (call->answers) {
		types[0] = wasm_valtype_new(WASM_I32);
		wasm_valtype_vec_new(&results, 1, types);
	}
	return wasm_functype_new(&params, &results);
}
