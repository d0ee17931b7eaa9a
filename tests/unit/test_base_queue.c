/* test_base_queue.c - items cross threads once, in order, and never get lost. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/queue.h"

#define PUSHERS 4
#define EACH	5000

DEFINE_CLEANUP(struct queue, queue_free)

static int items[8];
static int freed;

static void
count_freed(void *item)
{
	(void)item;
	freed++;
}

static void
test_first_in_first_out(void **state)
{
	AUTO(cleanup_queue_free) struct queue *q = queue_new(3, NULL);

	(void)state;
	for (int round = 0; round < 5; round++) {
		assert_int_equal(queue_push(q, &items[0]), 0);
		assert_int_equal(queue_push(q, &items[1]), 0);
		assert_int_equal(queue_length(q), 2);
		assert_ptr_equal(queue_pop(q, 0), &items[0]);
		assert_ptr_equal(queue_pop(q, CLOCK_NEVER), &items[1]);
	}
}

static void
test_full_is_told(void **state)
{
	AUTO(cleanup_queue_free) struct queue *q = queue_new(2, NULL);

	(void)state;
	assert_int_equal(queue_push(q, &items[0]), 0);
	assert_int_equal(queue_push(q, &items[1]), 0);
	assert_int_equal(queue_push(q, &items[2]), -EAGAIN);
	assert_ptr_equal(queue_pop(q, 0), &items[0]);
	assert_int_equal(queue_push(q, &items[2]), 0);
}

static void
test_pop_ends_at_its_deadline(void **state)
{
	AUTO(cleanup_queue_free) struct queue *q = queue_new(2, NULL);
	int64_t start = clock_mono_ms();

	(void)state;
	assert_null(queue_pop(q, start + 60));
	assert_true(clock_mono_ms() >= start + 60);
	assert_null(queue_pop(q, 0));
	assert_null(queue_pop(q, -12345));
}

static void
test_closed_queue_drains(void **state)
{
	AUTO(cleanup_queue_free) struct queue *q = queue_new(2, NULL);

	(void)state;
	assert_int_equal(queue_push(q, &items[0]), 0);
	queue_close(q);
	assert_int_equal(queue_push(q, &items[1]), -EPIPE);
	assert_int_equal(queue_push_wait(q, &items[1]), -EPIPE);
	assert_ptr_equal(queue_pop(q, CLOCK_NEVER), &items[0]);
	assert_null(queue_pop(q, CLOCK_NEVER));
}

static void
test_free_frees_what_is_left(void **state)
{
	struct queue *q = queue_new(4, count_freed);

	(void)state;
	freed = 0;
	for (int i = 0; i < 3; i++)
		assert_int_equal(queue_push(q, &items[i]), 0);
	assert_ptr_equal(queue_pop(q, 0), &items[0]);
	queue_free(q);
	assert_int_equal(freed, 2);
	queue_free(NULL);
}

static void *
pop_forever(void *arg)
{
	return queue_pop(arg, CLOCK_NEVER);
}

static void *
push_into_full(void *arg)
{
	return (void *)(intptr_t)queue_push_wait(arg, &items[1]);
}

static void
test_close_wakes_who_waits(void **state)
{
	AUTO(cleanup_queue_free) struct queue *empty = queue_new(1, NULL);
	AUTO(cleanup_queue_free) struct queue *full = queue_new(1, NULL);
	pthread_t popper, pusher;
	void *popped = &items[0], *pushed = NULL;

	(void)state;
	assert_int_equal(queue_push(full, &items[0]), 0);
	assert_int_equal(pthread_create(&popper, NULL, pop_forever, empty), 0);
	assert_int_equal(pthread_create(&pusher, NULL, push_into_full, full), 0);
	/* Long enough for both to be waiting; either order must work. */
	assert_null(queue_pop(empty, clock_mono_ms() + 30));
	queue_close(empty);
	queue_close(full);
	(void)pthread_join(popper, &popped);
	(void)pthread_join(pusher, &pushed);
	assert_null(popped);
	assert_int_equal((intptr_t)pushed, -EPIPE);
}

static void *
push_numbers(void *arg)
{
	for (uintptr_t i = 1; i <= EACH; i++)
		if (queue_push_wait(arg, (void *)i) != 0)
			abort();
	return NULL;
}

static void *
add_numbers(void *arg)
{
	uintptr_t sum = 0, got;

	do {
		got = (uintptr_t)queue_pop(arg, CLOCK_NEVER);
		sum += got;
	} while (got != 0);
	return (void *)sum;
}

static void
test_nothing_is_lost_between_threads(void **state)
{
	AUTO(cleanup_queue_free) struct queue *q = queue_new(16, NULL);
	pthread_t pusher[PUSHERS], popper[2];
	uintptr_t sum = 0;
	void *part;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    pthread_create(&popper[i], NULL, add_numbers, q), 0);
	for (int i = 0; i < PUSHERS; i++)
		assert_int_equal(
		    pthread_create(&pusher[i], NULL, push_numbers, q), 0);
	for (int i = 0; i < PUSHERS; i++)
		(void)pthread_join(pusher[i], NULL);
	queue_close(q);
	for (int i = 0; i < 2; i++) {
		(void)pthread_join(popper[i], &part);
		sum += (uintptr_t)part;
	}
	assert_int_equal(sum, (uintptr_t)PUSHERS * EACH * (EACH + 1) / 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_in_first_out),
		cmocka_unit_test(test_full_is_told),
		cmocka_unit_test(test_pop_ends_at_its_deadline),
		cmocka_unit_test(test_closed_queue_drains),
		cmocka_unit_test(test_free_frees_what_is_left),
		cmocka_unit_test(test_close_wakes_who_waits),
		cmocka_unit_test(test_nothing_is_lost_between_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
