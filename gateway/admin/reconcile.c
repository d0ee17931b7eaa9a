/* reconcile.c - once a day, and on demand: of what each peer sent, how much was
 * delivered to each destination, and how much of that the destination shows itself
 * (rule 36). What is missing up there is a warning until the next time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/admin/admin_int.h"
#include "gateway/admin/tally_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"

#define DAY_MS	   86400000ll
#define ROWS_MAX   4096		/* peers x destinations */
#define BAD_STUDIES 50		/* listed by UID */

/* What one peer sent to one destination. */
struct row {
	char	 calling[DICOM_TITLE_MAX + 1];
	char	 destination[40];
	uint64_t studies, incomplete;
	struct tally_counts counts;
};
struct table {
	struct admin_errand *errand;
	const struct config *cfg;
	struct row *v;
	size_t	 n, max;
	uint64_t studies;
	json_t	*bad;		/* UIDs of studies that miss something */
	int	 error;
};

/* ---- counting ------------------------------------------------------------ */

static struct row *
find_row(struct table *t, const char *calling, const char *destination)
{
	struct row *r;

	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->v[i].calling, calling) == 0 &&
		    strcmp(t->v[i].destination, destination) == 0)
			return &t->v[i];
	}
	if (t->n == ROWS_MAX)
		return NULL;
	if (t->n == t->max) {
		t->max = t->max * 2 + 16;
		t->v = xreallocarray(t->v, t->max, sizeof(*t->v));
	}
	r = &t->v[t->n++];
	*r = (struct row){ 0 };
	(void)snprintf(r->calling, sizeof(r->calling), "%s", calling);
	(void)snprintf(r->destination, sizeof(r->destination), "%s", destination);
	return r;
}

/* What is known of it from the studies before. */
static void
begin_counts(const struct table *t, const char *destination, struct tally_counts *c)
{
	for (size_t i = 0; i < t->n && !c->down; i++) {
		const struct row *r = &t->v[i];

		if (!r->counts.down || strcmp(r->destination, destination) != 0)
			continue;
		c->down = true;
		memcpy(c->reason, r->counts.reason, sizeof(c->reason));
	}
}

static void
add_counts(struct tally_counts *to, const struct tally_counts *c)
{
	to->down = to->down || c->down;
	to->expected += c->expected;
	to->found += c->found;
	to->different += c->different;
	to->missing += c->missing;
	to->unknown += c->unknown;
	to->waiting += c->waiting;
	to->refused += c->refused;
	to->let_go += c->let_go;
	if (c->reason[0] != '\0')
		(void)snprintf(to->reason, sizeof(to->reason), "%s", c->reason);
}

struct named_study {
	uint64_t id;
	char	 uid[DICOM_UID_MAX + 1];
	char	 calling[DICOM_TITLE_MAX + 1];
};
struct study_names {
	struct named_study *v;
	size_t n, max;
};

static int
collect_study(void *arg, const struct spool_study *s)
{
	struct study_names *l = arg;
	struct named_study *n;

	if (strcmp(s->address, ADMIN_TEST_ADDRESS) == 0)
		return 0;
	if (l->n == l->max) {
		l->max = l->max * 2 + 64;
		l->v = xreallocarray(l->v, l->max, sizeof(*l->v));
	}
	n = &l->v[l->n++];
	n->id = s->id;
	(void)snprintf(n->uid, sizeof(n->uid), "%s", s->uid);
	(void)snprintf(n->calling, sizeof(n->calling), "%s", s->calling);
	return 0;
}

static int
count_at(struct table *t, const struct named_study *s, const char *destination,
    const struct tally_entries *l, bool *ret_bad)
{
	struct tally_counts c = { 0 };
	struct row *row;
	int r;

	begin_counts(t, destination, &c);
	r = tally_study(t->errand, destination, l, false, &c, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (c.expected + c.waiting + c.refused + c.let_go == 0)
		return 0;
	row = find_row(t, s->calling, destination);
	if (row == NULL)
		return 0;
	row->studies++;
	row->incomplete += tally_complete(&c) ? 0 : 1;
	add_counts(&row->counts, &c);
	*ret_bad = *ret_bad || c.missing > 0;
	return 0;
}

static int
count_study(struct table *t, const struct named_study *s)
{
	struct tally_entries l = { 0 };
	bool bad = false;
	int r = tally_list(admin_errand_options(t->errand)->spool, s->id, &l);

	for (size_t i = 0; i < t->cfg->destinations.n && r == 0; i++) {
		const struct config_destination *d = t->cfg->destinations.v[i];

		r = count_at(t, s, d->name, &l, &bad);
	}
	tally_list_free(&l);
	t->studies++;
	if (bad && json_array_size(t->bad) < BAD_STUDIES)
		(void)json_array_append_new(t->bad, admin_json_text(s->uid));
	return r;
}

/* ---- what it says -------------------------------------------------------- */

static json_t *
row_json(const struct row *r)
{
	const struct tally_counts *c = &r->counts;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
	    " s:o}",
	    "peer", admin_json_text(r->calling),
	    "destination", admin_json_text(r->destination),
	    "studies", admin_json_u64(r->studies),
	    "incomplete", admin_json_u64(r->incomplete),
	    "received", admin_json_u64(c->expected + c->waiting + c->refused +
	    c->let_go),
	    "delivered", admin_json_u64(c->expected),
	    "found", admin_json_u64(c->found),
	    "missing", admin_json_u64(c->missing),
	    "unknown", admin_json_u64(c->unknown),
	    "waiting", admin_json_u64(c->waiting),
	    "refused", admin_json_u64(c->refused),
	    "reason", admin_json_text(c->reason));
}

static void
log_row(const struct row *r)
{
	const struct tally_counts *c = &r->counts;

	log_write(c->missing > 0 ? LOG_WARNING : LOG_INFO, "reconciliation",
	    LOG_STR("peer", r->calling), LOG_STR("destination", r->destination),
	    LOG_U64("studies", r->studies), LOG_U64("delivered", c->expected),
	    LOG_U64("found", c->found), LOG_U64("missing", c->missing),
	    LOG_U64("unknown", c->unknown), LOG_U64("waiting", c->waiting),
	    LOG_U64("refused", c->refused));
}

static json_t *
table_json(const struct table *t, int64_t since_ms)
{
	json_t *rows = json_array();
	uint64_t missing = 0;

	for (size_t i = 0; i < t->n; i++) {
		(void)json_array_append_new(rows, row_json(&t->v[i]));
		missing += t->v[i].counts.missing;
		log_row(&t->v[i]);
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:O}",
	    "since", admin_json_time(since_ms),
	    "until", admin_json_time(clock_wall_ms()),
	    "studies", admin_json_u64(t->studies),
	    "missing", admin_json_u64(missing), "rows", rows,
	    "studies_missing", t->bad);
}

struct question { int64_t since_ms; };

static json_t *
run_reconcile(struct admin_errand *e, void *arg, int *ret_status)
{
	const struct question *q = arg;
	const struct admin_options *opt = admin_errand_options(e);
	const struct spool_filter f = { .state = -1, .since_ms = q->since_ms };
	struct table t = { .errand = e, .cfg = opt->config(opt->arg),
		.bad = json_array() };
	struct study_names names = { 0 };
	json_t *reply;
	int r = spool_studies(opt->spool, &f, collect_study, &names);

	for (size_t i = 0; i < names.n && r == 0 && !admin_errand_gone(e); i++)
		r = count_study(&t, &names.v[i]);
	reply = r < 0 ? admin_errand_fail(ret_status, 500, strerror(-r)) :
	    table_json(&t, q->since_ms);
	config_unref(t.cfg);
	json_decref(t.bad);
	free(names.v);
	free(t.v);
	return reply;
}

static void
remember(struct admin *a, json_t *reply)
{
	json_decref(a->reconciled);
	a->reconciled = json_incref(reply);
}

static struct question *
ask_since(int64_t since_ms)
{
	struct question *q = xcalloc(1, sizeof(*q));

	q->since_ms = since_ms;
	return q;
}

/* ---- once a day ---------------------------------------------------------- */

static int64_t
next_day_ms(uint64_t minutes, int64_t now_ms)
{
	time_t now = (time_t)(now_ms / 1000), at;
	struct tm tm;

	if (localtime_r(&now, &tm) == NULL)
		return now_ms + DAY_MS;
	tm.tm_hour = (int)(minutes / 60);
	tm.tm_min = (int)(minutes % 60);
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	at = mktime(&tm);
	if (at <= now) {
		tm.tm_mday++;
		tm.tm_isdst = -1;
		at = mktime(&tm);
	}
	return (int64_t)at * 1000;
}

/* Slept at most so long at once: the clock or the hour may be set meanwhile. */
#define LOOK_MS 10000

static void
on_daily(evutil_socket_t fd, short what, void *arg)
{
	struct admin *a = arg;
	const struct config *cfg = a->opt.config(a->opt.arg);
	const struct config_reconciliation *c = cfg->reconciliation;
	int64_t now = clock_wall_ms(), left;
	struct timeval tv;

	(void)fd;
	(void)what;
	if (a->reconcile_at_ms == 0 || a->reconcile_minutes != c->at)
		a->reconcile_at_ms = next_day_ms(c->at, now);
	a->reconcile_minutes = c->at;
	if (now >= a->reconcile_at_ms) {
		a->reconcile_at_ms = next_day_ms(c->at, now);
		if (c->daily)
			(void)admin_errand_start(a, run_reconcile, remember,
			    ask_since(now - DAY_MS));
	}
	config_unref(cfg);
	left = a->reconcile_at_ms - now;
	left = left < 0 ? 0 : left < LOOK_MS ? left : LOOK_MS;
	tv = (struct timeval){ left / 1000, left % 1000 * 1000 };
	(void)event_add(a->daily, &tv);
}

int
admin_reconcile_new(struct admin *a)
{
	struct timeval soon = { 0 };

	a->daily = event_new(a->base, -1, 0, on_daily, a);
	return a->daily != NULL && event_add(a->daily, &soon) == 0 ? 0 : -ENOMEM;
}

void
admin_reconcile_free(struct admin *a)
{
	if (a->daily != NULL)
		event_free(a->daily);
	json_decref(a->reconciled);
}

bool
admin_reconcile_warning(const struct admin *a, char *text, size_t size)
{
	json_int_t missing = json_integer_value(json_object_get(a->reconciled,
	    "missing"));

	if (missing == 0)
		return false;
	(void)snprintf(text, size, "%lld %s delivered and the cloud does not show "
	    "%s: causewayctl reconcile lists the studies, causewayctl resend sends "
	    "what is still here", (long long)missing,
	    missing == 1 ? "image was" : "images were",
	    missing == 1 ? "it" : "them");
	return true;
}

/* ---- the calls ----------------------------------------------------------- */

void
admin_get_reconciliation(struct admin_call *c)
{
	if (c->admin->reconciled == NULL)
		admin_fail(c, 404, "there was none yet since the start");
	else
		admin_reply(c, 200, json_incref(c->admin->reconciled));
}

void
admin_post_reconciliation(struct admin_call *c)
{
	int64_t now = clock_wall_ms(), since = now - DAY_MS;
	const char *text = NULL;

	if (!admin_body_text(c, "since", &text))
		return;
	if (text != NULL && admin_since_parse(text, now, &since) < 0) {
		admin_fail(c, 400, "since: an age (2h, 3d) or a time (2026-11-20, "
		    "2026-11-20T14:00)");
		return;
	}
	admin_errand_run(c, run_reconcile, remember, ask_since(since));
}
