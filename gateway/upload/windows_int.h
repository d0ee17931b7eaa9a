/* windows_int.h - how fast a destination may be sent to at a certain time. Pure: the
 * zone is the process's (TZ), the time is the caller's.
 *
 * A window holds while the clock on the wall shows a time within it. So an hour that
 * comes twice in autumn counts twice, what falls into the hour that spring skips does
 * not come, and a night that a change falls into is as long as it is.
 */
#ifndef CW_UPLOAD_WINDOWS_INT_H
#define CW_UPLOAD_WINDOWS_INT_H

#include <stdint.h>

#include "config/config.h"

struct window_span {
	uint64_t rate;		/* bytes/s; 0: no limit; CONFIG_RATE_NONE */
	int64_t	 until_ms;	/* wall; when it is another; CLOCK_NEVER: not within
				 * two weeks */
};
void windows_at(const struct config_list *windows, uint64_t base, int64_t wall_ms,
    struct window_span *ret);

#endif
