/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compile.c: from a module to a compiled file, or to the reason why not.
 *
 * Runs in: wasm-compile, jailed, one module a process. Trusts: nothing that it is
 * given. Owns: what it makes. Invariants: a file comes out only if every import is
 * one that wasm-run defines, with that very type: a call of anything else cannot
 * even be written down.
 * See: wasm/compile.h, wasm/sections.h, wasm/wasi.h.
 */
#include "engine.h"
#include "types.h"

#include <wasm/compile.h>
#include <wasm/sections.h>
#include <wasm/wasi.h>

#define WASM_PAGE_LEN 65536U

static struct status compile(
    wasm_engine_t *engine, struct span module, struct buf *out, struct buf *reason);
static struct status validate(wasm_engine_t *engine, struct span module, struct buf *reason);
static struct status serialise(const wasmtime_module_t *compiled, struct buf *out);
static struct status check_imports(const wasmtime_module_t *compiled, struct buf *reason);
static struct status check_import(const wasm_importtype_t *import, struct buf *reason);
static struct status check_exports(const wasmtime_module_t *compiled, struct buf *reason);
static void explain(struct buf *reason, const char *before, struct span what, const char *after);

struct status
wasm_compile(struct span module, struct buf *out, struct buf *reason)
{
	wasm_engine_t *engine;
	struct wasm_counts counts;
	const char *why;
	struct status st;

	if (module.len > WASM_MODULE_MAX) {
		explain(reason, "module: larger than the limit", SPAN_EMPTY, "");
		return fail(E_RANGE);
	}
	st = wasm_sections_check(module, &counts, &why);
	if (!is_ok(st)) {
		explain(reason, "module: ", SPAN_EMPTY, why);
		return st;
	}
	engine = engine_new(false);
	if (engine == NULL)
		return fail(E_NOMEM);
	st = validate(engine, module, reason);
	if (is_ok(st))
		st = compile(engine, module, out, reason);
	wasm_engine_delete(engine);
	return st;
}

static struct status
compile(wasm_engine_t *engine, struct span module, struct buf *out, struct buf *reason)
{
	wasmtime_module_t *compiled = NULL;
	wasmtime_error_t *error = wasmtime_module_new(engine, module.ptr, module.len, &compiled);
	struct status st;

	if (error != NULL) {
		engine_error_text(error, reason);
		return fail(E_SYNTAX);
	}
	st = check_imports(compiled, reason);
	if (is_ok(st))
		st = check_exports(compiled, reason);
	if (is_ok(st))
		st = serialise(compiled, out);
	wasmtime_module_delete(compiled);
	return st;
}

static struct status
validate(wasm_engine_t *engine, struct span module, struct buf *reason)
{
	wasmtime_error_t *error = wasmtime_module_validate(engine, module.ptr, module.len);

	if (error == NULL)
		return OK;
	engine_error_text(error, reason);
	return fail(E_SYNTAX);
}

static struct status
serialise(const wasmtime_module_t *compiled, struct buf *out)
{
	wasm_byte_vec_t bytes;
	wasmtime_error_t *error = wasmtime_module_serialize(compiled, &bytes);
	struct status st;

	if (error != NULL) {
		wasmtime_error_delete(error);
		return fail(E_NOMEM);
	}
	st = wasm_head_put(out, bytes.size);
	if (is_ok(st))
		st = buf_put(out, bytes.data, bytes.size);
	wasm_byte_vec_delete(&bytes);
	return st;
}

static struct status
check_imports(const wasmtime_module_t *compiled, struct buf *reason)
{
	wasm_importtype_vec_t imports;
	struct status st = OK;

	wasmtime_module_imports(compiled, &imports);
	for (size_t i = 0; i < imports.size && is_ok(st); i++)
		st = check_import(imports.data[i], reason);
	wasm_importtype_vec_delete(&imports);
	return st;
}

static struct status
check_import(const wasm_importtype_t *import, struct buf *reason)
{
	const wasm_name_t *module = wasm_importtype_module(import);
	const wasm_name_t *name = wasm_importtype_name(import);
	const wasm_externtype_t *type = wasm_importtype_type(import);
	const struct wasi_call *call;

	call = span_eq_str(span_of(module->data, module->size), WASI_MODULE)
		   ? types_find(span_of(name->data, name->size))
		   : NULL;
	if (call == NULL) {
		explain(reason, "import: ", span_of(module->data, module->size), ".");
		explain(reason, "", span_of(name->data, name->size), " is not offered");
		return fail(E_SYNTAX);
	}
	if (wasm_externtype_kind(type) == WASM_EXTERN_FUNC &&
	    types_match(call, wasm_externtype_as_functype_const(type)))
		return OK;
	explain(reason, "import: ", span_of(name->data, name->size), " has another type");
	return fail(E_SYNTAX);
}

static struct status
check_exports(const wasmtime_module_t *compiled, struct buf *reason)
{
	wasm_exporttype_vec_t exports;
	bool start = false, memory = false;
	uint64_t pages = 0;

	wasmtime_module_exports(compiled, &exports);
	for (size_t i = 0; i < exports.size; i++) {
		const wasm_name_t *name = wasm_exporttype_name(exports.data[i]);
		const wasm_externtype_t *type = wasm_exporttype_type(exports.data[i]);
		wasm_externkind_t kind = wasm_externtype_kind(type);

		if (span_eq_str(span_of(name->data, name->size), "_start"))
			start = kind == WASM_EXTERN_FUNC &&
				types_plain(wasm_externtype_as_functype_const(type));
		if (span_eq_str(span_of(name->data, name->size), "memory"))
			memory = kind == WASM_EXTERN_MEMORY;
		/* There is one at most, under whatever names. */
		if (kind == WASM_EXTERN_MEMORY)
			pages = wasmtime_memorytype_minimum(
			    wasm_externtype_as_memorytype_const(type));
	}
	wasm_exporttype_vec_delete(&exports);
	if (pages > WASM_MEMORY_MAX / WASM_PAGE_LEN) {
		explain(reason, "memory: more than any tool gets", SPAN_EMPTY, "");
		return fail(E_RANGE);
	}
	if (start && memory)
		return OK;
	explain(reason, "export: ", SPAN_EMPTY,
	    start ? "no memory of that name: `memory`"
		  : "no function `_start` without parameters and results");
	return fail(E_SYNTAX);
}

/* A reason that is cut at its limit is still one. */
static void
explain(struct buf *reason, const char *before, struct span what, const char *after)
{
	(void)!is_ok(buf_put_str(reason, before));
	engine_text(what, reason);
	(void)!is_ok(buf_put_str(reason, after));
}
