/* log.h - one line per event, for people first and for machines after.
 *
 *   log_info("association accepted", LOG_U64("assoc", id),
 *            LOG_STR("calling", title));
 *
 * writes `association accepted assoc=7 calling="CT1"`. The log escapes every
 * value, so strings from the wire may be passed as they are; they can neither
 * forge a line nor a field. Patient names, ids, birth dates and query texts are
 * never logged at any level.
 *
 * Under the journal (JOURNAL_STREAM is set) lines begin with <priority>;
 * elsewhere with local time, its offset, and the level. Lines go to stderr in
 * one write(2). errno is preserved. Any thread may log.
 *
 * Only the upper layers log above debug: a function logs or it returns an
 * error, not both.
 */
#ifndef CW_BASE_LOG_H
#define CW_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LEVELS };

struct log_field {
	const char *key;	/* NULL ends the list */
	enum { LOG_F_STR, LOG_F_U64, LOG_F_I64, LOG_F_HEX, LOG_F_ERR } type;
	union {
		const char *str;	/* NULL is written as "-" */
		uint64_t    u64;
		int64_t	    i64;	/* LOG_F_ERR: a negative errno */
	} v;
};

#define LOG_STR(k, s) { .key = (k), .type = LOG_F_STR, .v.str = (s) }
#define LOG_U64(k, n) { .key = (k), .type = LOG_F_U64, .v.u64 = (n) }
#define LOG_I64(k, n) { .key = (k), .type = LOG_F_I64, .v.i64 = (n) }
#define LOG_HEX(k, n) { .key = (k), .type = LOG_F_HEX, .v.u64 = (n) }	/* A700H */
#define LOG_ERR(e)    { .key = "error", .type = LOG_F_ERR, .v.i64 = (e) }

#define log_write(level, msg, ...)                                      \
	log_fields((level), (msg),                                      \
	    (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ) { 0 } })
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                  \
	do {                                                            \
		if (log_enabled(LOG_DEBUG))                             \
			log_write(LOG_DEBUG, __VA_ARGS__);              \
	} while (0)

void log_set_level(enum log_level level);	/* default LOG_INFO */
bool log_enabled(enum log_level level);
void log_fields(enum log_level level, const char *msg,
    const struct log_field *fields);

/* Tests: send lines to fn instead of stderr; NULL restores. Not thread-safe. */
void log_capture(void (*fn)(void *arg, const char *line), void *arg);

#endif
