/* record_int.h - the envelope in front of every object on the disk.
 *
 * A record is RECORD_HEAD bytes of head followed by the data set as received.
 * The head holds all that is needed to deliver the object without the index and
 * is sealed with the spool's UUID as key, so that bytes of an object cannot pose
 * as a head. The format is docs/SPOOL_FORMAT.md; a change raises
 * RECORD_VERSION.
 */
#ifndef CW_SPOOL_RECORD_INT_H
#define CW_SPOOL_RECORD_INT_H

#include <stdint.h>

#include "gateway/base/hash.h"
#include "gateway/dicom/uid.h"
#include "spool/spool.h"

#define RECORD_VERSION 1
#define RECORD_HEAD    1024
#define RECORD_ALIGN   4096	/* records never share a block: a torn write hurts one */
#define SPOOL_UUID     16

struct record {
	uint64_t id;
	uint64_t segment, generation;	/* both 0 in a container of its own */
	int64_t	 wall_ms, boot_ms;
	char	 boot_id[37];
	struct spool_origin origin;
	struct spool_put_head head;
	char	 study_uid[DICOM_UID_MAX + 1];
	char	 series_uid[DICOM_UID_MAX + 1];
	uint64_t length;
	uint8_t	 checksum[HASH_SIZE];	/* of the data set */
};

void record_encode(const struct record *r, const uint8_t uuid[static SPOOL_UUID],
    uint8_t out[static RECORD_HEAD]);
/* -EBADMSG: no record of this spool. -ENOTSUP: of a newer version. */
int record_decode(const uint8_t in[static RECORD_HEAD],
    const uint8_t uuid[static SPOOL_UUID], struct record *ret);
/* Which spool wrote it: by the head's own word, which its seal bears out. For a
 * directory whose SPOOL file is gone. -EBADMSG: no sealed head. */
int record_spool(const uint8_t in[static RECORD_HEAD],
    uint8_t ret_uuid[static SPOOL_UUID]);
/* The key of the seals of a spool. */
uint64_t record_seal_key(const uint8_t uuid[static SPOOL_UUID]);
/* Bytes on the disk of a record in a segment: head, data, padding. */
uint64_t record_extent(uint64_t length);

#endif
