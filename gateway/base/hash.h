/* hash.h - the spool's checksum: XXH3, 128 bits, incremental.
 *
 * It finds damage and tells "same bytes" quickly; it is no proof against an
 * adversary, so where a wrong "same" would lose an image the bytes themselves
 * are compared. The digest is in canonical (big-endian) order.
 */
#ifndef CW_BASE_HASH_H
#define CW_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_SIZE 16

struct hash;

struct hash *hash_new(void);
void	     hash_free(struct hash *h);
void	     hash_reset(struct hash *h);
void	     hash_update(struct hash *h, const void *data, size_t len);
void	     hash_digest(const struct hash *h, uint8_t ret[static HASH_SIZE]);

/* One shot; the seed keys it (a record head is sealed with the spool's own). */
void	 hash_bytes(const void *data, size_t len, uint8_t ret[static HASH_SIZE]);
uint64_t hash_seal(const void *data, size_t len, uint64_t seed);

#endif
