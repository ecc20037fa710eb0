;; SPDX-License-Identifier: Apache-2.0
;; Has a _start that is none.
(module
  (memory (export "memory") 1)
  (func (export "_start") (param i32)))
