/* file_int.h - an instance as the Part 10 file that leaves: our head (rule 10) and
 * the data set as it came, readable at any place, as often as needed.
 *
 * One thread at a time. The bytes are pinned in the spool while it is open.
 */
#ifndef CW_DESTINATION_FILE_INT_H
#define CW_DESTINATION_FILE_INT_H

#include "gateway/base/cleanup.h"
#include "gateway/destination/destination.h"

struct instance_file;

/* -ENOENT, -EUCLEAN, -EIO as spool_reader_open(). */
int	 instance_file_open(struct spool *sp, const struct spool_instance *in,
    struct instance_file **ret);
void	 instance_file_close(struct instance_file *f);	/* takes NULL */
uint64_t instance_file_length(const struct instance_file *f);
/* Short only at the end. */
ssize_t	 instance_file_read(struct instance_file *f, uint64_t at, void *data,
    size_t len);
/* SHA-256 of a part, in lower hex. The whole also verifies the spool's checksum
 * (invariant 11): -EUCLEAN. */
int	 instance_file_sha256(struct instance_file *f, uint64_t at, uint64_t len,
    char ret[static 65]);

DEFINE_CLEANUP(struct instance_file, instance_file_close)

#endif
