/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c: events of processes and configuration on their way to the audit log.
 *
 * Runs in: supervisor. Trusts: nothing. Owns: a bounded queue.
 * Invariants: one record is under way at a time and leaves the queue when it is
 * durable, so a death of the audit process loses none of them (and may repeat
 * one, with the same process sequence number). A full queue drops its newest,
 * never the one under way, and the gap in the sequence numbers shows it.
 * See: wire/audit_event.h.
 */
#include "supervisor.h"

#include <sys/wait.h>

#include <base/encode.h>
#include <crypto/hash.h>

static struct pending_record *
record_new(struct supervisor *sv, enum audit_event event, enum audit_outcome outcome)
{
	struct pending_record *p;

	if (sv->nrecords == RECORDS_MAX)
		sv->nrecords--;
	p = &sv->records[(sv->first_record + sv->nrecords) % RECORDS_MAX];
	sv->nrecords++;
	*p = (struct pending_record){ 0 };
	p->rec.event = (uint8_t)event;
	p->rec.outcome = (uint8_t)outcome;
	p->rec.config = sv->generation;
	p->rec.proc_seq = ++sv->proc_seq;
	return p;
}

static void
add_number(struct pending_record *p, uint64_t v)
{
	p->values[p->rec.values.count++] = (struct audit_value){ .kind = AUDIT_V_U64, .num = v };
}

static void
add_nothing(struct pending_record *p)
{
	p->values[p->rec.values.count++] = (struct audit_value){ .kind = AUDIT_V_NULL };
}

static void
add_text(struct pending_record *p, const char *text)
{
	p->values[p->rec.values.count++] = (struct audit_value){ .kind = AUDIT_V_STR,
		.str = span_str(text) };
}

void
record_process(struct supervisor *sv, const struct child *c, bool started, int wait_status)
{
	bool clean = started || (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0);
	struct pending_record *p = record_new(sv,
	    started ? EVENT_PROCESS_STARTED : EVENT_PROCESS_ENDED,
	    clean ? AUDIT_SUCCESS : AUDIT_FAILURE);

	add_text(p, proc_names[c->proc]);
	add_number(p, c->index);
	add_number(p, (uint64_t)c->pid);
	if (!started) {
		add_number(p, WIFEXITED(wait_status) ? (uint64_t)WEXITSTATUS(wait_status) : 0);
		add_number(p, WIFSIGNALED(wait_status) ? (uint64_t)WTERMSIG(wait_status) : 0);
	}
	record_flush(sv);
}

/* Names, as many as fit; then a mark. */
static void
add_name(void *ctx, struct span name)
{
	char *out = ctx;
	size_t at = strlen(out);

	if (at > 0 && out[at - 1] == '*')
		return;
	if (at + name.len + sizeof(" *") > AUDIT_STR_MAX) {
		(void)snprintf(out + at, AUDIT_STR_MAX + 1 - at, " *");
		return;
	}
	(void)snprintf(
	    out + at, AUDIT_STR_MAX + 1 - at, "%s%.*s", at > 0 ? " " : "", SPAN_FMT(name));
}

/* The providers that are used without a credential, for everybody to see. */
static void
names_without_credential(const struct conf *conf, char out[AUDIT_STR_MAX + 1])
{
	struct span name;

	for (size_t iter = 0; conf_each(conf, "providers", &iter, &name);) {
		const char *credential = conf_strf(
		    conf, "providers.%.*s.credential", SPAN_FMT(name));

		if (credential == NULL || strcmp(credential, "none") == 0)
			add_name(out, name);
	}
}

void
record_config(struct supervisor *sv, struct span text, const struct conf *before)
{
	struct pending_record *p = record_new(sv, EVENT_CONFIG_LOADED, AUDIT_SUCCESS);
	uint8_t digest[DIGEST_LEN];

	if (is_ok(sha256(text, digest)))
		hex_encode(span_of(digest, sizeof(digest)), p->text[0]);
	names_without_credential(sv->conf, p->text[1]);
	conf_each_weak(sv->conf, add_name, p->text[2]);
	conf_each_weaker(before, sv->conf, add_name, p->text[3]);
	add_number(p, sv->generation);
	add_text(p, p->text[0]);
	add_text(p, p->text[1]);
	add_text(p, p->text[2]);
	add_text(p, p->text[3]);
	record_flush(sv);
}

void
record_certificate(
    struct supervisor *sv, const struct certificate *c, const char *why, const char *fault)
{
	struct pending_record *p = record_new(
	    sv, EVENT_CERTIFICATE_CHANGED, fault == NULL ? AUDIT_SUCCESS : AUDIT_FAILURE);

	hex_encode(span_of(c->fingerprint, sizeof(c->fingerprint)), p->text[0]);
	add_text(p, p->text[0]);
	add_number(p, (uint64_t)c->not_after_s);
	add_text(p, why);
	if (fault != NULL)
		add_text(p, fault);
	else
		add_nothing(p);
	record_flush(sv);
}

void
record_revocations(struct supervisor *sv, const struct clients *c, const char *why,
    const char *fault, const char *authority)
{
	struct pending_record *p = record_new(
	    sv, EVENT_REVOCATIONS_CHANGED, fault == NULL ? AUDIT_SUCCESS : AUDIT_FAILURE);

	if (c->until_s == 0) { /* there are none any more */
		add_nothing(p);
		add_nothing(p);
	} else {
		hex_encode(span_of(c->digest, sizeof(c->digest)), p->text[0]);
		add_text(p, p->text[0]);
		add_number(p, c->until_s);
	}
	add_text(p, why);
	if (fault != NULL)
		add_text(p, fault);
	else
		add_nothing(p);
	if (fault != NULL && authority[0] != '\0') {
		(void)snprintf(p->text[1], sizeof(p->text[1]), "%s", authority);
		add_text(p, p->text[1]);
	} else {
		add_nothing(p);
	}
	record_flush(sv);
}

void
record_store_rolled_back(struct supervisor *sv, uint64_t generation, uint64_t expected)
{
	struct pending_record *p = record_new(sv, EVENT_STORE_ROLLED_BACK, AUDIT_FAILURE);

	add_number(p, generation);
	if (expected > 0)
		add_number(p, expected);
	else
		add_nothing(p);
	record_flush(sv);
}

/* Ids of the A end are odd (lib/link); this one names the record. */
static uint64_t
record_id(const struct pending_record *p)
{
	return p->rec.proc_seq << 1 | 1;
}

static void
on_record_timer(uv_timer_t *t)
{
	record_flush(t->data);
}

void
record_flush(struct supervisor *sv)
{
	struct child *audit = child_of(sv, PROC_AUDIT, true);
	struct pending_record *p = &sv->records[sv->first_record];

	if (audit == NULL) {
		sv->record_sent = false; /* whatever was under way goes to the next one */
		return;
	}
	if (sv->record_sent || sv->nrecords == 0)
		return;
	p->rec.values.items = p->values;
	sv->record_sent = is_ok(link_send(audit->control, record_id(p), CTL_RECORD, &p->rec));
}

void
record_on_recorded(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_recorded *m = msg;
	struct child *c = ctx;
	struct supervisor *sv = c->sv;

	(void)l;
	if (c->proc != PROC_AUDIT || !sv->record_sent || sv->nrecords == 0 ||
	    id != record_id(&sv->records[sv->first_record]))
		return;
	sv->record_sent = false;
	if (!m->ok) {
		diag(DIAG_WARN, "audit: cannot take a record of the supervisor now");
		(void)uv_timer_start(&sv->record_timer, on_record_timer, RECORD_RETRY_MS, 0);
		return;
	}
	if (sv->records[sv->first_record].rec.event == EVENT_STORE_ROLLED_BACK)
		rollback_recorded(sv, sv->records[sv->first_record].values[0].num,
		    sv->records[sv->first_record].values[1].num);
	sv->first_record = (sv->first_record + 1) % RECORDS_MAX;
	sv->nrecords--;
	record_flush(sv);
}
