/* report.c - what is said of an association: one line when it is accepted or
 * refused, one at its end (rule 37). Engineers of vendors read them on the phone;
 * nothing in them is the patient's (rule 34).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/dimse/dimse_int.h"

/* The log cuts a value after 256 characters and a line after 4 KiB, so the list of
 * contexts goes into several fields: contexts, contexts2, ... */
#define PART_SIZE 240
#define PARTS	  8

#define STRANGERS_MS   10000
#define STRANGERS_TOLD 200	/* lines in that time */

struct parts {
	char text[PARTS][PART_SIZE + 1];
	unsigned n;
};

static void
split_list(const char *list, struct parts *ret)
{
	size_t len;

	for (ret->n = 0; *list != '\0' && ret->n < PARTS; ret->n++) {
		len = strlen(list);
		if (len > PART_SIZE) {
			len = PART_SIZE;
			while (len > 1 && list[len] != ' ')
				len--;
		}
		(void)snprintf(ret->text[ret->n], PART_SIZE + 1, "%.*s", (int)len,
		    list);
		list += len;
		list += *list == ' ';
	}
}

static size_t
add_parts(struct log_field *to, const char *const keys[PARTS],
    const struct parts *p)
{
	for (unsigned i = 0; i < p->n; i++)
		to[i] = (struct log_field)LOG_STR(keys[i], p->text[i]);
	return p->n;
}

static size_t
add_contexts(const struct session *s, struct parts *yes, struct parts *no,
    struct log_field *to)
{
	static const char *const yes_keys[PARTS] = { "contexts", "contexts2",
		"contexts3", "contexts4", "contexts5", "contexts6", "contexts7",
		"contexts8" };
	static const char *const no_keys[PARTS] = { "refused", "refused2",
		"refused3", "refused4", "refused5", "refused6", "refused7",
		"refused8" };
	struct buf b AUTO(buf_free) = BUF_INIT(16 * 1024);
	size_t n;

	negotiate_print_accepted(s->request, &s->negotiation, &b);
	split_list(b.len > 0 ? b.data : "", yes);
	n = add_parts(to, yes_keys, yes);
	buf_clear(&b);
	negotiate_print_refused(s->request, &s->negotiation, &b);
	split_list(b.len > 0 ? b.data : "", no);
	return n + add_parts(to + n, no_keys, no);
}

void
report_accepted(const struct session *s)
{
	const struct assoc_request *rq = s->request;
	struct parts yes, no;
	struct log_field fields[16 + 2 * PARTS] = {
		LOG_U64("assoc", assoc_id(s->assoc)),
		LOG_STR("calling", rq->calling), LOG_STR("called", rq->called),
		LOG_STR("address", rq->address),
		LOG_STR("implementation", rq->implementation_version),
		LOG_STR("implementation_uid", rq->implementation_uid),
		LOG_STR("tls", rq->tls_version),
		LOG_STR("cipher", rq->tls_cipher),
		LOG_STR("subject", rq->tls_subject),
		LOG_U64("pdu", s->verdict.max_pdu),
		LOG_U64("peer_pdu", rq->max_pdu),
		LOG_U64("proposed", rq->n_contexts),
		LOG_U64("accepted", s->negotiation.accepted),
	};

	(void)add_contexts(s, &yes, &no, fields + 13);
	log_fields(s->negotiation.accepted > 0 ? LOG_INFO : LOG_WARNING,
	    "association accepted", fields);
}

static bool
may_tell_of_stranger(struct dimse *d)
{
	int64_t now = clock_mono_ms();
	uint64_t untold = 0;
	bool tell;

	(void)pthread_mutex_lock(&d->mu);
	if (now - d->strangers.since_ms >= STRANGERS_MS) {
		untold = d->strangers.untold;
		memset(&d->strangers, 0, sizeof(d->strangers));
		d->strangers.since_ms = now;
	}
	tell = d->strangers.told < STRANGERS_TOLD;
	d->strangers.told += tell;
	d->strangers.untold += !tell;
	(void)pthread_mutex_unlock(&d->mu);
	if (untold > 0)
		log_warn("more connections failed or were refused than were told",
		    LOG_U64("more", untold));
	return tell;
}

void
report_failed(struct dimse *d, const char *address, bool tls, const char *what)
{
	if (may_tell_of_stranger(d))
		log_warn("connection failed", LOG_STR("address", address),
		    LOG_STR("listener", tls ? "tls" : "plain"),
		    LOG_STR("why", what));
}

void
report_refused(struct dimse *d, const struct assoc *a,
    const struct policy_verdict *v)
{
	const struct assoc_request *rq = assoc_request(a);
	char code[16];

	if (!may_tell_of_stranger(d))
		return;
	(void)snprintf(code, sizeof(code), "%u/%u/%u", v->result, v->source,
	    v->reason);
	log_warn("association refused", LOG_U64("assoc", assoc_id(a)),
	    LOG_STR("calling", rq->calling), LOG_STR("called", rq->called),
	    LOG_STR("address", rq->address), LOG_STR("tls", rq->tls_version),
	    LOG_STR("implementation", rq->implementation_version),
	    LOG_U64("proposed", rq->n_contexts), LOG_STR("code", code),
	    LOG_STR("why", v->why));
}

void
report_ended(struct session *s, int r)
{
	const char *how = s->reason[0] != '\0' ? s->reason
	    : r == 0 ? "released" : assoc_reason(s->assoc);
	bool expected = r == 0 || r == -ECANCELED;

	log_write(expected ? LOG_INFO : LOG_WARNING, "association ended",
	    LOG_U64("assoc", assoc_id(s->assoc)),
	    LOG_STR("calling", s->request->calling),
	    LOG_STR("called", s->request->called),
	    LOG_STR("address", s->request->address), LOG_STR("how", how),
	    LOG_U64("stored", atomic_load(&s->stored)),
	    LOG_U64("again", s->duplicates), LOG_U64("refused", s->refused),
	    LOG_U64("warned", s->warned), LOG_U64("unserved", s->unserved),
	    LOG_U64("echoes", s->echoes), LOG_U64("reports", s->reports),
	    LOG_U64("bytes", atomic_load(&s->bytes)),
	    LOG_U64("ms", (uint64_t)(clock_mono_ms() - s->begin_mono_ms)));
}
