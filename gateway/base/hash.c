/* hash.c - the spool's checksum, over libxxhash. */
#include <xxhash.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/hash.h"

struct hash {
	XXH3_state_t *state;	/* libxxhash's own: it must be 64-byte aligned */
};

static void
put_canonical(XXH128_hash_t value, uint8_t *ret)
{
	XXH128_canonical_t canonical;

	_Static_assert(sizeof(canonical.digest) == HASH_SIZE, "digest size");
	XXH128_canonicalFromHash(&canonical, value);
	for (size_t i = 0; i < HASH_SIZE; i++)
		ret[i] = canonical.digest[i];
}

struct hash *
hash_new(void)
{
	struct hash *h = xcalloc(1, sizeof(*h));

	h->state = XXH3_createState();
	if (h->state == NULL)
		abort();
	hash_reset(h);
	return h;
}

void
hash_free(struct hash *h)
{
	if (h == NULL)
		return;
	(void)XXH3_freeState(h->state);
	free(h);
}

void
hash_reset(struct hash *h)
{
	(void)XXH3_128bits_reset(h->state);
}

void
hash_update(struct hash *h, const void *data, size_t len)
{
	if (len > 0)
		(void)XXH3_128bits_update(h->state, data, len);
}

void
hash_digest(const struct hash *h, uint8_t ret[static HASH_SIZE])
{
	put_canonical(XXH3_128bits_digest(h->state), ret);
}

void
hash_bytes(const void *data, size_t len, uint8_t ret[static HASH_SIZE])
{
	put_canonical(XXH3_128bits(data, len), ret);
}

uint64_t
hash_seal(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}
