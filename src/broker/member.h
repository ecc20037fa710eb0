/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_MEMBER_H
#define BROKER_MEMBER_H

/*
 * Members of the JSON answers of Vault and AWS. `tok` as json_get_str() gives it.
 */
#include <crypto/secret.h>
#include <json/json.h>

/*
 * A secret, copied into pages of its own. E_NOTFOUND: absent, null or empty; E_SYNTAX: no text;
 * E_RANGE: longer than `len_max` bytes; E_NOMEM, E_SYS.
 */
MUST_USE struct status member_secret(
    const struct json_doc *d, uint32_t tok, size_t len_max, struct secret *ret);
/* A secret in base64, decoded. As above; E_SYNTAX also: no base64. `len_max` of what it stands for.
 */
MUST_USE struct status member_secret_base64(
    const struct json_doc *d, uint32_t tok, size_t len_max, struct secret *ret);
/* A text that is no secret, with its NUL. E_SYNTAX: no text; E_RANGE: does not fit. */
MUST_USE struct status member_text(
    const struct json_doc *d, uint32_t tok, char *dst, size_t dst_size);

#endif
