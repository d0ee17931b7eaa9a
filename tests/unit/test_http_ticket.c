/* test_http_ticket.c - what expires is fetched once for all who wait, before its
 * time, and not again and again when it cannot be had.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/clock.h"
#include "gateway/http/http_int.h"
#include "gateway/http/ticket_int.h"
#include "gateway/http/watch_int.h"
#include "tests/unit/cloud_support.h"

#define USERS 8

struct source {
	struct ticket *ticket;
	pthread_mutex_t mu;
	pthread_cond_t	changed;
	bool	 held;		/* fetches wait */
	int	 fails;		/* negative errno */
	int64_t	 life_ms;	/* CLOCK_NEVER */
	unsigned inside;	/* fetches that run */
	atomic_uint fetched, freed;
};

static int
fetch(void *arg, void **ret_value, int64_t *ret_expires_ms, struct buf *why)
{
	struct source *s = arg;
	int *value;

	LOCK_SCOPE(&s->mu);
	assert_int_equal(s->inside, 0);
	s->inside++;
	(void)pthread_cond_broadcast(&s->changed);
	while (s->held)
		(void)pthread_cond_wait(&s->changed, &s->mu);
	s->inside--;
	atomic_fetch_add(&s->fetched, 1);
	if (s->fails < 0) {
		(void)buf_add_str(why, "the well is dry");
		return s->fails;
	}
	value = xcalloc(1, sizeof(*value));
	*value = (int)atomic_load(&s->fetched);
	*ret_value = value;
	*ret_expires_ms = s->life_ms == CLOCK_NEVER ? CLOCK_NEVER :
	    clock_mono_ms() + s->life_ms;
	return 0;
}

static struct source *freeing;

static void
free_value(void *value)
{
	atomic_fetch_add(&freeing->freed, 1);
	free(value);
}

static void
source_open(struct source *s, int64_t life_ms)
{
	*s = (struct source){ .life_ms = life_ms };
	freeing = s;
	(void)pthread_mutex_init(&s->mu, NULL);
	(void)pthread_cond_init(&s->changed, NULL);
	s->ticket = ticket_new(fetch, s, free_value);
}

static void
source_close(struct source *s, unsigned fetched)
{
	ticket_free(s->ticket);
	assert_int_equal(atomic_load(&s->freed), fetched);
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->mu);
}

static void
set_held(struct source *s, bool held)
{
	LOCK_SCOPE(&s->mu);
	s->held = held;
	(void)pthread_cond_broadcast(&s->changed);
}

static void
wait_inside(struct source *s)
{
	LOCK_SCOPE(&s->mu);
	while (s->inside == 0)
		(void)pthread_cond_wait(&s->changed, &s->mu);
}

/* The value, 0 with nothing. */
static int
take(struct source *s, uint64_t *ret_generation)
{
	struct buf why = BUF_INIT(200);
	uint64_t generation = 0;
	void *value;
	int got = 0;

	if (ticket_take(s->ticket, &value, &generation, &why) == 0) {
		got = *(int *)value;
		ticket_give(s->ticket, value);
	} else {
		assert_true(why.len > 0);
	}
	buf_free(&why);
	if (ret_generation != NULL)
		*ret_generation = generation;
	return got;
}

static void *
take_in_thread(void *arg)
{
	return (void *)(intptr_t)take(arg, NULL);
}

static void
wait_until(int64_t deadline_ms)
{
	while (clock_mono_ms() < deadline_ms)
		(void)poll(NULL, 0, clock_timeout(deadline_ms));
}

/* ---- one fetch for all --------------------------------------------------- */

static void
all_who_wait_share_one_fetch(void **state)
{
	struct source s;
	pthread_t t[USERS];
	void *got;

	(void)state;
	source_open(&s, CLOCK_NEVER);
	set_held(&s, true);
	for (int i = 0; i < USERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, take_in_thread, &s), 0);
	wait_inside(&s);
	set_held(&s, false);
	for (int i = 0; i < USERS; i++) {
		(void)pthread_join(t[i], &got);
		assert_int_equal((intptr_t)got, 1);
	}
	assert_int_equal(atomic_load(&s.fetched), 1);
	source_close(&s, 1);
}

static void
all_are_told_of_one_failure(void **state)
{
	struct source s;
	pthread_t t[USERS];
	int64_t failed;
	void *got;

	(void)state;
	source_open(&s, CLOCK_NEVER);
	s.fails = -EACCES;
	set_held(&s, true);
	for (int i = 0; i < USERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, take_in_thread, &s), 0);
	wait_inside(&s);
	failed = clock_mono_ms();
	set_held(&s, false);
	for (int i = 0; i < USERS; i++) {
		(void)pthread_join(t[i], &got);
		assert_int_equal((intptr_t)got, 0);
	}
	assert_int_equal(take(&s, NULL), 0);
	if (clock_mono_ms() - failed < 900)
		assert_int_equal(atomic_load(&s.fetched), 1);
	source_close(&s, 0);
}

static void
a_failure_is_tried_again_after_a_while(void **state)
{
	struct source s;
	int64_t began = clock_mono_ms();

	(void)state;
	source_open(&s, CLOCK_NEVER);
	s.fails = -EACCES;
	assert_int_equal(take(&s, NULL), 0);
	s.fails = 0;
	assert_int_equal(take(&s, NULL), 0);
	wait_until(began + 1100);
	assert_int_equal(take(&s, NULL), 2);
	source_close(&s, 1);
}

/* ---- before it expires --------------------------------------------------- */

static void
the_old_one_serves_while_the_next_is_fetched(void **state)
{
	struct source s;
	int64_t began = clock_mono_ms();
	pthread_t t;
	void *got;

	(void)state;
	source_open(&s, 10000);
	assert_int_equal(take(&s, NULL), 1);
	assert_int_equal(take(&s, NULL), 1);
	ticket_renew(s.ticket, true);
	set_held(&s, true);
	assert_int_equal(pthread_create(&t, NULL, take_in_thread, &s), 0);
	wait_inside(&s);
	assert_int_equal(take(&s, NULL), 1);
	assert_true(clock_mono_ms() - began < 9000);
	set_held(&s, false);
	(void)pthread_join(t, &got);
	assert_int_equal((intptr_t)got, 2);
	assert_int_equal(take(&s, NULL), 2);
	source_close(&s, 2);
}

static void
a_last_fifth_begins_a_fetch(void **state)
{
	struct source s;
	int64_t began = clock_mono_ms();

	(void)state;
	source_open(&s, 1000);
	assert_int_equal(take(&s, NULL), 1);
	s.life_ms = CLOCK_NEVER;
	wait_until(began + 850);
	assert_int_equal(take(&s, NULL), 2);
	wait_until(began + 1100);
	assert_int_equal(take(&s, NULL), 2);
	source_close(&s, 2);
}

static void
the_old_one_serves_to_its_end_when_no_other_is_to_be_had(void **state)
{
	struct source s;
	int64_t began = clock_mono_ms();

	(void)state;
	source_open(&s, 1500);
	assert_int_equal(take(&s, NULL), 1);
	s.fails = -EIO;
	wait_until(began + 1250);
	assert_int_equal(take(&s, NULL), 1);
	assert_int_equal(atomic_load(&s.fetched), 2);
	assert_int_equal(take(&s, NULL), 1);
	wait_until(began + 1550);
	assert_int_equal(take(&s, NULL), 0);
	assert_int_equal(atomic_load(&s.fetched), 2);
	source_close(&s, 1);
}

static void
what_is_short_lived_serves_those_who_waited(void **state)
{
	struct source s;

	(void)state;
	source_open(&s, 0);
	assert_int_equal(take(&s, NULL), 1);
	assert_int_equal(take(&s, NULL), 2);
	source_close(&s, 2);
}

/* ---- refusals ------------------------------------------------------------ */

static void
what_is_refused_is_replaced_once(void **state)
{
	struct source s;
	uint64_t first, second;

	(void)state;
	source_open(&s, CLOCK_NEVER);
	assert_int_equal(take(&s, &first), 1);
	assert_true(ticket_refused(s.ticket, first, false));
	assert_int_equal(take(&s, &second), 2);
	assert_true(first != second);
	/* Others were refused with the first one, too. */
	assert_true(ticket_refused(s.ticket, first, false));
	assert_int_equal(atomic_load(&s.fetched), 2);
	/* The fresh one is refused as well: no use in asking for a third. */
	assert_false(ticket_refused(s.ticket, second, false));
	assert_int_equal(atomic_load(&s.fetched), 2);
	source_close(&s, 2);
}

static void
a_refusal_without_another_is_final(void **state)
{
	struct source s;
	uint64_t first;

	(void)state;
	source_open(&s, CLOCK_NEVER);
	assert_int_equal(take(&s, &first), 1);
	s.fails = -EIO;
	assert_false(ticket_refused(s.ticket, first, false));
	assert_false(ticket_refused(s.ticket, first, false));
	assert_int_equal(atomic_load(&s.fetched), 2);
	assert_int_equal(take(&s, NULL), 1);
	/* Where it is known to be over, it is not served, either. */
	assert_false(ticket_refused(s.ticket, first, true));
	assert_int_equal(take(&s, NULL), 0);
	source_close(&s, 1);
}

static void
held_values_outlive_their_replacement(void **state)
{
	struct buf why = BUF_INIT(100);
	struct source s;
	uint64_t generation;
	void *old;

	(void)state;
	source_open(&s, CLOCK_NEVER);
	assert_int_equal(ticket_take(s.ticket, &old, &generation, &why), 0);
	assert_true(ticket_refused(s.ticket, generation, true));
	assert_int_equal(atomic_load(&s.freed), 0);
	assert_int_equal(*(int *)old, 1);
	ticket_give(s.ticket, old);
	assert_int_equal(atomic_load(&s.freed), 1);
	source_close(&s, 2);
}

/* ---- renewal, end -------------------------------------------------------- */

static void
renewal_ends_the_wait_after_a_failure(void **state)
{
	struct source s;

	(void)state;
	source_open(&s, CLOCK_NEVER);
	s.fails = -EACCES;
	assert_int_equal(take(&s, NULL), 0);
	s.fails = 0;
	ticket_renew(s.ticket, true);
	assert_int_equal(take(&s, NULL), 2);
	s.fails = -EACCES;
	ticket_renew(s.ticket, true);
	assert_int_equal(take(&s, NULL), 2);
	ticket_renew(s.ticket, false);
	assert_int_equal(take(&s, NULL), 0);
	source_close(&s, 1);
}

static void
renewal_during_a_fetch_is_not_lost(void **state)
{
	struct source s;
	pthread_t t;

	(void)state;
	source_open(&s, CLOCK_NEVER);
	set_held(&s, true);
	assert_int_equal(pthread_create(&t, NULL, take_in_thread, &s), 0);
	wait_inside(&s);
	ticket_renew(s.ticket, true);
	set_held(&s, false);
	(void)pthread_join(t, NULL);
	assert_int_equal(take(&s, NULL), 2);
	assert_int_equal(take(&s, NULL), 2);
	source_close(&s, 2);
}

static void
those_who_wait_go_when_it_is_canceled(void **state)
{
	struct source s;
	pthread_t first, second;
	void *got;

	(void)state;
	source_open(&s, CLOCK_NEVER);
	set_held(&s, true);
	assert_int_equal(pthread_create(&first, NULL, take_in_thread, &s), 0);
	wait_inside(&s);
	assert_int_equal(pthread_create(&second, NULL, take_in_thread, &s), 0);
	ticket_cancel(s.ticket);
	(void)pthread_join(second, &got);
	assert_int_equal((intptr_t)got, 0);
	set_held(&s, false);
	(void)pthread_join(first, &got);
	assert_int_equal((intptr_t)got, 0);
	assert_int_equal(take(&s, NULL), 0);
	source_close(&s, 1);
}

/* ---- files --------------------------------------------------------------- */

static void
changed_files_are_seen_once(void **state)
{
	char dir[128], path[256];
	struct watch w;

	(void)state;
	cloud_make_dir(dir, sizeof(dir), "watch");
	(void)snprintf(path, sizeof(path), "%s/a", dir);
	watch_init(&w);
	watch_add(&w, NULL);
	watch_add(&w, path);
	assert_false(watch_changed(&w));
	cloud_write(dir, "a", "one", 0600);
	assert_true(watch_changed(&w));
	assert_false(watch_changed(&w));
	cloud_write(dir, "a", "two", 0600);
	assert_true(watch_changed(&w));
	assert_int_equal(remove(path), 0);
	assert_true(watch_changed(&w));
	assert_false(watch_changed(&w));
	watch_destroy(&w);
	cloud_remove_dir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_who_wait_share_one_fetch),
		cmocka_unit_test(all_are_told_of_one_failure),
		cmocka_unit_test(a_failure_is_tried_again_after_a_while),
		cmocka_unit_test(the_old_one_serves_while_the_next_is_fetched),
		cmocka_unit_test(a_last_fifth_begins_a_fetch),
		cmocka_unit_test(the_old_one_serves_to_its_end_when_no_other_is_to_be_had),
		cmocka_unit_test(what_is_short_lived_serves_those_who_waited),
		cmocka_unit_test(what_is_refused_is_replaced_once),
		cmocka_unit_test(a_refusal_without_another_is_final),
		cmocka_unit_test(held_values_outlive_their_replacement),
		cmocka_unit_test(renewal_ends_the_wait_after_a_failure),
		cmocka_unit_test(renewal_during_a_fetch_is_not_lost),
		cmocka_unit_test(those_who_wait_go_when_it_is_canceled),
		cmocka_unit_test(changed_files_are_seen_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
