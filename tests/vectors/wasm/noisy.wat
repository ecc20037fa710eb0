;; SPDX-License-Identifier: Apache-2.0
;; Writes 100 KiB to standard error, and one line out.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 3)
  (data (i32.const 0) "\10\00\00\00\00\90\01\00")
  (data (i32.const 100) "\70\00\00\00\02\00\00\00")
  (data (i32.const 112) "{}")
  (func $main (export "_start")
    (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $fd_write (i32.const 1) (i32.const 100) (i32.const 1) (i32.const 8)))))
