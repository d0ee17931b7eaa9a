/* leftover.c - files of large objects that are expunged and still there: somebody
 * was reading, or a crash came between the commit and the removal.
 *
 * What is expunged never becomes anything else, so that the index says it once is
 * enough. After a start the names of all large objects are looked at; no file is
 * opened for that.
 */
#include <errno.h>
#include <stdlib.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"
#include "spool/spool_int.h"

void
leftover_note(struct spool *sp, uint64_t id)
{
	struct keeper *k = &sp->keep;

	LOCK_SCOPE(&k->mu);
	if (k->n_leftover == k->max_leftover) {
		k->max_leftover = k->max_leftover * 2 + 16;
		k->leftover = xreallocarray(k->leftover, k->max_leftover,
		    sizeof(*k->leftover));
	}
	k->leftover[k->n_leftover++] = id;
}

static int
look_at_file(void *arg, uint64_t id)
{
	struct spool *sp = arg;
	struct spool_instance in;

	if (!keeper_tend(sp))
		return -ECANCELED;
	if (spool_instance_get(sp, id, &in) == 0 && !in.kept)
		leftover_note(sp, id);
	return 0;
}

static uint64_t *
take_leftovers(struct keeper *k, size_t *ret_n)
{
	uint64_t *ids;

	LOCK_SCOPE(&k->mu);
	ids = TAKE_PTR(k->leftover);
	*ret_n = k->n_leftover;
	k->n_leftover = k->max_leftover = 0;
	return ids;
}

/* What is pinned is tried again in the next round. */
void
leftover_run(struct spool *sp)
{
	struct keeper *k = &sp->keep;
	AUTO_FREE uint64_t *ids = NULL;
	size_t n;

	if (!k->looked_for_leftovers)
		k->looked_for_leftovers =
		    store_own_ids(sp->store, look_at_file, sp) >= 0;
	ids = take_leftovers(k, &n);
	for (size_t i = 0; i < n; i++) {
		if (store_own_remove(sp->store, ids[i]) < 0)
			leftover_note(sp, ids[i]);
	}
	if (n > 0)
		log_debug("files of expunged instances removed", LOG_U64("n", n));
}
