/* bucket_look.c - what a bucket really holds under the name of an instance.
 *
 * An object is fetched and hashed as it streams in; nothing is kept.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/destination/bucket_int.h"

struct fetched {
	struct sha256 *hash;
	uint64_t length, expected;
	bool	 longer;
};

static int
take_bytes(void *arg, const void *data, size_t len)
{
	struct fetched *f = arg;

	f->length += len;
	f->longer = f->length > f->expected;
	if (f->longer)
		return -ECANCELED;	/* it cannot become equal any more */
	sha256_update(f->hash, data, len);
	return 0;
}

enum bucket_found
bucket_read_back(struct bucket *b, const char *key, uint64_t length,
    const char *sha256, struct destination_result *ret)
{
	AUTO(cleanup_sha256_free) struct sha256 *hash = sha256_new();
	struct fetched f = { .hash = hash, .expected = length };
	enum s3_said said = s3_get(b->s3, key, take_bytes, &f, ret);
	char theirs[65];

	if (f.longer)
		return BUCKET_DIFFERENT;
	switch (said) {
	case S3_DONE:
		sha256_end(hash, theirs);
		return strcmp(theirs, sha256) == 0 ? BUCKET_EQUAL :
		    BUCKET_DIFFERENT;
	case S3_ABSENT:
		return BUCKET_ABSENT;
	case S3_EXISTS:
	case S3_REFUSED:
	case S3_FAILED:
	case S3_UNREADABLE:
		break;
	}
	if (ret->health == DESTINATION_UP) {
		ret->health = DESTINATION_FAILED;
		(void)snprintf(ret->reason, sizeof(ret->reason), "reading back: it "
		    "does not give the object out");
	}
	return BUCKET_UNSURE;
}

/* ---- verify -------------------------------------------------------------- */

static void
say_unknown(struct destination_look *l, const char *why)
{
	l->presence = DESTINATION_UNKNOWN;
	(void)snprintf(l->reason, sizeof(l->reason), "%.199s", why);
}

static void
look_for_bytes(struct bucket *b, struct destination_look *l, const char *key,
    struct destination_result *ret)
{
	AUTO(cleanup_instance_file_close) struct instance_file *f = NULL;
	char sha256[65];
	int r = instance_file_open(b->spool, &l->in, &f);

	if (r == 0)
		r = instance_file_sha256(f, 0, instance_file_length(f), sha256);
	if (r < 0) {
		say_unknown(l, r == -ENOENT ? "its bytes are no longer here to be "
		    "compared" : "our own bytes cannot be read");
		return;
	}
	switch (bucket_read_back(b, key, instance_file_length(f), sha256, ret)) {
	case BUCKET_EQUAL:
		l->presence = DESTINATION_EQUAL;
		break;
	case BUCKET_DIFFERENT:
		l->presence = DESTINATION_DIFFERENT;
		break;
	case BUCKET_ABSENT:
		l->presence = DESTINATION_MISSING;
		break;
	case BUCKET_UNSURE:
		say_unknown(l, ret->reason);
		break;
	}
}

static void
look_for_name(struct bucket *b, struct destination_look *l, const char *key,
    struct destination_result *ret)
{
	switch (s3_head(b->s3, key, NULL, ret)) {
	case S3_DONE:
		l->presence = DESTINATION_THERE;
		break;
	case S3_ABSENT:
		l->presence = DESTINATION_MISSING;
		break;
	case S3_EXISTS:
	case S3_REFUSED:
	case S3_FAILED:
	case S3_UNREADABLE:
		say_unknown(l, ret->reason);
		break;
	}
}

void
bucket_verify(void *self, struct destination_look *looks, size_t n, bool bytes,
    struct destination_result *ret)
{
	struct bucket *b = self;

	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *key = bucket_key(b, &looks[i].in);

		if (key == NULL)
			say_unknown(&looks[i], "its name would be too long");
		else if (ret->health != DESTINATION_UP)
			say_unknown(&looks[i], ret->reason);
		else if (bytes)
			look_for_bytes(b, &looks[i], key, ret);
		else
			look_for_name(b, &looks[i], key, ret);
	}
}

/* ---- remove -------------------------------------------------------------- */

/* A test object has a study of its own, whose manifests name nothing else. */
int
bucket_remove(void *self, const struct spool_instance *in,
    struct destination_result *ret)
{
	struct bucket *b = self;
	char *key = bucket_key(b, in), **keys;
	enum s3_said said;
	size_t n;

	if (key == NULL)
		return -EINVAL;
	bucket_list_manifests(b, in->study_uid, &keys, &n);
	keys = xreallocarray(keys, n + 1, sizeof(*keys));
	keys[n++] = key;
	said = s3_delete(b->s3, (const char *const *)keys, n, ret);
	while (n > 0)
		free(keys[--n]);
	free(keys);
	return said == S3_DONE ? 0 : -EIO;
}
