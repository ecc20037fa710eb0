;; SPDX-License-Identifier: Apache-2.0
;; Fills 4 MiB of memory, the first page and a table with something.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 64)
  (table 8 funcref)
  (elem declare func $main)
  (func $main (export "_start")
    (memory.fill (i32.const 0) (i32.const 0x5a) (i32.const 4194304))
    (table.set 0 (i32.const 3) (ref.func $main))))
