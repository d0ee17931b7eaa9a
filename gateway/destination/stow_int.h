/* stow_int.h - what the files of the kind `dicomweb` share.
 *
 * One request: stow_body.c makes and streams its body, deliver.c sends it,
 * stow_reply.c reads what the answer says of each instance, readback.c asks the
 * destination what it really holds, conflict.c decides when that is something
 * else, stow_verify.c asks for whole studies; flavors.c knows the servers.
 * Everything here runs in the calling (transfer) thread; a struct stow is
 * read-only after it was opened.
 */
#ifndef CW_DESTINATION_STOW_INT_H
#define CW_DESTINATION_STOW_INT_H

#include "gateway/base/cleanup.h"
#include "gateway/dicom/reencode.h"
#include "gateway/destination/destination.h"
#include "gateway/http/http.h"

#define STOW_SMALL	 (1u << 20)	/* verified before their first byte leaves */
#define STOW_PORTION	 (64u << 10)
#define STOW_INSTANCES	 256
#define STOW_ROOM	 (1u << 20)	/* beside the objects in a limited request */
#define STOW_REPLY_MAX	 (4u << 20)	/* 16 KiB of each; parsed it is thirty times as much */
#define STOW_RETRY_AFTER 3600000	/* at most, ms */

struct stow;

enum stow_deleted {
	STOW_DELETED,	/* or was not there, or the server replaces by itself */
	STOW_CANNOT,	/* the server does not let us */
	STOW_UNSURE,	/* ret says why */
};

/* How one server's ways differ from the standard's. */
struct stow_flavor {
	const char *name;
	bool originals;		/* takes every transfer syntax as it is */
	bool rest;		/* wants the client of the server's own interface */
	bool vague;		/* a failure may mean that other bytes are there */
	uint64_t request_bytes;	/* takes no more at once; 0: any */
	const char *limit_name;	/* of that; for people */
	bool transcodes;	/* keeps another encoding than it was given: asked for
				 * an uncompressed one where ours is; an item's remote
				 * "imageset:ID" is where it is read */
	unsigned page;		/* instances of one answer to a query */
	/* Before a replacement; NULL: what is sent replaces by itself. */
	enum stow_deleted (*remove)(struct stow *s, const struct spool_instance *in,
	    struct destination_result *ret);
	/* Of a test object; NULL: it cannot. */
	enum stow_deleted (*delete)(struct stow *s, const struct spool_instance *in,
	    struct destination_result *ret);
	const char *replace_by;	/* POST or PUT */
	const char *cannot_replace;	/* for people */
};
/* flavors.c; in the order of the option's choices. */
extern const struct stow_flavor *const stow_flavors[];

struct stow {
	const char	   *name;	/* the destination's; the configuration's */
	struct spool	   *spool;
	struct http_credential *credential;
	struct http_client *http;
	struct http_client *rest;	/* NULL unless the flavor has one */
	const struct stow_flavor *flavor;
	enum config_conflict on_conflict;
	bool		   signed_body;	/* its hash must be known before it leaves */
};

DEFINE_CLEANUP(struct spool_reader, spool_reader_close)
DEFINE_CLEANUP(struct dicom_reencode, dicom_reencode_free)
DEFINE_CLEANUP(struct hash, hash_free)

/* ---- stow.c -------------------------------------------------------------- */

/* For what no answer's body decides. */
void stow_health(const struct http_reply *r, struct destination_result *ret);
void stow_settle(struct destination_item *item, enum destination_verdict v,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- deliver.c ----------------------------------------------------------- */

void stow_settle_transcoded(struct destination_item *item);

void stow_deliver(void *self, struct destination_item *items, size_t n,
    struct destination_result *ret);
/* In one request, whatever they are: what the answer says of each, or what can be
 * read back. */
void stow_send(struct stow *s, struct destination_item **items, size_t n,
    struct destination_result *ret);
/* One instance in a request of its own, by this method. True: the destination claims to have
 * something under its UID now, so the verdict may be asked of it. False: the
 * item or ret says what is in the way. */
bool stow_send_one(struct stow *s, struct destination_item *item,
    const char *method, struct destination_result *ret);

/* ---- stow_body.c --------------------------------------------------------- */

struct stow_part {
	struct destination_item *item;
	uint64_t length;	/* of the data set that leaves */
	bool	 reencode;
};

struct stow_body;

/* Measures each item. What cannot be sent gets its verdict and is left out; n of
 * the parts that remain may be 0. */
struct stow_body *stow_body_new(struct stow *s, struct destination_item **items,
    size_t n);
void	    stow_body_free(struct stow_body *b);
size_t	    stow_body_parts(const struct stow_body *b,
    const struct stow_part **ret);
uint64_t    stow_body_length(const struct stow_body *b);
const char *stow_body_type(const struct stow_body *b);
/* For struct http_request. A part that fails gets its verdict and ends the
 * request before the server can take it as whole. */
ssize_t	    stow_body_give(void *body, void *data, size_t size);
int	    stow_body_rewind(void *body);
/* The verdict of an instance whose bytes could not be had. */
void	    stow_unreadable(struct destination_item *item, int error);

/* stow_sign.c. Makes the whole body once for its SHA-256, and rewinds it. An error is
 * that of making it. */
int	    stow_body_sha256(struct stow_body *b, char ret[static 65]);

DEFINE_CLEANUP(struct stow_body, stow_body_free)

/* ---- stow_reply.c -------------------------------------------------------- */

enum stow_said {
	STOW_SILENT,	/* nothing */
	STOW_STORED,
	STOW_WARNING,	/* stored */
	STOW_EXISTS,	/* something is there under this UID */
	STOW_LATER,	/* failed; may pass */
	STOW_REFUSED,
};
struct stow_answer {
	char	 uid[DICOM_UID_MAX + 1];
	unsigned code;		/* Failure Reason or Warning Reason, 0 none */
	enum stow_said said;
	char	 comment[100];	/* what the server adds, cleaned; "" */
};
struct stow_answers {
	struct stow_answer *v;	/* sorted by uid, each once */
	size_t	 n;
	size_t	 others;	/* failures of parts that it could not name */
	unsigned other_code;	/* of the last of them */
};

/* -EBADMSG: neither JSON nor XML of a Store Instances Response. */
int  stow_reply_read(const char *content_type, const char *text, size_t len,
    struct stow_answers *ret);
void stow_answers_free(struct stow_answers *a);
const struct stow_answer *stow_answers_find(const struct stow_answers *a,
    const char *uid);
enum stow_said stow_failure(unsigned code);
const char *stow_words(unsigned code);


/* ---- readback.c ---------------------------------------------------------- */

enum stow_found {
	STOW_EQUAL,
	STOW_ABSENT,
	STOW_DIFFERENT,
	STOW_TRANSCODED,	/* there, but in a form that cannot be compared */
	STOW_DAMAGED,	/* our own bytes are; the item says so */
	STOW_UNKNOWN,	/* ret says why */
};
enum stow_found stow_read_back(struct stow *s, struct destination_item *item,
    struct destination_result *ret);
/* "/studies/…/series/…/instances/…", escaped; -EINVAL for UIDs that no path can
 * carry. The caller frees. */
int stow_instance_path(const struct spool_instance *in, char **ret);

/* "/studies/1.2/series/3.4": of looking. */
int stow_series_path(const struct spool_instance *in, char **ret);

/* ---- stow_verify.c ------------------------------------------------------- */

void stow_verify(void *self, struct destination_look *looks, size_t n, bool bytes,
    struct destination_result *ret);
int  stow_remove(void *self, const struct spool_instance *in,
    struct destination_result *ret);

/* ---- conflict.c ---------------------------------------------------------- */

/* The destination holds other bytes: refused, or replaced and read back. */
void stow_resolve(struct stow *s, struct destination_item *item,
    struct destination_result *ret);

#endif
