;; SPDX-License-Identifier: Apache-2.0
;; Asks for what is not offered.
(module
  (import "env" "open" (func))
  (memory (export "memory") 1)
  (func (export "_start")))
