/* dimse_deliver.c - a request to a PACS: as many associations as its instances need,
 * usually one, and storage commitment behind what was stored.
 *
 * What cannot be sent or is refused costs no other instance anything. An association
 * that breaks ends the request; what it did not answer is tried again.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/dimse_int.h"

#define OUT_OF_RESOURCES_MOST 3		/* answers in a row; then it is busy */
#define BUSY_MS		      60000

struct delivery {
	struct pacs *p;
	struct destination_item *items;
	size_t	 n;
	bool	*done;			/* of each: has been tried, or cannot be */
	unsigned out_of_resources;	/* in a row */
	struct destination_result *ret;
};

void
pacs_settle(struct destination_item *item, enum destination_verdict v,
    const char *fmt, ...)
{
	va_list ap;

	item->verdict = v;
	item->quote_at = 0;
	va_start(ap, fmt);
	(void)vsnprintf(item->reason, sizeof(item->reason), fmt, ap);
	va_end(ap);
}

int
pacs_stopped(const struct pacs *p)
{
	return atomic_load_explicit(&p->canceled, memory_order_relaxed) ||
	    rate_closed(p->rate) ? -ECANCELED : 0;
}

int
pacs_pause(struct pacs *p, int64_t until_ms)
{
	struct pollfd fd = { .fd = p->cancel_fd, .events = POLLIN };

	(void)poll(&fd, 1, clock_timeout(until_ms));
	return pacs_stopped(p);
}

/* Rule 3: past the first version only reading back would tell what the PACS keeps. */
static void
refuse_versions(struct delivery *d)
{
	for (size_t i = 0; i < d->n; i++) {
		struct destination_item *it = &d->items[i];

		if (it->in.version == 1 ||
		    d->p->o->on_conflict == CONFIG_CONFLICT_REPLACE)
			continue;
		d->done[i] = true;
		pacs_settle(it, DESTINATION_REFUSED, "other bytes than the first "
		    "under this UID, and a PACS cannot be asked what it keeps; "
		    "`on_conflict: replace` sends them all the same");
	}
}

/* Proposes for all that fits, in order; which they are. */
static size_t
plan(struct delivery *d, struct pacs_call *c, struct destination_item **ret)
{
	size_t n = 0;

	pacs_call_init(c, d->p, true);
	for (size_t i = 0; i < d->n; i++) {
		struct destination_item *it = &d->items[i];

		if (d->done[i])
			continue;
		d->done[i] = !pacs_call_may(c, &it->in);
		if (d->done[i])
			pacs_settle(it, DESTINATION_REFUSED, "%s is not in "
			    "transfer_syntaxes",
			    dicom_syntax_find(it->in.syntax)->name);
		else if (pacs_call_add(c, &it->in))
			ret[n++] = it;
	}
	return n;
}

static void
note_status(struct delivery *d, uint16_t status)
{
	bool out = (status & 0xff00) == DICOM_STATUS_OUT_OF_RESOURCES;

	d->out_of_resources = out ? d->out_of_resources + 1 : 0;
	if (d->out_of_resources < OUT_OF_RESOURCES_MOST)
		return;
	d->ret->health = DESTINATION_BUSY;
	d->ret->retry_after_ms = BUSY_MS;
	(void)snprintf(d->ret->reason, sizeof(d->ret->reason), "%s is out of "
	    "resources (%04XH): is its disk full?", d->p->o->ae_title, status);
}

/* One after the other. False: the association cannot go on. */
static bool
store_all(struct delivery *d, struct pacs_call *c, struct destination_item **items,
    size_t n)
{
	for (size_t i = 0; i < n && d->ret->health == DESTINATION_UP; i++) {
		uint16_t status = DICOM_STATUS_SUCCESS;

		if (pacs_stopped(d->p) < 0) {
			d->ret->health = DESTINATION_CANCELED;
			return true;
		}
		d->done[items[i] - d->items] = true;
		switch (pacs_store(c, items[i], d->ret, &status)) {
		case PACS_SENT:
			note_status(d, status);
			break;
		case PACS_NOT_SENT:
			break;
		case PACS_SPOILED:
		case PACS_BROKEN:
			return false;
		}
	}
	return true;
}

static bool
is_usable(struct delivery *d, const struct pacs_call *c)
{
	if (d->p->o->commitment == PACS_COMMIT_REQUIRED &&
	    pacs_call_commits(c, NULL) == 0) {
		d->ret->health = DESTINATION_DOWN;
		(void)snprintf(d->ret->reason, sizeof(d->ret->reason), "%s does not "
		    "offer storage commitment, which `commitment: required` "
		    "wants", d->p->o->ae_title);
		return false;
	}
	if (!pacs_call_is_useless(c))
		return true;
	d->ret->health = DESTINATION_DOWN;
	(void)snprintf(d->ret->reason, sizeof(d->ret->reason), "%s refuses every "
	    "presentation context without a reason: is %s allowed to store there?",
	    d->p->o->ae_title, d->p->o->calling);
	return false;
}

/* One association. False: nothing is left, or the PACS cannot be used now. */
static bool
run_association(struct delivery *d)
{
	AUTO_FREE struct destination_item **items = xcalloc(d->n, sizeof(*items));
	AUTO_FREE struct pacs_call *c = xcalloc(1, sizeof(*c));
	size_t n = plan(d, c, items);
	bool commits;

	if (n == 0 || pacs_call_open(c, d->ret) < 0)
		return false;
	if (is_usable(d, c)) {
		commits = pacs_call_commits(c, NULL) != 0;
		if (!store_all(d, c, items, n))
			assoc_close(TAKE_PTR(c->a));
		if (commits)
			pacs_commit(c, items, n);
	}
	pacs_call_end(c);
	return d->ret->health == DESTINATION_UP;
}

void
pacs_deliver(void *self, struct destination_item *items, size_t n,
    struct destination_result *ret)
{
	AUTO_FREE bool *done = xcalloc(n, sizeof(*done));
	struct delivery d = { .p = self, .items = items, .n = n, .done = done,
		.ret = ret };

	refuse_versions(&d);
	while (run_association(&d))
		;
}
