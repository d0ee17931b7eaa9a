/* request.c - cutting a request from a job, and what its answer means for it.
 *
 * A request ends where its destination's limits say: bytes, instances, and the
 * time it is expected to take at the rate that was measured or is allowed (rule 7).
 * Every instance of it ends in one of four ways: settled, sent (the destination will
 * confirm it, see tend.c), given back to the job as a fragment, or (when it has failed
 * by itself while others succeed) set aside by name.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/upload/upload_int.h"

#define REQUEST_MS	   (5 * 60 * 1000)	/* rule 7 */
#define REQUEST_BYTES_LEAST (64u << 10)
#define AGAIN_LEAST_MS	   2000
#define AGAIN_MOST_MS	   (15 * 60 * 1000)
#define FAILURES_TO_REFUSE 3	/* of one instance alone, by a server that fails */
#define RETRIES_TO_REFUSE  8	/* of one instance, by a server that says no */

/* ---- cutting ---- */

struct cut {
	struct lane *l;
	struct job  *job;
	struct request *rq;
	uint64_t     budget;
	unsigned     room;
	bool	     full;	/* ended by a limit, not by lack of instances */
	unsigned     rows;
	struct fragment *lost;	/* no bytes on this disk */
};

static struct request *
new_request(struct lane *l, uint64_t study, size_t room)
{
	struct request *rq = xcalloc(1, sizeof(*rq) + room * sizeof(rq->item[0]));

	rq->lane = l;
	rq->study = study;
	return rq;
}

void
request_free(struct request *rq)
{
	if (rq == NULL)
		return;
	free(rq->fragment);
	free(rq);
}

/* Bytes/s of one connection, as far as one knows; 0: not at all. */
static double
expected_rate(const struct lane *l)
{
	double limit = (double)l->limit / destination_limits(l->dest)->connections;

	return limit > 0 && (l->rate <= 0 || limit < l->rate) ? limit : l->rate;
}

static uint64_t
byte_budget(const struct lane *l)
{
	double rate = expected_rate(l);
	uint64_t most = destination_limits(l->dest)->request_bytes;

	if (l->learned_bytes != 0 && l->learned_bytes < most)
		most = l->learned_bytes;
	if (rate > 0) {
		double timed = rate * REQUEST_MS / 1000.0;

		if (timed < (double)most)
			most = (uint64_t)timed;
	}
	return most < REQUEST_BYTES_LEAST ? REQUEST_BYTES_LEAST : most;
}

/* shown: the reason as a log may have it. */
static void
refuse_now(struct lane *l, uint64_t id, const char *reason, const char *shown)
{
	struct spool_verdict v = { .id = id, .destination = l->name,
		.state = SPOOL_REFUSED, .reason = reason };

	if (spool_settle(l->up->sp, &v, 1) == 0)
		log_warn("instance set aside", LOG_U64("id", id),
		    LOG_STR("destination", l->name), LOG_STR("reason", shown));
}

/* Rule 3. The spool gives out no later version while an earlier is owed; but the
 * earlier may be let go of while the spool is being read. */
static bool
holds_other_version(const struct request *rq, const struct spool_instance *in)
{
	for (size_t i = 0; in->version > 1 && i < rq->n; i++) {
		if (strcmp(rq->item[i].in.sop_instance, in->sop_instance) == 0)
			return true;
	}
	return false;
}

/* 0 taken or passed over, 1 the request is full. */
static int
take_instance(void *arg, const struct spool_instance *in)
{
	struct cut *c = arg;
	struct request *rq = c->rq;

	c->rows++;
	if (job_holds(c->job, in->id)) {
		c->job->cursor = in->id;
		return 0;
	}
	if (rq->n > 0 && (rq->n == c->room || rq->bytes + in->length > c->budget ||
		holds_other_version(rq, in))) {
		c->full = true;
		return 1;
	}
	rq->item[rq->n].in = *in;
	rq->item[rq->n].verdict = DESTINATION_RETRY;
	rq->n++;
	rq->bytes += in->length;
	c->job->cursor = in->id;
	return 0;
}

/* What no request could ever carry is refused before it is tried (rule 6), and
 * what has no bytes here is reported. After the walk: settling may not happen
 * while the index is being read. */
static void
weed(struct lane *l, struct request *rq)
{
	const struct destination_limits *lim = destination_limits(l->dest);
	size_t kept = 0;

	for (size_t i = 0; i < rq->n; i++) {
		const struct spool_instance *in = &rq->item[i].in;

		if (!in->kept) {
			(void)spool_set_damaged(l->up->sp, in->id,
			    "its bytes are missing on this disk");
		} else if (lim->instance_bytes != 0 &&
		    in->length > lim->instance_bytes) {
			char why[160];

			(void)snprintf(why, sizeof(why), "larger (%" PRIu64
			    " bytes) than %s: %" PRIu64, in->length,
			    lim->instance_limit_name, lim->instance_bytes);
			refuse_now(l, in->id, why, why);
		} else {
			rq->item[kept++] = rq->item[i];
			continue;
		}
		rq->bytes -= in->length;
	}
	rq->n = kept;
}

static int
take_exactly(void *arg, const struct spool_instance *in)
{
	*(struct spool_instance *)arg = *in;
	return 1;
}

/* The instances of a fragment that are still owed, in order. */
static struct request *
cut_fragment(struct lane *l, struct job *j, struct fragment *f)
{
	struct request *rq = new_request(l, j->study, f->n);

	for (size_t i = 0; i < f->n; i++) {
		struct spool_instance in = { .id = 0 };

		(void)spool_owed(l->up->sp, l->name, j->study, f->id[i] - 1, 1,
		    take_exactly, &in);
		if (in.id != f->id[i])
			continue;
		rq->item[rq->n].in = in;
		rq->item[rq->n++].verdict = DESTINATION_RETRY;
		rq->bytes += in.length;
	}
	rq->fragment = f;
	return rq;
}

static struct request *
cut_fresh(struct lane *l, struct job *j)
{
	struct cut c = { .l = l, .job = j, .budget = byte_budget(l) };
	unsigned limit = destination_limits(l->dest)->request_instances;
	int r;

	c.room = limit < REQUEST_INSTANCES_MAX ? limit : REQUEST_INSTANCES_MAX;
	c.rq = new_request(l, j->study, c.room);
	r = spool_owed(l->up->sp, l->name, j->study, j->cursor, c.room + 1,
	    take_instance, &c);
	/* Where the index cannot be read just now: until the next refresh. */
	if (r < 0 || (!c.full && c.rows <= c.room))
		j->drained = true;
	return c.rq;
}

struct request *
request_cut(struct lane *l, struct job *j, int64_t now_ms)
{
	for (;;) {
		/* After an outage: first what has not failed yet. */
		struct fragment *f = l->cautious && !j->drained ? NULL :
		    job_take_fragment(j, now_ms);
		struct request *rq;
		bool fresh = f == NULL;

		if (f == NULL && j->drained)
			return NULL;
		rq = f != NULL ? cut_fragment(l, j, f) : cut_fresh(l, j);
		weed(l, rq);
		if (rq->n > 0)
			return rq;
		request_free(rq);
		/* What has failed waits until all jobs were asked for the rest. */
		if (fresh && l->cautious)
			return NULL;
	}
}

/* ---- what came back ---- */

static int64_t
again_at(struct lane *l, const struct fragment *f, int64_t now_ms)
{
	int64_t since = f->first_failed_ms != 0 ? f->first_failed_ms : now_ms;

	return now_ms + schedule_backoff(since, now_ms, AGAIN_LEAST_MS,
	    AGAIN_MOST_MS, upload_random(l->up));
}

static struct fragment *
unfinished(const struct request *rq)
{
	struct fragment *f = xcalloc(1, sizeof(*f) + rq->n * sizeof(f->id[0]));

	for (size_t i = 0; i < rq->n; i++) {
		if (rq->item[i].verdict == DESTINATION_RETRY)
			f->id[f->n++] = rq->item[i].in.id;
	}
	if (rq->fragment != NULL) {
		f->first_failed_ms = rq->fragment->first_failed_ms;
		f->successes_then = rq->fragment->successes_then;
		f->tries = rq->fragment->n == f->n ? rq->fragment->tries : 0;
		f->halved = rq->fragment->halved;
	}
	return f;
}

/* One instance that keeps failing by itself, while the destination takes others,
 * is set aside: its neighbours and successors go on (promise 5). */
static bool
give_up_on(const struct lane *l, const struct fragment *f, unsigned most)
{
	return f->n == 1 && f->tries >= most && l->successes > f->successes_then;
}

static void
set_aside(struct lane *l, struct fragment *f, const char *said, const char *shown)
{
	static const char format[] =
	    "tried %u times while other images were taken: %s";
	char why[320], logged[320];

	(void)snprintf(why, sizeof(why), format, f->tries, said);
	(void)snprintf(logged, sizeof(logged), format, f->tries, shown);
	refuse_now(l, f->id[0], why, logged);
	free(f);
}

static void
note_vain(const struct lane *l, struct fragment *f, int64_t now_ms)
{
	if (f->first_failed_ms != 0)
		return;
	f->first_failed_ms = now_ms;
	f->successes_then = l->successes;
}

/* Counted against these very instances. */
static void
note_failure(const struct lane *l, struct fragment *f, int64_t now_ms)
{
	note_vain(l, f, now_ms);
	f->tries++;
}

/* The request as a whole failed and nobody knows whose fault it was: once more as
 * it is (servers restart), then in halves. */
static void
retry_failed(struct lane *l, struct job *j, struct fragment *f, const char *said,
    int64_t now_ms)
{
	note_failure(l, f, now_ms);
	if (give_up_on(l, f, FAILURES_TO_REFUSE)) {
		set_aside(l, f, said, said);
	} else if (f->n > 1 && (f->tries > 1 || f->halved)) {
		job_split_fragment(j, f, now_ms);
	} else {
		f->due_ms = f->n > 1 ? now_ms + AGAIN_LEAST_MS : again_at(l, f, now_ms);
		job_add_fragment(j, f);
	}
}

/* The server answered and said "not now" of single instances. */
static void
retry_named(struct lane *l, struct job *j, const struct request *rq, int64_t now_ms)
{
	for (size_t i = 0; i < rq->n; i++) {
		const struct destination_item *it = &rq->item[i];
		char shown[REASON_SIZE];
		struct fragment *f;

		if (it->verdict != DESTINATION_RETRY)
			continue;
		f = fragment_new(&it->in.id, 1);
		if (rq->fragment != NULL && rq->n == 1) {
			f->first_failed_ms = rq->fragment->first_failed_ms;
			f->successes_then = rq->fragment->successes_then;
			f->tries = rq->fragment->tries;
		}
		/* Where it says nothing against the instance itself (a full disk here,
		 * an answer that leaves it out), only the pause grows. */
		if (it->retry_soon)
			note_failure(l, f, now_ms);
		else
			note_vain(l, f, now_ms);
		if (it->retry_soon && give_up_on(l, f, RETRIES_TO_REFUSE)) {
			set_aside(l, f, it->reason, settle_shown(it, shown));
			continue;
		}
		f->due_ms = again_at(l, f, now_ms);
		job_add_fragment(j, f);
	}
}

static void
retry_smaller(struct lane *l, struct job *j, struct fragment *f,
    const struct request *rq, int64_t now_ms)
{
	if (f->n == 1) {
		static const char why[] = "larger than the destination takes "
		    "(413): raise its server's limit, such as nginx's "
		    "client_max_body_size";

		refuse_now(l, f->id[0], why, why);
		free(f);
		return;
	}
	l->learned_bytes = rq->bytes / 2;
	job_split_fragment(j, f, now_ms);
}

static void
give_back(struct lane *l, struct job *j, struct request *rq, int64_t now_ms)
{
	struct fragment *f = unfinished(rq);

	if (f->n == 0) {
		free(f);
		return;
	}
	switch (rq->result.health) {
	case DESTINATION_UP:
		retry_named(l, j, rq, now_ms);
		free(f);
		break;
	case DESTINATION_FAILED:
		retry_failed(l, j, f, rq->result.reason, now_ms);
		break;
	case DESTINATION_TOO_LARGE:
		retry_smaller(l, j, f, rq, now_ms);
		break;
	case DESTINATION_DOWN:
	case DESTINATION_BUSY:
	case DESTINATION_CANCELED:
		/* Not their fault: as soon as it is back. */
		f->due_ms = now_ms;
		job_add_fragment(j, f);
		break;
	}
}

/* If it cannot be made durable, all of it stays owed and is tried again later. */
static struct settled
settle_request(struct lane *l, struct job *j, const struct request *rq,
    int64_t now_ms)
{
	struct settled sum = { 0 };

	if (settle_items(l, 0, rq->item, rq->n, &sum) >= 0)
		return sum;
	for (size_t i = 0; i < rq->n; i++) {
		struct fragment *f;

		if (rq->item[i].verdict == DESTINATION_RETRY ||
		    rq->item[i].verdict == DESTINATION_SENT)
			continue;
		f = fragment_new(&rq->item[i].in.id, 1);
		f->due_ms = now_ms + 10 * AGAIN_LEAST_MS;
		job_add_fragment(j, f);
	}
	return sum;
}

static void
measure_rate(struct lane *l, const struct destination_result *r)
{
	double now;

	if (r->bytes < 65536 || r->elapsed_ms <= 0)
		return;
	now = (double)r->bytes * 1000.0 / (double)r->elapsed_ms;
	l->rate = l->rate > 0 ? 0.7 * l->rate + 0.3 * now : now;
}

/* A refresh may have made the job look again, which says nothing of whether there
 * is anything left. */
static bool
all_delivered(struct lane *l, const struct job *j)
{
	return j->delivered > 0 && j->in_flight == 0 && TAILQ_EMPTY(&j->fragments) &&
	    settle_is_whole(l, j->study, NULL);
}

static void
tell_delivered(const struct lane *l, const struct job *j, const struct request *rq,
    int64_t now_ms)
{
	log_info("study delivered", LOG_U64("id", j->study),
	    LOG_STR("study", rq->item[0].in.study_uid),
	    LOG_STR("destination", l->name), LOG_U64("instances", j->delivered),
	    LOG_U64("bytes", j->bytes), LOG_I64("ms", now_ms - j->began_ms));
}

static void
count_request(const struct request *rq)
{
	metric_add(METRIC_UPLOAD_REQUESTS, 1);
	if (rq->result.health != DESTINATION_UP &&
	    rq->result.health != DESTINATION_CANCELED)
		metric_add(METRIC_UPLOAD_FAILURES, 1);
}

void
request_done(struct lane *l, struct request *rq, int64_t now_ms)
{
	struct job *j = schedule_find(&l->sched, rq->study);
	struct settled sum;

	l->in_flight--;
	j->in_flight--;
	/* Whatever ended when the window did says nothing of the destination. */
	if (l->closed && rq->result.health != DESTINATION_UP)
		rq->result.health = DESTINATION_CANCELED;
	count_request(rq);

	sum = settle_request(l, j, rq, now_ms);
	j->delivered += sum.delivered;
	j->bytes += sum.bytes;
	j->progressed = j->progressed || sum.taken > 0;
	lane_count_delivered(l, sum.delivered);
	lane_heard(l, &rq->result, sum.taken, now_ms);
	if (sum.taken > 0)
		measure_rate(l, &rq->result);
	if (sum.sent > 0)
		tender_wake(l);
	give_back(l, j, rq, now_ms);

	if (all_delivered(l, j)) {
		tell_delivered(l, j, rq, now_ms);
		j->delivered = j->bytes = 0;
		j->began_ms = now_ms;
	}
	lane_rest(l, j, now_ms);
	request_free(rq);
}
