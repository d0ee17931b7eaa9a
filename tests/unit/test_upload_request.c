/* test_upload_request.c - how a request is cut from what the spool says is owed, when
 * that changes while it is read; and what counts against an instance that came back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/upload/upload_int.h"

/* ---- around it ----------------------------------------------------------- */

static struct spool_instance owed[8];
static size_t n_owed;
static unsigned refused;
static struct destination_limits limits = { .connections = 1,
	.request_bytes = 1 << 20, .request_instances = 8 };

int
spool_owed(struct spool *sp, const char *destination, uint64_t study,
    uint64_t after, size_t limit, spool_instance_fn *fn, void *arg)
{
	int r = 0;

	(void)sp;
	(void)destination;
	(void)study;
	for (size_t i = 0; i < n_owed && limit > 0 && r == 0; i++) {
		if (owed[i].id <= after)
			continue;
		r = fn(arg, &owed[i]);
		limit--;
	}
	return r < 0 ? r : 0;
}

int
spool_settle(struct spool *sp, const struct spool_verdict *v, size_t n)
{
	(void)sp;
	for (size_t i = 0; i < n; i++)
		refused += v[i].state == SPOOL_REFUSED ? 1 : 0;
	return 0;
}

int
spool_set_damaged(struct spool *sp, uint64_t id, const char *why)
{
	(void)sp;
	(void)id;
	(void)why;
	return 0;
}

const struct destination_limits *
destination_limits(const struct destination *d)
{
	(void)d;
	return &limits;
}

uint32_t
upload_random(struct upload *u)
{
	(void)u;
	return 0;
}

void
lane_count_delivered(struct lane *l, uint64_t n)
{
	(void)l;
	(void)n;
}

void
lane_heard(struct lane *l, const struct destination_result *r, uint64_t taken,
    int64_t now_ms)
{
	(void)l;
	(void)r;
	(void)taken;
	(void)now_ms;
}

void
lane_rest(struct lane *l, struct job *j, int64_t now_ms)
{
	(void)l;
	(void)j;
	(void)now_ms;
}

const char *
settle_shown(const struct destination_item *it, char ret[static REASON_SIZE])
{
	(void)it;
	(void)ret;
	return "";
}

int
settle_items(struct lane *l, uint64_t job, const struct destination_item *items,
    size_t n, struct settled *ret)
{
	(void)l;
	(void)job;
	(void)items;
	(void)n;
	*ret = (struct settled){ 0 };
	return 0;
}

bool
settle_is_whole(struct lane *l, uint64_t study, uint64_t *ret_delivered)
{
	(void)l;
	(void)study;
	(void)ret_delivered;
	return false;
}

void
tender_wake(struct lane *l)
{
	(void)l;
}

/* ---- cutting ------------------------------------------------------------- */

static void
owe(uint64_t id, unsigned version, const char *uid)
{
	struct spool_instance *in = &owed[n_owed++];

	*in = (struct spool_instance){ .id = id, .version = version, .length = 100,
		.kept = true };
	(void)snprintf(in->sop_instance, sizeof(in->sop_instance), "%s", uid);
}

/* As when the first is let go of between two pages of what is owed. */
static void
rule_3_two_versions_never_share_a_request(void **state)
{
	struct upload u = { .sp = NULL };
	struct lane l = { .up = &u, .name = (char[]){ "cloud" } };
	struct job *j;
	struct request *rq;

	(void)state;
	n_owed = 0;
	owe(1, 1, "1.2.1");
	owe(2, 1, "1.2.2");
	owe(3, 2, "1.2.1");
	owe(4, 1, "1.2.3");
	schedule_init(&l.sched);
	schedule_refresh_begin(&l.sched);
	j = schedule_offer(&l.sched, &(struct schedule_offer){ .study = 1, .peer = 1,
	    .priority = SPOOL_NORMAL }, 0);
	schedule_refresh_end(&l.sched);
	rq = request_cut(&l, j, 0);
	assert_non_null(rq);
	assert_int_equal(rq->n, 2);
	assert_int_equal(rq->item[1].in.id, 2);
	request_free(rq);
	rq = request_cut(&l, j, 0);
	assert_non_null(rq);
	assert_int_equal(rq->n, 2);
	assert_int_equal(rq->item[0].in.id, 3);
	request_free(rq);
	assert_null(request_cut(&l, j, 0));
	schedule_clear(&l.sched);
}

/* How often one instance is tried until it is set aside, while others are taken. */
static unsigned
tries_until_refused(bool its_fault)
{
	struct upload u = { .sp = NULL };
	struct lane l = { .up = &u, .name = (char[]){ "cloud" } };
	int64_t now = 1000;
	unsigned n = 0;

	n_owed = refused = 0;
	owe(1, 1, "1.2.1");
	schedule_init(&l.sched);
	schedule_refresh_begin(&l.sched);
	(void)schedule_offer(&l.sched, &(struct schedule_offer){ .study = 1, .peer = 1,
	    .priority = SPOOL_NORMAL }, now);
	schedule_refresh_end(&l.sched);
	while (refused == 0 && n < 50) {
		struct job *j = schedule_find(&l.sched, 1);
		struct request *rq = request_cut(&l, j, now);

		assert_non_null(rq);
		j->in_flight++;
		l.in_flight++;
		rq->item[0].retry_soon = its_fault;
		request_done(&l, rq, now);
		l.successes++;
		now += 3600000;
		n++;
	}
	schedule_clear(&l.sched);
	return n;
}

static void
only_its_own_failures_set_it_aside(void **state)
{
	(void)state;
	assert_int_equal(tries_until_refused(true), 8);
	assert_int_equal(tries_until_refused(false), 50);
	assert_int_equal(refused, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_3_two_versions_never_share_a_request),
		cmocka_unit_test(only_its_own_failures_set_it_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
