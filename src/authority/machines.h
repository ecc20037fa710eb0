/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_MACHINES_H
#define AUTHORITY_MACHINES_H

/*
 * Machines that come with a certificate: the gateway has verified it, and says whom it names
 * (wire/certificate.h); the configuration's table (`client_certificates.clients`) says who that is.
 */
#include <base/span.h>
#include <wire/errors.h>
#include <wire/limits.h>

#define MACHINES_MAX 256
#define MACHINES_ISSUER "client certificate" /* no URL: no issuer can be of that name */

struct authority;
struct key;
struct machine;

struct machines {
	struct machine *rows;
	size_t n;
};

/* State: in init(), and when a->d->conf is another. E_NOMEM, E_RANGE: then there are none. */
MUST_USE struct status machines_load(struct authority *a);
void machines_config(struct authority *a); /* the same; people_config() is to follow */
/* Is there an entry that stands for this user? */
bool machines_name(const struct authority *a, struct span tenant, struct span user);
/* Is there an entry that this key is of? */
bool machines_have(const struct authority *a, const uint8_t key_id[KEY_ID_LEN]);
void machines_done(struct authority *a);
/*
 * ERROR_NONE: *ret is who it stands for. ERROR_INVALID_KEY: nobody, see a->oidc->fault.
 * ERROR_UNAVAILABLE: not now; it may be awaited: see later.h.
 */
enum error machines_find(
    struct authority *a, struct span credential, uint64_t now_s, struct key **ret);
/* Pure: is `name` what `pattern` means? A `*` in it stands for one part, of at least one byte. */
bool machines_match(struct span pattern, struct span name);

#endif
