/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GATEWAY_RIG_STATE_H
#define TESTS_GATEWAY_RIG_STATE_H

/*
 * What the peers of gateway_rig.h have seen and what they are to say.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <conn.h>
#include <crypto/cert.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>
#include <keytext/keytext.h>
#include <wire/gateway_broker.h>
#include <wire/gateway_executor.h>
#include <wire/gateway_store.h>
#include <worker.h>

#define WAIT_MS 60000 /* what is not there then hangs */
#define ANSWER_PARTS 4

static uv_loop_t loop;
static struct gateway g;
static struct daemon d;
static char key[KEYTEXT_LEN + 1];
static struct buf ca = BUF_INIT(CERT_PEM_LEN_MAX), cert = BUF_INIT(CERT_PEM_LEN_MAX);
static struct secret ca_key, cert_key;
static struct tls_ctx *client_ctx;

/* ---- the other processes ---- */

struct model_script {
	uint16_t status;
	const char *parts[ANSWER_PARTS];
};

static struct {
	struct link *authority, *broker, *executor, *store;
	/* what to say */
	enum error check_error, admit_error, run_error;
	uint8_t attach;
	const struct model_script *models; /* one a call */
	const char *names;                 /* of models, '\n' between; NULL: the usual ones */
	const char *out, *err, *files;
	const struct ga_tool *tools; /* of the key */
	uint32_t ntools;
	uint64_t catalog;
	uint8_t more;
	const struct ge_result *result; /* of a run; NULL: it exits with 0 */
	const struct ge_failed *failed;
	enum error step_error; /* for a tool */
	bool grants_refused;   /* an authority that grants what it is told not to */
	bool hold_step;
	uint64_t step_ids[16];
	bool hold_run, hold_settle, hold_admit, hold_check;
	struct span long_text; /* the whole answer of a model, as its stream takes it */
	size_t flood;          /* bytes of content that the model streams */
	const struct content_answer *contents; /* of the store, one an operation; NULL: empty */
	enum error content_error;
	uint32_t content_cut; /* bytes that it says it has sent, and has not */
	bool may_store, mask, hold_content;
	bool mask_again; /* asks for what is to be kept without credentials */
	/* what was seen */
	int contents_done, contents_cancelled, steps_content;
	struct ga_step content_step;
	char content_id[CONTENT_ID_MAX + 1]; /* admitted, or of the last step */
	struct buf content;                  /* encoded, of the last operation */
	struct stream *content_stream;
	int checks, admits, attached, offered, steps_run, steps_tool, steps_model, settles;
	int steps_refused; /* by the gateway, told to be put on record */
	int failures, revoked, tokens;
	struct ga_step step;
	int calls, runs, runs_cancelled, calls_cancelled;
	uint32_t failures_counted;
	struct ga_admit admit;
	struct ga_settle settle;
	uint64_t settle_id, admit_id, check_id;
	struct buf body; /* of the last model call */
	char version[ANTHROPIC_VERSION_MAX + 1], beta[ANTHROPIC_BETA_MAX + 1];
	struct stream *run_stream, *call_stream;
	size_t flooded;
	uint8_t digest[DIGEST_LEN]; /* granted last */
	uint8_t leaked[LEAKED_KEYS_MAX * KEY_TEXT_LEN];
	size_t leaked_len, leaked_home;
} peers = { .body = BUF_INIT(16UL << 20), .content = BUF_INIT(16UL << 20) };

static inline void
reply(struct link *l, uint64_t id, uint16_t type, const void *msg)
{
	assert_int_equal(link_send(l, id, type, msg).code, E_OK);
}

#endif
