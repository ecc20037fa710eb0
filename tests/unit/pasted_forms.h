/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_PASTED_FORMS_H
#define TESTS_PASTED_FORMS_H

/*
 * Credentials of others by their forms; none of them is anybody's.
 */
/* Not as texts, lest somebody's scanner takes this file for a leak. */
#define GH_REST "hp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"
#define GH "g" GH_REST
#define SLACK \
	"xox" \
	"b-123456789012-123456789012-AbCdEfGhIjKlMnOpQrStUvWx"
#define AWS_ID \
	"AKI"  \
	"AIOSFODNN7EXAMPLE"
#define AWS_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define OPENAI                            \
	"sk-"                             \
	"proj-abcdefghij0123456789T3Blbk" \
	"FJabcdefghij0123456789"
#define ANTHROPIC \
	"sk-"     \
	"ant-api03-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ-AA"
#define GOOGLE \
	"AIz"  \
	"aSyA0123456789abcdefghijklmnopqrstuv"
#define STRIPE \
	"sk_"  \
	"live_0123456789abcdefABCDEF01"
#define PAT                            \
	"github"                       \
	"_pat_11ABCDEFG0123456789abc_" \
	"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
#define GITLAB \
	"glp"  \
	"at-0123456789abcdefghij"
#define VAULT \
	"hv"  \
	"s.CAESIJ0123456789abcdefghijklmnop"
#define PEM_BEGIN                \
	"-----BEGIN RSA PRIVATE" \
	" KEY-----"
#define PEM_END                \
	"-----END RSA PRIVATE" \
	" KEY-----"

#endif
