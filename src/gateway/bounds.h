/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_BOUNDS_H
#define GATEWAY_BOUNDS_H

/*
 * Limits of the gateway that are not configuration. Bytes unless the name says otherwise.
 */
#include <stdint.h>

#define WORKERS_MAX 16               /* the supervisor's, too */
#define READ_LEN 16384               /* one read from a connection */
#define READS_PER_EVENT 4            /* then the others get their turn */
#define PIPELINE_MAX (64U << 10)     /* input kept while an answer is made */
#define OUT_SOFT_MAX (64U << 10)     /* unsent output that stops reading from inside */
#define OUT_MAX (96U << 20)          /* unsent output of one connection, whatever happens */
#define ACCEPTS_PER_EVENT 16         /* connections taken in one turn of the loop */
#define ACCEPT_AGAIN_MS 100          /* after one failed for want of descriptors or memory */
#define SOURCES_MAX 8192             /* source addresses remembered */
#define LINGER_MS 1000               /* to read on after an answer that ends a connection */
#define LINGER_BYTES_MAX (4UL << 20) /* and how much */
#define KEY_GOOD_MS 10000            /* for so long a connection need not ask about its key again */
#define CALL_TIMEOUT_MS 15000        /* an answer of the authority */
#define ADMIN_TIMEOUT_MS 15000       /* an act of administration, or an exchange */
#define RUN_GRACE_MS 15000           /* beside a run's limit: 10 s in the queue, and a margin */
#define REQUEST_ARENA_MAX (64UL << 20) /* decoded parts of one request */
#define ANSWER_MAX (16U << 20)         /* one whole answer of a provider */
#define EVENT_MAX (1U << 20)           /* one event of a provider's stream, and all that are */
				       /* kept until the turn is settled */
#define UPSTREAM_ERROR_MAX (16U << 10) /* body of a provider's error that is looked at */
#define UPSTREAM_MESSAGE_MAX 1024      /* of it that a client is told */
#define CALLS_MAX 16                   /* tool calls in one answer of a model */
#define CALL_BYTES_MAX (2U << 20)      /* their names, ids and arguments */
#define TOOL_TEXT_MAX (16U << 10)      /* of stdout and of stderr, each, that a model sees */
#define ANSWER_TOKENS_MAX (1U << 20)   /* JSON tokens in an answer or event of a provider */
#define RUN_OUTPUT_MAX (64U << 20)     /* of one run; the executor's own limits are lower */
#define READMITTED_MAX 4               /* times that tools may change while a request is admitted */
#define TOOL_DEFS_MAX 64               /* tools whose compiled schemas are kept */
#define TOOL_DEFS_BYTES_MAX (16UL << 20) /* and what they may take together */
#define TOOL_SETS_MAX 256               /* answers of the authority about keys' tools, remembered */
#define TOOL_SETS_BYTES_MAX (8UL << 20) /* and what they may take together */
#define TOOL_CHECK_STEPS_MAX 4000000    /* of one check against a user's schema */
#define TOOLS_AT_ONCE_MAX 8             /* calls of users' tools that one answer has run at once */
#define TOOL_BUILD_MS_MAX 60000         /* compiling an upload, beside RUN_GRACE_MS */
#define CREDENTIAL_KEPT_MAX 256         /* room that an idle connection keeps for one */
#define LOGIN_ANSWER_MAX (64U << 10)    /* identity providers by which people sign in */
#define CLIENT_CAS_LEN_MAX (512U << 10) /* PEM of who vouches for clients' certificates */
#define REQUESTS_SPARE_MAX 64           /* request objects kept for the next connection */

#endif
