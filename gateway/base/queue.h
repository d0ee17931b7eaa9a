/* queue.h - a bounded queue between threads.
 *
 * An item belongs to the queue once queue_push() returned 0, and to the caller
 * of queue_pop() after that. Any number of pushers and poppers. fn_free (may be
 * NULL) is applied by queue_free() to what is left; nobody may be inside then.
 * queue_close() makes pushes fail with -EPIPE and lets poppers drain the rest.
 */
#ifndef CW_BASE_QUEUE_H
#define CW_BASE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct queue;

struct queue *queue_new(size_t max, void (*fn_free)(void *item));
void	      queue_free(struct queue *q);
void	      queue_close(struct queue *q);

int    queue_push(struct queue *q, void *item);	/* -EAGAIN full, -EPIPE closed */
int    queue_push_wait(struct queue *q, void *item);	/* waits for room; -EPIPE */
/* NULL when the deadline (CLOCK_MONOTONIC ms) passed, or closed and empty. */
void  *queue_pop(struct queue *q, int64_t deadline_ms);
size_t queue_length(struct queue *q);

#endif
