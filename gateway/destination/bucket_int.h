/* bucket_int.h - what the files of the kind `s3` share: bucket.c opens it,
 * bucket_deliver.c delivers, bucket_look.c reads back, bucket_key.c makes names of
 * objects, bucket_manifest.c says what a delivery was.
 *
 * A struct bucket is read-only after it was opened, but for the numbers of
 * manifests that were given out last.
 */
#ifndef CW_DESTINATION_BUCKET_INT_H
#define CW_DESTINATION_BUCKET_INT_H

#include <pthread.h>

#include "gateway/destination/s3_int.h"

#define BUCKET_STUDIES 64	/* whose last number is remembered */

struct bucket_number {
	char	 study[DICOM_UID_MAX + 1];
	unsigned last;
	uint64_t used;	/* a clock of its own: the least is replaced */
};

struct bucket {
	const char *name;	/* the destination's; the configuration's */
	struct spool *spool;
	struct http_credential *credential;
	struct s3  *s3;
	char	   *prefix;	/* "" or ending in a slash */
	const char *key, *manifest, *storage_class;	/* the last may be NULL */
	bool	    replace;	/* on_conflict */
	pthread_mutex_t mu;	/* taken alone */
	struct bucket_number numbers[BUCKET_STUDIES];	/* guarded by mu */
	uint64_t    clock;				/* guarded by mu */
};

/* ---- bucket_key.c -------------------------------------------------------- */

/* For people in why; NULL: right. `needed` ends with NULL. */
int   bucket_template_check(const char *text, const char *const *known,
    const char *const *needed, struct buf *why);
extern const char *const bucket_key_words[], *const bucket_key_needs[];
extern const char *const bucket_manifest_words[], *const bucket_manifest_needs[];
/* NULL: longer than S3_KEY_MAX. The caller frees. */
char *bucket_key(const struct bucket *b, const struct spool_instance *in);
char *bucket_manifest_key(const struct bucket *b, const char *study,
    unsigned number);
/* What all names of a study's manifests begin with; the rest after the number. */
char *bucket_manifest_prefix(const struct bucket *b, const char *study);
char *bucket_manifest_suffix(const struct bucket *b, const char *study);

/* ---- bucket_look.c ------------------------------------------------------- */

enum bucket_found {
	BUCKET_EQUAL, BUCKET_DIFFERENT, BUCKET_ABSENT,
	BUCKET_UNSURE,	/* ret says why */
};
enum bucket_found bucket_read_back(struct bucket *b, const char *key,
    uint64_t length, const char *sha256, struct destination_result *ret);
void bucket_verify(void *self, struct destination_look *looks, size_t n, bool bytes,
    struct destination_result *ret);
int  bucket_remove(void *self, const struct spool_instance *in,
    struct destination_result *ret);

/* ---- bucket_manifest.c --------------------------------------------------- */

struct bucket_stored {
	const struct spool_instance *in;
	const char *key, *sha256;
	uint64_t    length;
};
/* Of one study. False: ret says why not. */
bool bucket_write_manifest(struct bucket *b, const struct bucket_stored *v, size_t n,
    struct destination_result *ret);

/* Their names, as far as they may be listed; the caller frees each and all. */
void bucket_list_manifests(struct bucket *b, const char *study, char ***ret,
    size_t *ret_n);

/* ---- bucket_deliver.c ---------------------------------------------------- */

void bucket_deliver(void *self, struct destination_item *items, size_t n,
    struct destination_result *ret);

#endif
