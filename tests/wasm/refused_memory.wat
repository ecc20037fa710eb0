;; SPDX-License-Identifier: Apache-2.0
;; Wants the memory of somebody else.
(module
  (import "env" "memory" (memory 1))
  (func (export "_start")))
