/* notify.h - the service manager's notify protocol (sd_notify(3)).
 *
 * Does nothing when NOTIFY_SOCKET is unset. notify_watchdog_ms() is half of
 * WATCHDOG_USEC when it is meant for this process, else 0: no watchdog.
 */
#ifndef CW_BASE_NOTIFY_H
#define CW_BASE_NOTIFY_H

#include <stdint.h>

void	notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int64_t notify_watchdog_ms(void);

#endif
