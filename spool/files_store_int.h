/* files_store_int.h - inside of struct store: shared by store.c, segment.c,
 * own.c, reader.c and space.c alone.
 */
#ifndef CW_SPOOL_FILES_STORE_INT_H
#define CW_SPOOL_FILES_STORE_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "spool/files_int.h"
#include "spool/store_int.h"

struct segment {
	TAILQ_ENTRY(segment) hot;	/* on store.hot while fd >= 0 */
	uint64_t id, generation, size;
	enum segment_state state;
	unsigned in_flight, pins;
	unsigned syncing;	/* store_sync() uses fd */
	uint64_t used;		/* bytes given out, of the current one */
	int	 fd;		/* from preparation to sealing, else -1 */
	bool	 dirty;		/* written since the last store_sync() */
	bool	 prepared;	/* new generation synced, index not told yet */
	bool	 spared;	/* store_segment_spare() */
	bool	 damaged;	/* head or length wrong: read, but never written again */
};
TAILQ_HEAD(segment_list, segment);

struct own_pin {
	LIST_ENTRY(own_pin) link;
	uint64_t id;
};

struct store_own {
	LIST_ENTRY(store_own) link;	/* on store.writers */
	struct store *st;
	uint64_t id;
	int	 fd;
	uint8_t *buf;
	size_t	 buffered;
	uint64_t flushed;	/* data bytes in the file */
	uint64_t claimed, chunk;	/* of the file; the next claim */
	uint64_t hinted;	/* data bytes whose write-back was begun */
	int	 error;		/* latched */
	bool	 finished;
};

struct store {
	int	 dirfd, lock_fd, segments_fd, open_fd, objects_fd, damaged_fd;
	uint8_t	 uuid[SPOOL_UUID];	/* these three do not change */
	uint64_t segment_size;
	uint64_t first_id;	/* of this run */
	atomic_uint_least64_t floor;	/* store_set_floor() */

	/* Ids: a lock of its own, held while SPOOL is written, once in a
	 * million. Taken before mu. */
	pthread_mutex_t id_mu;
	struct identity identity;
	uint64_t next_id;

	pthread_mutex_t mu;	/* guards all below */
	pthread_cond_t	standby;	/* a segment became STANDBY, or cannot, or
					 * suspect */
	uint64_t standby_failures;
	struct segment **segment;	/* in ascending order of id */
	size_t	 n_segments, segment_room;
	struct segment *current;
	struct segment_list hot;
	LIST_HEAD(, own_pin) pins;
	LIST_HEAD(, store_own) writers;
	bool	 open_dirty;	/* open/ has entries that are not synced */
	bool	 suspect;	/* a sync failed (invariant 7) */
};

/* Room in a file for what arrives; -ENOSPC above the floor already. */
int store_claim(struct store *st, int fd, uint64_t at, uint64_t len);

/* All of these with mu held. */
struct segment *segment_find(struct store *st, uint64_t id);
struct segment *segment_add(struct store *st, uint64_t id);
void segment_drop(struct store *st, struct segment *seg);
/* The only function that changes a segment's state. */
void segment_move(struct segment *seg, enum segment_state to);

/* Without mu. */
int  segments_load(struct store *st, struct buf *why);
void segments_free(struct store *st);
/* A sync that failed makes the spool suspect; returns -EIO. */
int  store_suspect(struct store *st);
bool store_is_suspect(struct store *st);
/* Keeps a segment from being recycled; NULL: no such segment. */
struct segment *segment_pin(struct store *st, uint64_t id);
void segment_unpin(struct store *st, struct segment *seg);
int  segment_file_open(struct store *st, uint64_t id, int flags, int *ret_fd,
	 uint64_t *ret_size);
/* objects/, then open/. */
int  own_file_open(struct store *st, uint64_t id, int flags, int *ret_fd,
	 uint64_t *ret_size);
/* True if the id was given out since store_open(). */
bool store_id_is_new(struct store *st, uint64_t id);

#endif
