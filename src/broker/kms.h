/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_KMS_H
#define BROKER_KMS_H

/* The store's key-encryption keys, wrapped and unwrapped by Vault or AWS KMS: wire/store_broker.h
 */
#include <sys/queue.h>

#include <conf/reference.h>
#include <link/link.h>

#define KMS_ASKS_MAX 64 /* at once */

struct broker;
struct kms_ask;

struct kms {
	LIST_HEAD(, kms_ask) asks;
	size_t n;
};

/* The rules of the store's link; their ctx is the broker. */
extern const struct link_rule kms_rules[];
extern const size_t kms_rule_count;

/* The store is gone: so are its questions. */
void kms_forget(struct broker *b);
/* The source behind these is another, or none: who asked is told, and asks again. */
void kms_source_changed(struct broker *b, enum reference_source source);

#endif
