;; SPDX-License-Identifier: Apache-2.0
;; Exit 1 where anything in 4 MiB of memory or in a table is not zero.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 64)
  (table 8 funcref)
  (func $main (export "_start") (local $at i32)
    (loop $next
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (call $exit (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 4194304))))
    (if (i32.eqz (ref.is_null (table.get 0 (i32.const 3)))) (then (call $exit (i32.const 2))))))
