/* destination.c - the table of kinds, and the calls that lead to one of them. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/destination/destination.h"
#include "gateway/destination/kinds_int.h"

#define AGAIN_MS 5000

static const struct destination_kind *const kinds[] = {
	&destination_dicomweb,
	&destination_healthimaging,
	&destination_s3,
	&destination_dimse,
	NULL,
};

struct destination {
	const struct destination_kind *kind;
	void			      *self;
	char			      *name;
	struct spool		      *spool;
	struct rate		      *rate;
	struct destination_limits      limits;
};

const struct destination_kind *const *
destination_kinds(void)
{
	return kinds;
}

int
destination_open(const struct config_destination *cfg, struct spool *sp,
    struct destination **ret, struct buf *why)
{
	struct destination *d = xcalloc(1, sizeof(*d));
	struct destination_context ctx = { .cfg = cfg, .spool = sp };
	int r;

	/* config is the kind's first member, see the table. */
	d->kind = (const struct destination_kind *)cfg->choice.kind;
	d->rate = ctx.rate = rate_new();
	rate_set(d->rate, cfg->rate);
	r = d->kind->open(&ctx, &d->limits, &d->self, why);
	if (r < 0) {
		rate_free(d->rate);
		free(d);
		return r;
	}
	d->name = xstrdup(cfg->name);
	d->spool = sp;
	*ret = d;
	return 0;
}

void
destination_close(struct destination *d)
{
	if (d == NULL)
		return;
	d->kind->close(d->self);
	rate_free(d->rate);
	free(d->name);
	free(d);
}

void
destination_check(const struct destination *d, const struct config *cfg,
    struct buf *why)
{
	if (d->kind->check != NULL)
		d->kind->check(d->self, cfg, why);
}

const char *
destination_name(const struct destination *d)
{
	return d->name;
}

const char *
destination_type(const struct destination *d)
{
	return d->kind->config.name;
}

const struct destination_limits *
destination_limits(const struct destination *d)
{
	return &d->limits;
}

static void
begin_result(struct destination_result *ret)
{
	*ret = (struct destination_result){
		.health = DESTINATION_UP,
		.retry_after_ms = -1,
	};
}

void
destination_deliver(struct destination *d, struct destination_item *items,
    size_t n, struct destination_result *ret)
{
	int64_t began = clock_mono_ms();

	assert(n > 0);
	begin_result(ret);
	for (size_t i = 0; i < n; i++) {
		items[i].verdict = DESTINATION_RETRY;
		items[i].retry_soon = false;
		items[i].reason[0] = items[i].remote[0] = '\0';
		items[i].quote_at = 0;
	}
	d->kind->deliver(d->self, items, n, ret);
	ret->elapsed_ms = clock_mono_ms() - began;
}

void
destination_probe(struct destination *d, struct destination_result *ret)
{
	int64_t began = clock_mono_ms();

	begin_result(ret);
	d->kind->probe(d->self, ret);
	ret->elapsed_ms = clock_mono_ms() - began;
}

int
destination_verify(struct destination *d, struct destination_look *looks, size_t n,
    bool bytes, struct destination_result *ret)
{
	int64_t began = clock_mono_ms();

	begin_result(ret);
	for (size_t i = 0; i < n; i++) {
		looks[i].presence = DESTINATION_UNKNOWN;
		looks[i].reason[0] = '\0';
	}
	if (d->kind->verify == NULL || (bytes && d->kind->blind))
		return -ENOTSUP;
	d->kind->verify(d->self, looks, n, bytes, ret);
	ret->elapsed_ms = clock_mono_ms() - began;
	return 0;
}

int
destination_remove(struct destination *d, const struct spool_instance *in,
    struct destination_result *ret)
{
	begin_result(ret);
	return d->kind->remove != NULL ? d->kind->remove(d->self, in, ret) :
	    -ENOTSUP;
}

static int
end_job(void *arg, const struct spool_job *job)
{
	int r = spool_job_end(arg, job->id);

	return r == -ENOENT ? 0 : r;
}

/* The site made it another kind. What the one before it had sent is owed again, since
 * nobody would ever hear of it. */
static void
end_jobs(struct destination *d, int64_t *ret_next_ms)
{
	if (spool_jobs(d->spool, d->name, end_job, d->spool) < 0)
		*ret_next_ms = clock_mono_ms() + AGAIN_MS;
}

void
destination_tend(struct destination *d, destination_settle_fn *settle, void *arg,
    struct destination_result *ret, int64_t *ret_next_ms)
{
	begin_result(ret);
	*ret_next_ms = CLOCK_NEVER;
	if (d->kind->tend != NULL)
		d->kind->tend(d->self, settle, arg, ret, ret_next_ms);
	else
		end_jobs(d, ret_next_ms);
}

void
destination_describe(struct destination *d, struct buf *words, struct buf *alarm)
{
	if (d->kind->describe != NULL)
		d->kind->describe(d->self, words, alarm);
}

struct rate *
destination_rate(struct destination *d)
{
	return d->rate;
}

void
destination_cancel(struct destination *d)
{
	d->kind->cancel(d->self);
}
