;; SPDX-License-Identifier: Apache-2.0
;; Needs a proposal that is off.
(module
  (memory (export "memory") 1)
  (func (export "_start") (drop (v128.const i64x2 0 0))))
