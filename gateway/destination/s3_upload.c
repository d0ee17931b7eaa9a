/* s3_upload.c - a large object in parts, from where it stood.
 *
 * Before the first part leaves, one reading makes the hashes of all parts and
 * verifies the spool's checksum; S3 verifies each part by its hash. The upload's
 * id and what arrived are noted after each part, so an interruption costs one
 * part. Parts whose upload is given up are taken away again; what a crash leaves
 * between the begin of an upload and its note only a lifecycle rule of the bucket
 * removes (AbortIncompleteMultipartUpload).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/destination/s3_client_int.h"

#define PUT_ACTION "s3:PutObject"
#define PART_XML   (S3_ETAG_MAX * 6 + 80)

struct sending {
	struct s3 *s;
	const struct s3_object *o;
	struct destination_result *ret;
	char	  *why;
	size_t	   why_size;
	struct s3_upload u;
	bool	   let_go;	/* nothing is owed there any more */
};

static void
end_sending(struct sending *g)
{
	s3_upload_free(&g->u);
}

/* "uploadId=…", with more before it. */
static char *
upload_query(const char *id, const char *fmt, unsigned n)
{
	struct buf b = BUF_INIT(4096 + 3 * S3_UPLOAD_MAX);

	if (fmt != NULL)
		(void)buf_printf(&b, "%s=%u&", fmt, n);
	(void)buf_add_str(&b, "uploadId=");
	s3_add_encoded(&b, id, false);
	return buf_take(&b);
}

static enum s3_said
keep_why(struct sending *g, const struct s3_answer *a, enum s3_said said)
{
	if (said == S3_REFUSED)
		(void)snprintf(g->why, g->why_size, "%s", a->why);
	return said;
}

/* ---- the note ------------------------------------------------------------ */

static void
write_note(struct sending *g)
{
	const struct s3_object *o = g->o;
	struct buf b = BUF_INIT(SPOOL_NOTE_MAX);
	int r;

	if (o->spool == NULL)
		return;
	r = s3_upload_print(&g->u, g->s->bucket, &b);
	if (r == 0)
		r = spool_note_set(o->spool, o->instance, o->destination, b.data);
	buf_free(&b);
	g->let_go = r == -ENOENT;
	/* It goes on all the same, and after a restart from an older note. */
	if (r < 0 && r != -ENOENT)
		log_debug("the parts of an upload could not be noted",
		    LOG_U64("id", o->instance), LOG_ERR(r));
}

static void
forget_note(const struct s3_object *o)
{
	if (o->spool != NULL)
		(void)spool_note_set(o->spool, o->instance, o->destination, NULL);
}

static int
read_note(struct sending *g)
{
	const struct s3_object *o = g->o;
	struct buf b = BUF_INIT(SPOOL_NOTE_MAX + 1);
	int r = -ENOENT;

	if (o->spool != NULL)
		r = spool_note_get(o->spool, o->instance, o->destination, &b);
	if (r == 0)
		r = s3_upload_parse(&g->u, b.len > 0 ? b.data : "", g->s->bucket,
		    o->key, instance_file_length(o->file));
	buf_free(&b);
	return r;
}

/* ---- giving up ----------------------------------------------------------- */

enum s3_said
s3_abort(struct s3 *s, const char *key, const char *upload_id,
    struct destination_result *ret)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	AUTO_FREE char *query = upload_query(upload_id, NULL, 0);
	struct s3_request q = { .method = "DELETE",
		.action = "s3:AbortMultipartUpload", .key = key, .query = query };
	enum s3_said said = s3_call(s, &q, &a, ret);

	return said == S3_ABSENT ? S3_DONE : said;
}

/* As far as it can be done: the object's own fate does not hang on it. */
static void
give_up(struct sending *g)
{
	struct destination_result ignored = { .retry_after_ms = -1 };

	if (g->u.id[0] != '\0')
		(void)s3_abort(g->s, g->u.key, g->u.id, &ignored);
	forget_note(g->o);
	s3_upload_free(&g->u);
}

/* ---- where it stands ----------------------------------------------------- */

static enum s3_said
list_some(struct sending *g, bool *seen, unsigned *marker, bool *ret_trusted)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	AUTO_FREE char *query = upload_query(g->u.id, *marker > 0 ?
	    "part-number-marker" : NULL, *marker);
	struct s3_request q = { .method = "GET",
		.action = "s3:ListMultipartUploadParts", .key = g->o->key,
		.query = query };
	struct destination_result look = { .retry_after_ms = -1 };
	enum s3_said said = s3_call(g->s, &q, &a, &look);

	/* Not everybody may look, nor can every server: the note will do. */
	*ret_trusted = a.reply.status == 403 || a.reply.status == 501 ||
	    a.reply.status == 405;
	if (said == S3_DONE && s3_upload_listed(&g->u, a.reply.body.data,
		a.reply.body.len, seen, marker) < 0)
		*ret_trusted = true;
	if (*ret_trusted)
		return S3_DONE;
	if (said == S3_FAILED)
		s3_tell(&a, g->ret);
	return said;
}

static enum s3_said
check_parts(struct sending *g)
{
	AUTO_FREE bool *seen = xcalloc(g->u.n, sizeof(*seen));
	unsigned marker = 0, before;
	bool trusted = false;
	enum s3_said said;

	do {
		before = marker;
		said = list_some(g, seen, &marker, &trusted);
	} while (said == S3_DONE && !trusted && marker > before);
	for (unsigned i = 0; said == S3_DONE && !trusted && i < g->u.n; i++) {
		if (!seen[i])
			g->u.etag[i][0] = '\0';
	}
	return said;
}

/* S3_ABSENT: there is nothing to go on from. */
static enum s3_said
resume(struct sending *g)
{
	enum s3_said said;
	int r = read_note(g);

	if (r == -ESTALE)
		give_up(g);
	if (r < 0)
		return S3_ABSENT;
	said = check_parts(g);
	if (said == S3_ABSENT) {
		forget_note(g->o);
		s3_upload_free(&g->u);
	}
	return said;
}

static int
take_upload_id(void *arg, const char *path, const char *text)
{
	struct s3_upload *u = arg;

	if (strcmp(path, "InitiateMultipartUploadResult/UploadId") == 0 &&
	    strlen(text) <= S3_UPLOAD_MAX)
		(void)snprintf(u->id, sizeof(u->id), "%s", text);
	return 0;
}

static enum s3_said
say_nonsense(struct sending *g, const char *what)
{
	g->ret->health = DESTINATION_FAILED;
	(void)snprintf(g->ret->reason, sizeof(g->ret->reason), "bucket %s: %s",
	    g->s->bucket, what);
	return S3_FAILED;
}

static enum s3_said
begin(struct sending *g)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct s3_request q = { .method = "POST", .action = PUT_ACTION,
		.key = g->o->key, .query = "uploads=" };
	enum s3_said said;

	/* Before gigabytes leave for a 412; and not every server that keeps
	 * conditions keeps them here. */
	if (g->o->only_new) {
		said = s3_look_first(g->s, g->o->key, g->ret);
		if (said != S3_ABSENT)
			return said;
	}
	s3_add_object_headers(g->s, &q, g->o);
	said = s3_call(g->s, &q, &a, g->ret);
	if (said != S3_DONE)
		return keep_why(g, &a, said);
	(void)s3_xml_walk(a.reply.body.data, a.reply.body.len, take_upload_id,
	    &g->u);
	if (g->u.id[0] == '\0')
		return say_nonsense(g, "its answer names no upload");
	write_note(g);
	return S3_DONE;
}

/* ---- parts --------------------------------------------------------------- */

static enum s3_said
send_part(struct sending *g, unsigned i)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	AUTO_FREE char *query = upload_query(g->u.id, "partNumber", i + 1);
	struct s3_range range = { .file = g->o->file, .from = i * g->u.part,
		.length = s3_upload_size(&g->u, i) };
	struct s3_request q = { .method = "PUT", .action = PUT_ACTION,
		.key = g->o->key, .query = query, .urgent = g->o->urgent };
	char sha256[65], quoted[S3_ETAG_MAX + 3], *etag = quoted;
	enum s3_said said;

	if (instance_file_sha256(g->o->file, range.from, range.length, sha256) < 0)
		return S3_UNREADABLE;
	s3_use_range(&q, &range, sha256);
	said = s3_call(g->s, &q, &a, g->ret);
	if (said != S3_DONE)
		return keep_why(g, &a, said);
	(void)http_reply_header(&a.reply, "ETag", quoted, sizeof(quoted));
	etag += etag[0] == '"';
	etag[strcspn(etag, "\"")] = '\0';
	if (etag[0] == '\0')
		return say_nonsense(g, "its answer to a part has no ETag");
	(void)snprintf(g->u.etag[i], sizeof(g->u.etag[i]), "%s", etag);
	write_note(g);
	return S3_DONE;
}

static enum s3_said
send_parts(struct sending *g)
{
	enum s3_said said = S3_DONE;

	for (unsigned i = 0; i < g->u.n && said == S3_DONE && !g->let_go; i++) {
		if (g->u.etag[i][0] == '\0')
			said = send_part(g, i);
	}
	return said;
}

/* ---- the end ------------------------------------------------------------- */

static int
take_completion(void *arg, const char *path, const char *text)
{
	(void)text;
	if (strcmp(path, "CompleteMultipartUploadResult") == 0)
		*(bool *)arg = true;
	return 0;
}

static void
list_for_completion(const struct s3_upload *u, struct buf *b)
{
	(void)buf_add_str(b, "<CompleteMultipartUpload>");
	for (unsigned i = 0; i < u->n; i++) {
		(void)buf_printf(b, "<Part><PartNumber>%u</PartNumber><ETag>&quot;",
		    i + 1);
		s3_xml_add(b, u->etag[i]);
		(void)buf_add_str(b, "&quot;</ETag></Part>");
	}
	(void)buf_add_str(b, "</CompleteMultipartUpload>");
	if (buf_error(b) < 0)
		abort();	/* parts and their ETags are bounded */
}

/* S3 answers 200 before it knows: the document says what became of it. */
static enum s3_said
judge_completion(struct sending *g, const struct s3_request *q,
    struct s3_answer *a)
{
	bool complete = false;

	if (s3_read_error(a)) {
		s3_judge_code(g->s, q, a);
		if (a->said == S3_FAILED)
			s3_tell(a, g->ret);
		return a->said;
	}
	(void)s3_xml_walk(a->reply.body.data, a->reply.body.len, take_completion,
	    &complete);
	return complete ? S3_DONE : say_nonsense(g, "its answer does not say "
	    "whether the upload is complete");
}

static enum s3_said
complete_once(struct sending *g, const struct buf *list, struct s3_answer *a)
{
	struct s3_request q = { .method = "POST", .action = PUT_ACTION,
		.key = g->o->key, .content_type = "application/xml",
		.large = true };
	AUTO_FREE char *query = upload_query(g->u.id, NULL, 0);
	struct http_memory m = { .data = list->data, .len = list->len };
	enum s3_said said;
	char sha256[65];

	q.query = query;
	s3_use_memory(&q, &m, sha256);
	if (g->o->only_new && atomic_load(&g->s->conditions) != S3_UNKNOWN)
		s3_add_header(&q, "If-None-Match", "*");
	said = s3_call(g->s, &q, a, g->ret);
	return said == S3_DONE ? judge_completion(g, &q, a) : said;
}

/* The parts themselves are at fault, or the upload is spent. */
static bool
must_begin_anew(const struct s3_answer *a)
{
	return strcmp(a->code, "InvalidPart") == 0 ||
	    strcmp(a->code, "InvalidPartOrder") == 0 ||
	    strcmp(a->code, "EntityTooSmall") == 0 ||
	    strcmp(a->code, "ConditionalRequestConflict") == 0;
}

static enum s3_said
complete(struct sending *g)
{
	AUTO(s3_answer_free) struct s3_answer a = { 0 };
	struct buf list = BUF_INIT(S3_PARTS_MAX * PART_XML + 200);
	const struct destination_result before = *g->ret;
	enum s3_said said;

	list_for_completion(&g->u, &list);
	said = complete_once(g, &list, &a);
	if (a.reply.status == 501 && g->o->only_new)
		s3_learn(g->s, S3_UNKNOWN);
	if (said == S3_FAILED && (a.reply.status == 501 ||
		(a.reply.status == 200 && a.again))) {
		g->ret->health = before.health;
		(void)snprintf(g->ret->reason, sizeof(g->ret->reason), "%s",
		    before.reason);
		s3_answer_free(&a);
		said = complete_once(g, &list, &a);
	}
	buf_free(&list);
	if (said == S3_FAILED && must_begin_anew(&a))
		give_up(g);
	return keep_why(g, &a, said);
}

/* S3_ABSENT: the upload is not there any more. */
static enum s3_said
send_once(struct sending *g)
{
	uint64_t length = instance_file_length(g->o->file);
	enum s3_said said = resume(g);

	if (said != S3_DONE && said != S3_ABSENT)
		return said;
	if (said == S3_ABSENT)
		s3_upload_plan(&g->u, g->o->key, s3_part_size(g->s->part_size,
		    length), length);
	if (instance_file_prepare(g->o->file, g->u.part) < 0)
		return S3_UNREADABLE;
	if (said == S3_ABSENT) {
		said = begin(g);
		if (said == S3_ABSENT)
			return say_nonsense(g, "it knows no uploads in parts");
	}
	if (said == S3_DONE)
		said = send_parts(g);
	if (said == S3_DONE && !g->let_go)
		said = complete(g);
	return said;
}

/* It goes on later, unless it was dropped while this one was under way. */
static void
leave_unfinished(const struct sending *g)
{
	s3_unfinished_add(g->s, g->o, g->u.id);
	s3_tidy(g->s);
}

enum s3_said
s3_put_parts(struct s3 *s, const struct s3_object *o, struct destination_result *ret,
    char *why, size_t why_size)
{
	AUTO(end_sending) struct sending g = { .s = s, .o = o, .ret = ret,
		.why = why, .why_size = why_size };
	enum s3_said said;

	s3_unfinished_drop(s, o);
	said = send_once(&g);
	if (said == S3_ABSENT) {
		forget_note(o);
		said = send_once(&g);
		if (said == S3_ABSENT)
			said = say_nonsense(&g, "it forgets uploads in parts");
	}
	if (g.let_go || said == S3_REFUSED || said == S3_EXISTS ||
	    instance_file_error(o->file) == -EUCLEAN)
		give_up(&g);
	else if (said == S3_DONE)
		forget_note(o);
	else if (g.u.id[0] != '\0')
		leave_unfinished(&g);
	return g.let_go ? S3_FAILED : said;
}
