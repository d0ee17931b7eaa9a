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
 * (invariant 11): -EUCLEAN. It is read for it once: both are kept. */
int	 instance_file_sha256(struct instance_file *f, uint64_t at, uint64_t len,
    char ret[static 65]);
/* The same of the whole and of all its parts of that size in one go, so what S3
 * verifies by a part's hash is what the checksum was right for. */
int	 instance_file_prepare(struct instance_file *f, uint64_t part);
/* The first error of reading our own bytes, else 0. */
int	 instance_file_error(const struct instance_file *f);

/* SHA-256 of anything else: at once, or as it comes. */
struct sha256;

void	 sha256_hex(const void *data, size_t len, char ret[static 65]);
struct sha256 *sha256_new(void);
void	 sha256_free(struct sha256 *h);	/* takes NULL */
void	 sha256_update(struct sha256 *h, const void *data, size_t len);
void	 sha256_end(struct sha256 *h, char ret[static 65]);	/* and begins anew */

DEFINE_CLEANUP(struct instance_file, instance_file_close)
DEFINE_CLEANUP(struct sha256, sha256_free)

#endif
