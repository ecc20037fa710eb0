/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kek.c: the text of `store.kek`: what wraps the store's key-encryption keys.
 *
 * Runs in: CLI, supervisor (checks), store, broker (use). Trusts: nothing; the store reads such
 * texts from its database, too.
 * Invariants: of a key in Vault no byte needs encoding in a path, and no part walks up; of one in
 * AWS only the forms of an id, an alias or an ARN of KMS pass.
 * See: conf/reference.h.
 */
#include <conf/reference.h>

#define UUID_LEN 36
#define MRK_LEN 36 /* mrk- and 32 digits */
#define ALIAS_MAX 250

static bool
all_of(struct span s, const char *more)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t b = s.ptr[i], l = b | 0x20;

		if (!(b >= '0' && b <= '9') && !(l >= 'a' && l <= 'z') &&
		    (b == 0 || strchr(more, b) == NULL))
			return false;
	}
	return s.len > 0;
}

static bool
vault_ok(struct span place)
{
	const uint8_t *slash = place.len == 0 ? NULL : memchr(place.ptr, '/', place.len);

	return slash != NULL && reference_path_ok(place);
}

/* 1234abcd-12ab-34cd-56ef-1234567890ab, or mrk- and 32 digits */
static bool
id_ok(struct span s)
{
	if (span_starts(s, SPAN_LIT("mrk-")))
		return s.len == MRK_LEN && all_of(span_from(s, 4), "");
	for (size_t i = 0; i < s.len; i++) {
		if ((s.ptr[i] == '-') != (i == 8 || i == 13 || i == 18 || i == 23))
			return false;
	}
	return s.len == UUID_LEN && all_of(s, "-");
}

static bool
alias_ok(struct span s)
{
	return span_starts(s, SPAN_LIT("alias/")) && s.len <= 6 + ALIAS_MAX &&
	       all_of(span_from(s, 6), "/_-");
}

/* The part before the next ':', which is cut off. */
static struct span
next_part(struct span *s)
{
	const uint8_t *colon = s->len == 0 ? NULL : memchr(s->ptr, ':', s->len);
	struct span part = span_of(s->ptr, colon == NULL ? s->len : (size_t)(colon - s->ptr));

	*s = span_from(*s, part.len + (colon != NULL));
	return part;
}

/* arn:PARTITION:kms:REGION:ACCOUNT:key/ID, or …:alias/NAME */
static bool
arn_ok(struct span s)
{
	struct span partition, service, region, account;

	(void)next_part(&s);
	partition = next_part(&s);
	service = next_part(&s);
	region = next_part(&s);
	account = next_part(&s);
	if (!all_of(partition, "-") || !span_eq_str(service, "kms") || !all_of(region, "-") ||
	    !all_of(account, ""))
		return false;
	if (span_starts(s, SPAN_LIT("key/")))
		return id_ok(span_from(s, 4));
	return alias_ok(s);
}

static bool
aws_ok(struct span place)
{
	if (span_starts(place, SPAN_LIT("arn:")))
		return arn_ok(place);
	return id_ok(place) || alias_ok(place);
}

static const struct {
	struct span prefix;
	bool (*ok)(struct span place);
	const char *why;
} rows[] = {
	[KEK_VAULT] = { { (const uint8_t *)"vault:", 6 }, vault_ok, "expects vault:MOUNT/KEY" },
	[KEK_AWS] = { { (const uint8_t *)"aws-kms:", 8 }, aws_ok,
	    "expects aws-kms: and a key's id, alias/NAME or ARN" },
};

struct status
kek_reference_parse(struct span s, struct kek_reference *ret, const char **why)
{
	*why = "is too long";
	if (s.len > REFERENCE_LEN_MAX)
		return fail(E_SYNTAX);
	if (span_eq_str(s, "local")) {
		*ret = (struct kek_reference){ .by = KEK_LOCAL };
		return OK;
	}
	*why = "expects local, vault:MOUNT/KEY or aws-kms:ID";
	for (size_t i = KEK_VAULT; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span place = span_from(s, rows[i].prefix.len);

		if (!span_starts(s, rows[i].prefix))
			continue;
		*why = rows[i].why;
		if (!rows[i].ok(place))
			return fail(E_SYNTAX);
		*ret = (struct kek_reference){ (enum kek_wrapper)i, place };
		return OK;
	}
	return fail(E_SYNTAX);
}
