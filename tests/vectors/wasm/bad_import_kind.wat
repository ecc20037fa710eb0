;; SPDX-License-Identifier: Apache-2.0
;; Asks for a number of that name.
(module
  (import "wasi_snapshot_preview1" "fd_close" (global i32))
  (memory (export "memory") 1)
  (func (export "_start")))
