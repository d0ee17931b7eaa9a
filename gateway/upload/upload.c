/* upload.c - the scheduler thread.
 *
 * One loop: take notes (answers of transfer threads, a reload, a nudge), look at
 * arrivals when something came or a study falls silent, refresh the queues from
 * the index when something changed, start what can be started, sleep until the
 * next thing is due. Wakes are coalesced: a thousand commits a second cost a look
 * every ARRIVALS_MS.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/upload/upload_int.h"

#define ARRIVALS_MS 200		/* at most so often while images come in */
#define IDLE_MS	    10000	/* and at least so often */
#define NOTES_MAX   4096
#define NUDGES_MAX  1024	/* room is left for what transfers bring */
#define REST_FACTOR 10

static const char *const state_names[] = {
	[UPLOAD_UP] = "up", [UPLOAD_DOWN] = "down", [UPLOAD_BUSY] = "busy",
	[UPLOAD_HELD] = "held", [UPLOAD_CLOSED] = "closed",
};

const char *
upload_state_name(enum upload_state s)
{
	return state_names[s];
}

uint32_t
upload_random(struct upload *u)
{
	/* xorshift: jitter, not secrecy */
	u->seed ^= u->seed << 13;
	u->seed ^= u->seed >> 17;
	u->seed ^= u->seed << 5;
	return u->seed;
}

static void
free_note(void *item)
{
	struct note *n = item;

	request_free(n->request);
	free(n->destination);
	free(n);
}

/* ---- lanes ---- */

static struct lane *
find_lane(struct upload *u, const char *name)
{
	struct lane *l;

	TAILQ_FOREACH(l, &u->lanes, link) {
		if (strcmp(l->name, name) == 0)
			return l;
	}
	return NULL;
}

static void
add_lane(struct upload *u, struct lane *l)
{
	LOCK_SCOPE(&u->mu);
	TAILQ_INSERT_TAIL(&u->lanes, l, link);
}

static void
retire_lane(struct upload *u, struct lane *l)
{
	(void)pthread_mutex_lock(&u->mu);
	TAILQ_REMOVE(&u->lanes, l, link);
	u->retiring = l;
	(void)pthread_mutex_unlock(&u->mu);
	lane_stop(l);
	lane_await_return(l);
	lane_free(l);
}

static int
read_hold(void *arg, const struct spool_debt *d)
{
	struct upload *u = arg;
	struct lane *l = find_lane(u, d->destination);

	if (l == NULL)
		return 0;
	if (l->held != d->held)
		log_info(d->held ? "destination is held by an operator" :
		    "destination is released", LOG_STR("destination", l->name));
	l->held = d->held;
	return 0;
}

static void
refresh_lanes(struct upload *u, int64_t now_ms)
{
	struct lane *l;

	(void)spool_debts(u->sp, read_hold, u);
	TAILQ_FOREACH(l, &u->lanes, link)
		lane_look(l, now_ms);
}

/* ---- reload ---- */

struct debt_check {
	const struct config *cfg;
	struct buf *why;
	bool owing;
};

static int
check_debt(void *arg, const struct spool_debt *d)
{
	struct debt_check *c = arg;

	if (config_destination_find(c->cfg, d->destination) != NULL ||
	    (d->owed == 0 && d->refused == 0))
		return 0;
	c->owing = true;
	(void)buf_printf(c->why, "destination `%s` cannot be removed: %" PRIu64
	    " instances are still owed to it and %" PRIu64 " are set aside; let them "
	    "be delivered, or let go of them with `causewayctl drop --destination %s`\n",
	    d->destination, d->owed, d->refused, d->destination);
	return 0;
}

static char *
destination_text(const struct config_destination *cfg)
{
	struct buf b = BUF_INIT(64u << 10);

	(void)config_print_destination(cfg, &b);
	return buf_take(&b);
}

/* New lanes for what is new or changed; NULL where the old one stays. */
static int
open_lanes(struct upload *u, const struct config *cfg, struct lane **fresh,
    struct buf *why)
{
	for (size_t i = 0; i < cfg->destinations.n; i++) {
		const struct config_destination *d = cfg->destinations.v[i];
		struct lane *old = find_lane(u, d->name);
		AUTO_FREE char *text = destination_text(d);
		int r;

		if (old != NULL && strcmp(old->text, text) == 0)
			continue;
		r = lane_new(u, cfg, d, &fresh[i], why);
		if (r < 0)
			return r;
	}
	return 0;
}

static void
replace_lanes(struct upload *u, const struct config *cfg, struct lane **fresh)
{
	struct lane *l, *next;

	for (l = TAILQ_FIRST(&u->lanes); l != NULL; l = next) {
		bool changed = false;

		next = TAILQ_NEXT(l, link);
		for (size_t i = 0; i < cfg->destinations.n; i++)
			changed = changed || (fresh[i] != NULL &&
			    strcmp(fresh[i]->name, l->name) == 0);
		if (changed || config_destination_find(cfg, l->name) == NULL)
			retire_lane(u, l);
	}
	for (size_t i = 0; i < cfg->destinations.n; i++) {
		if (fresh[i] == NULL)
			continue;
		add_lane(u, fresh[i]);
		if (u->running)
			(void)lane_start(fresh[i]);
	}
}

static int
configure(struct upload *u, const struct config *cfg, struct buf *why)
{
	AUTO_FREE struct lane **fresh = xcalloc(cfg->destinations.n + 1,
	    sizeof(*fresh));
	struct debt_check check = { cfg, why, false };
	int r;

	r = spool_debts(u->sp, check_debt, &check);
	if (r >= 0 && check.owing && u->cfg != NULL)
		return -EBUSY;
	if (check.owing)
		buf_clear(why);		/* the first start: the status tells it */
	if (r >= 0)
		r = open_lanes(u, cfg, fresh, why);
	if (r < 0) {
		for (size_t i = 0; i < cfg->destinations.n; i++)
			lane_free(fresh[i]);
		return r;
	}
	replace_lanes(u, cfg, fresh);
	config_unref(u->cfg);
	u->cfg = config_ref(cfg);
	return 0;
}

/* ---- the loop ---- */

static bool
still_there(struct upload *u, const struct lane *wanted)
{
	struct lane *l;

	TAILQ_FOREACH(l, &u->lanes, link) {
		if (l == wanted)
			return true;
	}
	return false;
}

static void
take_note(struct upload *u, struct note *n, int64_t now_ms)
{
	struct request *rq = n->request;
	struct lane *l;

	switch (n->kind) {
	case NOTE_DONE:
		n->request = NULL;
		/* A retired lane's answers settle nothing: what it delivered is
		 * owed still, and the destination will say that it has it. */
		if (!still_there(u, rq->lane)) {
			request_free(rq);
		} else if (rq->probe) {
			lane_probed(rq->lane, &rq->result, now_ms);
			request_free(rq);
		} else {
			request_done(rq->lane, rq, now_ms);
		}
		break;
	case NOTE_CONFIGURE:
		n->result = configure(u, n->cfg, n->why);
		u->next_arrivals_ms = u->next_refresh_ms = now_ms;
		(void)sem_post(n->answered);	/* the note is the caller's again */
		return;
	case NOTE_NUDGE:
		TAILQ_FOREACH(l, &u->lanes, link) {
			if (n->destination == NULL ||
			    strcmp(l->name, n->destination) == 0)
				lane_nudge(l, now_ms);
		}
		u->next_refresh_ms = now_ms;
		break;
	case NOTE_REFRESH:
		u->next_refresh_ms = now_ms;
		break;
	case NOTE_WAKE:
		break;
	}
	free_note(n);
}

static int64_t
run_round(struct upload *u)
{
	int64_t now = clock_mono_ms(), next = now + IDLE_MS;
	struct lane *l;

	/* `woken` stays set until the look is taken: meanwhile nobody pokes. */
	if (atomic_load(&u->woken) && !u->arrivals_due) {
		u->arrivals_due = true;
		if (u->next_arrivals_ms > now + ARRIVALS_MS)
			u->next_arrivals_ms = now + ARRIVALS_MS;
	}
	if (now >= u->next_arrivals_ms) {
		u->arrivals_due = false;
		atomic_store(&u->woken, false);
		u->next_arrivals_ms = arrivals_run(u);
		if (u->next_refresh_ms > u->rested_ms)
			u->next_refresh_ms = u->rested_ms;
	}
	if (now >= u->next_refresh_ms) {
		int64_t begun = clock_mono_ms();

		refresh_lanes(u, now);
		/* With thousands of studies owed a look takes its time: a part
		 * of ours, not all of it. */
		u->rested_ms = now + REST_FACTOR * (clock_mono_ms() - begun);
		u->next_refresh_ms = now + IDLE_MS;
	}
	TAILQ_FOREACH(l, &u->lanes, link) {
		int64_t at;

		lane_run(l, now);
		lane_show(l, now);
		at = lane_next(l, now);
		next = at < next ? at : next;
	}
	next = u->next_arrivals_ms < next ? u->next_arrivals_ms : next;
	next = u->next_refresh_ms < next ? u->next_refresh_ms : next;
	return next;
}

static void *
scheduler_main(void *arg)
{
	struct upload *u = arg;
	struct note *n;

	(void)pthread_setname_np(pthread_self(), "uploader");
	while (!atomic_load(&u->stopping)) {
		n = queue_pop(u->notes, run_round(u));
		while (n != NULL) {
			take_note(u, n, clock_mono_ms());
			n = queue_pop(u->notes, 0);	/* what else is there */
		}
	}
	return NULL;
}

/* ---- from outside ---- */

int
upload_new(struct spool *sp, const struct config *cfg, struct upload **ret,
    struct buf *why)
{
	struct upload *u = xcalloc(1, sizeof(*u));
	int r;

	u->sp = sp;
	u->seed = (uint32_t)clock_wall_ms() | 1;
	TAILQ_INIT(&u->lanes);
	(void)pthread_mutex_init(&u->mu, NULL);
	(void)pthread_cond_init(&u->returned, NULL);
	u->notes = queue_new(NOTES_MAX, free_note);
	r = configure(u, cfg, why);
	if (r < 0) {
		upload_free(u);
		return r;
	}
	*ret = u;
	return 0;
}

int
upload_start(struct upload *u)
{
	struct lane *l;
	int r;

	TAILQ_FOREACH(l, &u->lanes, link) {
		r = lane_start(l);
		if (r < 0)
			return r;
	}
	r = pthread_create(&u->thread, NULL, scheduler_main, u);
	u->running = r == 0;
	return -r;
}

/* Who waits for a reload must not wait for ever. */
static void
refuse_notes(struct upload *u)
{
	struct note *n;

	while ((n = queue_pop(u->notes, 0)) != NULL) {
		if (n->kind == NOTE_CONFIGURE) {
			n->result = -ECANCELED;
			(void)sem_post(n->answered);
		} else {
			free_note(n);
		}
	}
}

void
upload_stop(struct upload *u)
{
	struct lane *l;

	if (u == NULL || !u->running)
		return;
	atomic_store(&u->stopping, true);
	upload_nudge(u, NULL);	/* it sleeps on its queue */
	(void)pthread_join(u->thread, NULL);
	u->running = false;
	/* Nobody takes notes any more: a thread that has one to push lets go. */
	queue_close(u->notes);
	refuse_notes(u);
	TAILQ_FOREACH(l, &u->lanes, link)
		lane_stop(l);
}

void
upload_free(struct upload *u)
{
	struct lane *l;

	if (u == NULL)
		return;
	while ((l = TAILQ_FIRST(&u->lanes)) != NULL) {
		TAILQ_REMOVE(&u->lanes, l, link);
		lane_stop(l);
		lane_free(l);
	}
	queue_free(u->notes);
	config_unref(u->cfg);
	free(u->waiting);
	(void)pthread_cond_destroy(&u->returned);
	(void)pthread_mutex_destroy(&u->mu);
	free(u);
}

void
upload_post(struct upload *u, enum note_kind kind, const char *destination)
{
	struct note *n = xcalloc(1, sizeof(*n));

	n->kind = kind;
	n->destination = destination != NULL ? xstrdup(destination) : NULL;
	if (queue_length(u->notes) >= NUDGES_MAX || queue_push(u->notes, n) < 0)
		free_note(n);	/* full or closed: it is awake, or gone */
}

void
upload_wake(void *upload)
{
	struct upload *u = upload;

	if (!atomic_exchange(&u->woken, true))
		upload_post(u, NOTE_WAKE, NULL);
}

void
upload_nudge(struct upload *u, const char *destination)
{
	upload_post(u, NOTE_NUDGE, destination);
}

int
upload_configure(struct upload *u, const struct config *cfg, struct buf *why)
{
	struct note n = { .kind = NOTE_CONFIGURE, .cfg = cfg, .why = why };
	sem_t answered;
	int r;

	if (!u->running)
		return configure(u, cfg, why);
	(void)sem_init(&answered, 0, 0);
	n.answered = &answered;
	r = queue_push_wait(u->notes, &n);
	if (r == 0) {
		while (sem_wait(&answered) < 0 && errno == EINTR)
			continue;
		r = n.result;
	}
	(void)sem_destroy(&answered);
	return r;
}

int
upload_destinations(struct upload *u, upload_destination_fn *fn, void *arg)
{
	struct lane *l;

	LOCK_SCOPE(&u->mu);
	TAILQ_FOREACH(l, &u->lanes, link) {
		int r = fn(arg, &l->shown);

		if (r != 0)
			return r;
	}
	return 0;
}
