;; SPDX-License-Identifier: Apache-2.0
;; Reads its input to the end, again and again at the end, then says how much there was.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $total i32) (local $ends i32)
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 4096))
    (loop $more
      (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
      (local.set $total (i32.add (local.get $total) (i32.load (i32.const 8))))
      (if (i32.eqz (i32.load (i32.const 8)))
        (then (local.set $ends (i32.add (local.get $ends) (i32.const 1)))))
      (br_if $more (i32.lt_u (local.get $ends) (i32.const 100))))
    ;; true: it had input; false: it had none
    (i32.store (i32.const 0) (select (i32.const 16) (i32.const 20) (local.get $total)))
    (i32.store (i32.const 4) (select (i32.const 4) (i32.const 5) (local.get $total)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (data (i32.const 16) "truefalse"))
