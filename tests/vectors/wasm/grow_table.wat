;; SPDX-License-Identifier: Apache-2.0
;; Takes all the table there is, then gives up.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (table 1 funcref)
  (func $main (export "_start")
    (loop (br_if 0 (i32.ne (table.grow 0 (ref.null func) (i32.const 10000)) (i32.const -1))))
    unreachable))
