;; SPDX-License-Identifier: Apache-2.0
;; Wants a function that no tool gets.
(module
  (import "env" "system" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")))
