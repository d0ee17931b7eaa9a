/* explain.c - why a study is not there yet, in one sentence for people. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/upload/upload_int.h"

struct explain {
	struct upload *u;
	struct buf *out;
	bool held;
};

static void
add_clock(struct buf *b, int64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[16];

	if (localtime_r(&t, &tm) != NULL &&
	    strftime(text, sizeof(text), "%H:%M:%S", &tm) > 0)
		(void)buf_add_str(b, text);
}

static int
note_held(void *arg, const struct spool_study *s)
{
	struct explain *e = arg;

	e->held = s->held;
	return 0;
}

static void
explain_waiting(struct explain *e, uint64_t study)
{
	int64_t now = clock_boot_ms();

	LOCK_SCOPE(&e->u->mu);
	for (size_t i = 0; i < e->u->n_waiting; i++) {
		const struct waiting_study *w = &e->u->waiting[i];

		if (w->study != study || w->complete_at_ms <= now)
			continue;
		(void)buf_add_str(e->out, "waiting for more images until ");
		add_clock(e->out, clock_wall_ms() + (w->complete_at_ms - now));
		return;
	}
}

static void
explain_lane(struct explain *e, const struct lane *l)
{
	const struct upload_destination *d = &l->shown;

	switch (d->state) {
	case UPLOAD_UP:
		(void)buf_printf(e->out, "on its way to %s", l->name);
		if (d->reason[0] != '\0')
			(void)buf_printf(e->out, ", where something failed just now: "
			    "%s", d->reason);
		break;
	case UPLOAD_HELD:
		(void)buf_printf(e->out, "%s is held by an operator", l->name);
		break;
	case UPLOAD_CLOSED:
		(void)buf_printf(e->out, "%s: %s", l->name, d->reason);
		break;
	case UPLOAD_DOWN:
	case UPLOAD_BUSY:
		(void)buf_printf(e->out, "%s is %s (%s); next try at ", l->name,
		    upload_state_name(d->state), d->reason);
		add_clock(e->out, d->next_try_ms);
		break;
	}
}

static void
begin_clause(struct explain *e)
{
	if (e->out->len > 0)
		(void)buf_add_str(e->out, "; ");
}

/* mu is held. NULL: the configuration no longer has it. */
static const struct lane *
find_lane(const struct upload *u, const char *name)
{
	const struct lane *l;

	TAILQ_FOREACH(l, &u->lanes, link) {
		if (strcmp(l->name, name) == 0)
			return l;
	}
	return NULL;
}

static void
explain_sent(struct explain *e, const struct lane *l, const struct spool_progress *p)
{
	(void)buf_printf(e->out, "handed to %s, waiting for its confirmation "
	    "(%" PRIu64 " image%s)", p->destination, p->sent, p->sent == 1 ? "" : "s");
	if (l != NULL && l->shown.alarm[0] != '\0')
		(void)buf_printf(e->out, ": %s", l->shown.alarm);
}

static int
explain_progress(void *arg, const struct spool_progress *p)
{
	struct explain *e = arg;
	const struct lane *l;

	LOCK_SCOPE(&e->u->mu);
	l = find_lane(e->u, p->destination);
	if (p->sent > 0) {
		begin_clause(e);
		explain_sent(e, l, p);
	}
	if (p->owed == p->sent)
		return 0;
	begin_clause(e);
	if (l != NULL)
		explain_lane(e, l);
	else
		(void)buf_printf(e->out, "owed to %s, which the configuration no "
		    "longer has", p->destination);
	return 0;
}

void
upload_explain(struct upload *u, uint64_t study, char *buf, size_t size)
{
	struct buf out = BUF_INIT(4096);
	struct explain e = { .u = u, .out = &out };

	(void)spool_study_by_id(u->sp, study, note_held, &e);
	if (e.held)
		(void)buf_add_str(&out, "held by an operator");
	explain_waiting(&e, study);
	if (!e.held)
		(void)spool_study_progress(u->sp, study, explain_progress, &e);
	(void)snprintf(buf, size, "%s", out.data != NULL ? out.data : "");
	buf_free(&out);
}
