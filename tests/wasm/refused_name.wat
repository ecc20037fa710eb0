;; SPDX-License-Identifier: Apache-2.0
;; Wants a name that WASI does not have.
(module
  (import "wasi_snapshot_preview1" "fd_exec" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")))
