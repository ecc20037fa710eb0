;; SPDX-License-Identifier: Apache-2.0
;; Looks through all memory, table and global that it can have for anything but zeros; answers true when there is none.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (global $kept (mut i64) (i64.const 0))
  (table $t 64 funcref)
  (func (export "_start") (local $at i32)
    (drop (memory.grow (i32.const 48)))
    (if (i64.ne (global.get $kept) (i64.const 0)) (then unreachable))
    (loop $more
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $more (i32.lt_u (local.get $at) (i32.shl (memory.size) (i32.const 16)))))
    (local.set $at (i32.const 0))
    (loop $slots
      (if (i32.eqz (ref.is_null (table.get $t (local.get $at)))) (then unreachable))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $slots (i32.lt_u (local.get $at) (table.size $t))))
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 4))
    (i32.store (i32.const 16) (i32.const 0x65757274)) ;; "true"
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
