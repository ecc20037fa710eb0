;; SPDX-License-Identifier: Apache-2.0
;; Divides the least integer by -1.
(module
  (memory (export "memory") 1)
  (func $inner (drop (i32.div_s (i32.const 0x80000000) (i32.sub (i32.load (i32.const 0)) (i32.const 1)))))
  (func $_start (export "_start") (call $inner)))
