;; SPDX-License-Identifier: Apache-2.0
;; Never ends, and before it began: in the start section.
(module
  (memory (export "memory") 1)
  (func $init (loop (br 0)))
  (start $init)
  (func (export "_start")))
