/* negotiate.c - which presentation contexts are accepted, and how (rules 12 to
 * 14).
 *
 * peers[].transfer_syntaxes says what is taken first; whatever else is proposed
 * follows in the usual order, because an image in an unloved syntax is better
 * than an image that was refused.
 */
#include <limits.h>
#include <string.h>

#include "gateway/dimse/negotiate_int.h"
#include "gateway/dimse/policy_int.h"

#define DICOM_ROOT "1.2.840.10008"

enum dicom_service
negotiate_service(const struct assoc_context *c)
{
	if (c->proves_storage)
		return DICOM_SERVICE_STORAGE;
	return dicom_service_of(c->abstract_syntax);
}

/* Smaller is taken first; the peer's own list before everything. */
static int
rank_syntax(const char *uid, const struct config_peer *peer)
{
	if (peer != NULL)
		for (size_t i = 0; i < peer->transfer_syntaxes.n; i++)
			if (strcmp(peer->transfer_syntaxes.v[i], uid) == 0)
				return INT_MIN + (int)i;
	return dicom_syntax_find(uid)->preference;
}

static const char *
choose_syntax(const struct assoc_context *c, const struct config_peer *peer)
{
	const char *best = NULL;
	int best_rank = 0, rank;

	for (unsigned i = 0; i < c->n_syntaxes; i++) {
		if (!dicom_uid_tolerable(c->syntaxes[i]) ||
		    dicom_syntax_find(c->syntaxes[i])->referenced)
			continue;
		rank = rank_syntax(c->syntaxes[i], peer);
		if (best == NULL || rank < best_rank) {
			best = c->syntaxes[i];
			best_rank = rank;
		}
	}
	return best;
}

static struct assoc_answer
answer_context(const struct assoc_context *c, const struct config_peer *peer,
    unsigned allow)
{
	struct assoc_answer a = { .result = ASSOC_ABSTRACT_UNSUPPORTED };
	unsigned need = 0;

	if (!dicom_uid_tolerable(c->abstract_syntax))
		return a;
	switch (negotiate_service(c)) {
	case DICOM_SERVICE_VERIFICATION:
		need = CONFIG_ALLOW_ECHO;
		break;
	case DICOM_SERVICE_STORAGE:
		need = CONFIG_ALLOW_STORE;
		break;
	case DICOM_SERVICE_COMMITMENT:
		/* Reports alone: from one that is SCP, or does not say what it
		 * is, as some forget to (PS3.4 J.3.3). */
		if ((allow & POLICY_ALLOW_REPORT) == 0 ||
		    (c->has_role && !c->scp_role))
			return a;
		need = POLICY_ALLOW_REPORT;
		a.scp_role = true;
		break;
	default:
		return a;
	}
	a.result = ASSOC_USER_REJECTED;
	if ((allow & need) == 0)
		return a;
	a.syntax = choose_syntax(c, peer);
	a.result = a.syntax != NULL ? ASSOC_ACCEPTED : ASSOC_SYNTAXES_UNSUPPORTED;
	return a;
}

void
negotiate_contexts(const struct assoc_request *rq, const struct config_peer *peer,
    unsigned allow, struct negotiation *ret)
{
	ret->accepted = 0;
	for (unsigned i = 0; i < rq->n_contexts; i++) {
		ret->answers[i] = answer_context(&rq->contexts[i], peer, allow);
		ret->accepted += ret->answers[i].result == ASSOC_ACCEPTED;
	}
}

/* ---- the log line ---------------------------------------------------------- */

static const char *
shorten(const char *uid)
{
	size_t n = strlen(DICOM_ROOT);

	return strncmp(uid, DICOM_ROOT, n) == 0 && uid[n] == '.' ? uid + n : uid;
}

static const char *
name_result(enum assoc_context_result r)
{
	switch (r) {
	case ASSOC_USER_REJECTED:
		return "not-allowed";
	case ASSOC_SYNTAXES_UNSUPPORTED:
		return "no-usable-syntax";
	default:
		return "class-not-served";
	}
}

/* The n-th answer is of this kind: accepted, or refused like that. */
static bool
is_kind(const struct assoc_request *rq, const struct negotiation *n, unsigned i,
    const char *abstract_syntax, bool accepted)
{
	return (n->answers[i].result == ASSOC_ACCEPTED) == accepted &&
	    strcmp(rq->contexts[i].abstract_syntax, abstract_syntax) == 0;
}

static void
print_class(const struct assoc_request *rq, const struct negotiation *n,
    unsigned first, bool accepted, struct buf *b)
{
	const char *class = rq->contexts[first].abstract_syntax, *last = "", *what;

	for (unsigned i = 0; i < first; i++)
		if (is_kind(rq, n, i, class, accepted))
			return;		/* printed with that one */
	(void)buf_printf(b, "%s%s%c", b->len > 0 ? " " : "", shorten(class),
	    accepted ? '=' : ':');
	for (unsigned i = first; i < rq->n_contexts; i++) {
		if (!is_kind(rq, n, i, class, accepted))
			continue;
		what = accepted ? shorten(n->answers[i].syntax)
				: name_result(n->answers[i].result);
		if (strcmp(what, last) != 0)
			(void)buf_printf(b, "%s%s", last[0] != '\0' ? "," : "",
			    what);
		last = what;
	}
}

static void
print_answers(const struct assoc_request *rq, const struct negotiation *n,
    bool accepted, struct buf *b)
{
	for (unsigned i = 0; i < rq->n_contexts; i++)
		if ((n->answers[i].result == ASSOC_ACCEPTED) == accepted)
			print_class(rq, n, i, accepted, b);
}

void
negotiate_print_accepted(const struct assoc_request *rq,
    const struct negotiation *n, struct buf *b)
{
	print_answers(rq, n, true, b);
}

void
negotiate_print_refused(const struct assoc_request *rq,
    const struct negotiation *n, struct buf *b)
{
	print_answers(rq, n, false, b);
}
