;; SPDX-License-Identifier: Apache-2.0
;; Asks for more memory for ever, whatever the answer.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $more (drop (memory.grow (i32.const 1))) (br $more))))
