/* tally.c - what one destination has of one study, compared with what it confirmed
 * (rule 36), instance by instance.
 *
 * Of several versions of one SOP Instance UID the destination is expected to hold
 * the latest that it confirmed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/admin/admin_int.h"
#include "gateway/admin/tally_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/destination/destination.h"

#define SLICE	       256	/* instances asked for at once */
#define PROBLEMS_SHOWN 100

struct tally {
	struct admin_errand *errand;
	struct destination *dest;
	bool	 bytes;
	const char *name;
	struct destination_look *looks;
	size_t	 n;
	struct tally_counts *counts;
	json_t	*problems;
};

/* ---- the study ----------------------------------------------------------- */

static int
collect_entry(void *arg, const struct spool_instance *in)
{
	struct tally_entries *l = arg;
	struct tally_entry *e;

	if (l->n == l->max) {
		l->max = l->max * 2 + 256;
		l->v = xreallocarray(l->v, l->max, sizeof(*l->v));
	}
	e = &l->v[l->n++];
	e->id = in->id;
	e->version = in->version;
	e->pending = !in->routed && !in->unrouted;
	(void)snprintf(e->uid, sizeof(e->uid), "%s", in->sop_instance);
	return 0;
}

/* The latest version of each UID first. */
static int
compare_entries(const void *a, const void *b)
{
	const struct tally_entry *x = a, *y = b;
	int order = strcmp(x->uid, y->uid);

	if (order != 0)
		return order;
	return (y->version > x->version) - (y->version < x->version);
}

int
tally_list(struct spool *sp, uint64_t study, struct tally_entries *ret)
{
	int r = spool_instances(sp, study, 0, collect_entry, ret);

	if (r == 0 && ret->n > 0)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare_entries);
	return r;
}

void
tally_list_free(struct tally_entries *l)
{
	free(l->v);
	*l = (struct tally_entries){ 0 };
}

struct wanted {
	const char *destination;
	int	    state;	/* enum spool_delivery; -1: was never to go there */
};

static int
take_state(void *arg, const struct spool_delivery_row *row)
{
	struct wanted *w = arg;

	if (strcmp(row->destination, w->destination) != 0)
		return 0;
	w->state = row->state;
	return 1;
}

/* ---- one destination ----------------------------------------------------- */

static const char *
presence_name(enum destination_presence p)
{
	switch (p) {
	case DESTINATION_THERE:
		return "there";
	case DESTINATION_EQUAL:
		return "equal";
	case DESTINATION_DIFFERENT:
		return "different";
	case DESTINATION_MISSING:
		return "missing";
	case DESTINATION_UNKNOWN:
		break;
	}
	return "unknown";
}

static void
note_problem(struct tally *t, const struct destination_look *l)
{
	if (t->problems == NULL || json_array_size(t->problems) == PROBLEMS_SHOWN)
		return;
	(void)json_array_append_new(t->problems, json_pack("{s:o, s:o, s:s, s:o}",
	    "id", admin_json_u64(l->in.id),
	    "sop_instance", admin_json_text(l->in.sop_instance),
	    "presence", presence_name(l->presence),
	    "reason", admin_json_text(l->reason)));
}

static void
count_look(struct tally *t, const struct destination_look *l)
{
	switch (l->presence) {
	case DESTINATION_THERE:
	case DESTINATION_EQUAL:
		t->counts->found++;
		return;
	case DESTINATION_DIFFERENT:
		t->counts->different++;
		break;
	case DESTINATION_MISSING:
		t->counts->missing++;
		break;
	case DESTINATION_UNKNOWN:
		t->counts->unknown++;
		break;
	}
	note_problem(t, l);
}

static void
ask_destination(struct tally *t)
{
	struct destination_result result;
	int r = destination_verify(t->dest, t->looks, t->n, t->bytes, &result);

	if (r == -ENOTSUP)
		(void)snprintf(t->counts->reason, sizeof(t->counts->reason),
		    "a destination of type %s cannot be asked what it holds",
		    destination_type(t->dest));
	else if (result.health != DESTINATION_UP)
		(void)snprintf(t->counts->reason, sizeof(t->counts->reason), "%s",
		    result.reason);
	t->counts->down = r == 0 && result.health == DESTINATION_DOWN;
}

/* Once is enough for one that is down: a connection takes its time to fail. */
static void
ask(struct tally *t)
{
	if (t->n == 0)
		return;
	if (!t->counts->down)
		ask_destination(t);
	for (size_t i = 0; i < t->n; i++)
		count_look(t, &t->looks[i]);
	t->n = 0;
}

static int
add_look(struct tally *t, const struct tally_entry *e)
{
	struct spool *sp = admin_errand_options(t->errand)->spool;
	struct destination_look *l = &t->looks[t->n];
	int r;

	*l = (struct destination_look){ 0 };
	r = spool_instance_get(sp, e->id, &l->in);
	if (r < 0)
		return r == -ENOENT ? 0 : r;	/* forgotten meanwhile */
	t->counts->expected++;
	if (t->bytes && !l->in.kept) {
		t->counts->unknown++;
		(void)snprintf(l->reason, sizeof(l->reason), "its bytes are not here "
		    "any more: nothing to compare with");
		note_problem(t, l);
		return 0;
	}
	if (++t->n == SLICE)
		ask(t);
	return 0;
}

/* 1: it is what the destination should hold of this UID. */
static int
sort_delivery(struct tally *t, const struct tally_entry *e)
{
	struct wanted w = { t->name, -1 };
	int r = spool_deliveries(admin_errand_options(t->errand)->spool, e->id,
	    take_state, &w);

	if (r < 0)
		return r;
	switch (w.state) {
	case SPOOL_DELIVERED:
	case SPOOL_WARNED:
		r = add_look(t, e);
		return r < 0 ? r : 1;
	case SPOOL_OWED:
	case SPOOL_SENT:
		t->counts->waiting++;
		break;
	case SPOOL_REFUSED:
		t->counts->refused++;
		break;
	case SPOOL_LET_GO:
		t->counts->let_go++;
		break;
	default:
		t->counts->waiting += e->pending;
		break;
	}
	return 0;
}

static int
tally_entries(struct tally *t, const struct tally_entries *l)
{
	size_t i = 0;

	while (i < l->n && !admin_errand_gone(t->errand)) {
		const char *uid = l->v[i].uid;
		int r = sort_delivery(t, &l->v[i++]);

		if (r < 0)
			return r;
		while (r == 1 && i < l->n && strcmp(l->v[i].uid, uid) == 0)
			i++;		/* versions that were replaced */
	}
	ask(t);
	return 0;
}

bool
tally_complete(const struct tally_counts *c)
{
	return c->found == c->expected && c->waiting == 0 && c->refused == 0;
}

int
tally_study(struct admin_errand *e, const char *name,
    const struct tally_entries *l, bool bytes, struct tally_counts *counts,
    json_t *problems)
{
	struct upload *up = admin_errand_options(e)->upload;
	struct tally t = { .errand = e, .bytes = bytes, .name = name,
		.counts = counts, .problems = problems };
	int r;

	t.dest = upload_borrow(up, name);
	if (t.dest == NULL)
		return -ENOENT;
	t.looks = xcalloc(SLICE, sizeof(*t.looks));
	r = tally_entries(&t, l);
	upload_return(up, t.dest);
	free(t.looks);
	return r;
}
