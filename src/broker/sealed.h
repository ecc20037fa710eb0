/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_SEALED_H
#define BROKER_SEALED_H

/* Secrets of `file:NAME`: sealed in the store, opened here; see source.h, crypto/file_secret.h. */
#include "source.h"

struct broker;
struct sealed;

#define SEALED_CALL_MS 5000

extern const struct source_ops sealed_ops;

/* Takes `key`, the key of file secrets. E_NOMEM. */
MUST_USE struct status sealed_new(struct broker *b, struct secret *key, struct sealed **ret);

#endif
