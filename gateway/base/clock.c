/* clock.c - the three clocks, and the name of this boot. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"

#define BOOT_ID_LEN 36

static char boot_id[BOOT_ID_LEN + 1];
static pthread_once_t boot_id_once = PTHREAD_ONCE_INIT;

static int64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Where /proc is missing, a random name: each run then counts as a boot of its
 * own, which can only make silence start anew. */
static void
load_boot_id(void)
{
	AUTO_CLOSE int fd = open("/proc/sys/kernel/random/boot_id",
	    O_RDONLY | O_CLOEXEC);
	uint64_t r[2] = { (uint64_t)getpid(), (uint64_t)clock_wall_ms() };

	if (fd >= 0 && read(fd, boot_id, BOOT_ID_LEN) == BOOT_ID_LEN)
		return;
	(void)!getrandom(r, sizeof(r), 0);
	(void)snprintf(boot_id, sizeof(boot_id), "%08x-%04x-%04x-%04x-%012llx",
	    (unsigned)(r[0] >> 32), (unsigned)(r[0] & 0xffff),
	    (unsigned)(r[0] >> 16 & 0xffff), (unsigned)(r[1] >> 48),
	    (unsigned long long)(r[1] & 0xffffffffffff));
}

int64_t
clock_mono_ms(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t
clock_boot_ms(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

int64_t
clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME);
}

const char *
clock_boot_id(void)
{
	int saved = errno;

	(void)pthread_once(&boot_id_once, load_boot_id);
	errno = saved;
	return boot_id;
}

const char *
clock_format(int64_t wall_ms, char *buf, size_t size)
{
	/* Rounded down, so that a moment before 1970 is not written as 1970. */
	time_t t = (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0));
	struct tm tm = { 0 };
	long offset;

	if (localtime_r(&t, &tm) == NULL) {
		(void)snprintf(buf, size, "-");
		return buf;
	}
	offset = tm.tm_gmtoff / 60;
	(void)snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d%c%02ld:%02ld",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec, offset < 0 ? '-' : '+', labs(offset) / 60,
	    labs(offset) % 60);
	return buf;
}

int
clock_timeout(int64_t deadline_ms)
{
	int64_t now;

	if (deadline_ms == CLOCK_NEVER)
		return -1;
	now = clock_mono_ms();
	if (deadline_ms <= now)
		return 0;
	return deadline_ms - now > INT_MAX ? INT_MAX : (int)(deadline_ms - now);
}
