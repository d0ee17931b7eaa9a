/* ahi_settle.c - each instance by its own line of its import's lists.
 *
 * success is delivered; a warning is delivered and shown; an image set that is not
 * primary is there, but no query shows it, so that an operator decides (rule 5); an
 * error of the file is refused with its words; an error of the service is owed
 * again. What no list names, or what is named twice, is asked of the data store.
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
ahi_collect_sent(struct ahi *a, const struct ahi_job *j,
    struct ahi_outcomes *ret)
{
	struct ahi_outcomes o = { .n = 0 };
	/* A batch never holds more. */
	int r = spool_job_sent(a->spool, j->id, 0, AHI_FILES_MAX, collect_one, &o);

	if (r < 0) {
		free(o.v);
		return r;
	}
	*ret = o;
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

int
ahi_settle_all_owed(struct ahi_tending *t, struct ahi_job *j, bool soon,
    const char *reason)
{
	AUTO_FREE struct page *p = xcalloc(1, sizeof(*p));
	uint64_t after = 0;
	int r;

	for (;;) {
		r = next_page(t->a, j, &after, p);
		if (r <= 0)
			return r;
		for (size_t i = 0; i < p->n; i++) {
			stow_settle(&p->item[i], DESTINATION_RETRY, "%s", reason);
			p->item[i].retry_soon = soon;
		}
		r = settle_items(t, j, p->item, p->n);
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
		stow_settle(item, DESTINATION_REFUSED, "HealthImaging refused it: "
		    "%s", o->words);
	} else if (o->listed & AHI_SERVER_ERROR) {
		stow_settle(item, DESTINATION_RETRY, "HealthImaging failed on it: "
		    "%s", o->words);
		item->retry_soon = true;
	} else if (o->listed & AHI_NOT_PRIMARY) {
		stow_settle(item, DESTINATION_REFUSED, "stored beside its series, "
		    "which has other patient or study data: no query shows it. "
		    "Correct it there, or take it as it is: causewayctl accept");
		(void)snprintf(item->remote, sizeof(item->remote), "imageset:%s",
		    o->image_set);
	} else if (o->listed & AHI_WARNING) {
		stow_settle(item, DESTINATION_WARNED, "stored with a warning: %s "
		    "(%04XH)%s%s", ahi_warning_words(o->code), o->code,
		    o->words[0] != '\0' ? ": " : "", o->words);
	} else {
		stow_settle(item, DESTINATION_OK, "%s", "");
	}
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

/* Settles by line what has one; the doubtful ones are moved to the front. */
static size_t
part_page(struct page *p, const struct ahi_outcomes *o)
{
	size_t doubtful = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct ahi_outcome *out = find_outcome(o, p->item[i].in.id);
		struct destination_item swap;

		if (out != NULL && !is_doubtful(out->listed)) {
			settle_by_line(&p->item[i], out);
			continue;
		}
		swap = p->item[doubtful];
		p->item[doubtful++] = p->item[i];
		p->item[i] = swap;
	}
	return doubtful;
}

/* ---- by asking ----------------------------------------------------------- */

/* Of a later version its presence proves nothing, unless a list says it, too. */
static bool
is_proven(const struct destination_item *item, const struct ahi_outcomes *o)
{
	const struct ahi_outcome *out = find_outcome(o, item->in.id);
	unsigned failed = AHI_CUSTOMER_ERROR | AHI_SERVER_ERROR;

	return item->in.version == 1 ||
	    (out != NULL && out->listed != 0 && (out->listed & failed) == 0);
}

static bool
settle_by_look(struct destination_item *item, const struct destination_look *look,
    const struct ahi_outcomes *o)
{
	switch (look->presence) {
	case DESTINATION_THERE:
	case DESTINATION_EQUAL:
		if (is_proven(item, o)) {
			stow_settle(item, DESTINATION_OK, "%s", "");
			return true;
		}
		stow_settle(item, DESTINATION_RETRY, "its import does not say what "
		    "became of this version");
		return true;
	case DESTINATION_DIFFERENT:
	case DESTINATION_MISSING:
		stow_settle(item, DESTINATION_RETRY, "its import does not say what "
		    "became of it, and the data store does not show it");
		item->retry_soon = true;
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
		struct destination_item swap = p->item[open];

		if (settle_by_look(&p->item[i], &looks[i], o))
			continue;
		p->item[open++] = p->item[i];
		p->item[i] = swap;
	}
	return open;
}

int
ahi_settle_listed(struct ahi_tending *t, struct ahi_job *j,
    const struct ahi_outcomes *o, bool query, size_t *ret_open)
{
	AUTO_FREE struct page *p = xcalloc(1, sizeof(*p));
	uint64_t after = 0;
	size_t open = 0;
	int r;

	for (;;) {
		size_t doubtful;

		r = next_page(t->a, j, &after, p);
		if (r <= 0)
			break;
		doubtful = part_page(p, o);
		if (query && doubtful > 0)
			doubtful = ask_for(t, p, doubtful, o);
		r = settle_items(t, j, p->item + doubtful, p->n - doubtful);
		if (r < 0)
			return r;
		open += doubtful;
	}
	if (r == 0)
		*ret_open = open;
	return r;
}
