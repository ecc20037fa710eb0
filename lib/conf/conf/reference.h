/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_REFERENCE_H
#define CONF_REFERENCE_H

/*
 * Where a credential lies:
 *	none
 *	vault:MOUNT/PATH#FIELD     the mount may have several parts; Vault knows where it ends
 *	aws-sm:ID#FIELD | aws-sm:ID  name or ARN; without FIELD the whole SecretString
 *	file:NAME                  sealed by `sallyport secret set`
 * No query, no empty part, no "." or "..", nothing percent-encoded.
 */
#include <base/span.h>

#define REFERENCE_LEN_MAX 256
#define REFERENCE_FIELD_MAX 128
#define REFERENCE_NAME_MAX 64 /* of file:NAME */

enum reference_source {
	REFERENCE_NONE,
	REFERENCE_VAULT,
	REFERENCE_AWS,
	REFERENCE_FILE,
	REFERENCE_SOURCES,
};

struct reference {
	enum reference_source source;
	struct span place; /* MOUNT/PATH, ID or NAME; borrowed */
	struct span field; /* empty: none */
};

/* E_SYNTAX: *why is a static text that never holds the value. */
MUST_USE struct status reference_parse(struct span s, struct reference *ret, const char **why);
/*
 * What wraps the store's key-encryption keys (`store.kek`):
 *	local                  master.key
 *	vault:MOUNT/KEY        Vault's transit engine; the key's name is the last part
 *	aws-kms:ID             a key's id, alias/NAME, or the ARN of either
 */
enum kek_wrapper { KEK_LOCAL, KEK_VAULT, KEK_AWS };

struct kek_reference {
	enum kek_wrapper by;
	struct span place; /* MOUNT/KEY or ID; borrowed */
};

/* As reference_parse(). */
MUST_USE struct status kek_reference_parse(
    struct span s, struct kek_reference *ret, const char **why);
/* A path of Vault: parts of A-Z a-z 0-9 _ . - @ + = ~ between slashes. */
bool reference_path_ok(struct span s);

#endif
