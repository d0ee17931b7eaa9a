/* files_int.h - what the files of the spool share: names, walks, scans, the
 * SPOOL file. Used by the store, which owns a spool, and by salvage, which only
 * looks at one.
 *
 * Names derive from ids alone (invariant 3). What bears another name, is a
 * symbolic link or no regular file is left alone.
 */
#ifndef CW_SPOOL_FILES_INT_H
#define CW_SPOOL_FILES_INT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "gateway/base/buf.h"
#include "spool/record_int.h"

/* ---- names and directories ---- */

#define FILE_NAME_SIZE 32	/* "XX/" and 16 hex digits and ".obj" */
#define FILE_SEGMENT   ".seg"
#define FILE_OWN       ".obj"

void file_name(uint64_t id, const char *suffix, char ret[static FILE_NAME_SIZE]);
/* Below objects/. */
void file_own_name(uint64_t id, char ret[static FILE_NAME_SIZE]);
int  file_name_parse(const char *name, const char *suffix, uint64_t *ret);

/* An existing regular file, never through a symbolic link. -ENOENT, -ELOOP. */
int  file_open(int dirfd, const char *name, int flags, int *ret_fd,
	 uint64_t *ret_size);
int  file_open_dir(int dirfd, const char *name, int *ret_fd);

/* The ids of all files with this suffix, in ascending order; names are read
 * before the first call, so fn may remove. A non-zero return ends it. */
typedef int file_walk_fn(void *arg, int dirfd, uint64_t id);
int  file_walk(int dirfd, const char *suffix, file_walk_fn *fn, void *arg);
/* The same for objects/ and its 256 subdirectories. */
int  file_walk_objects(int objects_fd, file_walk_fn *fn, void *arg);

/* Reads on where the disk cannot: unreadable blocks become zeros and are
 * counted. Fewer bytes only at the end of the file. */
ssize_t file_pread_rest(int fd, void *data, size_t len, uint64_t at,
    uint64_t *ret_bad);

/* ---- the SPOOL file ---- */

struct identity {
	uint8_t	 uuid[SPOOL_UUID];
	unsigned node;
	uint64_t floor;		/* no id from here on was given out */
	uint64_t segment_size;	/* of new segments */
};
/* -ENOENT, -EBADMSG damaged, -ENOTSUP of a newer format. */
int  identity_read(int dirfd, struct identity *ret);
int  identity_write(int dirfd, const struct identity *id);
/* From the containers themselves: UUID and the highest id seen. -ENOENT: there
 * is no sealed head at all. -EUCLEAN: of more than one spool. */
int  identity_recover(int dirfd, uint8_t ret_uuid[static SPOOL_UUID],
	 uint64_t *ret_highest);

/* ---- heads and scans ---- */

struct segment_head {
	uint64_t segment, generation, size;
	int64_t	 wall_ms;
};
void segment_head_encode(const struct segment_head *h,
    const uint8_t uuid[static SPOOL_UUID], uint8_t out[static RECORD_ALIGN]);
/* -EBADMSG, -ENOTSUP as record_decode(). */
int  segment_head_decode(const uint8_t in[static RECORD_ALIGN],
	 const uint8_t uuid[static SPOOL_UUID], struct segment_head *ret);
int  segment_head_spool(const uint8_t in[static RECORD_ALIGN],
	 uint8_t ret_uuid[static SPOOL_UUID]);
int  segment_head_read(int fd, const uint8_t uuid[static SPOOL_UUID],
	 struct segment_head *ret);

/* Reads length bytes at `at` and compares; false also when they cannot be read. */
bool data_is_whole(int fd, uint64_t at, const struct record *r);

/* intact: all bytes are there, and match their checksum when verify. */
typedef int scan_fn(void *arg, const struct record *r, uint64_t offset,
    bool intact);
/* Records of one generation; 0: the highest that is there (the head is lost). A
 * valid record is jumped over, so that no byte of an object is ever taken for a
 * head; whatever else is stepped over block by block. -ENOTSUP, after the rest:
 * records of a newer version were met. */
int  scan_segment(int fd, const uint8_t uuid[static SPOOL_UUID],
	 uint64_t segment, uint64_t generation, bool verify, scan_fn *fn,
	 void *arg);
/* The head of a container of its own: 0, -EBADMSG none, -ENOTSUP. */
int  own_head_read(int fd, const uint8_t uuid[static SPOOL_UUID],
	 struct record *ret);
/* The same and whether the data is there (and matches). */
int  scan_own(int fd, const uint8_t uuid[static SPOOL_UUID], bool verify,
	 struct record *ret, bool *ret_intact);

#endif
