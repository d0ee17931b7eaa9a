/* store_int.h - the files: segments, containers of their own, ballast, lock.
 *
 * No SQL here and no threads of its own. Layout of the spool's directory:
 *
 *   SPOOL			format, UUID, node, floor of ids (text, replaced whole)
 *   lock			flock of the one daemon
 *   index.db			(spool/index_int.h)
 *   settle.log			(spool/settle_int.h)
 *   ballast			given up so that settling works on a full disk
 *   segments/SEGMENT.seg	small objects; 16 hex digits
 *   open/ID.obj		large objects whose row may not be durable yet
 *   objects/XX/ID.obj		large objects; XX: low byte of the id
 *   damaged/			set aside, never deleted by us
 *   SPOOL.damaged		a SPOOL file that could not be read
 *
 * A segment begins with a RECORD_ALIGN block (magic, version, UUID, segment,
 * generation, size, seal), then records at multiples of RECORD_ALIGN. It is
 * written with a new generation each time it is taken into use again, so stale
 * records are known as such. States:
 *
 *   FREE      no live record; may be written again
 *   STANDBY   head of its new generation is synced; taken when the current is full
 *   CURRENT   receives records
 *   FULL      no more records; some may be waiting for their commit
 *   SEALED    its rows are durable in the index: need not be scanned at start
 *
 * Locking: one mutex inside; store_reserve() may wait on it for a standby, and
 * nothing holds it across a write, a sync or a wait for another thread. Ids have a
 * mutex of their own, which is held while SPOOL is written, once in a million.
 */
#ifndef CW_SPOOL_STORE_INT_H
#define CW_SPOOL_STORE_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "gateway/base/buf.h"
#include "spool/record_int.h"

struct store;
struct store_own;
struct store_reader;

enum segment_state {
	SEGMENT_FREE, SEGMENT_STANDBY, SEGMENT_CURRENT, SEGMENT_FULL, SEGMENT_SEALED,
	SEGMENT_STATES
};

struct store_place {
	uint64_t segment;	/* 0: a container of its own */
	uint64_t offset;	/* of the record head; 0 in its own */
};

/* ---- opening ---- */

/* Makes the layout or checks it, takes the lock, reads or writes SPOOL.
 * -EBUSY locked by another (why names its pid), -ENOTSUP newer format or network
 * file system (statfs: NFS, SMB/CIFS, 9p, Ceph, FUSE-based sshfs cannot be told:
 * only the known network types). Removes nothing. segment_size 0: 64 MiB, or less
 * on a small disk (1/32 of it, a power of two, at least 4 MiB). */
int  store_open(const char *directory, unsigned node, uint64_t segment_size,
	 struct store **ret, struct buf *why);
void store_close(struct store *st);
int  store_dirfd(const struct store *st);
const uint8_t *store_uuid(const struct store *st);

/* The next id; bumps the floor in SPOOL (synced) every million. Any thread. */
int  store_next_id(struct store *st, uint64_t *ret);

/* ---- small objects ---- */

/* Largest record (head included) that a segment takes. */
uint64_t store_record_max(const struct store *st);
uint64_t store_segment_size(const struct store *st);

/* Room for size bytes (head + data) in the current segment; goes on to the
 * standby when it does not fit, waiting for one until the deadline. -ENOSPC: no
 * standby came, or none can. Counts the place as in flight until store_landed(). */
int  store_reserve(struct store *st, uint64_t size, int64_t deadline_ms,
	 struct store_place *ret, uint64_t *ret_generation);
/* r->segment and generation are those of the reservation. Not synced. data is
 * consumed. */
int  store_append(struct store *st, const struct store_place *at,
	 const struct record *r, struct iovec *data, int n);
/* fdatasync of every segment appended to since the last call (one sync for all).
 * A failure is final (invariant 7). */
int  store_sync(struct store *st);
/* The record in this place (in flight) was not promised and never will be: best
 * effort that no scan finds it. */
void store_abandon(struct store *st, const struct store_place *at);
/* The commit of this place is over, one way or the other. */
void store_landed(struct store *st, const struct store_place *at);

/* ---- segments (the keeper) ---- */

struct store_segment {
	uint64_t id, generation, size;
	enum segment_state state;
	unsigned in_flight, pins;
};
/* Tell the store what the index knows of a segment, at start. A file that no one
 * told of is FULL: it must be scanned. */
int  store_segment_known(struct store *st, uint64_t id, uint64_t generation,
	 enum segment_state state);
uint64_t store_segment_generation(struct store *st, uint64_t id);	/* 0: none */
/* All segments found; fn may not call the store. */
int  store_segments(struct store *st,
	 int (*fn)(void *arg, const struct store_segment *s), void *arg);
bool store_wants_standby(struct store *st);	/* none is ready */
/* Takes a FREE segment or makes a new file (fallocate; -ENOSPC), writes its head
 * with the next generation, syncs (and the directory for a new file). It is
 * STANDBY only after store_standby_ready(), which the keeper calls when the index
 * knows of it durably. */
int  store_standby_prepare(struct store *st, uint64_t *ret_segment,
	 uint64_t *ret_generation);
void store_standby_ready(struct store *st, uint64_t segment);
/* There is no room for one: who waits for it need not wait longer. */
void store_standby_failed(struct store *st);
/* It could not be looked through: never sealed by this run, so never written over,
 * and looked at again by the next. */
void store_segment_spare(struct store *st, uint64_t segment);
/* The next FULL segment with nothing in flight: 0 or -ENOENT. */
int  store_next_full(struct store *st, uint64_t *ret_segment, uint64_t *ret_generation);
void store_sealed(struct store *st, uint64_t segment);
/* SEALED and no row refers to it: FREE, unless pinned (-EBUSY). Above
 * max_free segments the file is removed instead. 0 also for one that is FREE
 * already, -ENOENT for one that was removed: the index was not told. */
int  store_recycle(struct store *st, uint64_t segment, unsigned max_free,
	 bool *ret_removed);
uint64_t store_free_bytes(struct store *st);	/* in FREE and STANDBY segments and
						 * the rest of the current one */
/* Overwrite one record with zeros and sync (purge). */
int  store_wipe(struct store *st, uint64_t id, const struct store_place *at,
	 uint64_t length);

/* ---- large objects ---- */

/* In open/, named by id. Space is claimed in growing chunks, write-back begun
 * behind the writer (rule 20). */
int  store_own_create(struct store *st, uint64_t id, struct store_own **ret);
int  store_own_write(struct store_own *o, const void *data, size_t len);
uint64_t store_own_length(const struct store_own *o);
/* Read back what was written so far (to compare). */
int  store_own_read(struct store_own *o, uint64_t at, void *data, size_t len);
/* Head, truncation to size, fdatasync. The directory entry is made durable by
 * store_sync(). Failure is final for this object. */
int  store_own_finish(struct store_own *o, const struct record *r);
/* Closes; unlinks unless it was finished and kept. */
void store_own_close(struct store_own *o, bool keep);
/* open/ -> objects/, when its row is durable. -ENOENT if it is not in open/. */
int  store_own_publish(struct store *st, uint64_t id);
/* Removes the file wherever it is and syncs the directory. 0 if there is none.
 * -EBUSY while pinned. */
int  store_own_remove(struct store *st, uint64_t id);

/* ---- reading ---- */

/* Pins. *ret_record is the head found there; -EUCLEAN when it is not id's,
 * -ENOENT no file, or the segment was recycled. A place that was looked up before
 * may have been recycled and written again: on -EUCLEAN look the row up once more
 * before calling it damage. */
int  store_reader_open(struct store *st, uint64_t id, const struct store_place *at,
	 struct store_reader **ret, struct record *ret_record);
void store_reader_close(struct store_reader *r);
ssize_t store_reader_read(struct store_reader *r, uint64_t at, void *data,
	 size_t len);
int  store_reader_fd(const struct store_reader *r, uint64_t *ret_offset);

/* ---- scanning ---- */

/* `whole` tells whether the data matched its checksum (only when verify). Returns
 * non-zero to end the scan. */
typedef int store_record_fn(void *arg, const struct record *r,
    const struct store_place *at, bool whole);
/* Every record of the segment's present generation, holes passed over. */
int store_scan_segment(struct store *st, uint64_t segment, bool verify,
    store_record_fn *fn, void *arg);
/* Files in open/ (or objects/): records with a sealed head; those without are
 * leftovers of receptions that were never promised, and are removed when
 * remove_unfinished. What this run itself put into open/ is passed over. */
int store_scan_own(struct store *st, bool open_only, bool verify,
    bool remove_unfinished, store_record_fn *fn, void *arg);
/* The ids of all large objects, by the names of their files. */
int store_own_ids(struct store *st, int (*fn)(void *arg, uint64_t id), void *arg);
/* Sets a large object aside in damaged/. */
int store_own_set_aside(struct store *st, uint64_t id);

/* ---- space ---- */

/* What arrivals must leave of the disk, whenever they claim some: settling and the
 * index live on it. */
void store_set_floor(struct store *st, uint64_t bytes);

int  store_space(struct store *st, uint64_t *ret_free, uint64_t *ret_size);
int  store_ballast_ensure(struct store *st, uint64_t size);	/* keeps a file */
int  store_ballast_release(struct store *st);	/* gives it up; 0 if none */

#endif
