/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_VAULT_ANSWER_H
#define BROKER_VAULT_ANSWER_H

/*
 * What Vault answers, field by field (its HTTP API, 1.13 and later). Pure. No
 * text of an answer leaves here but versions, ids of leases, mounts and, in a
 * struct secret, values. Of what is not looked for nothing is checked.
 */
#include <crypto/secret.h>
#include <wire/limits.h>

#define VAULT_ANSWER_TOKENS_MAX 4096
#define VAULT_TOKEN_MAX 4096
#define VAULT_MOUNT_MAX 256
#define VAULT_CIPHERTEXT_MAX 8192
#define VAULT_LEASE_MAX 512 /* bytes; the id of a lease of a namespace is long */

/* auth.* of a login or a renewal. */
struct vault_auth {
	struct secret token; /* SECRET_NONE in a renewal without one */
	uint64_t lease_s;    /* 0: never ends */
	bool renewable;
	char accessor[SECRET_VERSION_MAX + 1]; /* names the token, and is no secret; "": none */
};
/* All: E_SYNTAX: not what was asked for. E_RANGE: a value too long. E_NOMEM, E_SYS. */
MUST_USE struct status vault_auth_parse(struct span body, struct vault_auth *ret);

/* sys/internal/ui/mounts/PATH */
struct vault_mount {
	char path[VAULT_MOUNT_MAX + 1]; /* ends with '/' */
	bool kv2;
};
MUST_USE struct status vault_mount_parse(struct span body, struct vault_mount *ret);

/* A value that was read; of KV version 2, or else with the lease that it may have. */
struct vault_value {
	struct secret value;
	uint64_t version; /* kv2 */
	char lease[VAULT_LEASE_MAX + 1];
	uint64_t lease_s;
	bool renewable;
};
/*
 * E_NOTFOUND: no such field, or deleted. E_SYNTAX: also a field that is no text. A lease that came
 * with it is in *ret all the same.
 */
MUST_USE struct status vault_value_parse(
    struct span body, bool kv2, struct span field, struct vault_value *ret);

/* metadata/PATH of KV version 2. 0: the current version is deleted, or will be. */
MUST_USE struct status vault_metadata_parse(struct span body, uint64_t *ret_version);
/* sys/leases/renew */
MUST_USE struct status vault_lease_parse(struct span body, uint64_t *ret_s, bool *ret_renewable);
/*
 * sys/wrapping/lookup: was it made by this AppRole's secret-id endpoint (auth/MOUNT/role/…)?
 * E_DENIED: by another.
 */
MUST_USE struct status vault_wrapping_check(struct span body, struct span mount);
/* sys/wrapping/unwrap of it. */
MUST_USE struct status vault_secret_id_parse(struct span body, struct secret *ret);
/*
 * transit/encrypt, transit/rewrap: the ciphertext as it is written, `vault:vN:…`, and N.
 */
MUST_USE struct status vault_ciphertext_parse(
    struct span body, struct secret *ret, uint64_t *ret_version);
/* transit/decrypt: what was encrypted, at most `len_max` bytes of it. */
MUST_USE struct status vault_plaintext_parse(struct span body, size_t len_max, struct secret *ret);
/* N of `vault:vN:…`. E_SYNTAX. */
MUST_USE struct status vault_ciphertext_version(struct span text, uint64_t *ret);

#endif
