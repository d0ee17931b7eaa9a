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

static bool
is_alike(const struct assoc_request *rq, const struct negotiation *n, unsigned i,
    unsigned j)
{
	const struct assoc_answer *a = &n->answers[i], *b = &n->answers[j];

	return a->result == b->result &&
	    strcmp(rq->contexts[i].abstract_syntax,
		rq->contexts[j].abstract_syntax) == 0 &&
	    (a->result != ASSOC_ACCEPTED || strcmp(a->syntax, b->syntax) == 0);
}

/* How many are alike from i on; 0 when one before it is: then it was printed. */
static unsigned
count_alike(const struct assoc_request *rq, const struct negotiation *n,
    unsigned i)
{
	unsigned count = 0;

	for (unsigned j = 0; j < rq->n_contexts; j++) {
		if (!is_alike(rq, n, i, j))
			continue;
		if (j < i)
			return 0;
		count++;
	}
	return count;
}

static void
print_answers(const struct assoc_request *rq, const struct negotiation *n,
    bool accepted, struct buf *b)
{
	unsigned count;
	bool ok;

	for (unsigned i = 0; i < rq->n_contexts; i++) {
		ok = n->answers[i].result == ASSOC_ACCEPTED;
		if (ok != accepted)
			continue;
		count = count_alike(rq, n, i);
		if (count == 0)
			continue;
		(void)buf_printf(b, "%s%s%s%s", b->len > 0 ? " " : "",
		    shorten(rq->contexts[i].abstract_syntax), ok ? "=" : ":",
		    ok ? shorten(n->answers[i].syntax)
		       : name_result(n->answers[i].result));
		if (count > 1)
			(void)buf_printf(b, "(%u)", count);
	}
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
