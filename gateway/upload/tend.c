/* tend.c - one thread per destination looks after what the destination confirms later
 * (imports, storage commitments): when its time has come, when a request has sent
 * something, and when somebody nudges.
 *
 * Its verdicts are settled here. It touches nothing of a lane that is the scheduler's:
 * what people look at is under `mu`, and the scheduler gets a note to look again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/upload/upload_int.h"

#define TEND_LEAST_MS 100	/* from one look to the next that nobody asked for */
#define TEND_STACK    (512u << 10)

/* ---- verdicts ---- */

static int
compare_studies(const void *a, const void *b)
{
	const struct destination_item *const *x = a, *const *y = b;

	return (*x)->in.study < (*y)->in.study ? -1 : (*x)->in.study > (*y)->in.study;
}

static void
tell_whole(struct lane *l, const struct destination_item *it)
{
	uint64_t delivered;

	if (settle_is_whole(l, it->in.study, &delivered))
		log_info("study delivered", LOG_U64("id", it->in.study),
		    LOG_STR("study", it->in.study_uid),
		    LOG_STR("destination", l->name),
		    LOG_U64("instances", delivered));
}

static void
tell_studies(struct lane *l, const struct destination_item *items, size_t n)
{
	AUTO_FREE const struct destination_item **by_study = xcalloc(n,
	    sizeof(struct destination_item *));
	size_t m = 0;

	for (size_t i = 0; i < n; i++) {
		if (items[i].verdict == DESTINATION_OK ||
		    items[i].verdict == DESTINATION_WARNED)
			by_study[m++] = &items[i];
	}
	qsort(by_study, m, sizeof(struct destination_item *), compare_studies);
	for (size_t i = 0; i < m; i++) {
		if (i == 0 || by_study[i]->in.study != by_study[i - 1]->in.study)
			tell_whole(l, by_study[i]);
	}
}

/* A destination_settle_fn. */
static int
settle_sent(void *arg, uint64_t job, struct destination_item *items, size_t n)
{
	struct lane *l = arg;
	struct settled sum;
	int r;

	r = settle_items(l, job, items, n, &sum);
	if (r < 0)
		return r;
	lane_count_delivered(l, sum.delivered);
	if (sum.delivered > 0)
		tell_studies(l, items, n);
	/* What is owed again, and versions that waited for these. */
	upload_post(l->up, NOTE_REFRESH, NULL);
	return 0;
}

/* ---- the thread ---- */

static void
copy_text(char *to, size_t size, const struct buf *b)
{
	(void)snprintf(to, size, "%s", b->len > 0 ? b->data : "");
}

static bool
has(const struct buf *b, const char *text)
{
	return b->len > 0 && strstr(b->data, text) != NULL;
}

static void
add_result(const struct destination_result *r, struct buf *words, struct buf *alarm)
{
	struct buf *b = r->health == DESTINATION_DOWN ? alarm : words;

	if (r->health == DESTINATION_UP || r->health == DESTINATION_CANCELED ||
	    has(words, r->reason) || has(alarm, r->reason))
		return;
	(void)buf_printf(b, "%s%s", b->len > 0 ? "; " : "", r->reason);
}

static void
log_alarm(struct lane *l, const struct buf *alarm, bool *alarmed)
{
	if ((alarm->len > 0) == *alarmed)
		return;
	*alarmed = alarm->len > 0;
	if (*alarmed)
		log_warn("what was handed over is not confirmed",
		    LOG_STR("destination", l->name), LOG_STR("reason", alarm->data));
	else
		log_info("what was handed over is looked after again",
		    LOG_STR("destination", l->name));
}

static void
show_jobs(struct lane *l, const struct destination_result *r, bool *alarmed)
{
	struct buf words = BUF_INIT(4096), alarm = BUF_INIT(4096);

	destination_describe(l->dest, &words, &alarm);
	add_result(r, &words, &alarm);
	if (r->health != DESTINATION_CANCELED)
		log_alarm(l, &alarm, alarmed);
	(void)pthread_mutex_lock(&l->up->mu);
	copy_text(l->shown.jobs, sizeof(l->shown.jobs), &words);
	copy_text(l->shown.alarm, sizeof(l->shown.alarm), &alarm);
	(void)pthread_mutex_unlock(&l->up->mu);
	buf_free(&words);
	buf_free(&alarm);
}

static void *
tender_main(void *arg)
{
	struct lane *l = arg;
	int64_t next = 0;	/* at once: jobs of before the start */
	bool alarmed = false;

	(void)pthread_setname_np(pthread_self(), "tender");
	for (;;) {
		struct destination_result r = { .health = DESTINATION_UP };
		int64_t least;

		(void)queue_pop(l->tender.wakes,
		    atomic_load(&l->tender.paused) ? CLOCK_NEVER : next);
		if (atomic_load(&l->tender.stopping))
			return NULL;
		if (atomic_load(&l->tender.paused))
			continue;
		destination_tend(l->dest, settle_sent, l, &r, &next);
		show_jobs(l, &r, &alarmed);
		least = clock_mono_ms() + TEND_LEAST_MS;
		next = next < least ? least : next;
	}
}

void
tender_init(struct lane *l)
{
	l->tender.wakes = queue_new(1, NULL);
	atomic_init(&l->tender.paused, true);	/* the first round knows better */
}

int
tender_start(struct lane *l)
{
	pthread_attr_t attr;
	int r;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, TEND_STACK);
	r = pthread_create(&l->tender.thread, &attr, tender_main, l);
	(void)pthread_attr_destroy(&attr);
	l->tender.running = r == 0;
	return -r;
}

void
tender_wake(struct lane *l)
{
	/* Full: it will wake, and has not looked yet. */
	(void)queue_push(l->tender.wakes, l);
}

void
tender_pause(struct lane *l, bool paused)
{
	if (atomic_exchange(&l->tender.paused, paused) != paused)
		tender_wake(l);
}

void
tender_ask_stop(struct lane *l)
{
	atomic_store(&l->tender.stopping, true);
	queue_close(l->tender.wakes);
}

void
tender_join(struct lane *l)
{
	if (l->tender.running)
		(void)pthread_join(l->tender.thread, NULL);
	l->tender.running = false;
}

void
tender_free(struct lane *l)
{
	queue_free(l->tender.wakes);
}
