/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_transit.c: keys that are wrapped by a key of Vault's transit engine.
 *
 * Runs in: broker. Trusts: Vault, for what it answers over verified TLS.
 * Owns: nothing.
 * Invariants: what is wrapped goes from one struct secret to another, and through no other memory;
 * each request names the state and the version that it is for: a key that is `derived` takes them
 * into its derivation, for all others what is wrapped is bound to them by the store's own seal.
 * See: vault_internal.h; Vault's HTTP API: transit/encrypt, decrypt, rewrap.
 */
#include "vault_internal.h"

#include <stdio.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <http/write.h>
#include <json/write.h>
#include <wire/store_broker.h>

#define CONTEXT_MAX 96
#define REQUEST_MAX (SB_CIPHERTEXT_MAX + 1024)

/* MOUNT/ACTION/KEY of MOUNT/KEY */
static struct status
put_target(const struct vault_work *w, const char *action, struct buf *out)
{
	struct span place = w->work.job->ref.place;
	size_t at = place.len;

	while (at > 0 && place.ptr[at - 1] != '/')
		at--;
	if (at == 0)
		return fail(E_SYNTAX);
	return buf_printf(out, "/v1/%.*s%s/%.*s", (int)at, (const char *)place.ptr, action,
	    SPAN_FMT(span_from(place, at)));
}

static struct status
target_encrypt(const struct vault_work *w, struct buf *out)
{
	return put_target(w, "encrypt", out);
}

static struct status
target_decrypt(const struct vault_work *w, struct buf *out)
{
	return put_target(w, "decrypt", out);
}

static struct status
target_rewrap(const struct vault_work *w, struct buf *out)
{
	return put_target(w, "rewrap", out);
}

/* ---- bodies ---- */
static struct status
put_context(const struct source_kms *kms, struct json_writer *j)
{
	auto_buf struct buf base64 = BUF_INIT(2 * CONTEXT_MAX);
	char text[CONTEXT_MAX];
	int n = snprintf(text, sizeof(text), "sallyport store %s kek %llu", kms->state,
	    (unsigned long long)kms->version);

	if (n < 0 || (size_t)n >= sizeof(text))
		return fail(E_RANGE);
	TRY(base64_encode(span_of(text, (size_t)n), &base64));
	json_put_key(j, "context");
	json_put_str(j, buf_span(&base64));
	return OK;
}

static struct status
put_wrap(const struct vault_work *w, struct buf *out)
{
	const struct source_kms *kms = &w->work.job->kms;
	auto_secret struct secret mem = SECRET_NONE;
	struct json_writer j = json_writer(out);
	struct buf base64;

	TRY(secret_new((kms->data.len + 2) / 3 * 4, &mem));
	base64 = secret_buf(&mem);
	TRY(base64_encode(kms->data, &base64));
	json_put_object(&j);
	TRY(put_context(kms, &j));
	json_put_key(&j, "plaintext");
	json_put_str(&j, buf_span(&base64));
	json_put_end(&j);
	return json_writer_finish(&j);
}

static struct status
put_ciphertext(const struct vault_work *w, struct buf *out)
{
	const struct source_kms *kms = &w->work.job->kms;
	struct json_writer j = json_writer(out);

	json_put_object(&j);
	TRY(put_context(kms, &j));
	json_put_key(&j, "ciphertext");
	json_put_str(&j, kms->data);
	json_put_end(&j);
	return json_writer_finish(&j);
}

/* ---- answers ---- */
/* The version is that of the transit key. */
static void
set_version(struct vault_work *w, uint64_t version)
{
	(void)snprintf(
	    w->work.version, sizeof(w->work.version), "%llu", (unsigned long long)version);
	w->work.result.reading = (struct lifetime_reading){ .version = w->work.version,
		.lease = "" };
}

static struct status
take_ciphertext(struct vault_work *w, const struct fetch_answer *a)
{
	uint64_t version = 0;

	TRY(vault_ciphertext_parse(a->body, &w->work.result.value, &version));
	set_version(w, version);
	return OK;
}

static struct status
take_plaintext(struct vault_work *w, const struct fetch_answer *a)
{
	uint64_t version = 0;

	TRY(vault_ciphertext_version(w->work.job->kms.data, &version));
	TRY(vault_plaintext_parse(a->body, SB_KEY_LEN, &w->work.result.value));
	set_version(w, version);
	return OK;
}

const struct vault_row vault_wrap = { "POST", target_encrypt, put_wrap, take_ciphertext,
	REQUEST_MAX, false };
const struct vault_row vault_unwrap = { "POST", target_decrypt, put_ciphertext, take_plaintext,
	REQUEST_MAX, false };
const struct vault_row vault_rewrap = { "POST", target_rewrap, put_ciphertext, take_ciphertext,
	REQUEST_MAX, false };
