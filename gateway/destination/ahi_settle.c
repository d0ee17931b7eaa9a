/* ahi_settle.c - each instance by its own line of its import's lists.
 *
 * success is delivered; a warning is delivered and shown; an image set that is not
 * primary is there, but no query shows it, so that an operator decides (rule 5); an
 * error of the file is refused with its words; what the service failed on stays sent,
 * to be imported again. What no list names, or what is named twice, is asked of the
 * data store.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/destination/ahi_int.h"

#define PAGE 256

/* ---- what was sent ------------------------------------------------------- */

static int
collect_one(void *arg, const struct spool_instance *in)
{
	struct ahi_outcomes *o = arg;
	struct ahi_outcome *out;

	if (o->n % PAGE == 0)
		o->v = xreallocarray(o->v, o->n + PAGE, sizeof(*o->v));
	out = &o->v[o->n++];
	*out = (struct ahi_outcome){ .id = in->id };
	ahi_file_name(in, out->file, sizeof(out->file));
	return 0;
}

int
ahi_collect_sent(struct ahi *a, struct ahi_job *j, struct ahi_outcomes *ret)
{
	struct ahi_outcomes o = { .n = 0 };
	/* A batch never holds more. */
	int r = spool_job_sent(a->spool, j->id, 0, AHI_FILES_MAX, collect_one, &o);

	if (r < 0) {
		free(o.v);
		return r;
	}
	*ret = o;
	LOCK_SCOPE(&a->mu);
	j->sent = o.n;
	j->n_files = (unsigned)o.n;
	return 0;
}

/* ---- pages of it --------------------------------------------------------- */

struct page {
	struct destination_item item[PAGE];
	size_t n;
};

static int
take_one(void *arg, const struct spool_instance *in)
{
	struct page *p = arg;

	p->item[p->n++] = (struct destination_item){ .in = *in };
	return 0;
}

static int
next_page(struct ahi *a, const struct ahi_job *j, uint64_t *after, struct page *p)
{
	int r;

	p->n = 0;
	r = spool_job_sent(a->spool, j->id, *after, PAGE, take_one, p);
	if (r < 0 || p->n == 0)
		return r;
	*after = p->item[p->n - 1].in.id;
	return 1;
}

static void
count_settled(struct ahi *a, struct ahi_job *j, size_t n)
{
	LOCK_SCOPE(&a->mu);
	j->sent -= n < j->sent ? n : j->sent;
}

static int
settle_items(struct ahi_tending *t, struct ahi_job *j,
    struct destination_item *items, size_t n)
{
	int r;

	if (n == 0)
		return 0;
	r = t->settle(t->arg, j->id, items, n);
	if (r == 0)
		count_settled(t->a, j, n);
	return r;
}

static void
settle_failed(struct ahi *a, struct destination_item *item, bool alone,
    const char *reason)
{
	if (alone && ahi_hopeless(a, item->in.id))
		stow_settle(item, DESTINATION_REFUSED, "each time, while others were "
		    "imported: %s", reason);
	else
		stow_settle(item, DESTINATION_RETRY, "%s", reason);
	item->retry_soon = alone && item->verdict == DESTINATION_RETRY;
}

int
ahi_settle_owed(struct ahi_tending *t, struct ahi_job *j, size_t keep, bool alone,
    const char *reason)
{
	AUTO_FREE struct page *p = xcalloc(1, sizeof(*p));
	uint64_t after = 0;
	int r;

	for (;;) {
		size_t skip;

		r = next_page(t->a, j, &after, p);
		if (r <= 0)
			return r;
		skip = keep < p->n ? keep : p->n;
		keep -= skip;
		for (size_t i = skip; i < p->n; i++)
			settle_failed(t->a, &p->item[i], alone, reason);
		r = settle_items(t, j, p->item + skip, p->n - skip);
		if (r < 0)
			return r;
	}
}

/* ---- by their lines ------------------------------------------------------ */

/* Something else than its lists has to tell. */
static bool
is_doubtful(unsigned listed)
{
	const unsigned failed = AHI_CUSTOMER_ERROR | AHI_SERVER_ERROR;
	const unsigned stored = AHI_SUCCESS | AHI_WARNING;

	return listed == 0 || (listed & AHI_TWICE) != 0 ||
	    ((listed & failed) != 0 && (listed & stored) != 0);
}

static void
settle_by_line(struct destination_item *item, const struct ahi_outcome *o)
{
	if (o->listed & AHI_CUSTOMER_ERROR) {
		stow_settle(item, DESTINATION_REFUSED, "HealthImaging refused it");
		destination_quote(item, o->words);
	} else if (o->listed & AHI_SERVER_ERROR) {
		stow_settle(item, DESTINATION_REFUSED, "HealthImaging failed on it "
		    "each time");
		destination_quote(item, o->words);
	} else if (o->listed & AHI_NOT_PRIMARY) {
		stow_settle(item, DESTINATION_REFUSED, "stored beside its series, "
		    "which has other patient or study data: no query shows it. "
		    "Correct it there, or take it as it is: causewayctl accept");
		(void)snprintf(item->remote, sizeof(item->remote), "imageset:%s",
		    o->image_set);
	} else if (o->listed & AHI_WARNING) {
		stow_settle(item, DESTINATION_WARNED, "stored with a warning: %s "
		    "(%04XH)", ahi_warning_words(o->code), o->code);
		destination_quote(item, o->words);
	} else {
		stow_settle(item, DESTINATION_OK, "%s", "");
	}
}

static void
swap_items(struct page *p, size_t i, size_t k)
{
	struct destination_item item = p->item[i];

	p->item[i] = p->item[k];
	p->item[k] = item;
}

static int
compare_id(const void *key, const void *outcome)
{
	uint64_t a = *(const uint64_t *)key;
	uint64_t b = ((const struct ahi_outcome *)outcome)->id;

	return a < b ? -1 : a > b;
}

static const struct ahi_outcome *
find_outcome(const struct ahi_outcomes *o, uint64_t id)
{
	return o->n == 0 ? NULL :
	    bsearch(&id, o->v, o->n, sizeof(*o->v), compare_id);
}

/* Settles by line what has one; the doubtful ones are moved to the front, and what is
 * to be imported again is left out. */
static size_t
part_page(struct page *p, const struct ahi_outcomes *o, bool last, size_t *again)
{
	size_t doubtful = 0, n = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct ahi_outcome *out = find_outcome(o, p->item[i].in.id);
		bool clear = out != NULL && !is_doubtful(out->listed);

		if (clear && (out->listed & AHI_SERVER_ERROR) && !last) {
			(*again)++;
			continue;
		}
		p->item[n] = p->item[i];
		if (clear)
			settle_by_line(&p->item[n++], out);
		else
			swap_items(p, n++, doubtful++);
	}
	p->n = n;
	return doubtful;
}

/* ---- by asking ----------------------------------------------------------- */

/* Where there are several versions its presence proves nothing, unless a list says it,
 * too. */
static bool
is_proven(const struct destination_item *item, const struct ahi_outcomes *o)
{
	const struct ahi_outcome *out = find_outcome(o, item->in.id);
	unsigned failed = AHI_CUSTOMER_ERROR | AHI_SERVER_ERROR;

	return (item->in.version == 1 && !item->in.later) ||
	    (out != NULL && out->listed != 0 && (out->listed & failed) == 0);
}

static bool
settle_by_look(struct ahi *a, struct destination_item *item,
    const struct destination_look *look, const struct ahi_outcomes *o)
{
	switch (look->presence) {
	case DESTINATION_THERE:
	case DESTINATION_EQUAL:
		if (is_proven(item, o)) {
			stow_settle(item, DESTINATION_OK, "%s", "");
			return true;
		}
		settle_failed(a, item, true, "its import does not say what became of "
		    "this version");
		return true;
	case DESTINATION_DIFFERENT:
	case DESTINATION_MISSING:
		settle_failed(a, item, true, "its import does not say what became of "
		    "it, and the data store does not show it");
		return true;
	case DESTINATION_UNKNOWN:
		break;
	}
	return false;
}

/* Returns how many of the first n remain open; those are moved to the front. */
static size_t
ask_for(struct ahi_tending *t, struct page *p, size_t n,
    const struct ahi_outcomes *o)
{
	AUTO_FREE struct destination_look *looks = xcalloc(n, sizeof(*looks));
	size_t open = 0;

	for (size_t i = 0; i < n; i++)
		looks[i].in = p->item[i].in;
	ahi_query(t->a, looks, n, t->ret);
	for (size_t i = 0; i < n; i++) {
		if (!settle_by_look(t->a, &p->item[i], &looks[i], o))
			swap_items(p, i, open++);
	}
	return open;
}

int
ahi_settle_listed(struct ahi_tending *t, struct ahi_job *j,
    const struct ahi_outcomes *o, bool query, bool last, struct ahi_left *ret)
{
	AUTO_FREE struct page *p = xcalloc(1, sizeof(*p));
	struct ahi_left left = { 0 };
	uint64_t after = 0;
	int r;

	for (;;) {
		size_t doubtful;

		r = next_page(t->a, j, &after, p);
		if (r <= 0)
			break;
		doubtful = part_page(p, o, last, &left.again);
		if (query && doubtful > 0)
			doubtful = ask_for(t, p, doubtful, o);
		r = settle_items(t, j, p->item + doubtful, p->n - doubtful);
		if (r < 0)
			return r;
		left.doubtful += doubtful;
	}
	if (r == 0)
		*ret = left;
	return r;
}
