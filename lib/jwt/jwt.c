/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwt.c: a token about somebody: the claims that all have.
 *
 * Runs in: authority. Trusts: keys and policy; nothing in a token before its signature is checked.
 * Owns: the claims' document.
 * Invariants: a token that failed at any step stays unverified, and no claim can be read from it.
 * See: jwt/jwt.h, jws.c, claims.c; RFC 7519 §7.2, RFC 8725 §3.
 */
#include <jwt/jwt.h>

#include <assert.h>

#define DEPTH_MAX 16
#define TOKENS_MAX 4096
#define TIME_MAX 253402300799.0 /* the end of the year 9999 */

static struct status
fault(struct jwt *j, enum jwt_fault why, enum code code)
{
	j->fault = why;
	return fail(code);
}

struct status
jwt_init(struct jwt *j)
{
	struct json_opts opts = JSON_STRICT;

	opts.depth_max = DEPTH_MAX;
	opts.tokens_max = TOKENS_MAX;
	*j = (struct jwt){ .fault = JWT_FAULT_NONE };
	TRY(jws_init(&j->jws));
	return json_init(&j->claims, &opts);
}

void
jwt_done(struct jwt *j)
{
	jws_done(&j->jws);
	json_done(&j->claims);
	*j = (struct jwt){ .fault = JWT_FAULT_NONE };
}

struct status
jwt_parse(struct jwt *j, struct span token)
{
	struct status st = jws_parse(&j->jws, token);

	j->parsed = j->verified = false;
	j->expires_s = 0;
	j->fault = j->jws.fault;
	TRY(st);
	st = json_parse(&j->claims, j->jws.payload);
	if (st.code == E_NOMEM)
		return fault(j, JWT_FAULT_INTERNAL, E_NOMEM);
	if (!is_ok(st))
		return fault(j, JWT_FAULT_CLAIMS, (enum code)st.code);
	if (json_type(&j->claims, 0) != JSON_OBJECT)
		return fault(j, JWT_FAULT_CLAIMS, E_SYNTAX);
	j->parsed = true;
	return OK;
}

struct span
jwt_claimed_issuer(struct jwt *j)
{
	uint32_t iss = json_get_str(&j->claims, 0, "iss");
	struct span text;

	assert(j->parsed);
	return is_ok(json_str(&j->claims, iss, &j->jws.arena, &text)) ? text : SPAN_EMPTY;
}

bool
jwt_key_known(const struct jwt *j, const struct jwks *keys, uint32_t algs)
{
	assert(j->parsed);
	return jws_key_known(&j->jws, keys, algs);
}

static bool
typ_ok(const struct jwt *j, enum jwt_typ want)
{
	static const struct span prefix = SPAN_LIT("application/");
	struct span typ = j->jws.typ;
	bool jwt, access;

	if (typ.len > prefix.len && span_eq_nocase(span_of(typ.ptr, prefix.len), prefix))
		typ = span_from(typ, prefix.len);
	jwt = typ.len == 0 || span_eq_nocase(typ, SPAN_LIT("JWT"));
	access = span_eq_nocase(typ, SPAN_LIT("at+jwt"));
	if (want == JWT_TYP_ACCESS)
		return access;
	return jwt || (access && want == JWT_TYP_ANY);
}

static bool
audience_ok(const struct jwt *j, struct span want)
{
	uint32_t aud = json_get_str(&j->claims, 0, "aud");
	struct json_iter it = json_iter(&j->claims, aud);
	bool found = false;

	if (json_type(&j->claims, aud) == JSON_STRING)
		return json_str_eq(&j->claims, aud, want);
	if (json_type(&j->claims, aud) != JSON_ARRAY)
		return false;
	while (json_next(&it)) {
		if (json_type(&j->claims, it.val) != JSON_STRING)
			return false;
		found = found || json_str_eq(&j->claims, it.val, want);
	}
	return found;
}

/* A NumericDate, cut to whole seconds; *ret_has false: absent. */
static struct status
read_time(struct jwt *j, const char *name, bool *ret_has, uint64_t *ret)
{
	double v = 0;
	struct status st = json_double(&j->claims, json_get_str(&j->claims, 0, name), &v);

	*ret_has = is_ok(st);
	if (st.code == E_NOTFOUND)
		return OK;
	if (!is_ok(st) || !(v >= 0 && v <= TIME_MAX))
		return fault(j, JWT_FAULT_CLAIMS, E_RANGE);
	*ret = (uint64_t)v;
	return OK;
}

static struct status
check_times(struct jwt *j, const struct jwt_policy *p, uint64_t now_s)
{
	bool has_exp, has_nbf, has_iat;
	uint64_t exp = 0, nbf = 0, iat = 0;

	TRY(read_time(j, "exp", &has_exp, &exp));
	TRY(read_time(j, "nbf", &has_nbf, &nbf));
	TRY(read_time(j, "iat", &has_iat, &iat));
	if (!has_exp)
		return fault(j, JWT_FAULT_NO_EXPIRY, E_DENIED);
	if (now_s >= exp + p->skew_s)
		return fault(j, JWT_FAULT_EXPIRED, E_DENIED);
	if ((has_nbf && nbf > now_s + p->skew_s) || (has_iat && iat > now_s + p->skew_s))
		return fault(j, JWT_FAULT_FUTURE, E_DENIED);
	if (p->age_s_max > 0 && (!has_iat || exp > iat + p->age_s_max))
		return fault(j, JWT_FAULT_AGE, E_DENIED);
	j->expires_s = exp;
	return OK;
}

struct status
jwt_verify(struct jwt *j, const struct jwks *keys, const struct jwt_policy *p, uint64_t now_s)
{
	uint32_t iss = json_get_str(&j->claims, 0, "iss"), sub = json_get_str(&j->claims, 0, "sub");

	struct status st;

	assert(j->parsed && p->issuer.len > 0 && p->audience.len > 0);
	assert(p->skew_s <= JWT_SKEW_S_MAX);
	st = jws_verify(&j->jws, keys, p->algs);
	j->fault = j->jws.fault;
	TRY(st);
	if (!typ_ok(j, p->typ))
		return fault(j, JWT_FAULT_TYPE, E_DENIED);
	if (!json_str_eq(&j->claims, iss, p->issuer))
		return fault(j, JWT_FAULT_ISSUER, E_DENIED);
	if (!audience_ok(j, p->audience))
		return fault(j, JWT_FAULT_AUDIENCE, E_DENIED);
	if (json_type(&j->claims, sub) != JSON_ABSENT && json_type(&j->claims, sub) != JSON_STRING)
		return fault(j, JWT_FAULT_CLAIMS, E_SYNTAX);
	TRY(check_times(j, p, now_s));
	j->verified = true;
	return OK;
}
