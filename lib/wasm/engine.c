/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c: Wasmtime with every switch set by us, and the name of that.
 *
 * Runs in: wasm-compile and wasm-run. Trusts: its tables.
 * Owns: nothing. Invariants: no default of the library is relied on where it lets
 * us choose; what one of the two builds serialises the other loads, because both
 * are made by the same table; the id changes when a row does. Proposals that our
 * toolchains do not emit are off: less of the compiler can be reached.
 * See: wasm/engine.h; wasmtime/config.h; docs of Wasmtime's `Config`.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

struct bool_switch {
	const char *name;
	void (*set)(wasm_config_t *config, bool on);
	bool on;
};
#define SWITCH(name, on)                                \
	{                                               \
#name, wasmtime_config_##name##_set, on \
	}
/* What the other build does not know is part of the name all the same. */
#ifdef WASMTIME_FEATURE_COMPILER
#define SWITCH_COMPILER(name, on) SWITCH(name, on)
#else
#define SWITCH_COMPILER(name, on) \
	{                         \
#name, NULL, on   \
	}
#endif

static const struct bool_switch bool_switches[] = {
	SWITCH(debug_info, false),
	SWITCH(consume_fuel, false),
	SWITCH(epoch_interruption, true),
	SWITCH(shared_memory, false),
	SWITCH(wasm_tail_call, false),
	SWITCH(wasm_relaxed_simd, false), /* before simd, which it needs */
	SWITCH(wasm_simd, false),
	SWITCH(wasm_relaxed_simd_deterministic, false),
	SWITCH(wasm_bulk_memory, true),
	SWITCH(wasm_multi_value, true),
	SWITCH(wasm_multi_memory, false),
	SWITCH(wasm_memory64, false),
	SWITCH(wasm_wide_arithmetic, false),
	SWITCH(wasm_branch_hinting, false),
	SWITCH(wasm_custom_page_sizes, false),
	SWITCH_COMPILER(wasm_stack_switching, false),
	SWITCH_COMPILER(cranelift_debug_verifier, false),
	SWITCH_COMPILER(cranelift_nan_canonicalization, false),
	SWITCH(memory_may_move, false),
	SWITCH(memory_init_cow, true),
	SWITCH(native_unwind_info, false),
	SWITCH(signals_based_traps, true),
};

struct size_switch {
	const char *name;
	void (*set)(wasm_config_t *config, uint64_t value);
	uint64_t value;
};

static void
set_stack(wasm_config_t *config, uint64_t value)
{
	wasmtime_config_max_wasm_stack_set(config, (size_t)value);
}

static void
set_compiler(wasm_config_t *config, uint64_t value)
{
	(void)config, (void)value;
#ifdef WASMTIME_FEATURE_COMPILER
	wasmtime_config_strategy_set(config, WASMTIME_STRATEGY_CRANELIFT);
	wasmtime_config_cranelift_opt_level_set(config, WASMTIME_OPT_LEVEL_SPEED);
#endif
}

static const struct size_switch size_switches[] = {
	{ "max_wasm_stack", set_stack, WASM_STACK_MAX },
	{ "cranelift_speed", set_compiler, 1 },
	/* Every 32-bit address of a guest lies in its own reservation: no bounds checks. */
	{ "memory_reservation", wasmtime_config_memory_reservation_set, 4 * GIB },
	{ "memory_guard_size", wasmtime_config_memory_guard_size_set, 32 * MIB },
	{ "memory_reservation_for_growth", wasmtime_config_memory_reservation_for_growth_set, 0 },
};

/* One call runs at a time; a few slots keep what the last modules had warm. */
#define POOL_SLOTS 8
#define POOL_RESIDENT (1U << 20)
#define POOL_INSTANCE_MAX (4U << 20) /* bytes of a module's functions and globals */

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
set_pool(wasm_config_t *config)
{
	wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();

	wasmtime_pooling_allocation_config_max_unused_warm_slots_set(pool, POOL_SLOTS);
	wasmtime_pooling_allocation_config_decommit_batch_size_set(pool, 1);
	wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pool, POOL_RESIDENT);
	wasmtime_pooling_allocation_config_table_keep_resident_set(pool, POOL_RESIDENT);
	wasmtime_pooling_allocation_config_total_core_instances_set(pool, POOL_SLOTS);
	wasmtime_pooling_allocation_config_total_memories_set(pool, POOL_SLOTS);
	wasmtime_pooling_allocation_config_total_tables_set(pool, POOL_SLOTS * WASM_TABLES_MAX);
	wasmtime_pooling_allocation_config_max_core_instance_size_set(pool, POOL_INSTANCE_MAX);
	wasmtime_pooling_allocation_config_max_tables_per_module_set(pool, WASM_TABLES_MAX);
	wasmtime_pooling_allocation_config_table_elements_set(pool, WASM_TABLE_MAX);
	wasmtime_pooling_allocation_config_max_memories_per_module_set(pool, 1);
	wasmtime_pooling_allocation_config_max_memory_size_set(pool, WASM_MEMORY_MAX);
	wasmtime_pooling_allocation_strategy_set(config, pool);
	wasmtime_pooling_allocation_config_delete(pool);
}

wasm_engine_t *
engine_new(bool pooled)
{
	wasm_config_t *config = wasm_config_new();

	for (size_t i = 0; i < COUNT(bool_switches); i++) {
		if (bool_switches[i].set != NULL)
			bool_switches[i].set(config, bool_switches[i].on);
	}
	for (size_t i = 0; i < COUNT(size_switches); i++)
		size_switches[i].set(config, size_switches[i].value);
	wasmtime_config_profiler_set(config, WASMTIME_PROFILING_STRATEGY_NONE);
	if (pooled)
		set_pool(config);
	return wasm_engine_new_with_config(config);
}

const char *
wasm_engine_id(void)
{
	static char id[WASM_ENGINE_ID_MAX];
	auto_buf struct buf text = BUF_INIT(4096);
	struct status st = OK;

	if (id[0] != '\0')
		return id;
	for (size_t i = 0; i < COUNT(bool_switches) && is_ok(st); i++)
		st = buf_printf(&text, "%s=%d;", bool_switches[i].name, bool_switches[i].on);
	for (size_t i = 0; i < COUNT(size_switches) && is_ok(st); i++)
		st = buf_printf(&text, "%s=%llu;", size_switches[i].name,
		    (unsigned long long)size_switches[i].value);
	if (!is_ok(st))
		abort();
	(void)snprintf(id, sizeof(id), "wasmtime-%s/%08x", WASMTIME_VERSION,
	    (unsigned)crc32_ieee(buf_span(&text)));
	return id;
}

void
engine_text(struct span text, struct buf *out)
{
	bool gap = false;

	for (size_t i = 0; i < text.len && out->len < out->max; i++) {
		uint8_t c = text.ptr[i];

		if (c <= ' ' || c == 0x7f) {
			gap = out->len > 0;
			continue;
		}
		if (gap && !is_ok(buf_put_u8(out, ' ')))
			return;
		gap = false;
		if (!is_ok(buf_put_u8(out, c < 0x80 ? c : '?')))
			return;
	}
}

void
engine_error_text(wasmtime_error_t *error, struct buf *out)
{
	wasm_name_t message;

	wasmtime_error_message(error, &message);
	engine_text(span_of(message.data, message.size), out);
	wasm_byte_vec_delete(&message);
	wasmtime_error_delete(error);
}
