/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_LEASE_H
#define BROKER_LEASE_H

/*
 * What a source lent us, beside the value: it is given back once nobody uses the
 * value any more, rather than left to its own end.
 */
#include <conf/reference.h>

#define LEASE_ID_MAX 512
#define LEASES_MAX 256           /* that wait to be given back; beyond, the oldest ends by itself */
#define LEASE_TRIES_MAX 10       /* … and one that cannot be given back */
#define LEASE_PAUSE_MIN_MS 1000U /* between tries; then it doubles */
#define LEASE_PAUSE_MAX_MS 60000U

struct broker;
struct lease;
struct leases;

/*
 * `spec` is the reference that it was read for, `login` the source's number of the login that it
 * came by, `end_ms` when it ends by itself. E_NOMEM, E_RANGE.
 */
MUST_USE struct status lease_new(struct broker *b, const char *spec, const char *id, uint32_t login,
    uint64_t end_ms, struct lease **ret);
/* It was renewed. NULL is fine. */
void lease_extend(struct lease *l, uint64_t end_ms);
/* Nobody uses it any more. Takes it. NULL is fine. */
void lease_return(struct lease *l);
/* The source behind these is another, or none. */
void leases_source_changed(struct broker *b, enum reference_source source);
/* What waits ends by itself. State: nothing is returned any more. */
void leases_free(struct broker *b);

#endif
