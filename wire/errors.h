/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_ERRORS_H
#define WIRE_ERRORS_H

/*
 * Every error that a client can be told, once: HTTP status, OpenAI's type and
 * code, the message, and whether its SDK should retry. Audit's Error event
 * takes error_type (the code) and the message from here and from nowhere else.
 */
#include <stdint.h>

enum error {
	ERROR_NONE,
	ERROR_BAD_REQUEST, /* not parsable as HTTP, or a target that is never served */
	ERROR_INVALID_JSON,
	ERROR_INVALID_FIELD, /* schema; the JSON pointer goes into `param` */
	ERROR_INVALID_KEY,
	ERROR_DENIED, /* policy */
	ERROR_NO_ROUTE,
	ERROR_METHOD,
	ERROR_MODEL_NOT_FOUND,
	ERROR_LANGUAGE,
	ERROR_DIALECT, /* the model's provider does not speak this endpoint */
	ERROR_HEADER_TIMEOUT,
	ERROR_BODY_TOO_LARGE,
	ERROR_MEDIA_TYPE,
	ERROR_URI_TOO_LONG,
	ERROR_HEADERS_TOO_LARGE,
	ERROR_HTTP_VERSION,
	ERROR_RATE_LIMIT,
	ERROR_CONCURRENCY,
	ERROR_POOL_BUSY,
	ERROR_REVOKED,
	ERROR_CANCELLED,
	ERROR_INTERNAL,
	ERROR_UPSTREAM, /* the provider failed or answered nonsense */
	ERROR_UPSTREAM_TIMEOUT,
	ERROR_UPSTREAM_BUSY, /* the provider says that it is overloaded, or its breaker is open */
	ERROR_CREDENTIAL,    /* the provider's credential cannot be had */
	ERROR_AUDIT_UNAVAILABLE,
	ERROR_UNAVAILABLE, /* a process of ours is away */
	ERROR_OVERLOADED,  /* a bounded queue of ours is full */
	ERROR_TURN_LIMIT,  /* steps, time or bytes of a turn */
	ERROR_GRANT,       /* no fresh, matching, unused grant */
	ERROR_TOOL_NOT_FOUND,
	ERROR_TOOL_INVALID,      /* manifest, module or native part; the reason goes with it */
	ERROR_TOOL_SANDBOX,      /* the part for the chosen sandbox is missing */
	ERROR_TOOL_COUNT,        /* too many tools, or versions of one */
	ERROR_CONTENT_NOT_FOUND, /* also: another user's, or erased */
	ERROR_CONTENT_FULL,      /* a quota of what is kept for a user */
	ERROR_CONTENT_EXISTS,
	ERROR_LEAKED_KEY,            /* a key of ours stands in the body */
	ERROR_ROLE,                  /* the role of this user does not allow that */
	ERROR_CREDENTIAL_IN_CONTENT, /* something that a person should not have pasted */
	ERROR_ARGUMENTS,             /* of a model's call: told to the model, and recorded */
	ERROR_LEGAL_HOLD,
	ERROR_STORE_TAMPERED, /* rows of people that are not the store's own */
	ERROR_COUNT,
};

struct error_row {
	uint16_t http;
	uint8_t retry; /* x-should-retry */
	const char *type;
	const char *code;
	const char *message;
};

static const struct error_row error_rows[ERROR_COUNT] = {
	[ERROR_NONE] = { 200, 0, "", "", "" },
	[ERROR_BAD_REQUEST] = { 400, 0, "invalid_request_error", "bad_request",
	    "The request could not be parsed." },
	[ERROR_INVALID_JSON] = { 400, 0, "invalid_request_error", "invalid_json",
	    "The body is not valid JSON." },
	[ERROR_INVALID_FIELD] = { 400, 0, "invalid_request_error", "invalid_field",
	    "A field of the request is not valid." },
	[ERROR_INVALID_KEY] = { 401, 0, "authentication_error", "invalid_api_key",
	    "The API key is missing or not valid." },
	[ERROR_DENIED] = { 403, 0, "permission_error", "denied",
	    "The policy of this key does not allow that." },
	[ERROR_NO_ROUTE] = { 404, 0, "invalid_request_error", "not_found",
	    "There is no such endpoint." },
	[ERROR_METHOD] = { 405, 0, "invalid_request_error", "method_not_allowed",
	    "The endpoint does not take this method." },
	[ERROR_MODEL_NOT_FOUND] = { 404, 0, "invalid_request_error", "model_not_found",
	    "The model does not exist or this key may not use it." },
	[ERROR_LANGUAGE] = { 400, 0, "invalid_request_error", "unknown_language",
	    "The language is not offered here." },
	[ERROR_DIALECT] = { 400, 0, "invalid_request_error", "unsupported_endpoint",
	    "The model's provider does not speak this endpoint." },
	[ERROR_HEADER_TIMEOUT] = { 408, 0, "invalid_request_error", "request_timeout",
	    "The request did not arrive in time." },
	[ERROR_BODY_TOO_LARGE] = { 413, 0, "invalid_request_error", "body_too_large",
	    "The body is larger than the limit." },
	[ERROR_MEDIA_TYPE] = { 415, 0, "invalid_request_error", "unsupported_media_type",
	    "The body must be application/json without content coding." },
	[ERROR_URI_TOO_LONG] = { 414, 0, "invalid_request_error", "uri_too_long",
	    "The request line is longer than the limit." },
	[ERROR_HEADERS_TOO_LARGE] = { 431, 0, "invalid_request_error", "headers_too_large",
	    "The header fields are larger than the limit." },
	[ERROR_HTTP_VERSION] = { 505, 0, "invalid_request_error", "http_version",
	    "Only HTTP/1.1 and HTTP/2 are served here." },
	[ERROR_RATE_LIMIT] = { 429, 1, "rate_limit_error", "rate_limit_exceeded",
	    "Too many requests for this key or user." },
	[ERROR_CONCURRENCY] = { 429, 1, "rate_limit_error", "concurrency_exceeded",
	    "Too many requests at once for this key or user." },
	[ERROR_POOL_BUSY] = { 429, 1, "rate_limit_error", "sandbox_busy",
	    "All sandboxes are busy." },
	[ERROR_REVOKED] = { 401, 0, "authentication_error", "key_revoked",
	    "The API key was revoked while the request ran." },
	[ERROR_CANCELLED] = { 499, 0, "invalid_request_error", "cancelled",
	    "The client left before the answer." },
	[ERROR_INTERNAL] = { 500, 1, "server_error", "internal_error", "Something failed inside." },
	[ERROR_UPSTREAM] = { 502, 1, "server_error", "upstream_error",
	    "The model's provider failed or gave an answer that could not be used." },
	[ERROR_UPSTREAM_TIMEOUT] = { 504, 1, "server_error", "upstream_timeout",
	    "The model's provider did not answer in time." },
	[ERROR_UPSTREAM_BUSY] = { 503, 1, "server_error", "upstream_overloaded",
	    "The model's provider is overloaded or does not recover from failures." },
	[ERROR_CREDENTIAL] = { 503, 1, "server_error", "credential_unavailable",
	    "The credential of the model's provider cannot be had at the moment." },
	[ERROR_AUDIT_UNAVAILABLE] = { 503, 1, "server_error", "audit_unavailable",
	    "The audit log cannot be written, so nothing is done." },
	[ERROR_UNAVAILABLE] = { 503, 1, "server_error", "unavailable",
	    "A part of the service is starting or away." },
	[ERROR_OVERLOADED] = { 503, 1, "server_error", "overloaded", "The service is overloaded." },
	[ERROR_TURN_LIMIT] = { 422, 0, "invalid_request_error", "turn_limit",
	    "The turn between model and tools reached its limit." },
	[ERROR_GRANT] = { 503, 1, "server_error", "grant_refused",
	    "The action was not covered by a fresh grant." },
	[ERROR_TOOL_NOT_FOUND] = { 404, 0, "invalid_request_error", "tool_not_found",
	    "The tool does not exist or this key may not use it." },
	[ERROR_TOOL_INVALID] = { 400, 0, "invalid_request_error", "invalid_tool",
	    "The tool cannot be used as it is." },
	[ERROR_TOOL_SANDBOX] = { 400, 0, "invalid_request_error", "tool_part_missing",
	    "The tool lacks the part that its sandbox runs." },
	[ERROR_TOOL_COUNT] = { 409, 0, "invalid_request_error", "too_many_tools",
	    "There is no room for another tool or version." },
	[ERROR_CONTENT_NOT_FOUND] = { 404, 0, "invalid_request_error", "not_found",
	    "There is no such object." },
	[ERROR_CONTENT_FULL] = { 409, 0, "invalid_request_error", "storage_full",
	    "There is no room for more of what is kept for this user." },
	[ERROR_CONTENT_EXISTS] = { 409, 0, "invalid_request_error", "exists",
	    "There is such an object already." },
	[ERROR_LEAKED_KEY] = { 400, 0, "invalid_request_error", "key_in_body",
	    "The body holds an API key of this service. Nothing was done; have that key revoked." },
	[ERROR_ROLE] = { 403, 0, "permission_error", "role",
	    "The role of this user does not allow that." },
	[ERROR_CREDENTIAL_IN_CONTENT] = { 400, 0, "invalid_request_error", "credential_in_body",
	    "There is a credential where none is taken." },
	[ERROR_ARGUMENTS] = { 422, 0, "invalid_request_error", "invalid_arguments",
	    "The model's arguments do not fit the tool's parameters." },
	[ERROR_LEGAL_HOLD] = { 409, 0, "invalid_request_error", "legal_hold",
	    "There is a legal hold on this person: nothing of it is deleted." },
	[ERROR_STORE_TAMPERED] = { 503, 0, "server_error", "store_tampered",
	    "The service's own records were changed by others: it serves nobody until whoever runs "
	    "it has looked at them." },
};

#endif
