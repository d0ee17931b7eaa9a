/* verify.c - POST /v1/studies/REF/verify: is the exam complete up there (rule 36)?
 * Each destination is asked what it holds of the study, and that is compared with
 * what was delivered to it, instance by instance; with `bytes` each is read back.
 *
 * Of several versions of one SOP Instance UID the destination is expected to hold
 * the latest that it confirmed.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"
#include "gateway/destination/destination.h"

#define SLICE	      256	/* instances asked for at once */
#define PROBLEMS_SHOWN 100	/* of each destination */

struct verify {
	uint64_t study;
	char	 uid[DICOM_UID_MAX + 1];
	char	 only[ADMIN_TEXT_MAX];	/* one destination, or "" */
	bool	 bytes;
};

/* An instance of the study. */
struct entry {
	uint64_t id;
	unsigned version;
	char	 uid[DICOM_UID_MAX + 1];
};
struct entries {
	struct entry *v;
	size_t n, max;
};

struct tally {		/* of one destination */
	struct admin_errand *errand;
	const struct verify *what;
	const char *name;
	struct destination *dest;
	struct destination_look *looks;
	size_t	 n;
	uint64_t expected, found, different, missing, unknown;
	uint64_t waiting, refused, let_go;
	char	 reason[256];
	json_t	*problems;
};

/* ---- the study ----------------------------------------------------------- */

static int
collect_entry(void *arg, const struct spool_instance *in)
{
	struct entries *l = arg;
	struct entry *e;

	if (l->n == l->max) {
		l->max = l->max * 2 + 256;
		l->v = xreallocarray(l->v, l->max, sizeof(*l->v));
	}
	e = &l->v[l->n++];
	e->id = in->id;
	e->version = in->version;
	(void)snprintf(e->uid, sizeof(e->uid), "%s", in->sop_instance);
	return 0;
}

/* The latest version of each UID first. */
static int
compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = strcmp(x->uid, y->uid);

	if (order != 0)
		return order;
	return (y->version > x->version) - (y->version < x->version);
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
	if (json_array_size(t->problems) == PROBLEMS_SHOWN)
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
		t->found++;
		return;
	case DESTINATION_DIFFERENT:
		t->different++;
		break;
	case DESTINATION_MISSING:
		t->missing++;
		break;
	case DESTINATION_UNKNOWN:
		t->unknown++;
		break;
	}
	note_problem(t, l);
}

static void
ask(struct tally *t)
{
	struct destination_result result;
	int r;

	if (t->n == 0)
		return;
	r = destination_verify(t->dest, t->looks, t->n, t->what->bytes, &result);
	if (r == -ENOTSUP)
		(void)snprintf(t->reason, sizeof(t->reason), "a destination of type "
		    "%s cannot be asked what it holds", destination_type(t->dest));
	else if (result.health != DESTINATION_UP)
		(void)snprintf(t->reason, sizeof(t->reason), "%s", result.reason);
	for (size_t i = 0; i < t->n; i++)
		count_look(t, &t->looks[i]);
	t->n = 0;
}

static int
add_look(struct tally *t, const struct entry *e)
{
	struct spool *sp = admin_errand_options(t->errand)->spool;
	struct destination_look *l = &t->looks[t->n];
	int r;

	*l = (struct destination_look){ 0 };
	r = spool_instance_get(sp, e->id, &l->in);
	if (r < 0)
		return r == -ENOENT ? 0 : r;	/* forgotten meanwhile */
	t->expected++;
	if (t->what->bytes && !l->in.kept) {
		t->unknown++;
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
sort_delivery(struct tally *t, const struct entry *e)
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
		t->waiting++;
		break;
	case SPOOL_REFUSED:
		t->refused++;
		break;
	case SPOOL_LET_GO:
		t->let_go++;
		break;
	default:
		break;
	}
	return 0;
}

static int
tally_entries(struct tally *t, const struct entries *l)
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

static bool
is_complete(const struct tally *t)
{
	return t->found == t->expected && t->waiting == 0 && t->refused == 0;
}

static json_t *
tally_json(const struct tally *t)
{
	return json_pack("{s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
	    " s:O}",
	    "name", admin_json_text(t->name), "complete", is_complete(t),
	    "expected", admin_json_u64(t->expected),
	    "found", admin_json_u64(t->found),
	    "different", admin_json_u64(t->different),
	    "missing", admin_json_u64(t->missing),
	    "unknown", admin_json_u64(t->unknown),
	    "waiting", admin_json_u64(t->waiting),
	    "refused", admin_json_u64(t->refused),
	    "let_go", admin_json_u64(t->let_go),
	    "reason", admin_json_text(t->reason), "instances", t->problems);
}

static int
verify_at(struct admin_errand *e, const struct verify *v, const char *name,
    const struct entries *l, json_t *list)
{
	struct upload *up = admin_errand_options(e)->upload;
	struct tally t = { .errand = e, .what = v, .name = name };
	int r = 0;

	t.dest = upload_borrow(up, name);
	if (t.dest == NULL)
		return 0;
	t.looks = xcalloc(SLICE, sizeof(*t.looks));
	t.problems = json_array();
	r = tally_entries(&t, l);
	upload_return(up, t.dest);
	if (r == 0 && t.expected + t.waiting + t.refused + t.let_go > 0)
		(void)json_array_append_new(list, tally_json(&t));
	json_decref(t.problems);
	free(t.looks);
	return r;
}

/* ---- all of them --------------------------------------------------------- */

static bool
all_complete(const json_t *list)
{
	const json_t *d;
	size_t i;

	json_array_foreach(list, i, d) {
		if (!json_is_true(json_object_get(d, "complete")))
			return false;
	}
	return json_array_size(list) > 0;
}

static int
verify_everywhere(struct admin_errand *e, const struct verify *v,
    const struct entries *l, json_t *list)
{
	const struct admin_options *opt = admin_errand_options(e);
	const struct config *cfg = opt->config(opt->arg);
	int r = 0;

	for (size_t i = 0; i < cfg->destinations.n && r == 0; i++) {
		const struct config_destination *d = cfg->destinations.v[i];

		if (v->only[0] == '\0' || strcmp(v->only, d->name) == 0)
			r = verify_at(e, v, d->name, l, list);
	}
	config_unref(cfg);
	return r;
}

static json_t *
run_verify(struct admin_errand *e, void *arg, int *ret_status)
{
	const struct verify *v = arg;
	struct entries l = { 0 };
	json_t *list = json_array(), *reply = NULL;
	int r;

	r = spool_instances(admin_errand_options(e)->spool, v->study, 0,
	    collect_entry, &l);
	if (r == 0 && l.n > 0)
		qsort(l.v, l.n, sizeof(*l.v), compare_entries);
	if (r == 0)
		r = verify_everywhere(e, v, &l, list);
	free(l.v);
	if (r < 0)
		reply = admin_errand_fail(ret_status, 500, strerror(-r));
	else
		reply = json_pack("{s:o, s:b, s:b, s:O}",
		    "study", admin_json_text(v->uid), "bytes", v->bytes,
		    "complete", all_complete(list), "destinations", list);
	log_info("command", LOG_STR("verb", "verify"),
	    LOG_STR("actor", admin_errand_actor(e)), LOG_STR("study", v->uid),
	    LOG_STR("result", r < 0 ? strerror(-r) :
	    all_complete(list) ? "complete" : "not complete"));
	json_decref(list);
	return reply;
}

void
admin_post_verify(struct admin_call *c)
{
	struct verify *v = xcalloc(1, sizeof(*v));
	const char *only = NULL;

	if (!admin_body_text(c, "destination", &only) ||
	    !admin_body_bool(c, "bytes", &v->bytes) ||
	    !admin_find_study(c, c->part[0], &v->study, v->uid)) {
		free(v);
		return;
	}
	if (only != NULL)
		(void)snprintf(v->only, sizeof(v->only), "%s", only);
	admin_errand_run(c, run_verify, v);
}
