/* put_int.h - an object being received, and its twins. */
#ifndef CW_SPOOL_PUT_INT_H
#define CW_SPOOL_PUT_INT_H

#include "spool/spool_int.h"

struct spool_put {
	struct spool	      *sp;
	struct spool_source   *source;
	struct spool_put_head  head;
	struct dicom_head      desc;
	bool		       described;
	struct activity_entry *activity;
	struct put_chunk      *chunk[PUT_SMALL_MAX / PUT_CHUNK];
	unsigned	       n_chunks;
	struct store_own      *own;	/* instead of chunks */
	bool		       finished;	/* own has its head */
	uint64_t	       id, length;
	struct hash	      *hash;
	uint8_t		       checksum[HASH_SIZE];
	uint64_t	       compared;	/* same checksum, other bytes: no twin */
	int		       error;	/* the first, latched */
};

void put_pool_init(struct put_pool *pool);
void put_pool_done(struct put_pool *pool);

/* What the spool already has under this SOP Instance UID. */
enum put_twin {
	PUT_TWIN_NONE,	/* the UID is new */
	PUT_TWIN_HERE,	/* these bytes (or this very data set in another uncompressed
			 * encoding, rule 3), still kept: *ret is that instance */
	PUT_TWIN_GONE,	/* these bytes were here and are swept */
	PUT_TWIN_OTHER,	/* other bytes: this is a new version */
};
/* Compares bytes, not only hashes: a wrong "same" would lose an image. */
int put_find_twin(struct spool_put *put, struct index_known *ret,
    enum put_twin *ret_twin);
/* Random access to what was received so far. */
int put_read(struct spool_put *put, uint64_t at, void *data, size_t len);

#endif
