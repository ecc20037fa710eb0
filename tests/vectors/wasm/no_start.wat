;; SPDX-License-Identifier: Apache-2.0
;; Has a beginning of another type.
(module
  (memory (export "memory") 1)
  (func (export "_start") (param i32)))
