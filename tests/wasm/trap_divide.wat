;; SPDX-License-Identifier: Apache-2.0
;; Divides by zero.
(module
  (memory (export "memory") 1)
  (func $inner (drop (i32.div_u (i32.const 1) (i32.load (i32.const 0)))))
  (func $_start (export "_start") (call $inner)))
