/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vault may be anybody's. The first byte chooses the answer that is read; what comes out must be
 * within its limits, and a value only where the status says so.
 */
#include <vault_answer.h>

#include <stdlib.h>

#include <crypto/crypto.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_auth(struct span body)
{
	struct vault_auth a = { .token = SECRET_NONE };
	struct status st = vault_auth_parse(body, &a);

	if (is_ok(st) != (a.token.len > 0) || a.token.len > VAULT_TOKEN_MAX)
		abort();
	secret_done(&a.token);
}

static void
fuzz_value(struct span body, bool kv2)
{
	struct vault_value v = { .value = SECRET_NONE };
	struct status st = vault_value_parse(body, kv2, SPAN_LIT("key"), &v);

	if (is_ok(st) != (v.value.len > 0) || (v.lease[0] == '\0' && v.lease_s != 0))
		abort();
	secret_done(&v.value);
}

static void
fuzz_rest(struct span body)
{
	struct secret id = SECRET_NONE;
	struct vault_mount m;
	uint64_t n;
	bool renewable;

	if (is_ok(vault_mount_parse(body, &m)) && m.path[strlen(m.path) - 1] != '/')
		abort();
	(void)is_ok(vault_metadata_parse(body, &n));
	(void)is_ok(vault_lease_parse(body, &n, &renewable));
	(void)is_ok(vault_wrapping_check(body, SPAN_LIT("approle")));
	if (is_ok(vault_secret_id_parse(body, &id)) != (id.len > 0))
		abort();
	secret_done(&id);
}

static void
fuzz_transit(struct span body)
{
	struct secret s = SECRET_NONE;
	uint64_t version;
	struct status st = vault_ciphertext_parse(body, &s, &version);

	if (is_ok(st) != (s.len > 0) || s.len > VAULT_CIPHERTEXT_MAX ||
	    (s.len > 0 && !is_ok(vault_ciphertext_version(secret_borrow(&s), &version))))
		abort();
	secret_done(&s);
	if (is_ok(vault_plaintext_parse(body, 113, &s)) != (s.len > 0) || s.len > 113)
		abort();
	secret_done(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span body = span_of(data + 1, size - (size > 0));

	if (size == 0 || !is_ok(crypto_init()))
		return 0;
	switch (data[0] % 5) {
	case 0:
		fuzz_auth(body);
		break;
	case 1:
	case 2:
		fuzz_value(body, data[0] % 5 == 1);
		break;
	case 3:
		fuzz_rest(body);
		break;
	default:
		fuzz_transit(body);
	}
	return 0;
}
