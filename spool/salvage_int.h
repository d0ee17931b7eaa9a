/* salvage_int.h - the tree of files that salvage writes.
 *
 * One thread. A file gets its name when it is complete, and no file that is there
 * is ever changed: one of the same content is this very image, salvaged before.
 */
#ifndef CW_SPOOL_SALVAGE_INT_H
#define CW_SPOOL_SALVAGE_INT_H

#include "gateway/base/buf.h"
#include "spool/record_int.h"

struct out {
	int	    fd;
	const char *path;	/* borrowed */
};

/* Made if missing. out_close() makes all of it durable. */
int  out_open(const char *path, struct out *ret);
int  out_close(struct out *o);

/* Writes the data set at `at` in fd as a Part 10 file: STUDY/SERIES/INSTANCE.vN.dcm,
 * below damaged/ if something is wrong with it. *file: its path; *problem: ""
 * or what is wrong. An error is one of the output. */
int  out_record(struct out *o, const struct record *r, int fd, uint64_t at,
	 struct buf *file, struct buf *problem);
/* Bytes whose head is lost: damaged/ID.raw. */
int  out_raw(struct out *o, uint64_t id, int fd, struct buf *file);

#endif
