/* spool_stubs.h - what kinds of destination ask of a spool beside its bytes, for
 * tests that have only a few objects in memory: there are no jobs and no notes (a
 * test that keeps some itself says SPOOL_STUBS_WITHOUT_NOTES).
 */
#ifndef CW_TESTS_SPOOL_STUBS_H
#define CW_TESTS_SPOOL_STUBS_H

#include <errno.h>

#include "spool/spool.h"

int
spool_settle(struct spool *sp, const struct spool_verdict *v, size_t n)
{
	(void)sp;
	(void)v;
	(void)n;
	return -ENOTSUP;
}

int
spool_deliveries(struct spool *sp, uint64_t instance, spool_delivery_fn *fn,
    void *arg)
{
	(void)sp;
	(void)instance;
	(void)fn;
	(void)arg;
	return 0;
}

int
spool_job_new(struct spool *sp, const char *destination, const char *text,
    uint64_t *ret_id)
{
	(void)sp;
	(void)destination;
	(void)text;
	(void)ret_id;
	return -ENOTSUP;
}

int
spool_job_set(struct spool *sp, uint64_t id, const char *text)
{
	(void)sp;
	(void)id;
	(void)text;
	return -ENOENT;
}

int
spool_job_end(struct spool *sp, uint64_t id)
{
	(void)sp;
	(void)id;
	return -ENOENT;
}

int
spool_jobs(struct spool *sp, const char *destination, spool_job_fn *fn, void *arg)
{
	(void)sp;
	(void)destination;
	(void)fn;
	(void)arg;
	return 0;
}

int
spool_job_sent(struct spool *sp, uint64_t id, uint64_t after, size_t limit,
    spool_instance_fn *fn, void *arg)
{
	(void)sp;
	(void)id;
	(void)after;
	(void)limit;
	(void)fn;
	(void)arg;
	return 0;
}

#ifndef SPOOL_STUBS_WITHOUT_NOTES
int
spool_note_set(struct spool *sp, uint64_t id, const char *destination,
    const char *text)
{
	(void)sp;
	(void)id;
	(void)destination;
	(void)text;
	return -ENOENT;
}

int
spool_note_get(struct spool *sp, uint64_t id, const char *destination,
    struct buf *ret)
{
	(void)sp;
	(void)id;
	(void)destination;
	(void)ret;
	return -ENOENT;
}

#endif
#endif
