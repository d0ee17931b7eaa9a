/* settle_line_int.h - one line of the settle log, and the log as a file to read.
 *
 * wall-ms TAB verb TAB id TAB destination TAB study TAB state TAB value TAB
 * actor TAB reason [TAB remote] TAB seal NL. Texts are UTF-8; backslash, controls
 * and bytes that are no UTF-8 are \xHH, so that whatever a peer made of its reason
 * comes back byte by byte and never begins a line.
 */
#ifndef CW_SPOOL_SETTLE_LINE_INT_H
#define CW_SPOOL_SETTLE_LINE_INT_H

#include <stddef.h>

#include "gateway/base/buf.h"
#include "spool/settle_int.h"

#define SETTLE_LINE_MAX	  16384	/* with its newline; ours never exceeds it */
#define SETTLE_VERSION	  1
#define SETTLE_HEADER	  "causeway-settle "

/* Appends it with its newline. Reason and actor are cut at some 2000 and 250
 * bytes; -EINVAL: destination, study or remote longer than any we know of. */
int settle_line_encode(const struct settle_entry *e, struct buf *out);
/* line without its newline; it is changed, and *ret points into it. -EBADMSG. */
int settle_line_decode(char *line, size_t len, struct settle_entry *ret);

/* fn is called with e NULL for a line that could not be read. */
typedef int settle_line_fn(void *arg, const struct settle_entry *e,
    const char *line, size_t len);
struct settle_tail {
	uint64_t end;		/* behind the last newline */
	bool	 whole;		/* what follows is a line that lacks only that */
	bool	 unreadable;	/* the disk refused some block of the file */
};
/* Reads the bytes [from, size); from: where a line begins. -ENOTSUP: of a newer
 * version. *ret_tail may be NULL: then a tail that is whole counts as a line. */
int settle_file_read(int fd, uint64_t from, uint64_t size, settle_line_fn *fn,
    void *arg, struct settle_tail *ret_tail);

#endif
