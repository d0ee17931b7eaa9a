/* dimse_verify.c - what a PACS says that it holds (rule 36): asked by storage commitment,
 * the only question that it answers for certain. Nothing of it is owed, so nothing is
 * kept in the spool; whoever waits here is found by the transaction, whichever way the
 * report comes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "gateway/base/clock.h"
#include "gateway/destination/dimse_int.h"

#define ANSWER_MS 60000
#define SLICE_MS  200

struct waiting {
	LIST_ENTRY(waiting) link;
	const char *destination;
	const char *transaction;
	struct destination_look *looks;
	size_t	    n;
	bool	    done;
};

static pthread_mutex_t waiting_mu = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, waiting) all_waiting;	/* waiting_mu, and what is in it */

static void
judge_look(struct destination_look *l, const struct dicom_reference *r)
{
	if (!r->failed) {
		l->presence = DESTINATION_THERE;
		return;
	}
	l->presence = r->reason == DICOM_COMMITMENT_NO_SUCH_OBJECT
	    ? DESTINATION_MISSING : DESTINATION_UNKNOWN;
	(void)snprintf(l->reason, sizeof(l->reason), "%s (%04XH)",
	    dicom_commitment_words(r->reason), r->reason);
}

static void
judge_looks(struct waiting *w, const struct dicom_commitment *report)
{
	for (size_t k = 0; k < w->n; k++)
		for (size_t i = 0; i < report->n; i++)
			if (strcmp(w->looks[k].in.sop_instance,
				report->v[i].sop_instance) == 0)
				judge_look(&w->looks[k], &report->v[i]);
}

bool
pacs_hand_to_verify(const char *destination, const struct dicom_commitment *report)
{
	struct waiting *w;
	LOCK_SCOPE(&waiting_mu);

	LIST_FOREACH(w, &all_waiting, link) {
		if (w->done || strcmp(w->destination, destination) != 0 ||
		    strcmp(w->transaction, report->transaction) != 0)
			continue;
		judge_looks(w, report);
		w->done = true;
		return true;
	}
	return false;
}

static bool
is_done(const struct waiting *w)
{
	LOCK_SCOPE(&waiting_mu);
	return w->done;
}

static void
begin_waiting(struct waiting *w)
{
	LOCK_SCOPE(&waiting_mu);
	LIST_INSERT_HEAD(&all_waiting, w, link);
}

static void
end_waiting(struct waiting *w)
{
	LOCK_SCOPE(&waiting_mu);
	LIST_REMOVE(w, link);
}

/* It may come here or to our listener: both are looked at in turn. */
static void
await(struct pacs_call *c, struct waiting *w)
{
	int64_t until = clock_mono_ms() + ANSWER_MS;

	while (!is_done(w) && clock_mono_ms() < until && pacs_stopped(c->p) == 0) {
		int64_t slice = clock_mono_ms() + SLICE_MS;

		if (c->a != NULL)
			(void)pacs_read_event(c, slice);
		else
			(void)pacs_pause(c->p, slice);
	}
}

static void
say_unknown(struct destination_look *looks, size_t n, const char *why)
{
	for (size_t i = 0; i < n; i++)
		if (looks[i].presence == DESTINATION_UNKNOWN &&
		    looks[i].reason[0] == '\0')
			(void)snprintf(looks[i].reason, sizeof(looks[i].reason),
			    "%s", why);
}

static void
ask(struct pacs_call *c, const struct dicom_commitment *list, struct waiting *w)
{
	char comment[80], why[200] = "it did not report in time";
	uint16_t status = 0;

	begin_waiting(w);
	if (pacs_ask(c, list, &status, comment) < 0)
		(void)snprintf(why, sizeof(why), "it does not answer: %s",
		    assoc_reason(c->a));
	else if (status != DICOM_STATUS_SUCCESS && !pacs_is_warning(status))
		(void)snprintf(why, sizeof(why), "it refuses storage commitment "
		    "(%04XH)%s", status, comment);
	else
		await(c, w);
	end_waiting(w);
	say_unknown(w->looks, w->n, w->done
	    ? "its report does not name it" : why);
}

void
pacs_verify(void *self, struct destination_look *looks, size_t n, bool bytes,
    struct destination_result *ret)
{
	struct pacs *p = self;
	AUTO_FREE struct pacs_call *c = xcalloc(1, sizeof(*c));
	struct dicom_commitment list = { .n = 0 };
	struct waiting w = { .destination = p->name, .looks = looks, .n = n };

	(void)bytes;	/* never: see .blind */
	pacs_call_init(c, p, true);
	if (!c->commits) {
		say_unknown(looks, n, "it can only be asked by storage commitment, "
		    "and `commitment` is `never`");
		return;
	}
	if (pacs_call_open(c, ret) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (pacs_list_add(&list, &looks[i].in) < 0)
			break;
	if (pacs_call_commits(c, NULL) == 0) {
		say_unknown(looks, n, "it offers no storage commitment, and cannot be "
		    "asked otherwise");
	} else if (dicom_uid_new(list.transaction) == 0) {
		w.transaction = list.transaction;
		ask(c, &list, &w);
	}
	dicom_commitment_free(&list);
	pacs_call_end(c);
}
