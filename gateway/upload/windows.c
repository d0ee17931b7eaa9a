/* windows.c - weekly windows over a clock that jumps twice a year.
 *
 * The next change is searched by reading the clock of the zone at every time at which
 * it could be: at the edges of windows, and at each quarter of an hour, because that is
 * where zones change. Nothing is computed the other way, from local time to UTC, which
 * has two answers or none when it matters.
 */
#include <time.h>

#include "gateway/base/clock.h"
#include "gateway/upload/windows_int.h"

#define DAY_MINUTES    (24u * 60)
#define SEARCH_MINUTES ((int64_t)15 * DAY_MINUTES)
#define QUARTER	       15

struct reading {		/* of the clock on the wall */
	unsigned day;		/* 0: Monday */
	unsigned minute;	/* of the day */
};

static struct reading
read_clock(int64_t utc_minute)
{
	time_t t = (time_t)(utc_minute * 60);
	struct tm tm = { .tm_wday = 1 };

	(void)localtime_r(&t, &tm);
	return (struct reading){ (unsigned)(tm.tm_wday + 6) % 7,
		(unsigned)(tm.tm_hour * 60 + tm.tm_min) };
}

static bool
on_day(const struct config_window *w, unsigned day)
{
	return w->days == 0 || (w->days & 1u << day) != 0;
}

static bool
window_holds(const struct config_window *w, const struct reading *at)
{
	if (w->from < w->to)
		return on_day(w, at->day) && at->minute >= w->from &&
		    at->minute < w->to;
	/* Over midnight: it began today, or yesterday. */
	return (on_day(w, at->day) && at->minute >= w->from) ||
	    (on_day(w, (at->day + 6) % 7) && at->minute < w->to);
}

static uint64_t
rate_at(const struct config_list *windows, uint64_t base, const struct reading *at)
{
	for (size_t i = 0; i < windows->n; i++) {
		const struct config_window *w = windows->v[i];

		if (window_holds(w, at))
			return w->rate;
	}
	return base;
}

static void
take_nearer(uint64_t edge, unsigned minute, unsigned *best)
{
	if (edge > minute && edge - minute < *best)
		*best = (unsigned)(edge - minute);
}

/* Minutes until something could change. */
static unsigned
next_step(const struct config_list *windows, int64_t utc_minute,
    const struct reading *at)
{
	unsigned best = QUARTER - (unsigned)(utc_minute % QUARTER);

	take_nearer(DAY_MINUTES, at->minute, &best);
	for (size_t i = 0; i < windows->n; i++) {
		const struct config_window *w = windows->v[i];

		take_nearer(w->from, at->minute, &best);
		take_nearer(w->to, at->minute, &best);
	}
	return best;
}

void
windows_at(const struct config_list *windows, uint64_t base, int64_t wall_ms,
    struct window_span *ret)
{
	int64_t now = wall_ms / 60000, m = now;
	struct reading at = read_clock(m);

	ret->rate = rate_at(windows, base, &at);
	ret->until_ms = CLOCK_NEVER;
	while (windows->n > 0 && m < now + SEARCH_MINUTES) {
		m += next_step(windows, m, &at);
		at = read_clock(m);
		if (rate_at(windows, base, &at) != ret->rate) {
			ret->until_ms = m * 60000;
			return;
		}
	}
}
