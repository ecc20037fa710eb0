/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PASTED_KNOWN_H
#define PASTED_KNOWN_H

/*
 * Credentials of any form, known by marks of them: a length and keyed hashes. Who has the marks can
 * look for the credentials in a text, and not read them; who has the key as well can try what he
 * guesses, so that one that can be guessed is not protected by its mark.
 */
#include <base/span.h>

#define KNOWN_KEY_LEN 32
#define KNOWN_LEN_MIN 16 /* of a credential: a shorter one may be an ordinary word */
#define KNOWN_TAG_LEN 16
#define KNOWN_MAX 512        /* marks at once */
#define KNOWN_DISTINCT_MIN 5 /* different characters; of fewer it is filler */

struct known_mark {
	uint16_t len;               /* of the credential; >= KNOWN_LEN_MIN */
	uint32_t end;               /* keyed hash of its last KNOWN_LEN_MIN bytes */
	uint8_t tag[KNOWN_TAG_LEN]; /* of all of it */
};

struct known;

/* Knows none yet; the result is the caller's. `key`: KNOWN_KEY_LEN bytes. E_CRYPTO, E_NOMEM. */
MUST_USE struct status known_new(const uint8_t key[KNOWN_KEY_LEN], struct known **ret);
void known_free(struct known *k); /* NULL is fine */
/* The mark under its key. E_RANGE: too short, or longer than a mark can say. E_CRYPTO. */
MUST_USE struct status known_mark(struct known *k, struct span credential, struct known_mark *ret);
/*
 * May it have a mark? Not one that is too short, filler (`sk-xxxxxxxxxxxxx`) or a stopgap of
 * documents (`sk-no-key-required`): a mark of these refuses innocent texts, and hides nothing.
 */
bool known_fit(struct span credential);
/* So many are looked for; NULL: 0. */
size_t known_count(const struct known *k);
/* One more that is looked for. E_RANGE: its length. E_FULL: KNOWN_MAX. */
MUST_USE struct status known_add(struct known *k, const struct known_mark *mark);
/*
 * Is one of them in the text, as it is written or behind escapes of JSON (escape.h)? What cannot be
 * looked at is taken for one. Linear in the text for all who do not know how a credential ends.
 */
bool known_in(const struct known *k, struct span text); /* NULL: no */

#endif
