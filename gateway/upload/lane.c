/* lane.c - one destination: its state, its transfer threads, its probe, its windows.
 *
 * It has a thread for each connection that it takes, and one more, so that what is
 * stat never waits for a request that has minutes to go (rule 33).
 *
 * States, and what moves between them (lane_heard and lane_probed alone):
 *
 *   UP    requests go out, as many as it has connections; after an outage one at
 *	   a time until one has succeeded
 *   DOWN  unreachable, unauthorized, or failing whatever it is given: a probe, at
 *	   intervals that grow with the outage, decides when to try again
 *   BUSY  it asked for a pause (429, 503)
 *
 * Beside that an operator may hold it, and a window may close it: then nothing begins,
 * and what is under way is canceled by its rate.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/upload/upload_int.h"

#define FAILURES_TO_DOWN 4
#define PROBE_LEAST_MS	 5000
#define PROBE_MOST_MS	 (5 * 60 * 1000)
#define BUSY_MS		 30000
#define LANE_STACK	 (512u << 10)
#define WINDOWS_MS	 30000	/* so long a step of the wall clock goes unseen */

/* ---- windows ---- */

static void
log_windows(const struct lane *l)
{
	char until[32] = "";

	if (l->window_ends_ms != CLOCK_NEVER)
		(void)clock_format(l->window_ends_ms, until, sizeof(until));
	if (l->closed)
		log_info("nothing is sent to the destination now (windows)",
		    LOG_STR("destination", l->name), LOG_STR("until", until));
	else
		log_info("rate of the destination (windows)",
		    LOG_STR("destination", l->name),
		    LOG_U64("bytes_per_second", l->limit), LOG_STR("until", until));
}

static void
follow_windows(struct lane *l, int64_t now_ms)
{
	struct rate *rate = destination_rate(l->dest);
	int64_t wall = clock_wall_ms();
	struct window_span now;
	bool closed;

	windows_at(&l->conf->windows, l->conf->rate, wall, &now);
	closed = now.rate == CONFIG_RATE_NONE;
	l->window_ends_ms = now.until_ms;
	l->next_window_ms = l->conf->windows.n == 0 ? CLOCK_NEVER :
	    now_ms + (now.until_ms - wall < WINDOWS_MS ? now.until_ms - wall :
	    WINDOWS_MS);
	if (closed == l->closed && (closed || now.rate == l->limit))
		return;
	l->closed = closed;
	l->rate = 0;	/* it was measured at another limit */
	if (!closed) {
		l->limit = now.rate;
		rate_set(rate, now.rate);
	}
	rate_set_closed(rate, closed);
	if (l->conf->windows.n > 0)
		log_windows(l);
}

/* ---- threads ---- */

static void *
transfer_main(void *arg)
{
	struct lane *l = arg;
	struct request *rq;

	(void)pthread_setname_np(pthread_self(), "transfer");
	while ((rq = queue_pop(l->work, CLOCK_NEVER)) != NULL) {
		struct note *n = xcalloc(1, sizeof(*n));

		if (rq->probe)
			destination_probe(l->dest, &rq->result);
		else
			destination_deliver(l->dest, rq->item, rq->n, &rq->result);
		/* The request is the scheduler's from here on. */
		n->kind = NOTE_DONE;
		n->request = rq;
		if (queue_push_wait(l->up->notes, n) < 0) {
			request_free(rq);
			free(n);
		}
	}
	return NULL;
}

static void
drop_request(void *item)
{
	request_free(item);
}

static unsigned
thread_count(const struct lane *l)
{
	return destination_limits(l->dest)->connections + 1;
}

int
lane_new(struct upload *u, const struct config *cfg,
    const struct config_destination *d, struct lane **ret, struct buf *why)
{
	struct lane *l = xcalloc(1, sizeof(*l));
	struct buf text = BUF_INIT(64u << 10);
	int r;

	l->up = u;
	l->cfg = config_ref(cfg);
	l->conf = d;
	l->name = xstrdup(d->name);
	schedule_init(&l->sched);
	tender_init(l);
	l->state = UPLOAD_UP;
	l->shown.since_ms = clock_wall_ms();
	(void)config_print_destination(d, &text);
	l->text = buf_take(&text);

	r = destination_open(d, u->sp, &l->dest, why);
	if (r < 0) {
		lane_free(l);
		return r;
	}
	/* One more than there are threads: the probe. */
	l->work = queue_new(thread_count(l) + 1, drop_request);
	follow_windows(l, clock_mono_ms());
	lane_show(l, clock_mono_ms());	/* people may look before its first round */
	*ret = l;
	return 0;
}

int
lane_start(struct lane *l)
{
	unsigned n = thread_count(l);
	pthread_attr_t attr;
	int r = 0;

	l->threads = xcalloc(n, sizeof(*l->threads));
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, LANE_STACK);
	while (l->n_threads < n && r == 0) {
		r = pthread_create(&l->threads[l->n_threads], &attr, transfer_main, l);
		if (r == 0)
			l->n_threads++;
	}
	(void)pthread_attr_destroy(&attr);
	return l->n_threads > 0 ? tender_start(l) : -r;
}

void
lane_stop(struct lane *l)
{
	tender_ask_stop(l);
	destination_cancel(l->dest);
	queue_close(l->work);
	tender_join(l);
	for (unsigned i = 0; i < l->n_threads; i++)
		(void)pthread_join(l->threads[i], NULL);
	l->n_threads = 0;
}

void
lane_free(struct lane *l)
{
	if (l == NULL)
		return;
	assert(l->n_threads == 0);
	queue_free(l->work);
	tender_free(l);
	schedule_clear(&l->sched);
	destination_close(l->dest);
	config_unref(l->cfg);
	free(l->threads);
	free(l->name);
	free(l->text);
	free(l);
}

/* ---- state ---- */

static void
set_state(struct lane *l, enum upload_state to, const char *reason)
{
	bool changed = l->state != to;

	l->state = to;
	if (reason != l->reason)
		(void)snprintf(l->reason, sizeof(l->reason), "%s", reason);
	if (!changed)
		return;
	if (to == UPLOAD_UP)
		log_info("destination is up", LOG_STR("destination", l->name));
	else
		log_warn(to == UPLOAD_DOWN ? "destination is down" :
		    "destination asks us to wait", LOG_STR("destination", l->name),
		    LOG_STR("reason", reason));
}

static void
go_down(struct lane *l, const char *reason, int64_t now_ms)
{
	if (l->down_since_ms == 0)
		l->down_since_ms = now_ms;
	l->cautious = true;
	l->next_try_ms = now_ms + schedule_backoff(l->down_since_ms, now_ms,
	    PROBE_LEAST_MS, PROBE_MOST_MS, upload_random(l->up));
	set_state(l, UPLOAD_DOWN, reason);
}

static void
go_busy(struct lane *l, const struct destination_result *r, int64_t now_ms)
{
	int64_t wait = r->retry_after_ms >= 0 ? r->retry_after_ms : BUSY_MS;

	l->cautious = true;
	l->next_try_ms = now_ms + wait + upload_random(l->up) % 1000;
	set_state(l, UPLOAD_BUSY, r->reason);
}

void
lane_count_delivered(struct lane *l, uint64_t n)
{
	LOCK_SCOPE(&l->up->mu);
	l->shown.delivered += n;
	if (n > 0)
		l->shown.last_success_ms = clock_wall_ms();
}

static void
note_success(struct lane *l, uint64_t taken)
{
	l->failures_in_row = 0;
	l->down_since_ms = 0;
	l->cautious = false;
	l->successes += taken;
	set_state(l, UPLOAD_UP, "");
}

static void
note_failure(struct lane *l, const char *reason, int64_t now_ms)
{
	(void)pthread_mutex_lock(&l->up->mu);
	l->shown.failures++;
	(void)pthread_mutex_unlock(&l->up->mu);
	(void)snprintf(l->reason, sizeof(l->reason), "%s", reason);
	log_warn("upload failed", LOG_STR("destination", l->name),
	    LOG_STR("reason", reason));
	/* While it takes other requests the fault may lie in this one; when nothing
	 * succeeds any more it is the destination's. */
	if (++l->failures_in_row >= FAILURES_TO_DOWN || l->cautious)
		go_down(l, reason, now_ms);
}

void
lane_heard(struct lane *l, const struct destination_result *r, uint64_t taken,
    int64_t now_ms)
{
	/* An answer to a request of before the outage does not end it. */
	if (taken > 0)
		note_success(l, taken);

	switch (r->health) {
	case DESTINATION_UP:
		if (taken == 0 && l->state != UPLOAD_DOWN)
			note_success(l, 0);
		break;
	case DESTINATION_DOWN:
		go_down(l, r->reason, now_ms);
		break;
	case DESTINATION_BUSY:
		go_busy(l, r, now_ms);
		break;
	case DESTINATION_FAILED:
		note_failure(l, r->reason, now_ms);
		break;
	case DESTINATION_TOO_LARGE:
	case DESTINATION_CANCELED:
		break;
	}
}

void
lane_probed(struct lane *l, const struct destination_result *r, int64_t now_ms)
{
	l->probing = false;
	if (l->state != UPLOAD_DOWN || r->health == DESTINATION_CANCELED)
		return;
	/* What felled it stays in sight until a request has succeeded. */
	if (r->health == DESTINATION_UP)
		set_state(l, UPLOAD_UP, l->failures_in_row > 0 ? l->reason : "");
	else
		go_down(l, r->reason, now_ms);
}

void
lane_nudge(struct lane *l, int64_t now_ms)
{
	l->next_try_ms = now_ms;
	schedule_nudge(&l->sched, now_ms);
	tender_wake(l);
}

/* ---- work ---- */

static void
start_probe(struct lane *l)
{
	struct request *rq = xcalloc(1, sizeof(*rq));

	rq->lane = l;
	rq->probe = true;
	l->probing = queue_push(l->work, rq) == 0;
	if (!l->probing)
		request_free(rq);
}

static bool
start_request(struct lane *l, enum spool_priority least, int64_t now_ms)
{
	struct job *j = schedule_pick(&l->sched, now_ms, l->cautious, least);
	struct request *rq;

	if (j == NULL)
		return false;
	rq = request_cut(l, j, now_ms);
	if (rq == NULL) {
		lane_rest(l, j, now_ms);
		return true;	/* perhaps another job */
	}
	schedule_charge(&l->sched, j, rq->bytes);
	j->in_flight++;
	l->in_flight++;
	/* The request belongs to a transfer thread until its note comes back. */
	if (queue_push(l->work, rq) < 0)
		request_done(l, rq, now_ms);
	return true;
}

/* What may begin now; false: nothing, an answer has to come first. */
static bool
has_room(const struct lane *l, enum spool_priority *ret_least)
{
	unsigned most = l->cautious ? 1 : destination_limits(l->dest)->connections;

	*ret_least = l->in_flight < most ? SPOOL_LOW : SPOOL_STAT;
	return l->in_flight < most || (!l->cautious && l->in_flight == most);
}

void
lane_run(struct lane *l, int64_t now_ms)
{
	enum spool_priority least;

	if (now_ms >= l->next_window_ms)
		follow_windows(l, now_ms);
	tender_pause(l, l->held || l->closed);
	if (l->held || l->closed)
		return;
	if (l->state == UPLOAD_BUSY && now_ms >= l->next_try_ms)
		set_state(l, UPLOAD_UP, "");
	if (l->state == UPLOAD_DOWN && now_ms >= l->next_try_ms && !l->probing)
		start_probe(l);
	if (l->stale && l->state == UPLOAD_UP)
		lane_look(l, now_ms);
	while (l->state == UPLOAD_UP && has_room(l, &least)) {
		if (!start_request(l, least, now_ms))
			break;
	}
}

/* While nothing can leave, arrivals for others must not cost a look at what waits
 * here. */
void
lane_look(struct lane *l, int64_t now_ms)
{
	l->stale = l->held || l->closed || l->state == UPLOAD_DOWN;
	if (!l->stale)
		lane_refresh(l, now_ms);
}

static int64_t
next_work(const struct lane *l, int64_t now_ms)
{
	enum spool_priority least;

	if (l->held || l->closed || l->probing)
		return CLOCK_NEVER;
	if (l->state != UPLOAD_UP)
		return l->next_try_ms;
	if (!has_room(l, &least))
		return CLOCK_NEVER;	/* an answer will wake us */
	return schedule_next(&l->sched, now_ms, least);
}

int64_t
lane_next(const struct lane *l, int64_t now_ms)
{
	int64_t work = next_work(l, now_ms);

	return work < l->next_window_ms ? work : l->next_window_ms;
}

static enum upload_state
shown_state(const struct lane *l)
{
	return l->held ? UPLOAD_HELD : l->closed ? UPLOAD_CLOSED : l->state;
}

/* mu is held. */
static void
show_reason(const struct lane *l, struct upload_destination *d)
{
	time_t until = (time_t)(l->window_ends_ms / 1000);
	char text[32] = "its windows change";
	struct tm tm;

	if (d->state != UPLOAD_CLOSED) {
		(void)snprintf(d->reason, sizeof(d->reason), "%s", l->reason);
		return;
	}
	if (l->window_ends_ms != CLOCK_NEVER && localtime_r(&until, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%a %H:%M", &tm);
	(void)snprintf(d->reason, sizeof(d->reason),
	    "nothing is sent until %s (windows)", text);
}

static int64_t
shown_next_try(const struct lane *l, int64_t now_ms)
{
	switch (shown_state(l)) {
	case UPLOAD_CLOSED:
		return l->window_ends_ms != CLOCK_NEVER ? l->window_ends_ms : 0;
	case UPLOAD_DOWN:
	case UPLOAD_BUSY:
		return clock_wall_ms() + (l->next_try_ms - now_ms);
	case UPLOAD_UP:
	case UPLOAD_HELD:
		break;
	}
	return 0;
}

void
lane_show(struct lane *l, int64_t now_ms)
{
	struct upload_destination *d = &l->shown;

	LOCK_SCOPE(&l->up->mu);
	d->name = l->name;
	d->type = destination_type(l->dest);
	if (d->state != shown_state(l))
		d->since_ms = clock_wall_ms();
	d->state = shown_state(l);
	show_reason(l, d);
	d->in_flight = l->in_flight;
	d->rate = l->limit;
	d->bytes_per_second = (uint64_t)(l->rate * (l->in_flight > 0 ?
	    l->in_flight : 1));
	d->next_try_ms = shown_next_try(l, now_ms);
}
