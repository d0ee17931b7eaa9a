/* clock.h - the three clocks, and when to use which.
 *
 * MONOTONIC for deadlines, BOOTTIME for silence (it counts while the machine
 * sleeps), wall time for what people read. A jump of the wall clock changes
 * nothing but what is printed.
 */
#ifndef CW_BASE_CLOCK_H
#define CW_BASE_CLOCK_H

#include <stdint.h>
#include <stddef.h>

#define CLOCK_NEVER INT64_MAX

int64_t clock_mono_ms(void);
int64_t clock_boot_ms(void);
int64_t clock_wall_ms(void);		/* since 1970-01-01 UTC */

/* This boot's kernel id, 36 characters; the same string for the whole run. */
const char *clock_boot_id(void);

/* "2026-11-23T04:15:02+01:00" in the local zone; buf of at least 32 bytes. */
const char *clock_format(int64_t wall_ms, char *buf, size_t size);

/* Milliseconds from now until a CLOCK_MONOTONIC deadline, 0 if past,
 * capped to INT_MAX; -1 for CLOCK_NEVER (as poll(2) wants it). */
int clock_timeout(int64_t deadline_ms);

#endif
