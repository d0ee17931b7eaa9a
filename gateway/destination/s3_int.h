/* s3_int.h - objects in one S3 bucket, for the kinds `s3` and `healthimaging`.
 *
 * Blocks in the calling thread; any thread, in parallel. Bodies are signed with
 * their real SHA-256, so S3 verifies what arrived. What went wrong stands in a
 * destination_result for the bucket's fault and in the verdict for the object's.
 * Sources: Amazon S3 API reference.
 */
#ifndef CW_DESTINATION_S3_INT_H
#define CW_DESTINATION_S3_INT_H

#include "gateway/destination/file_int.h"
#include "gateway/http/http.h"

#define S3_PART	     (64u << 20)	/* objects from this size go in parts */
#define S3_KEY_MAX   1024		/* bytes */

struct s3;

struct s3_options {
	const char *bucket, *region;
	const char *endpoint;	/* "https://rgw.local:7480"; NULL: AWS's own */
	bool	    path_style;	/* the bucket in the path, not in the host name */
	const char *expected_owner;	/* 12 digits; NULL */
	const char *sse;	/* "aws:kms", "AES256"; NULL: the bucket's default */
	const char *sse_key;	/* ARN or id; NULL */
	const char *ca_file;
	struct http_credential *credential;
	const struct config_proxy *proxy;
	struct rate *rate;
	int64_t	    stall_timeout_ms;
	uint64_t    part_size;	/* 0: S3_PART */
	const char *prefix;	/* what rights are wanted for, in words; NULL: all */
};
int  s3_open(const struct s3_options *opt, struct s3 **ret, struct buf *why);
void s3_cancel(struct s3 *s);
void s3_close(struct s3 *s);	/* takes NULL */

enum s3_said {
	S3_DONE,
	S3_EXISTS,	/* 412: the key is taken */
	S3_ABSENT,	/* 404: no such key */
	S3_REFUSED,	/* for this object's own sake; `why` says it */
	S3_FAILED,	/* the result's health and reason say it. UP: a sink gave up, or
			 * the object is no longer owed */
	S3_UNREADABLE,	/* our own bytes: instance_file_error() */
};

struct s3_object {
	const char *key;	/* not encoded */
	struct instance_file *file;
	bool	    only_new;	/* If-None-Match: * */
	const struct http_header *headers;	/* x-amz-meta-* */
	size_t	    n_headers;
	bool	    urgent;
	/* Where its parts are noted, so that it goes on after a restart. */
	struct spool *spool;
	uint64_t    instance;
	const char *destination;
};
/* In one request below the part size, else in parts, resumed from the note. why: of
 * S3_REFUSED. ret->bytes counts up what left. Where the server knows no conditions
 * only_new asks first. */
enum s3_said s3_put(struct s3 *s, const struct s3_object *o,
    struct destination_result *ret, char *why, size_t why_size);
/* Reads the file for all hashes that s3_put() will want, as instance_file_prepare(). */
int s3_prepare(const struct s3 *s, struct instance_file *file);
/* Takes away the parts of those that were not finished and are no longer owed. */
void s3_tidy(struct s3 *s);
/* Small texts: manifests, probes. */
enum s3_said s3_put_text(struct s3 *s, const char *key, const char *content_type,
    const char *text, size_t len, bool only_new, struct destination_result *ret);
enum s3_said s3_get_text(struct s3 *s, const char *key, size_t max, struct buf *text,
    struct destination_result *ret);
/* As it comes: a bad line must not cost the file. */
enum s3_said s3_get(struct s3 *s, const char *key, http_sink_fn *sink, void *arg,
    struct destination_result *ret);
enum s3_said s3_head(struct s3 *s, const char *key, uint64_t *ret_length,
    struct destination_result *ret);
/* Any number; those that are not there count as deleted. */
enum s3_said s3_delete(struct s3 *s, const char *const *keys, size_t n,
    struct destination_result *ret);
/* Parts of an upload that was given up. */
enum s3_said s3_abort(struct s3 *s, const char *key, const char *upload_id,
    struct destination_result *ret);
typedef int s3_list_fn(void *arg, const char *key, uint64_t length);	/* not 0: ends */
enum s3_said s3_list(struct s3 *s, const char *prefix, s3_list_fn *fn, void *arg,
    struct destination_result *ret);
/* Is the bucket there, in this region, and ours? */
enum s3_said s3_probe(struct s3 *s, struct destination_result *ret);

DEFINE_CLEANUP(struct s3, s3_close)

#endif
