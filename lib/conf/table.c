/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c: every key of the configuration, with its type, limits, default and meaning.
 *
 * Runs in: CLI, supervisor. Trusts: nothing.
 * Invariants: a key that is not here does not exist; the parts NAME, ALIAS and N of a path are
 * open, all others are literal; a row without a fallback that is not required may be absent.
 * See: conf/conf.h, docs/configuration.md (checked against conf_describe by a test).
 */
#include "internal.h"

#include <base/cleanup.h>

#define NUMBER(p, lo, hi, def, text)                        \
	{                                                   \
		p, CONF_U64, lo, hi, def, false, NULL, text \
	}
#define SWITCH(p, def, text)                               \
	{                                                  \
		p, CONF_BOOL, 0, 0, def, false, NULL, text \
	}
#define LIST(p, which, text)                                  \
	{                                                     \
		p, CONF_LIST, 0, 1024, "", false, which, text \
	}
#define LIST_OF(p, def, which, text)                           \
	{                                                      \
		p, CONF_LIST, 1, 1024, def, false, which, text \
	}
#define PATH(p, def, text)                                    \
	{                                                     \
		p, CONF_PATH, 1, 4095, def, false, NULL, text \
	}

const struct conf_row conf_rows[] = {
	{ "listen", CONF_ADDRESS, 1, 261, "127.0.0.1:8443", false, NULL,
	    "Address and port of the public API: `HOST:PORT` or `[IPv6]:PORT`." },
	{ "management_socket", CONF_SOCKET_PATH, 1, CONF_SOCKET_PATH_MAX, "run/management.sock",
	    false, NULL,
	    "Unix socket of health, metrics and administration; relative to this file's folder." },
	NUMBER("uid_base", 65536, 4294963199, "700000",
	    "First of the 4096 user ids that belong to this instance."),
	NUMBER("workers", 0, 16, "0", "Gateway processes; 0: one per core."),
	PATH("tls.certificate", "tls/cert.pem", "Certificate chain of the public API, PEM."),
	PATH("tls.key", "tls/key.pem", "Its private key, PEM."),
	NUMBER("tls.watch_s", 0, 86400, "60",
	    "How often it is looked whether the certificate's files have changed, or one of our "
	    "own "
	    "is due, seconds; 0: only on demand."),
	PATH("network.ca_file", "/etc/ssl/certs/ca-certificates.crt",
	    "Certificate authorities of providers that name none of their own, PEM."),
	PATH("network.resolv_conf", "/etc/resolv.conf",
	    "DNS servers: its lines `nameserver ADDRESS`, also `ADDRESS:PORT`. A search list is "
	    "not "
	    "used."),
	PATH("network.hosts", "/etc/hosts", "Names that are not asked of DNS."),
	PATH("engines.runsc", NULL, "The gVisor binary. Needed where there is a sandbox."),
	PATH("engines.image", NULL, "The sandbox image (EROFS). Needed where there is a sandbox."),
	PATH("engines.manifest", NULL, "What is in the image, shown by `status`."),

	NUMBER("audit.key_days", 0, 3650, "90",
	    "The audit log's signing key is replaced by a new one that often, days; 0: only on "
	    "demand."),

	SWITCH("store.responses", "true",
	    "Keep responses, as requests ask or do not forbid; `false`: none, whatever they ask."),
	NUMBER("store.grace_s", 0, 604800, "3600",
	    "While the store is away, credentials that are known go on for that long, seconds; "
	    "then, "
	    "and with 0 at once, there is 503 for all."),
	{ "store.kek", CONF_KEK, 1, 256, "local", false, NULL,
	    "What wraps the key over all that is stored: `local` (`master.key`), "
	    "`vault:MOUNT/KEY` (a key of Vault's transit engine), `aws-kms:ID` (a key of AWS KMS: "
	    "id, `alias/NAME` or ARN)." },
	{ "store.kek_before", CONF_KEK, 1, 256, NULL, false, NULL,
	    "What `store.kek` was before, while keys are carried over from it. Not needed for "
	    "`local`." },
	NUMBER("store.rotate_days", 0, 3650, "90",
	    "Keys of what is stored are replaced by new ones that often, days; 0: only on demand."),

	LIST("policies.NAME.endpoints",
	    "chat|models|execute|responses|embeddings|messages|count_tokens|tools|tool_call|"
	    "conversations|stored_responses|files|admin",
	    "Endpoints that a key may use."),
	LIST("policies.NAME.models", NULL, "Model aliases that a key may name."),
	LIST("policies.NAME.tools", NULL,
	    "Server-side tools that a key may use: `code_interpreter`, and names of users' tools."),
	LIST("policies.NAME.languages", "python|javascript|sh", "Languages that a key may run."),
	LIST("policies.NAME.attach", "code_interpreter",
	    "Tools given to the model even when the request names none."),
	{ "policies.NAME.credentials", CONF_ENUM, 0, 0, "mask", false, "keep|mask|refuse",
	    "Credentials of other services in content, by their known forms. `mask`: what is kept "
	    "for a user has `[removed: …]` in their place, a file with one is refused; what only "
	    "passes through stays as it is. `refuse`: a request with one is refused. Those of "
	    "providers of models (OpenAI, Anthropic, Google) and of Vault are kept under none of "
	    "them." },
	NUMBER("keys.pepper_days", 0, 3650, "0",
	    "Texts of API keys are hashed under a new pepper that often, days; 0: only on demand. "
	    "A key "
	    "that is never used holds its old one open (`sallyport pepper status`)."),
	NUMBER("sessions.rotate_days", 0, 3650, "1",
	    "Session tokens are signed by a new key that often, days; 0: only on demand."),
	NUMBER("sessions.max_s", 60, 3600, "3600",
	    "Seconds that a session token lives at most; its credential's own end comes first."),
	NUMBER("policies.NAME.requests_per_min", 1, 1000000000, "6000",
	    "Requests a minute of one key."),
	NUMBER("policies.NAME.concurrent", 1, 65536, "64", "Requests at once of one key."),

	{ "providers.NAME.kind", CONF_ENUM, 0, 0, NULL, true, "demo|openai|anthropic",
	    "What speaks there. `demo` is a stand-in, no AI." },
	{ "providers.NAME.base_url", CONF_URI, 1, 1024, NULL, false, NULL,
	    "Where it is; not for `demo`." },
	{ "providers.NAME.credential", CONF_CREDENTIAL, 1, 512, NULL, false, NULL,
	    "Where its key is: `vault:MOUNT/PATH#FIELD`, `aws-sm:ID#FIELD`, `file:NAME`, or `none` "
	    "(loopback and `demo` only). Never the key itself." },
	SWITCH(
	    "providers.NAME.allow_plain_loopback", "false", "Allow `http:` to a loopback address."),
	{ "providers.NAME.tls_min", CONF_ENUM, 0, 0, "1.3", false, "1.2|1.3",
	    "Lowest version of TLS towards it." },
	{ "providers.NAME.http", CONF_ENUM, 0, 0, "auto", false, "auto|1.1|2",
	    "Version of HTTP towards it. `auto`: over TLS as it chooses, with HTTP/2 first; in "
	    "clear "
	    "1.1. With `2` it must speak HTTP/2, in clear without being asked." },
	PATH("providers.NAME.ca_file", NULL,
	    "The only certificate authorities that may vouch for it, PEM; without it those of "
	    "`network.ca_file`."),
	{ "providers.NAME.pin_sha256", CONF_STRING, 44, 44, NULL, false, NULL,
	    "SHA-256 of its certificate's public key (SPKI), base64: any other key is refused." },
	SWITCH("providers.NAME.allow_private", "false",
	    "Allow it private addresses (RFC 1918, unique local, shared, NAT64). Link-local and "
	    "metadata addresses are never used."),
	{ "providers.NAME.unknown_fields", CONF_ENUM, 0, 0, "forward", false, "forward|refuse",
	    "Fields of a request's top level that our schemas do not name: passed on, or refused "
	    "with 400. A model with several entries refuses what one of them refuses." },
	NUMBER(
	    "providers.NAME.first_byte_s", 1, 600, "300", "Time until its answer begins, seconds."),
	NUMBER("providers.NAME.idle_s", 1, 600, "60",
	    "Time without a byte, once its answer has begun, seconds."),

	{ "models.ALIAS.N.provider", CONF_STRING, 1, CONF_NAME_MAX, NULL, true, NULL,
	    "The provider that serves it." },
	{ "models.ALIAS.N.model", CONF_STRING, 1, CONF_ALIAS_MAX, NULL, true, NULL,
	    "The provider's own name of the model." },
	NUMBER("models.ALIAS.N.weight", 0, 1000, "0",
	    "Entries with a weight share the calls by it; the others are fallbacks, in their "
	    "order. "
	    "Without any weight the first one is asked first."),

	{ "vault.address", CONF_URI, 1, 1024, NULL, false, NULL,
	    "Vault, `https://HOST[:PORT]`. Needed where a credential or `store.kek` is `vault:`." },
	{ "vault.namespace", CONF_STRING, 1, 256, NULL, false, NULL, "Sent as X-Vault-Namespace." },
	PATH("vault.ca_file", NULL,
	    "Its certificate authority, PEM; the system's where there is none."),
	SWITCH("vault.allow_plain_loopback", "false", "Allow `http:` to a loopback address."),
	{ "vault.tls_min", CONF_ENUM, 0, 0, "1.3", false, "1.2|1.3",
	    "Lowest version of TLS towards it." },
	LIST("vault.redirect_hosts", NULL,
	    "`HOST:PORT` of other nodes to which an answer 307 may lead, over https."),
	NUMBER("vault.poll_s", 1, 45, "20", "How often a new version is looked for, seconds."),
	{ "vault.auth.approle.role_id", CONF_STRING, 1, 256, NULL, false, NULL,
	    "Log in by AppRole. One method of `vault.auth` is needed, and only one." },
	PATH("vault.auth.approle.secret_id_file", NULL,
	    "Its secret id, or with `wrapped` the token that unwraps it."),
	SWITCH("vault.auth.approle.wrapped", "false",
	    "The file holds a response-wrapping token, good for one unwrapping."),
	{ "vault.auth.approle.mount", CONF_MOUNT, 1, 128, "approle", false, NULL,
	    "Where the method is mounted." },
	{ "vault.auth.kubernetes.role", CONF_STRING, 1, 256, NULL, false, NULL,
	    "Log in by a Kubernetes service account." },
	PATH("vault.auth.kubernetes.token_file", NULL,
	    "Its projected token, read again at every login."),
	{ "vault.auth.kubernetes.mount", CONF_MOUNT, 1, 128, "kubernetes", false, NULL,
	    "Where the method is mounted." },
	{ "vault.auth.jwt.role", CONF_STRING, 1, 256, NULL, false, NULL, "Log in by a JWT." },
	PATH("vault.auth.jwt.token_file", NULL, "The token, read again at every login."),
	{ "vault.auth.jwt.mount", CONF_MOUNT, 1, 128, "jwt", false, NULL,
	    "Where the method is mounted." },
	{ "vault.auth.cert.role", CONF_STRING, 1, 256, NULL, false, NULL,
	    "Log in by TLS certificate: the role's name; Vault finds one where there is none." },
	PATH("vault.auth.cert.cert_file", NULL, "The certificate and its chain, PEM."),
	PATH("vault.auth.cert.key_file", NULL, "Its private key, PEM."),
	{ "vault.auth.cert.mount", CONF_MOUNT, 1, 128, "cert", false, NULL,
	    "Where the method is mounted." },

	{ "aws.region", CONF_REGION, 1, 32, NULL, false, NULL,
	    "Region of Secrets Manager and KMS. Needed where a credential is `aws-sm:`, or "
	    "`store.kek` "
	    "is `aws-kms:`." },
	{ "aws.endpoint", CONF_URI, 1, 1024, NULL, false, NULL,
	    "Secrets Manager; without it `https://secretsmanager.REGION.amazonaws.com`." },
	{ "aws.kms_endpoint", CONF_URI, 1, 1024, NULL, false, NULL,
	    "KMS, for `store.kek`; without it `https://kms.REGION.amazonaws.com`." },
	{ "aws.sts_endpoint", CONF_URI, 1, 1024, NULL, false, NULL,
	    "STS, for `web_identity`; without it `https://sts.REGION.amazonaws.com`." },
	{ "aws.imds_endpoint", CONF_URI, 1, 1024, NULL, false, NULL,
	    "Instance metadata, for `imds`; without it `http://169.254.169.254`." },
	PATH("aws.ca_file", NULL,
	    "Certificate authority of these endpoints, PEM; the system's where there is none."),
	SWITCH("aws.allow_plain_loopback", "false", "Allow `http:` to a loopback address."),
	{ "aws.tls_min", CONF_ENUM, 0, 0, "1.3", false, "1.2|1.3",
	    "Lowest version of TLS towards them." },
	NUMBER("aws.poll_s", 1, 45, "20", "How often a new version is looked for, seconds."),
	{ "aws.credentials", CONF_ENUM, 0, 0, "auto", false,
	    "auto|shared_file|web_identity|container|imds",
	    "Where AWS credentials come from. `auto`: the first of these that is configured, else "
	    "`imds`." },
	PATH("aws.shared_file", NULL, "A shared credentials file, readable by root only."),
	{ "aws.profile", CONF_STRING, 1, 64, NULL, false, NULL,
	    "Its profile; without it `default`." },
	{ "aws.web_identity.role_arn", CONF_STRING, 20, 2048, NULL, false, NULL,
	    "The role for AssumeRoleWithWebIdentity. Without it AWS_ROLE_ARN of `serve`." },
	PATH("aws.web_identity.token_file", NULL,
	    "The token for it, read again each time. Without it AWS_WEB_IDENTITY_TOKEN_FILE."),
	{ "aws.container.uri", CONF_URI, 1, 1024, NULL, false, NULL,
	    "Container credentials. Without it AWS_CONTAINER_CREDENTIALS_FULL_URI." },
	PATH("aws.container.token_file", NULL,
	    "Authorization for them. Without it AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE."),

	{ "oidc.N.issuer", CONF_URI, 1, 255, NULL, true, NULL,
	    "An identity provider: its tokens' `iss`, exactly, and where its discovery document "
	    "lies." },
	{ "oidc.N.audience", CONF_STRING, 1, 255, NULL, true, NULL,
	    "What its tokens' `aud` must be or hold." },
	{ "oidc.N.claims.tenant", CONF_CLAIM, 1, 128, NULL, false, NULL,
	    "The claim that names the tenant: a name with a `:` as it is, else dots lead into "
	    "objects. This or `tenant_fixed` is needed." },
	{ "oidc.N.claims.user", CONF_CLAIM, 1, 128, NULL, false, NULL,
	    "The claim that names the user; without it `sub`." },
	{ "oidc.N.claims.roles", CONF_CLAIM, 1, 128, NULL, false, NULL,
	    "The claim with roles or groups, text or a list of at most 64; without it everybody "
	    "is a `user`." },
	{ "oidc.N.claims.policy", CONF_CLAIM, 1, 128, NULL, false, NULL,
	    "The claim that names the policy; without it, or where a token has none, `policy`." },
	{ "oidc.N.tenant_fixed", CONF_STRING, 1, CONF_NAME_MAX, NULL, false, NULL,
	    "The tenant of all its people." },
	{ "oidc.N.policy", CONF_STRING, 1, CONF_NAME_MAX, "default", false, NULL,
	    "The policy of its people." },
	{ "oidc.N.roles_map.ALIAS", CONF_ENUM, 0, 0, NULL, false,
	    "owner|administrator|auditor|user|service",
	    "What a value of that claim means; others mean nothing. Without a map the roles' own "
	    "names are values." },
	{ "oidc.N.login_client_id", CONF_STRING, 1, 255, NULL, false, NULL,
	    "The public client by which `sallyport login` signs people in (device authorization "
	    "grant); without it they cannot." },
	{ "oidc.N.login_scope", CONF_STRING, 1, 255, "openid", false, NULL,
	    "What it asks for there: scopes with blanks between." },
	SWITCH("oidc.N.link_local", "false",
	    "Let its people be users who were made here: whoever it names so is that user. Never a "
	    "service, nor a user of another issuer of this configuration, nor of a machine's "
	    "entry."),
	LIST("oidc.N.algorithms", "RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|EdDSA",
	    "What its tokens may be signed with; without it what each key says, and RS256 for RSA "
	    "keys that say nothing."),
	{ "oidc.N.typ", CONF_ENUM, 0, 0, "any", false, "any|jwt|at+jwt",
	    "Type in a token's header: `jwt` also where it has none." },
	NUMBER("oidc.N.max_age_s", 0, 2678400, "0",
	    "Longest life of a token (`exp` less `iat`), seconds; 0: any."),
	NUMBER("oidc.N.skew_s", 0, 60, "60", "How much its clock may differ from ours, seconds."),
	LIST("oidc.N.jwks_hosts", NULL,
	    "`HOST[:PORT]` besides the issuer's own where its keys may lie, over https."),
	PATH("oidc.N.ca_file", NULL,
	    "Its certificate authority, PEM; without it those of `network.ca_file`."),
	SWITCH("oidc.N.allow_plain_loopback", "false", "Allow `http:` to a loopback address."),
	SWITCH("oidc.N.allow_private", "false", "Allow it private addresses."),
	{ "oidc.N.tls_min", CONF_ENUM, 0, 0, "1.3", false, "1.2|1.3",
	    "Lowest version of TLS towards it." },

	PATH("client_certificates.ca_file", NULL,
	    "Certificate authorities that alone may vouch for machines' certificates, PEM, at most "
	    "64; without it no client is asked for one."),
	PATH("client_certificates.crl_file", NULL,
	    "What they have revoked: a list (CRL) of each of them, PEM, at most 2 MiB; looked at "
	    "again "
	    "every `tls.watch_s`. Without it a certificate counts until it ends."),
	{ "client_certificates.identity", CONF_ENUM, 0, 0, "uri", false, "uri|dns|cn",
	    "What names a machine: the only URI (SPIFFE ID) or the only DNS name among its "
	    "subjectAltNames, or its subject's only common name." },
	{ "client_certificates.clients.N.match", CONF_STRING, 1, 2048, NULL, true, NULL,
	    "That name, byte for byte; a `*` stands for one whole part of it, between slashes of a "
	    "URI's path or dots of another name. The first entry that fits counts." },
	{ "client_certificates.clients.N.tenant", CONF_STRING, 1, CONF_NAME_MAX, NULL, true, NULL,
	    "Its tenant." },
	{ "client_certificates.clients.N.user", CONF_STRING, 1, CONF_NAME_MAX, NULL, true, NULL,
	    "The user that it is, also where that is there already." },
	{ "client_certificates.clients.N.policy", CONF_STRING, 1, CONF_NAME_MAX, "default", false,
	    NULL, "Its policy." },
	LIST_OF("client_certificates.clients.N.roles", "service",
	    "owner|administrator|auditor|user|service", "Its roles."),

	NUMBER("sandboxes.NAME.pool", 0, CONF_POOLS_MAX, "4",
	    "Warm sandboxes kept ready; at most 512 over all languages and kinds."),
	NUMBER("sandboxes.NAME.pool_data", 0, CONF_POOLS_MAX, "0",
	    "Warm sandboxes with numpy, pandas and matplotlib imported (`python` only)."),
	NUMBER("sandboxes.NAME.memory_mb", 32, 1048576, "512", "Memory of one sandbox, MiB."),
	NUMBER("sandboxes.NAME.wall_s", 1, 3600, "30", "Wall-clock time of one run, seconds."),
	NUMBER("sandboxes.NAME.cpu_s", 1, 3600, "20", "CPU time of one run, seconds."),
	NUMBER("sandboxes.NAME.output_kb", 1, 65536, "1024", "Output of one run, KiB."),
	NUMBER("sandboxes.NAME.pids", 1, 4096, "64",
	    "Processes in one sandbox, about; threads up to twice as many."),
	NUMBER("sandboxes.NAME.tmp_mb", 1, 65536, "64", "Size of /tmp in one sandbox, MiB."),
	NUMBER("sandboxes.NAME.files_kb", 0, 4096, "4096", "Files out of one run, KiB."),
	NUMBER("sandboxes.NAME.queue", 0, 4096, "64", "Runs that wait for a sandbox; then 429."),

	{ "tools.NAME.sandbox", CONF_ENUM, 0, 0, NULL, false, "wasm|gvisor",
	    "Where users' tools of that name run; without it `wasm` where the upload has a module, "
	    "else `gvisor`. NAME may be `python`, `javascript` or `sh`: code, always in gVisor." },
	NUMBER("tools.NAME.limits.time_ms", 1, 60000, NULL,
	    "Time of one call; 5000 without it. Of code: lowers its sandbox's."),
	NUMBER("tools.NAME.limits.memory_mb", 1, 1024, NULL,
	    "Memory of one call, MiB; 64 without it. Not for code: see `sandboxes`."),
	NUMBER("tools.NAME.limits.output_kb", 1, 512, NULL,
	    "Output of one call, KiB; 256 without it. Not for code: see `sandboxes`."),
	LIST("tools.NAME.capabilities", "files",
	    "What a tool of that name may have, where its `tool.json` asks for it (`wasm` only)."),
	{ "tools.NAME.allow", CONF_LIST, 0, 1024, NULL, false, NULL,
	    "Policies whose keys may call a tool of that name that another user of their tenant "
	    "owns, in the version that was allowed; without it none. Of code: policies that may "
	    "run it; without it all that may run the language." },

	NUMBER("wasm.workers", 1, CONF_WORKERS_MAX, "16",
	    "Processes at once that run users' tools in WebAssembly, each for one tenant."),
	NUMBER("wasm.idle_s", 1, 3600, "60", "An idle one ends after so many seconds."),

	SWITCH("keys.revoke_leaked", "false",
	    "Revoke a key that stands in the body of a request, where no credential belongs; it is "
	    "recorded in any case."),

	NUMBER("limits.connections", 1, 1000000, "4096", "Open connections of one worker."),
	NUMBER("limits.connections_per_source", 1, 1000000, "1024",
	    "Open connections of one source address. Each worker allows its part, rounded up."),
	NUMBER("limits.handshakes_per_source_per_s", 1, 1000000, "500",
	    "TLS handshakes a second of one source address. Each worker allows its part, rounded "
	    "up."),
	NUMBER("limits.auth_failures_per_s", 1, 1000000, "100",
	    "Failed authentications a second of one source address that are looked up and recorded "
	    "one by one; above it they are counted."),
	NUMBER("limits.h2_streams", 1, 1000, "128",
	    "Requests at once of one HTTP/2 connection; more are told to try again."),
	NUMBER("limits.handshake_timeout_ms", 100, 600000, "10000", "For the TLS handshake."),
	NUMBER("limits.header_timeout_ms", 100, 600000, "10000", "For a request's head."),
	NUMBER("limits.body_timeout_ms", 100, 600000, "30000", "For a request's body."),
	NUMBER("limits.idle_timeout_ms", 100, 3600000, "75000", "Between requests."),
	NUMBER("limits.write_timeout_ms", 100, 600000, "30000", "Without progress when writing."),
	NUMBER("limits.body_bytes", 1024, 8388608, "8388608", "Body of one request."),
	NUMBER("limits.bodies_total_bytes", 1048576, 68719476736, "268435456",
	    "All bodies in the memory of one worker, as far as they have arrived; a quarter of it "
	    "for "
	    "one key, half for one source address. An eighth more is kept for the first 64 KiB of "
	    "each body."),
	NUMBER("limits.turn_steps", 1, 16, "8", "Tool steps of one turn."),
	NUMBER("limits.turn_s", 1, 600, "300", "Time of one turn, seconds."),
	NUMBER("limits.turn_output_kb", 1, 65536, "4096", "Output of all steps of a turn, KiB."),
	NUMBER("limits.user_requests_per_min", 1, 1000000000, "12000",
	    "Requests a minute of one user, over all keys."),
	NUMBER("limits.user_concurrent", 1, 65536, "128",
	    "Requests at once of one user, over all keys."),
	NUMBER("store.user_mb", 1, 1048576, "1024", "What is kept for one user at most, MiB."),
	NUMBER("retention.conversations_days", 0, 36500, "0",
	    "Days that a conversation is kept after its last change; 0: for ever."),
	NUMBER("retention.responses_days", 0, 36500, "30",
	    "Days that a stored response is kept; 0: for ever."),
	NUMBER("retention.files_days", 0, 36500, "0", "Days that a file is kept; 0: for ever."),
	NUMBER("retention.usage_days", 0, 36500, "400",
	    "Days that counts of usage are kept; 0: for ever."),
};
const size_t conf_row_count = sizeof(conf_rows) / sizeof(conf_rows[0]);

static const char *const type_names[CONF_TYPE_COUNT] = {
	[CONF_U64] = "number",
	[CONF_BOOL] = "true or false",
	[CONF_STRING] = "text",
	[CONF_ENUM] = "one of",
	[CONF_LIST] = "list",
	[CONF_PATH] = "path",
	[CONF_SOCKET_PATH] = "path",
	[CONF_URI] = "URL",
	[CONF_ADDRESS] = "address",
	[CONF_CREDENTIAL] = "reference",
	[CONF_KEK] = "reference",
	[CONF_MOUNT] = "path in Vault",
	[CONF_REGION] = "text",
	[CONF_CLAIM] = "claim",
};

static bool
name_byte(uint8_t b, bool alias)
{
	if ((b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z'))
		return true;
	return memchr(alias ? "_.-/:@+" : "_.-", b, alias ? 7 : 3) != NULL;
}

static bool
name_ok(struct span s, size_t len_max, bool alias)
{
	if (s.len == 0 || s.len > len_max)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!name_byte(s.ptr[i], alias))
			return false;
	}
	return true;
}

/* Does one part of a path fill one part of a row's path? */
static bool
part_match(struct span pattern, struct span part)
{
	uint64_t n;

	if (span_eq_str(pattern, "NAME"))
		return name_ok(part, CONF_NAME_MAX, false);
	if (span_eq_str(pattern, "ALIAS"))
		return name_ok(part, CONF_ALIAS_MAX, true);
	if (span_eq_str(pattern, "N"))
		return is_ok(span_u64(part, CONF_ENTRIES_MAX, &n));
	return span_eq(pattern, part);
}

/* Cut the first part off; false when there is none. */
static bool
part_next(struct span *rest, char sep, struct span *part)
{
	const uint8_t *end;

	if (rest->ptr == NULL)
		return false;
	end = rest->len == 0 ? NULL : memchr(rest->ptr, sep, rest->len);
	*part = end == NULL ? *rest : span_of(rest->ptr, (size_t)(end - rest->ptr));
	*rest = end == NULL ? SPAN_EMPTY : span_of(end + 1, rest->len - part->len - 1);
	return true;
}

enum conf_match
conf_row_match(const struct conf_row *row, struct span path)
{
	struct span pattern = span_str(row->path), a, b;

	for (;;) {
		bool more_row = part_next(&pattern, '.', &a);
		bool more_path = part_next(&path, CONF_SEP, &b);

		if (!more_path)
			return more_row ? MATCH_ABOVE : MATCH_EXACT;
		if (!more_row || !part_match(a, b))
			return MATCH_NONE;
	}
}

const struct conf_row *
conf_row_find(struct span path, enum conf_match *ret)
{
	for (size_t i = 0; i < conf_row_count; i++) {
		*ret = conf_row_match(&conf_rows[i], path);
		if (*ret != MATCH_NONE)
			return &conf_rows[i];
	}
	return NULL;
}

static struct status
describe_range(const struct conf_row *r, struct buf *out)
{
	struct span rest, part;

	if (r->type == CONF_U64)
		return buf_printf(
		    out, "%llu – %llu", (unsigned long long)r->min, (unsigned long long)r->max);
	if (r->choices == NULL)
		return buf_put_str(out, r->type == CONF_LIST ? "names, or `*`" : "");
	rest = span_str(r->choices);
	for (const char *sep = ""; part_next(&rest, '|', &part); sep = ", ")
		TRY(buf_printf(out, "%s`%.*s`", sep, SPAN_FMT(part)));
	return buf_put_str(out, r->type == CONF_LIST ? ", or `*`" : "");
}

static struct status
describe_default(const struct conf_row *r, struct buf *out)
{
	if (r->required)
		return buf_put_str(out, "required");
	if (r->fallback == NULL)
		return buf_put_str(out, "–");
	if (r->fallback[0] == '\0')
		return buf_put_str(out, "none");
	return buf_printf(out, "`%s`", r->fallback);
}

struct status
conf_describe(struct buf *out)
{
	TRY(buf_put_str(
	    out, "| Key | Type | Default | Range | Meaning |\n|---|---|---|---|---|\n"));
	for (size_t i = 0; i < conf_row_count; i++) {
		const struct conf_row *r = &conf_rows[i];

		TRY(buf_printf(out, "| `%s` | %s | ", r->path, type_names[r->type]));
		TRY(describe_default(r, out));
		TRY(buf_put_str(out, " | "));
		TRY(describe_range(r, out));
		TRY(buf_printf(out, " | %s |\n", r->meaning));
	}
	return OK;
}
