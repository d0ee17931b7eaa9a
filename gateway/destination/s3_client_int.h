/* s3_client_int.h - what the files of the S3 client share.
 *
 * s3_client.c sends one request and gets its answer, s3_fault.c says what an
 * answer that is no success means, s3_xml.c reads the documents, s3_object.c has
 * the calls for single objects, s3_bulk.c those for many, s3_upload.c and
 * s3_parts.c the uploads in parts. A struct s3 is read-only after it was opened,
 * but for `conditions` and the list of what was not finished.
 */
#ifndef CW_DESTINATION_S3_CLIENT_INT_H
#define CW_DESTINATION_S3_CLIENT_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "gateway/destination/s3_int.h"

#define S3_HEADERS_MAX	24
#define S3_PARTS_MAX	5000	/* S3 takes 10,000; their ETags have to fit in a note */
#define S3_PART_MIN	(5u << 20)
#define S3_ETAG_MAX	80
#define S3_UPLOAD_MAX	1024	/* characters of an upload id */
#define S3_REPLY_MAX	(4u << 20)
#define S3_CALL_MS	(10 * 60 * 1000)	/* of what carries no object */

/* Does the server refuse to write where something is (If-None-Match)? */
enum s3_conditions { S3_UNTRIED, S3_HONOURED, S3_UNKNOWN };

struct s3_unfinished;
LIST_HEAD(s3_unfinished_list, s3_unfinished);

struct s3 {
	struct http_client *http;
	char	*bucket, *region, *prefix;
	char	*expected_owner, *sse, *sse_key;	/* may be NULL */
	bool	 amazon;		/* no endpoint was given */
	uint64_t part_size;
	atomic_int conditions;		/* enum s3_conditions */
	pthread_mutex_t mu;		/* taken alone */
	struct s3_unfinished_list unfinished;	/* guarded by mu */
};

/* ---- s3_xml.c ------------------------------------------------------------ */

/* At the end of each element: "Error/Code" and its text; "" of one that has
 * elements. Prefixes are left out. Non-zero ends the walk with it. */
typedef int s3_xml_fn(void *arg, const char *path, const char *text);
/* -EBADMSG: no XML, or beyond all bounds. White space before it does not count. */
int  s3_xml_walk(const char *text, size_t len, s3_xml_fn *fn, void *arg);
void s3_xml_add(struct buf *b, const char *text);	/* escaped */

/* ---- s3_client.c --------------------------------------------------------- */

struct s3_request {
	const char *method;
	const char *action;	/* "s3:PutObject": the right that it needs */
	const char *key;	/* NULL: the bucket itself */
	const char *query;	/* encoded; NULL: none */
	const char *content_type;
	struct http_header headers[S3_HEADERS_MAX];
	size_t	    n_headers;
	const char *sha256;	/* of the body */
	uint64_t    length;
	http_body_fn *body;
	void	   *body_arg;
	int	  (*rewind)(void *arg);
	http_sink_fn *sink;
	void	   *sink_arg;
	size_t	    reply_max;
	bool	    urgent;
	bool	    large;	/* takes as long as it moves */
};

/* An answer, and what it means if it is no success. */
struct s3_answer {
	struct http_reply reply;
	char	code[64], message[160], region[32];	/* of its error; "" */
	enum s3_said said;
	enum destination_health health;	/* of S3_FAILED */
	int64_t	retry_after_ms;
	bool	again;		/* once more at once may help */
	char	why[400];	/* of S3_FAILED and S3_REFUSED */
};
void s3_answer_free(struct s3_answer *a);

void s3_add_header(struct s3_request *q, const char *name, const char *value);
/* Sends, once more where that may help; a is to be freed in any case. ret takes
 * health and reason of S3_FAILED, and counts the bytes. */
enum s3_said s3_call(struct s3 *s, const struct s3_request *q, struct s3_answer *a,
    struct destination_result *ret);
/* Its S3_FAILED into ret. */
void s3_tell(const struct s3_answer *a, struct destination_result *ret);
void s3_add_encoded(struct buf *b, const char *text, bool slashes);

/* Bodies. */
struct s3_range { struct instance_file *file; uint64_t from, length, at; };
void s3_use_memory(struct s3_request *q, struct http_memory *m, char sha256[static 65]);
void s3_use_range(struct s3_request *q, struct s3_range *g, const char *sha256);

/* ---- s3_fault.c ---------------------------------------------------------- */

/* Fills all of a after reply. */
void s3_judge(const struct s3 *s, const struct s3_request *q, struct s3_answer *a);
/* The same where an error stands inside of a 200. */
void s3_judge_code(const struct s3 *s, const struct s3_request *q,
    struct s3_answer *a);
/* Reads code, message and region from the body; false if there is no error. */
bool s3_read_error(struct s3_answer *a);

/* ---- s3_object.c --------------------------------------------------------- */

/* What a new object gets: encryption, type, the caller's headers. */
void s3_add_object_headers(const struct s3 *s, struct s3_request *q,
    const struct s3_object *o);
/* only_new: S3_EXISTS where a look is needed to know, S3_ABSENT: go on. */
enum s3_said s3_look_first(struct s3 *s, const char *key,
    struct destination_result *ret);
void s3_learn(struct s3 *s, enum s3_conditions c);

/* ---- s3_parts.c: an upload in parts, as it is noted ---------------------- */

struct s3_upload {
	char	 id[S3_UPLOAD_MAX + 1];	/* "": not begun */
	char	 key[S3_KEY_MAX + 1];
	uint64_t length, part;		/* bytes: of all, of each but the last */
	unsigned n;			/* parts in all */
	char   (*etag)[S3_ETAG_MAX + 1];	/* of each; "": not sent */
};
void	 s3_upload_free(struct s3_upload *u);
/* The smallest from wanted on with which S3_PARTS_MAX parts suffice. */
uint64_t s3_part_size(uint64_t wanted, uint64_t length);
void	 s3_upload_plan(struct s3_upload *u, const char *key, uint64_t part,
    uint64_t length);
uint64_t s3_upload_size(const struct s3_upload *u, unsigned i);	/* of part i, from 0 */
int	 s3_upload_print(const struct s3_upload *u, const char *bucket,
    struct buf *b);
/* -EBADMSG: no such note. -ESTALE: of another object; u says of which. */
int	 s3_upload_parse(struct s3_upload *u, const char *text, const char *bucket,
    const char *key, uint64_t length);
/* What ListParts shows is what is there: others are to be sent again. */
int	 s3_upload_listed(struct s3_upload *u, const char *xml, size_t len,
    bool *seen, unsigned *ret_next);

/* ---- s3_unfinished.c: uploads in parts that somebody has to end ----------- */

void s3_unfinished_add(struct s3 *s, const struct s3_object *o, const char *id);
void s3_unfinished_drop(struct s3 *s, const struct s3_object *o);
void s3_unfinished_free(struct s3 *s);

/* ---- s3_upload.c --------------------------------------------------------- */

enum s3_said s3_put_parts(struct s3 *s, const struct s3_object *o,
    struct destination_result *ret, char *why, size_t why_size);

#endif
