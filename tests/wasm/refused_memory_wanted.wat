;; SPDX-License-Identifier: Apache-2.0
;; Declares more memory than any tool gets.
(module
  (memory (export "memory") 60000)
  (func (export "_start")))
