/* upload_rig.h - the uploader over a real spool and a destination that does as it is
 * told, for unit tests.
 */
#ifndef CW_TESTS_UNIT_UPLOAD_RIG_H
#define CW_TESTS_UNIT_UPLOAD_RIG_H

#include "tests/unit/spool_fixture.h"

#include <poll.h>
#include <pthread.h>

#include "config/config.h"
#include "gateway/base/clock.h"
#include "gateway/destination/destination.h"
#include "gateway/upload/upload.h"

/* ---- the destination: stands in for gateway/destination ---- */

enum conduct { TAKES, SENDS, STALLS };

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
	enum conduct conduct;
	unsigned stalled, ended;	/* requests that wait now; that a window ended */
	bool	 go;			/* the stalled ones may end */
	char	 order[4096];		/* calling titles of requests, in their order */
	/* of jobs: one for each request that was SENT */
	struct { uint64_t job, id[64]; size_t n; } sent[64];
	unsigned n_sent, n_tended, tends;
	enum destination_verdict confirms;	/* what tend says; RETRY: nothing yet */
	bool	 forgets;		/* tend: what was sent is to be sent again */
	enum destination_health tend_health;
	struct spool *spool;
} cloud;

int
destination_open(const struct config_destination *cfg, struct spool *sp,
    struct destination **ret, struct buf *why)
{
	struct destination *d = calloc(1, sizeof(*d));

	(void)why;
	cloud.spool = sp;
	(void)snprintf(d->name, sizeof(d->name), "%s", cfg->name);
	d->limits = (struct destination_limits){ .connections = 3,
		.request_bytes = 1 << 20, .request_instances = 16,
		.instance_bytes = 200000, .instance_limit_name = "the fake takes" };
	d->rate = rate_new();
	rate_set(d->rate, cfg->rate);
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

void
destination_cancel(struct destination *d)
{
	(void)d;
	LOCK_SCOPE(&cloud.mu);
	cloud.canceled = true;
}

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

static inline bool
has_id(const struct destination_item *items, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++) {
		if (items[i].in.id == id)
			return true;
	}
	return false;
}

static inline void
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

/* cloud.mu is held. */
static inline void
send_items(struct destination_item *items, size_t n)
{
	struct spool_verdict v[64];
	uint64_t job;

	assert_true(n <= 64 && cloud.n_sent < 64);
	assert_int_equal(spool_job_new(cloud.spool, "cloud", "{}", &job), 0);
	cloud.sent[cloud.n_sent].job = job;
	cloud.sent[cloud.n_sent].n = n;
	for (size_t i = 0; i < n; i++) {
		v[i] = (struct spool_verdict){ .id = items[i].in.id,
			.destination = "cloud", .state = SPOOL_SENT, .job = job };
		cloud.sent[cloud.n_sent].id[i] = items[i].in.id;
		items[i].verdict = DESTINATION_SENT;
	}
	assert_int_equal(spool_settle(cloud.spool, v, n), 0);
	cloud.n_sent++;
}

/* Until it may go on, or the window closes, or we stop. cloud.mu is held. */
static inline bool
stall(struct destination *d)
{
	bool ended = false;

	cloud.stalled++;
	while (!cloud.go && !cloud.canceled && !ended) {
		(void)pthread_mutex_unlock(&cloud.mu);
		(void)poll(NULL, 0, 5);
		ended = rate_closed(d->rate);
		(void)pthread_mutex_lock(&cloud.mu);
	}
	cloud.stalled--;
	cloud.ended += ended;
	return !ended && !cloud.canceled;
}

void
destination_deliver(struct destination *d, struct destination_item *items, size_t n,
    struct destination_result *ret)
{
	LOCK_SCOPE(&cloud.mu);
	cloud.requests++;
	(void)snprintf(cloud.order + strlen(cloud.order),
	    sizeof(cloud.order) - strlen(cloud.order), "%s ",
	    items[0].in.origin.calling);
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
	if (cloud.conduct == STALLS && items[0].in.priority != SPOOL_STAT &&
	    !stall(d)) {
		/* What a kind might make of it. */
		ret->health = DESTINATION_FAILED;
		return;
	}
	if (cloud.conduct == SENDS)
		send_items(items, n);
	for (size_t i = 0; i < n && cloud.conduct != SENDS; i++)
		take_item(&items[i]);
}

void
destination_probe(struct destination *d, struct destination_result *ret)
{
	(void)d;
	LOCK_SCOPE(&cloud.mu);
	cloud.probes++;
	ret->health = cloud.health == DESTINATION_BUSY ? DESTINATION_UP : cloud.health;
	(void)snprintf(ret->reason, sizeof(ret->reason), "as told");
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

static inline void
confirm(struct spool *sp, unsigned k, destination_settle_fn *settle, void *arg)
{
	struct destination_item item[64] = { 0 };

	for (size_t i = 0; i < cloud.sent[k].n; i++) {
		assert_int_equal(spool_instance_get(sp, cloud.sent[k].id[i],
		    &item[i].in), 0);
		item[i].verdict = cloud.forgets ? DESTINATION_RETRY : cloud.confirms;
		(void)snprintf(item[i].remote, sizeof(item[i].remote), "set %zu", i);
	}
	assert_int_equal(settle(arg, cloud.sent[k].job, item, cloud.sent[k].n), 0);
	assert_int_equal(spool_job_end(sp, cloud.sent[k].job), 0);
}

void
destination_tend(struct destination *d, destination_settle_fn *settle, void *arg,
    struct destination_result *ret, int64_t *ret_next_ms)
{
	(void)d;
	LOCK_SCOPE(&cloud.mu);
	cloud.tends++;
	ret->health = cloud.tend_health;
	(void)snprintf(ret->reason, sizeof(ret->reason), "no jobs today");
	*ret_next_ms = cloud.n_tended < cloud.n_sent ? clock_mono_ms() : CLOCK_NEVER;
	if (cloud.confirms == DESTINATION_RETRY && !cloud.forgets)
		return;
	for (; cloud.n_tended < cloud.n_sent; cloud.n_tended++)
		confirm(cloud.spool, cloud.n_tended, settle, arg);
}

void
destination_describe(struct destination *d, struct buf *words, struct buf *alarm)
{
	(void)d;
	(void)alarm;
	LOCK_SCOPE(&cloud.mu);
	(void)buf_printf(words, "%u imports run", cloud.n_sent - cloud.n_tended);
}

struct rate *destination_rate(struct destination *d) { return d->rate; }

static inline void
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
__attribute__((unused)) static struct config cfg_none = { .study = &patience };

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

static inline int
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

static inline int
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

static inline int
add_debt(void *arg, const struct spool_debt *d)
{
	struct sums *s = arg;

	s->owed += d->owed;
	s->delivered += d->delivered;
	s->refused += d->refused;
	return 0;
}

static inline bool
settled(struct site *s, uint64_t owed, uint64_t delivered, uint64_t refused)
{
	struct sums is = { 0, 0, 0 };

	assert_true(spool_debts(s->box.sp, add_debt, &is) >= 0);
	return is.owed == owed && is.delivered == delivered && is.refused == refused;
}

/* Ends as soon as it is so. */
#define AWAIT(what)                                                             \
	do {                                                                    \
		for (int64_t until_ = clock_mono_ms() + 15000;                  \
		    !(what) && clock_mono_ms() < until_;)                       \
			(void)poll(NULL, 0, 10);                                \
		assert_true(what);                                              \
	} while (0)

static inline bool
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

static inline void
store_study(struct site *s, const char *study, unsigned n, uint64_t *ids)
{
	for (unsigned i = 0; i < n; i++) {
		char sop[64];

		(void)snprintf(sop, sizeof(sop), "%s.%u", study, i);
		ids[i] = store(&s->box, study, sop, 500, (uint8_t)i, NULL);
	}
}

static inline uint64_t
store_from(struct site *s, const char *calling, enum spool_priority priority,
    const char *study, unsigned number, size_t pixels)
{
	struct spool_origin from = { .called = "CAUSEWAY", .address = "10.0.0.1" };
	struct spool_put_head head = { .sop_class = CT, .priority = priority };
	struct buf obj = BUF_INIT(1u << 20);
	struct spool_receipt got = { 0 };
	struct dicom_head_reader *hr;
	struct spool_source *src;
	struct spool_put *put;

	(void)snprintf(from.calling, sizeof(from.calling), "%s", calling);
	(void)snprintf(head.sop_instance, sizeof(head.sop_instance), "%s.%u", study,
	    number);
	(void)snprintf(head.syntax, sizeof(head.syntax), "%s", DICOM_UID_EXPLICIT_LE);
	make_object(&obj, study, head.sop_instance, pixels, 1);
	src = spool_source_open(s->box.sp, &from);
	hr = dicom_head_reader_new(dicom_syntax_find(head.syntax));
	assert_int_equal(spool_put_begin(src, &head, &put), 0);
	(void)spool_put_write(put, obj.data, obj.len);
	(void)dicom_head_reader_feed(hr, obj.data, obj.len);
	spool_put_describe(put, dicom_head_reader_head(hr));
	assert_int_equal(spool_commit(&put, &got), 0);
	dicom_head_reader_free(hr);
	spool_source_close(src);
	buf_free(&obj);
	return got.id;
}

static inline int
copy_destination(void *arg, const struct upload_destination *d)
{
	*(struct upload_destination *)arg = *d;
	return 1;
}

static inline struct upload_destination
shown(struct site *s)
{
	struct upload_destination d = { 0 };

	(void)upload_destinations(s->up, copy_destination, &d);
	return d;
}

#endif
