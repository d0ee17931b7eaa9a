/* rebuild.c - a new index over an old spool: everything is looked through, in the
 * keeper's thread, in slices, while arrivals are served.
 *
 * Nothing is routed, uploaded, sealed or swept until the whole is known, because
 * half a history would be told to the cloud as news. The index calls itself filled
 * in the very commit that ends this; until then each start begins anew.
 */
#include <errno.h>

#include "gateway/base/log.h"
#include "spool/adopt_int.h"

static int
apply_complete(struct spool *sp, void *arg)
{
	int r = adopt_renumber(sp, arg);

	return r < 0 ? r : index_set_filled(sp->ix);
}

static int
finish_rebuild(struct spool *sp, struct record_walk *w)
{
	int r;

	r = store_scan_own(sp->store, false, false, false, adopt_record, w);
	if (r >= 0)
		r = adopt_torn(sp, w);
	if (r >= 0)
		r = replay_log(sp, commit_run, 0, true);
	if (r >= 0)
		r = commit_run(sp, apply_complete, NULL, COMMIT_DURABLE);
	return r;
}

static void
tell_trouble(struct adopt *a, int error)
{
	if (error == a->told || error == -ECANCELED)
		return;
	a->told = error;
	log_warn("the index cannot be rebuilt yet; it is tried again",
	    LOG_ERR(error));
}

int
adopt_continue(struct spool *sp)
{
	struct record_walk w = { .sp = sp, .commit = commit_run,
		.background = true };
	struct adopt *a = sp->adopt;
	bool last = a->next == a->n;
	int r = last ? finish_rebuild(sp, &w) : adopt_segment(sp, a, &w);

	a->adopted += w.adopted;
	a->damaged += w.damaged;
	if (r < 0) {
		tell_trouble(a, r);
		return r;
	}
	if (!last)
		return 1;
	log_info("the index is rebuilt", LOG_U64("adopted", a->adopted),
	    LOG_U64("incomplete", a->damaged));
	adopt_free(sp);
	atomic_store(&sp->rebuilding, false);
	spool_wake(sp);
	return 0;
}
