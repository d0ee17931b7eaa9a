/* policy.c - who may associate, and for what (rules 16, 17, 18, 19, 21).
 *
 * Reject codes are those of PS3.8 table 9-21. A title that is known from another
 * address is "not recognized" to the peer; the text for people tells the
 * difference.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/destination/destination.h"
#include "gateway/dimse/policy_int.h"
#include "gateway/study/study.h"

enum user_reason {		/* source 1 */
	NO_REASON = 1, WRONG_APPLICATION_CONTEXT = 2, CALLING_UNKNOWN = 3,
	CALLED_UNKNOWN = 7,
};
enum presentation_reason { LOCAL_LIMIT = 2 };	/* source 3 */

static void __attribute__((format(printf, 3, 4)))
refuse(struct policy_verdict *v, enum user_reason reason, const char *fmt, ...)
{
	va_list ap;

	v->accept = false;
	v->result = ASSOC_REJECT_PERMANENT;
	v->source = ASSOC_BY_USER;
	v->reason = reason;
	va_start(ap, fmt);
	(void)vsnprintf(v->why, sizeof(v->why), fmt, ap);
	va_end(ap);
}

static bool
has_string(const struct config_strings *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], s) == 0)
			return true;
	return false;
}

/* Whatever the address. */
static bool
is_listed(const struct config *cfg, const char *title)
{
	for (size_t i = 0; i < cfg->peers.n; i++) {
		const struct config_peer *p = cfg->peers.v[i];

		if (strcmp(p->ae_title, title) == 0)
			return true;
	}
	return false;
}

bool
policy_subject_has(const char *subject, const char *needle)
{
	size_t len = strlen(needle);
	const char *at = subject;
	char before, after;

	if (len == 0)
		return false;
	for (; (at = strstr(at, needle)) != NULL; at++) {
		before = at == subject ? ',' : at[-1];
		after = at[len] == '\0' ? ',' : at[len];
		if (at - subject >= 2 && at[-2] == '\\')
			before = '\0';	/* an escaped comma is part of a value */
		if ((before == ',' || before == '+') &&
		    (after == ',' || after == '+'))
			return true;
	}
	return false;
}

static bool
check_tls(const struct config_peer *p, const struct assoc_request *rq,
    struct policy_verdict *v)
{
	if (p->tls == NULL)
		return true;
	if (rq->tls_version == NULL && p->tls->required) {
		refuse(v, NO_REASON, "%s must use TLS", rq->calling);
		return false;
	}
	if (rq->tls_version == NULL || p->tls->subject == NULL)
		return true;
	if (rq->tls_subject == NULL ||
	    !policy_subject_has(rq->tls_subject, p->tls->subject)) {
		refuse(v, CALLING_UNKNOWN, "%s is bound to the certificate of %s, "
		    "this one is of %.60s", rq->calling, p->tls->subject,
		    rq->tls_subject != NULL && rq->tls_subject[0] != '\0'
		    ? rq->tls_subject : "nobody");
		return false;
	}
	return true;
}

static void
judge_peer(const struct config *cfg, const struct assoc_request *rq,
    struct policy_verdict *v)
{
	unsigned report = destination_expects_report(cfg, rq->calling)
	    ? POLICY_ALLOW_REPORT : 0;

	v->peer = config_peer_find(cfg, rq->calling, rq->address);
	v->known = v->peer != NULL || report != 0;
	if (v->peer == NULL && cfg->access == CONFIG_ACCESS_OPEN) {
		v->allow = CONFIG_ALLOW_ECHO | CONFIG_ALLOW_STORE | report;
		return;
	}
	/* Where it has an entry, that entry's addresses bind its reports, too. */
	if (v->peer == NULL && report != 0 && !is_listed(cfg, rq->calling)) {
		v->allow = report;
		return;
	}
	if (v->peer == NULL) {
		refuse(v, CALLING_UNKNOWN, is_listed(cfg, rq->calling)
		    ? "calling title %s is not allowed from %s"
		    : "calling title %s (from %s) is not listed in peers",
		    rq->calling, rq->address);
		return;
	}
	v->allow = v->peer->allow | report;
	if (!check_tls(v->peer, rq, v))
		return;
	if (v->allow == 0)
		refuse(v, NO_REASON, "%s is allowed no service", rq->calling);
}

static void
choose_limits(const struct config *cfg, struct policy_verdict *v)
{
	const struct config_gateway *g = cfg->gateway;
	const struct config_peer *p = v->peer;
	uint64_t message = g->message_timeout_ms, idle = g->idle_timeout_ms,
		 pdu = g->max_pdu;

	if (p != NULL && p->message_timeout_ms != 0)
		message = p->message_timeout_ms;
	if (p != NULL && p->idle_timeout_ms != 0)
		idle = p->idle_timeout_ms;
	if (p != NULL && p->max_pdu != 0)
		pdu = p->max_pdu;
	v->message_ms = (int64_t)message;
	v->idle_ms = (int64_t)idle;
	v->max_pdu = (uint32_t)pdu;
}

void
policy_judge(const struct config *cfg, const struct assoc_request *rq,
    struct policy_verdict *ret)
{
	const struct config_gateway *g = cfg->gateway;

	*ret = (struct policy_verdict){ .accept = true };
	judge_peer(cfg, rq, ret);
	choose_limits(cfg, ret);
	/* Later ones outrank earlier ones in what the peer is told. */
	if (g->called == CONFIG_CALLED_LISTED &&
	    !has_string(&g->ae_titles, rq->called))
		refuse(ret, CALLED_UNKNOWN, "called title %s is not one of ours",
		    rq->called);
	if (!rq->right_application)
		refuse(ret, WRONG_APPLICATION_CONTEXT,
		    "the application context is not DICOM's");
}

static void
defer(struct policy_verdict *v, const char *why)
{
	v->accept = false;
	v->result = ASSOC_REJECT_TRANSIENT;
	v->source = ASSOC_BY_PRESENTATION;
	v->reason = LOCAL_LIMIT;
	(void)snprintf(v->why, sizeof(v->why), "%s", why);
}

void
policy_limit(const struct config *cfg, unsigned running, enum spool_space space,
    struct policy_verdict *v)
{
	if (!v->accept)
		return;
	if (running >= cfg->gateway->max_associations)
		defer(v, "all associations are in use (gateway.max_associations)");
	/* Reports are what makes room. */
	else if (space != SPOOL_SPACE_GOOD &&
	    (v->allow & POLICY_ALLOW_REPORT) == 0)
		defer(v, "the spool's disk is nearly full (spool.reserve)");
}

const char *
policy_unroutable(const struct config *cfg, const char *calling,
    const char *called)
{
	if (cfg->unrouted == CONFIG_UNROUTED_HOLD && cfg->unrouted_written)
		return NULL;
	if (cfg->destinations.n == 0)
		return "the gateway has no destination configured";
	if (cfg->unrouted == CONFIG_UNROUTED_REFUSE &&
	    !study_routable(cfg, calling, called))
		return "no route leads anywhere for this sender";
	return NULL;
}
