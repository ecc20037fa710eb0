;; SPDX-License-Identifier: Apache-2.0
;; Fills its memory, a table and a global with what the next tool must not find.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (global $kept (mut i64) (i64.const 0))
  (table $t 64 funcref)
  (elem declare func $secret)
  (func $secret)
  (func (export "_start") (local $at i32)
    (global.set $kept (i64.const 0x5345435245542121))
    (table.fill $t (i32.const 0) (ref.func $secret) (i32.const 64))
    (drop (memory.grow (i32.const 48)))
    (loop $more
      (i64.store (local.get $at) (i64.const 0x5345435245542121))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $more (i32.lt_u (local.get $at) (i32.const 4194304))))
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 1))
    (i32.store (i32.const 16) (i32.const 0x30))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
