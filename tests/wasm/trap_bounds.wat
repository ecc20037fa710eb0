;; SPDX-License-Identifier: Apache-2.0
;; Writes behind its memory.
(module
  (memory (export "memory") 1)
  (func $inner (i32.store (i32.const 65533) (i32.const 1)))
  (func $_start (export "_start") (call $inner)))
