;; SPDX-License-Identifier: Apache-2.0
;; Reaches what is unreachable.
(module
  (memory (export "memory") 1)
  (func $inner unreachable)
  (func $_start (export "_start") (call $inner)))
