/* s3_object.c - single objects: written, read, looked for.
 *
 * What must be new is written under a condition (If-None-Match), and S3 answers
 * 412 where something is. Servers that are not Amazon's may not know that: until
 * one has shown that it does, it is asked before, and one that says or shows that
 * it does not is always asked.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/destination/s3_client_int.h"

#define PUT_ACTION "s3:PutObject"
#define GET_ACTION "s3:GetObject"
#define ERROR_MAX  (64u << 10)	/* bytes of the document that says what is wrong */

/* ---- conditions ---------------------------------------------------------- */

void
s3_learn(struct s3 *s, enum s3_conditions c)
{
	/* What a server refuses is not unlearned by what another behind the same
	 * name takes. */
	if (atomic_load(&s->conditions) == S3_UNKNOWN ||
	    atomic_exchange(&s->conditions, c) == (int)c || c != S3_UNKNOWN)
		return;
	log_warn("this S3 server knows no conditional writes: what is there is "
	    "looked for before each one", LOG_STR("bucket", s->bucket));
}

enum s3_said
s3_look_first(struct s3 *s, const char *key, struct destination_result *ret)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct destination_result look = { .retry_after_ms = -1 };
	struct s3_request q = { .method = "HEAD", .action = GET_ACTION,
		.key = key };
	enum s3_said said = s3_call(s, &q, &a, &look);

	if (said == S3_DONE)
		return S3_EXISTS;
	if (said == S3_ABSENT)
		return S3_ABSENT;
	/* Keys that may only write have to rely on the condition; and what else is
	 * wrong the write will say, which an answer without a body cannot. */
	if ((a.reply.status == 403 || a.reply.status == 400) &&
	    atomic_load(&s->conditions) != S3_UNKNOWN)
		return S3_ABSENT;
	s3_tell(&a, ret);
	return S3_FAILED;
}

static enum s3_said
look_if_needed(struct s3 *s, const char *key, struct destination_result *ret)
{
	return atomic_load(&s->conditions) == S3_HONOURED ? S3_ABSENT :
	    s3_look_first(s, key, ret);
}

/* q without its condition, which is its last header then. */
static enum s3_said
put_new(struct s3 *s, struct s3_request *q, struct s3_answer *a,
    struct destination_result *ret)
{
	enum s3_said said = look_if_needed(s, q->key, ret);

	if (said != S3_ABSENT)
		return said;
	if (atomic_load(&s->conditions) == S3_UNKNOWN)
		return s3_call(s, q, a, ret);
	s3_add_header(q, "If-None-Match", "*");
	said = s3_call(s, q, a, ret);
	if (said == S3_EXISTS)
		s3_learn(s, S3_HONOURED);
	if (a->reply.status != 501 || q->rewind(q->body_arg) != 0)
		return said;
	s3_learn(s, S3_UNKNOWN);
	s3_answer_free(a);
	q->n_headers--;
	ret->health = DESTINATION_UP;
	ret->reason[0] = '\0';
	return s3_call(s, q, a, ret);
}

/* ---- writing ------------------------------------------------------------- */

static void
add_encryption(const struct s3 *s, struct s3_request *q)
{
	if (s->sse != NULL)
		s3_add_header(q, "x-amz-server-side-encryption", s->sse);
	if (s->sse_key != NULL)
		s3_add_header(q, "x-amz-server-side-encryption-aws-kms-key-id",
		    s->sse_key);
}

void
s3_add_object_headers(const struct s3 *s, struct s3_request *q,
    const struct s3_object *o)
{
	q->content_type = "application/dicom";
	add_encryption(s, q);
	for (size_t i = 0; i < o->n_headers; i++)
		s3_add_header(q, o->headers[i].name, o->headers[i].value);
}

static enum s3_said
put_whole(struct s3 *s, const struct s3_object *o, struct destination_result *ret,
    char *why, size_t why_size)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct s3_range range = { .file = o->file,
		.length = instance_file_length(o->file) };
	struct s3_request q = { .method = "PUT", .action = PUT_ACTION,
		.key = o->key, .urgent = o->urgent };
	enum s3_said said;
	char sha256[65];

	if (instance_file_sha256(o->file, 0, range.length, sha256) < 0)
		return S3_UNREADABLE;
	s3_use_range(&q, &range, sha256);
	s3_add_object_headers(s, &q, o);
	said = o->only_new ? put_new(s, &q, &a, ret) : s3_call(s, &q, &a, ret);
	if (said == S3_REFUSED)
		(void)snprintf(why, why_size, "%s", a.why);
	return said;
}

int
s3_prepare(const struct s3 *s, struct instance_file *file)
{
	uint64_t length = instance_file_length(file);

	return instance_file_prepare(file, length < s->part_size ? 0 :
	    s3_part_size(s->part_size, length));
}

enum s3_said
s3_put(struct s3 *s, const struct s3_object *o, struct destination_result *ret,
    char *why, size_t why_size)
{
	if (strlen(o->key) > S3_KEY_MAX) {
		(void)snprintf(why, why_size, "its name would be longer than %d "
		    "bytes", S3_KEY_MAX);
		return S3_REFUSED;
	}
	return instance_file_length(o->file) < s->part_size ?
	    put_whole(s, o, ret, why, why_size) :
	    s3_put_parts(s, o, ret, why, why_size);
}

static enum s3_said
put_text_once(struct s3 *s, struct s3_request *q, bool only_new,
    struct destination_result *ret)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	enum s3_said said;

	said = only_new ? put_new(s, q, &a, ret) : s3_call(s, q, &a, ret);
	if (said == S3_REFUSED) {
		a.health = DESTINATION_FAILED;
		s3_tell(&a, ret);
		said = S3_FAILED;
	}
	return said;
}

/* The same again: a server that keeps conditions says no. */
static void
try_condition(struct s3 *s, struct s3_request *q)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct destination_result ret = { .retry_after_ms = -1 };
	enum s3_said said;

	if (atomic_load(&s->conditions) != S3_UNTRIED ||
	    q->rewind(q->body_arg) != 0)
		return;
	said = s3_call(s, q, &a, &ret);
	if (said == S3_EXISTS)
		s3_learn(s, S3_HONOURED);
	else if (said == S3_DONE)
		s3_learn(s, S3_UNKNOWN);
}

enum s3_said
s3_put_text(struct s3 *s, const char *key, const char *content_type,
    const char *text, size_t len, bool only_new, struct destination_result *ret)
{
	struct http_memory m = { .data = text, .len = len };
	struct s3_request q = { .method = "PUT", .action = PUT_ACTION, .key = key,
		.content_type = content_type };
	enum s3_said said;
	char sha256[65];

	s3_use_memory(&q, &m, sha256);
	add_encryption(s, &q);
	said = put_text_once(s, &q, only_new, ret);
	if (said == S3_DONE && only_new)
		try_condition(s, &q);
	return said;
}

/* ---- reading ------------------------------------------------------------- */

enum s3_said
s3_get(struct s3 *s, const char *key, http_sink_fn *sink, void *arg,
    struct destination_result *ret)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct s3_request q = { .method = "GET", .action = GET_ACTION, .key = key,
		.sink = sink, .sink_arg = arg, .large = true };

	return s3_call(s, &q, &a, ret);
}

enum s3_said
s3_get_text(struct s3 *s, const char *key, size_t max, struct buf *text,
    struct destination_result *ret)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct s3_request q = { .method = "GET", .action = GET_ACTION, .key = key,
		.reply_max = max > ERROR_MAX ? max : ERROR_MAX };
	enum s3_said said = s3_call(s, &q, &a, ret);

	if (said != S3_DONE)
		return said;
	if (a.reply.body.len > max ||
	    buf_add(text, a.reply.body.data, a.reply.body.len) < 0) {
		ret->health = DESTINATION_FAILED;
		(void)snprintf(ret->reason, sizeof(ret->reason), "bucket %s: a text "
		    "there is longer than any that makes sense", s->bucket);
		return S3_FAILED;
	}
	return S3_DONE;
}

enum s3_said
s3_head(struct s3 *s, const char *key, uint64_t *ret_length,
    struct destination_result *ret)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct s3_request q = { .method = "HEAD", .action = GET_ACTION,
		.key = key };
	enum s3_said said = s3_call(s, &q, &a, ret);
	char text[24];

	if (said == S3_DONE && ret_length != NULL)
		*ret_length = http_reply_header(&a.reply, "Content-Length", text,
		    sizeof(text)) ? strtoull(text, NULL, 10) : 0;
	return said;
}

/* ---- is it there? -------------------------------------------------------- */

static bool
elsewhere(const struct s3 *s, const struct s3_answer *a,
    struct destination_result *ret)
{
	char region[64];

	if (!s->amazon || !http_reply_header(&a->reply, "x-amz-bucket-region",
		region, sizeof(region)) || strcmp(region, s->region) == 0)
		return false;
	ret->health = DESTINATION_DOWN;
	(void)snprintf(ret->reason, sizeof(ret->reason), "bucket %s: it is in "
	    "another region: write `region: %s`", s->bucket, region);
	return true;
}

/* An answer of HEAD cannot say why; this one can. Keys that may only write are
 * not allowed to ask, but then they are known, and a write will tell. */
static enum s3_said
probe_list(struct s3 *s, struct destination_result *ret)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct destination_result look = { .retry_after_ms = -1 };
	struct s3_request q = { .method = "GET", .action = "s3:ListBucket",
		.query = "list-type=2&max-keys=1" };
	enum s3_said said = s3_call(s, &q, &a, &look);

	if (said == S3_DONE || strcmp(a.code, "AccessDenied") == 0)
		return S3_DONE;
	s3_tell(&a, ret);
	return S3_FAILED;
}

enum s3_said
s3_probe(struct s3 *s, struct destination_result *ret)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct destination_result look = { .retry_after_ms = -1 };
	struct s3_request q = { .method = "HEAD", .action = "s3:ListBucket" };
	enum s3_said said = s3_call(s, &q, &a, &look);

	if (said == S3_DONE)
		return elsewhere(s, &a, ret) ? S3_FAILED : S3_DONE;
	if (a.reply.outcome == HTTP_ANSWERED && a.reply.status < 500 &&
	    a.region[0] == '\0')
		return probe_list(s, ret);
	s3_tell(&a, ret);
	return S3_FAILED;
}
