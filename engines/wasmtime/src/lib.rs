// SPDX-License-Identifier: Apache-2.0
//! Wasmtime's C API, as one static library that C programs link; and a limiter of stores that tells what it refused,
//! which the C API's own does not.
pub use wasmtime_c_api::*;

use std::mem::size_of;
use wasmtime_c_api::wasmtime::{ResourceLimiter, Result};

const INSTANCES_MAX: usize = 1;
const MEMORIES_MAX: usize = 1;
const TABLES_MAX: usize = 4;

/// What one store may have. In C: `struct engine_limits` of lib/wasm/engine.h.
#[repr(C)]
pub struct SallyportLimits {
    pub memory_max: u64,
    pub table_max: u64,
    pub memory_refused: bool,
    pub table_refused: bool,
}

impl ResourceLimiter for SallyportLimits {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let allowed = desired as u64 <= self.memory_max;
        self.memory_refused |= !allowed;
        Ok(allowed)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let allowed = desired as u64 <= self.table_max;
        self.table_refused |= !allowed;
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

// The store is the only field of the C API's type, which is #[repr(C)].
const _: () = assert!(size_of::<wasmtime_store_t>() == size_of::<WasmtimeStore>());

/// Limit `store` by `limits`, which must live, unmoved, as long as the store; read it between calls only.
///
/// # Safety
/// Both point to what their types say.
#[no_mangle]
pub unsafe extern "C" fn sallyport_store_limit(store: *mut wasmtime_store_t, limits: *mut SallyportLimits) {
    let limits = limits as usize;
    let store = unsafe { &mut *store.cast::<WasmtimeStore>() };
    store.limiter(move |_| unsafe { &mut *(limits as *mut SallyportLimits) });
}
