;; SPDX-License-Identifier: Apache-2.0
;; Calls itself for ever.
(module
  (memory (export "memory") 1)
  (func $deep (export "_start") (call $deep) (call $deep)))
