;; SPDX-License-Identifier: Apache-2.0
;; Answers nothing.
(module
  (memory (export "memory") 1)
  (func (export "_start")))
