;; SPDX-License-Identifier: Apache-2.0
;; Writes 4 GiB behind its memory.
(module
  (memory (export "memory") 1)
  (func $inner (i64.store offset=0xffffffff (i32.const -1) (i64.const 1)))
  (func $_start (export "_start") (call $inner)))
