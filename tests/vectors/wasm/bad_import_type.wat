;; SPDX-License-Identifier: Apache-2.0
;; Asks for it as something else.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i64)))
  (memory (export "memory") 1)
  (func (export "_start")))
