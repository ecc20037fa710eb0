;; SPDX-License-Identifier: Apache-2.0
;; Keeps its memory to itself.
(module
  (memory 1)
  (func (export "_start")))
