;; SPDX-License-Identifier: Apache-2.0
;; Makes an integer of what is no number.
(module
  (memory (export "memory") 1)
  (func $inner (drop (i32.trunc_f64_s (f64.const nan))))
  (func $_start (export "_start") (call $inner)))
