/* rate.h - how fast bytes may leave: one total over all who share it.
 *
 * A token bucket that is asked, not waited for: rate_take() says how many bytes may
 * go now, and if none, when to ask again, so that it fits any loop. The bucket
 * holds at most a fraction of a second, lest a pause be followed by a burst that
 * the line's own shaper would drop. While somebody urgent sends, the others get
 * nothing, but a turn of their own every few seconds, so that their peers do not
 * give up on them.
 *
 * What is counted is what the callers ask for: bodies. Heads, TLS and TCP come on
 * top, some 3 % for long bodies, so a line of 10 Mbit/s is filled by 9.7 Mbit/s.
 *
 * Any thread.
 */
#ifndef CW_BASE_RATE_H
#define CW_BASE_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rate;

struct rate *rate_new(void);		/* without a limit */
void rate_free(struct rate *r);		/* takes NULL */

/* Bytes per second; 0: no limit. Who waits learns of it within a second. */
void rate_set(struct rate *r, uint64_t bytes_per_second);
/* closed: nothing at all, and what is under way ends. */
void rate_set_closed(struct rate *r, bool closed);
bool rate_closed(const struct rate *r);	/* r may be NULL: never */

/* 1..want bytes that may leave now and count from here on; 0: none before
 * *ret_again_ms (CLOCK_MONOTONIC, at most a second away); -ECANCELED: closed. r may
 * be NULL: no limit. */
int  rate_take(struct rate *r, size_t want, bool urgent, int64_t now_ms,
	 size_t *ret_n, int64_t *ret_again_ms);
/* Of what was taken, this did not leave after all. */
void rate_give_back(struct rate *r, size_t n);
/* Around a transfer that overtakes, while it sends. r may be NULL. */
void rate_urgent_begin(struct rate *r);
void rate_urgent_end(struct rate *r);

#endif
