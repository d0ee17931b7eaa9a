/* pool_int.h - threads that are kept for the next association.
 *
 * A thread is started when a job comes and none is idle, up to the maximum, and
 * stays. Threads have all signals blocked.
 */
#ifndef CW_ASSOCIATION_POOL_INT_H
#define CW_ASSOCIATION_POOL_INT_H

#include <stddef.h>

struct pool;
typedef void pool_fn(void *arg);

/* idle(arg) is called by a thread that has just become free. */
struct pool *pool_new(unsigned max, pool_fn *idle, void *arg);
/* A thread for one job that must follow; -EAGAIN: all are busy. By one thread. */
int  pool_reserve(struct pool *p);
void pool_submit(struct pool *p, pool_fn *fn, void *arg);
void pool_free(struct pool *p);	/* waits for every job; takes NULL */

#endif
