/* test_upload_flow.c - the uploader over a real spool and a destination that does
 * as it is told: what it says of each request decides what stays owed.
 */
#include "tests/unit/spool_fixture.h"

#include <poll.h>
#include <pthread.h>

#include "config/config.h"
#include "gateway/base/clock.h"
#include "gateway/destination/destination.h"
#include "gateway/upload/upload.h"

/* ---- the destination: stands in for gateway/destination ---- */

struct destination {
	char name[32];
	struct destination_limits limits;
	struct rate *rate;
};

static struct {
	pthread_mutex_t mu;
	unsigned requests, probes, largest;
	enum destination_health health;	/* of everything, when not UP */
	unsigned fail_first;		/* so many requests FAIL, then all is well */
	uint64_t poison;		/* a request with this id FAILS */
	uint64_t named_retry, refused, damaged;
	uint64_t taken[2048];		/* ids in the order they were taken */
	unsigned n_taken;
	unsigned versions_together;	/* two of one UID in one request: a bug */
	unsigned room;			/* instances a request may have; 0: any */
	bool	 canceled;
} cloud;

int
destination_open(const struct config_destination *cfg, struct spool *sp,
    struct destination **ret, struct buf *why)
{
	struct destination *d = calloc(1, sizeof(*d));

	(void)sp;
	(void)why;
	(void)snprintf(d->name, sizeof(d->name), "%s", cfg->name);
	d->limits = (struct destination_limits){ .connections = 3,
		.request_bytes = 1 << 20, .request_instances = 16,
		.instance_bytes = 200000, .instance_limit_name = "the fake takes" };
	d->rate = rate_new();
	*ret = d;
	return 0;
}

void
destination_close(struct destination *d)
{
	rate_free(d->rate);
	free(d);
}

const char *destination_name(const struct destination *d) { return d->name; }
const char *destination_type(const struct destination *d) { (void)d; return "fake"; }
void destination_cancel(struct destination *d) { (void)d; cloud.canceled = true; }

const struct destination_limits *
destination_limits(const struct destination *d)
{
	return &d->limits;
}

/* What the transfer threads change. */
#define SEEN(field)                                                             \
	({                                                                      \
		LOCK_SCOPE(&cloud.mu);                                          \
		cloud.field;                                                    \
	})
#define TELL(field, value)                                                      \
	({                                                                      \
		LOCK_SCOPE(&cloud.mu);                                          \
		cloud.field = (value);                                          \
	})

static bool
has_id(const struct destination_item *items, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++) {
		if (items[i].in.id == id)
			return true;
	}
	return false;
}

static void
take_item(struct destination_item *it)
{
	it->verdict = DESTINATION_OK;
	if (it->in.id == cloud.named_retry)
		it->verdict = DESTINATION_RETRY;
	else if (it->in.id == cloud.refused)
		it->verdict = DESTINATION_REFUSED;
	else if (it->in.id == cloud.damaged)
		it->verdict = DESTINATION_DAMAGED;
	else
		cloud.taken[cloud.n_taken++] = it->in.id;
	(void)snprintf(it->reason, sizeof(it->reason), "%s",
	    it->verdict == DESTINATION_OK ? "" : "because");
}

void
destination_deliver(struct destination *d, struct destination_item *items, size_t n,
    struct destination_result *ret)
{
	(void)d;
	LOCK_SCOPE(&cloud.mu);
	cloud.requests++;
	cloud.largest = n > cloud.largest ? (unsigned)n : cloud.largest;
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++)
			cloud.versions_together += strcmp(items[i].in.sop_instance,
			    items[j].in.sop_instance) == 0;
	}
	ret->health = cloud.health;
	ret->retry_after_ms = 300;
	(void)snprintf(ret->reason, sizeof(ret->reason), "as told");
	if (cloud.health != DESTINATION_UP)
		return;
	if (cloud.fail_first > 0 || (cloud.poison != 0 && has_id(items, n, cloud.poison))) {
		cloud.fail_first -= cloud.fail_first > 0;
		ret->health = DESTINATION_FAILED;
		return;
	}
	if (cloud.room != 0 && n > cloud.room) {
		ret->health = DESTINATION_TOO_LARGE;
		return;
	}
	for (size_t i = 0; i < n; i++)
		take_item(&items[i]);
}

void
destination_probe(struct destination *d, struct destination_result *ret)
{
	(void)d;
	LOCK_SCOPE(&cloud.mu);
	cloud.probes++;
	ret->health = cloud.health == DESTINATION_BUSY ? DESTINATION_UP : cloud.health;
}

int
destination_verify(struct destination *d, struct destination_look *looks, size_t n,
    bool bytes, struct destination_result *ret)
{
	(void)d;
	(void)looks;
	(void)n;
	(void)bytes;
	(void)ret;
	return -ENOTSUP;
}

int
destination_remove(struct destination *d, const struct spool_instance *in,
    struct destination_result *ret)
{
	(void)d;
	(void)in;
	(void)ret;
	return -ENOTSUP;
}

void
destination_tend(struct destination *d, destination_settle_fn *settle, void *arg,
    struct destination_result *ret, int64_t *ret_next_ms)
{
	(void)d;
	(void)settle;
	(void)arg;
	ret->health = DESTINATION_UP;
	*ret_next_ms = CLOCK_NEVER;
}

void destination_describe(struct destination *d, struct buf *b) { (void)d; (void)b; }
struct rate *destination_rate(struct destination *d) { return d->rate; }

static void
set_health(enum destination_health h)
{
	LOCK_SCOPE(&cloud.mu);
	cloud.health = h;
}

/* ---- the site ---- */

static struct config_destination dest_cloud = { .name = (char *)"cloud" };
static void *dests[] = { &dest_cloud };
static struct config_study patience = { .complete_after_ms = 50,
	.complete_at_most_ms = 3600000 };
static struct config cfg_one = { .study = &patience, .destinations = { 1, dests } };
static struct config cfg_none = { .study = &patience };

/* Snapshots of this test are static. */
const struct config *config_ref(const struct config *c) { return c; }
void config_unref(const struct config *c) { (void)c; }
int
config_print_destination(const struct config_destination *d, struct buf *b)
{
	return buf_add_str(b, d->name);
}
const struct config_destination *
config_destination_find(const struct config *c, const char *name)
{
	(void)name;
	return c->destinations.n > 0 ? c->destinations.v[0] : NULL;
}
const struct config_peer *
config_peer_find(const struct config *c, const char *title, const char *address)
{
	(void)c;
	(void)title;
	(void)address;
	return NULL;
}

struct site {
	struct box box;
	struct upload *up;
};

static int
open_site(void **state)
{
	struct site *s = calloc(1, sizeof(*s));
	struct box *b;
	struct buf why = BUF_INIT(4096);

	memset(&cloud, 0, sizeof(cloud));
	(void)pthread_mutex_init(&cloud.mu, NULL);
	(void)setup((void **)&b);
	s->box = *b;
	free(b);
	assert_int_equal(upload_new(s->box.sp, &cfg_one, &s->up, &why), 0);
	spool_callbacks(s->box.sp, upload_wake, s->up, NULL, NULL);
	assert_int_equal(upload_start(s->up), 0);
	*state = s;
	return 0;
}

static int
close_site(void **state)
{
	struct site *s = *state;
	struct box *b = malloc(sizeof(*b));
	void *p = b;

	upload_stop(s->up);
	spool_callbacks(s->box.sp, NULL, NULL, NULL, NULL);
	upload_free(s->up);
	*b = s->box;
	free(s);
	return teardown(&p);
}

struct sums { uint64_t owed, delivered, refused; };

static int
add_debt(void *arg, const struct spool_debt *d)
{
	struct sums *s = arg;

	s->owed += d->owed;
	s->delivered += d->delivered;
	s->refused += d->refused;
	return 0;
}

static bool
settled(struct site *s, uint64_t owed, uint64_t delivered, uint64_t refused)
{
	struct sums is = { 0, 0, 0 };

	assert_true(spool_debts(s->box.sp, add_debt, &is) >= 0);
	return is.owed == owed && is.delivered == delivered && is.refused == refused;
}

/* Ends as soon as it is so. */
static bool
reaches(struct site *s, uint64_t owed, uint64_t delivered, uint64_t refused)
{
	int64_t until = clock_mono_ms() + 15000;

	while (clock_mono_ms() < until) {
		if (settled(s, owed, delivered, refused))
			return true;
		(void)poll(NULL, 0, 10);
	}
	return false;
}

static void
store_study(struct site *s, const char *study, unsigned n, uint64_t *ids)
{
	for (unsigned i = 0; i < n; i++) {
		char sop[64];

		(void)snprintf(sop, sizeof(sop), "%s.%u", study, i);
		ids[i] = store(&s->box, study, sop, 500, (uint8_t)i, NULL);
	}
}

/* ---- tests ---- */

static void
a_study_goes_whole_and_once(void **state)
{
	struct site *s = *state;
	uint64_t id[100], again;

	store_study(s, "1.5", 100, id);
	assert_true(reaches(s, 0, 100, 0));
	assert_int_equal(SEEN(n_taken), 100);
	assert_int_equal(SEEN(largest), 16);
	again = store(&s->box, "1.5", "1.5.late", 500, 1, NULL);
	assert_true(reaches(s, 0, 101, 0));
	assert_int_equal(SEEN(n_taken), 101);	/* an addition, not a repeat */
	assert_int_equal(SEEN(taken[100]), again);
}

static void
one_poisonous_instance_is_found_and_its_neighbours_delivered(void **state)
{
	struct site *s = *state;
	uint64_t id[64];
	struct spool_instance in;

	store_study(s, "1.6", 1, id);
	assert_true(reaches(s, 0, 1, 0));
	set_health(DESTINATION_DOWN);	/* nothing leaves before all is stored */
	store_study(s, "1.7", 64, id);
	TELL(poison, id[37]);
	set_health(DESTINATION_UP);
	upload_nudge(s->up, NULL);
	for (unsigned i = 0; i < 200 && !settled(s, 0, 64, 1); i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 30);
	}
	assert_true(settled(s, 0, 64, 1));
	assert_int_equal(spool_instance_get(s->box.sp, id[37], &in), 0);
	assert_true(in.kept);	/* refused sets aside: it deletes nothing */
}

static void
a_server_that_fails_on_everything_refuses_nothing(void **state)
{
	struct site *s = *state;
	uint64_t id[8];

	TELL(fail_first, 1000000);
	store_study(s, "1.8", 8, id);
	for (unsigned i = 0; i < 40; i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 20);
	}
	assert_true(reaches(s, 8, 0, 0));
	TELL(fail_first, 0);
	for (unsigned i = 0; i < 50 && SEEN(n_taken) < 8; i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 50);
	}
	assert_true(reaches(s, 0, 8, 0));
}

static void
down_is_probed_and_comes_back(void **state)
{
	struct site *s = *state;
	uint64_t id[20];

	set_health(DESTINATION_DOWN);
	store_study(s, "1.9", 20, id);
	while (SEEN(probes) == 0) {
		upload_nudge(s->up, "cloud");
		(void)poll(NULL, 0, 20);
	}
	assert_int_equal(SEEN(n_taken), 0);
	assert_true(SEEN(requests) <= 3);	/* while down: probes only */
	set_health(DESTINATION_UP);
	upload_nudge(s->up, "cloud");
	assert_true(reaches(s, 0, 20, 0));
}

static void
busy_waits_as_long_as_it_was_told(void **state)
{
	struct site *s = *state;
	uint64_t id[1];
	int64_t began;

	set_health(DESTINATION_BUSY);
	store_study(s, "1.10", 1, id);
	while (SEEN(requests) == 0)
		(void)poll(NULL, 0, 5);
	began = clock_mono_ms();
	set_health(DESTINATION_UP);
	assert_true(reaches(s, 0, 1, 0));
	assert_true(clock_mono_ms() - began >= 250);
}

static void
too_large_is_cut_smaller(void **state)
{
	struct site *s = *state;
	uint64_t id[40];

	TELL(room, 3);
	store_study(s, "1.11", 40, id);
	assert_true(reaches(s, 0, 40, 0));
}

static void
rule_6_what_no_request_carries_is_refused_by_name(void **state)
{
	struct site *s = *state;

	(void)store(&s->box, "1.12", "1.12.1", 300000, 1, NULL);
	(void)store(&s->box, "1.12", "1.12.2", 300, 1, NULL);
	assert_true(reaches(s, 0, 1, 1));
}

static void
rule_3_versions_go_in_order_one_at_a_time(void **state)
{
	struct site *s = *state;
	uint64_t id[5];

	set_health(DESTINATION_DOWN);
	for (unsigned i = 0; i < 5; i++)
		id[i] = store(&s->box, "1.13", "1.13.1", 500, (uint8_t)(i + 1), NULL);
	set_health(DESTINATION_UP);
	for (unsigned i = 0; i < 50 && SEEN(n_taken) < 5; i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 50);
	}
	assert_true(reaches(s, 0, 5, 0));
	assert_memory_equal(cloud.taken, id, sizeof(id));
	assert_int_equal(SEEN(versions_together), 0);
}

static void
verdicts_are_kept_apart(void **state)
{
	struct site *s = *state;
	uint64_t id[10];
	struct spool_instance in;

	set_health(DESTINATION_DOWN);
	store_study(s, "1.14", 10, id);
	TELL(refused, id[2]);
	TELL(damaged, id[5]);
	set_health(DESTINATION_UP);
	upload_nudge(s->up, NULL);
	for (unsigned i = 0; i < 50 && SEEN(n_taken) < 8; i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 50);
	}
	assert_true(reaches(s, 0, 8, 2));
	assert_int_equal(spool_instance_get(s->box.sp, id[5], &in), 0);
	assert_true(in.damaged);
}

static void
named_retries_do_not_hold_up_the_rest(void **state)
{
	struct site *s = *state;
	uint64_t id[10];

	set_health(DESTINATION_DOWN);
	store_study(s, "1.15", 10, id);
	TELL(named_retry, id[0]);
	set_health(DESTINATION_UP);
	for (unsigned i = 0; i < 50 && !settled(s, 1, 9, 0); i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 50);
	}
	assert_true(settled(s, 1, 9, 0));
	TELL(named_retry, 0);
	for (unsigned i = 0; i < 50 && !settled(s, 0, 10, 0); i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 50);
	}
	assert_true(settled(s, 0, 10, 0));
}

static void
rule_8_an_owing_destination_cannot_go(void **state)
{
	struct site *s = *state;
	struct buf why = BUF_INIT(4096);
	uint64_t id[3], n;
	struct spool_command drop = { .verb = SPOOL_DROP, .destination = "cloud",
		.actor = "alice", .reason = "moved" };

	set_health(DESTINATION_DOWN);
	store_study(s, "1.16", 3, id);
	assert_true(reaches(s, 3, 0, 0));
	assert_int_equal(upload_configure(s->up, &cfg_none, &why), -EBUSY);
	assert_non_null(strstr(why.data, "3 instances"));
	buf_clear(&why);
	assert_int_equal(spool_command(s->box.sp, &drop, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(upload_configure(s->up, &cfg_none, &why), 0);
	buf_free(&why);
}

static void
held_things_stay(void **state)
{
	struct site *s = *state;
	struct spool_command c = { .verb = SPOOL_HOLD, .destination = "cloud",
		.actor = "alice" };
	uint64_t id[3], n;

	store_study(s, "1.17", 1, id);	/* the destination is known by then */
	assert_true(reaches(s, 0, 1, 0));
	assert_int_equal(spool_command(s->box.sp, &c, &n), 0);
	(void)poll(NULL, 0, 700);
	store_study(s, "1.18", 3, id);
	assert_true(reaches(s, 3, 1, 0));
	(void)poll(NULL, 0, 300);
	assert_int_equal(SEEN(n_taken), 1);
	c.verb = SPOOL_RELEASE;
	assert_int_equal(spool_command(s->box.sp, &c, &n), 0);
	assert_true(reaches(s, 0, 4, 0));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_site, close_site)
	const struct CMUnitTest tests[] = {
		T(a_study_goes_whole_and_once),
		T(one_poisonous_instance_is_found_and_its_neighbours_delivered),
		T(a_server_that_fails_on_everything_refuses_nothing),
		T(down_is_probed_and_comes_back),
		T(busy_waits_as_long_as_it_was_told),
		T(too_large_is_cut_smaller),
		T(rule_6_what_no_request_carries_is_refused_by_name),
		T(rule_3_versions_go_in_order_one_at_a_time),
		T(verdicts_are_kept_apart),
		T(named_retries_do_not_hold_up_the_rest),
		T(rule_8_an_owing_destination_cannot_go),
		T(held_things_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
