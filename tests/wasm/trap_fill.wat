;; SPDX-License-Identifier: Apache-2.0
;; Fills more than it has.
(module
  (memory (export "memory") 1)
  (func $inner (memory.fill (i32.const 1) (i32.const 1) (i32.const 65536)))
  (func $_start (export "_start") (call $inner)))
