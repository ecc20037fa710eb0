;; SPDX-License-Identifier: Apache-2.0
;; Has nothing to start.
(module
  (memory (export "memory") 1)
  (func (export "run")))
