;; SPDX-License-Identifier: Apache-2.0
;; Calls a function as if it had another type.
(module
  (memory (export "memory") 1)
  (type $v (func (param i64)))
  (table 1 funcref)
  (elem (i32.const 0) $other)
  (func $other)
  (func (export "_start") (call_indirect (type $v) (i64.const 1) (i32.const 0))))
