/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_clients.c: what the keys of machines' certificates say together.
 *
 * Runs in: CLI, supervisor. Trusts: that each value fits its row.
 * Invariants: a table of names has authorities that vouch for them, and the other way round; a name
 * can be one of its kind, and is there once; a wildcard never stands for who vouches (the authority
 * of a URI), nor for a part of a part.
 * See: check.c, conf/conf.h.
 */
#include "internal.h"

#include <stdio.h>

static const char *
get(const struct conf *c, unsigned i, const char *key)
{
	return conf_strf(c, "client_certificates.clients.%u.%s", i, key);
}

/* The parts that a wildcard may stand for: "scheme://authority/" is none of them. */
static const char *
path_of(const char *uri)
{
	const char *authority = strstr(uri, "://");

	return authority == NULL ? NULL : strchr(authority + 3, '/');
}

static const char *
wildcard_fault(const char *match, bool uri)
{
	const char *star = strchr(match, '*'), *parts = uri ? path_of(match) : match;
	char mark = uri ? '/' : '.';

	if (star == NULL)
		return NULL;
	if (strchr(star + 1, '*') != NULL)
		return "has more than one \"*\"";
	if (parts == NULL || star < parts)
		return "has a \"*\" where a URI says who vouches";
	if ((star > match && star[-1] != mark) || (star[1] != '\0' && star[1] != mark))
		return "has a \"*\" that is not a whole part";
	return star == match && star[1] == '\0' ? "stands for everybody" : NULL;
}

static const char *
match_fault(const char *match, const char *identity)
{
	bool uri = strcmp(identity, "uri") == 0;

	for (const char *s = match; *s != '\0'; s++) {
		if (*s <= ' ' || *s > '~')
			return "is not printable ASCII without blanks: no certificate's name is";
	}
	if (uri && strstr(match, "://") == NULL)
		return "can never match: it is no URI, and identity is uri";
	if (!uri && strchr(match, '/') != NULL)
		return "can never match: it has a slash, and identity is not uri";
	return wildcard_fault(match, uri);
}

static bool
is_repeated(const struct conf *c, unsigned i)
{
	for (unsigned before = 0; before < i; before++) {
		if (strcmp(get(c, before, "match"), get(c, i, "match")) == 0)
			return true;
	}
	return false;
}

static const char *
fault_of(const struct conf *c, unsigned i, const char **key)
{
	const char *why;

	*key = "match";
	if (i == CONF_CLIENTS_MAX)
		return "is one client too many (256)";
	why = match_fault(get(c, i, "match"), conf_str(c, "client_certificates.identity"));
	if (why != NULL)
		return why;
	if (is_repeated(c, i))
		return "can never match: it is here before";
	*key = "tenant";
	if (!conf_person_ok(get(c, i, "tenant")))
		return "is not the name of a tenant";
	*key = "user";
	if (!conf_person_ok(get(c, i, "user")))
		return "is not the name of a user";
	*key = "roles";
	if (strchr(get(c, i, "roles"), '*') != NULL)
		return "names each role; \"*\" is not allowed here";
	if (get(c, i, "roles")[0] == '\0')
		return "is empty: it could do nothing";
	*key = "policy";
	return conf_exists(c, "policies", span_str(get(c, i, "policy")))
		   ? NULL
		   : "names a policy that is not there";
}

struct status
conf_check_clients(const struct checker *k)
{
	bool vouched = conf_str(k->c, "client_certificates.ca_file") != NULL;
	unsigned n = 0;

	for (; get(k->c, n, "match") != NULL; n++) {
		const char *key, *why = fault_of(k->c, n, &key);
		char at[48];

		(void)snprintf(at, sizeof(at), "clients%c%u", CONF_SEP, n);
		if (why != NULL)
			return conf_refuse(k, "client_certificates", span_str(at), key, why);
	}
	if (n > 0 && !vouched)
		return conf_refuse(k, "client_certificates", SPAN_LIT("clients"), "",
		    "can never match: there is no ca_file");
	if (!vouched && conf_str(k->c, "client_certificates.crl_file") != NULL)
		return conf_refuse(k, "client_certificates", SPAN_LIT("crl_file"), "",
		    "is of no authority: there is no ca_file");
	if (n == 0 && vouched)
		return conf_refuse(k, "client_certificates", SPAN_LIT("ca_file"), "",
		    "vouches for nobody: there are no clients");
	return OK;
}
