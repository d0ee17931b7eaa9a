/* buf.h - a growing byte buffer that cannot grow past its maximum.
 *
 * The maximum is a parameter of the constructor: no unbounded buffer exists in
 * this program. The first failure (-ENOMEM, -EMSGSIZE) is latched; later calls
 * do nothing and buf_error() tells, so a writer checks once at the end.
 */
#ifndef CW_BASE_BUF_H
#define CW_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char  *data;	/* NUL-terminated (not counted in len); NULL while empty */
	size_t len;
	size_t size;
	size_t max;
	int    error;
};

#define BUF_INIT(maximum) { .max = (maximum) }

void buf_free(struct buf *b);	/* releases; may be used again with the same max */
void buf_clear(struct buf *b);	/* empties and forgets the error, keeps memory */
int  buf_error(const struct buf *b);
int  buf_reserve(struct buf *b, size_t more);
int  buf_add(struct buf *b, const void *data, size_t len);
int  buf_add_str(struct buf *b, const char *s);
int  buf_add_char(struct buf *b, char c);
int  buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int  buf_vprintf(struct buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
char *buf_take(struct buf *b);	/* the caller frees; "" if it was empty */

#endif
