/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failure.c: what OpenSSL's reasons mean for us.
 *
 * Runs in: gateway, broker, CLI. Trusts: nothing. Owns: nothing.
 * Invariants: the error queue is empty afterwards.
 * See: openssl/sslerr.h; alerts: RFC 8446 §6.
 */
#include "ctx.h"

#include <openssl/err.h>

#define ALERT_REASON_MIN 1000 /* reasons from here on are alerts of the peer */

/* The first row wins; whatever is not here is an alert or garbage. */
static const struct {
	int reason;
	enum tls_failure failure;
} reasons[] = {
	{ SSL_R_HTTP_REQUEST, TLS_FAIL_PLAIN_HTTP },
	{ SSL_R_HTTPS_PROXY_REQUEST, TLS_FAIL_PLAIN_HTTP },
	{ SSL_R_UNSUPPORTED_PROTOCOL, TLS_FAIL_OLD_VERSION },
	{ SSL_R_UNKNOWN_PROTOCOL, TLS_FAIL_OLD_VERSION },
	{ SSL_R_VERSION_TOO_LOW, TLS_FAIL_OLD_VERSION },
	{ SSL_R_WRONG_SSL_VERSION, TLS_FAIL_OLD_VERSION },
	{ SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, TLS_FAIL_OLD_VERSION },
	{ SSL_R_NO_APPLICATION_PROTOCOL, TLS_FAIL_ALPN },
	{ SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, TLS_FAIL_ALPN },
	{ SSL_R_CERTIFICATE_VERIFY_FAILED, TLS_FAIL_CERT },
	{ SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, TLS_FAIL_CERT },
	{ SSL_R_TLSV1_ALERT_UNKNOWN_CA, TLS_FAIL_CERT },
	{ SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, TLS_FAIL_CERT },
	{ SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, TLS_FAIL_CERT },
	{ SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, TLS_FAIL_CERT },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, TLS_FAIL_CERT },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, TLS_FAIL_CERT },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, TLS_FAIL_CERT },
	{ SSL_R_UNEXPECTED_EOF_WHILE_READING, TLS_FAIL_CLOSED },
};

static const char *const texts[TLS_FAIL_COUNT] = {
	[TLS_FAIL_NONE] = "none",
	[TLS_FAIL_PLAIN_HTTP] = "plain_http",
	[TLS_FAIL_OLD_VERSION] = "old_version",
	[TLS_FAIL_ALPN] = "alpn",
	[TLS_FAIL_CERT] = "certificate",
	[TLS_FAIL_ALERT] = "alert",
	[TLS_FAIL_GARBAGE] = "garbage",
	[TLS_FAIL_CLOSED] = "closed",
};

const char *
tls_failure_text(enum tls_failure f)
{
	return (unsigned)f < TLS_FAIL_COUNT ? texts[f] : "unknown";
}

static enum tls_failure
classify(unsigned long error)
{
	int reason = ERR_GET_REASON(error);

	if (ERR_GET_LIB(error) != ERR_LIB_SSL)
		return TLS_FAIL_GARBAGE;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].reason == reason)
			return reasons[i].failure;
	}
	return reason >= ALERT_REASON_MIN ? TLS_FAIL_ALERT : TLS_FAIL_GARBAGE;
}

enum tls_failure
tls_failure_take(void)
{
	enum tls_failure f = classify(ERR_peek_error());

	ERR_clear_error();
	return f;
}
