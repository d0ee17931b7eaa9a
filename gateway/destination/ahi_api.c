/* ahi_api.c - StartDICOMImportJob, GetDICOMImportJob, ListDICOMImportJobs and
 * GetDatastore, and what their errors mean for us.
 *
 * What matters of an error is whether the thing happened: a definite no, a "not
 * now" before anything was done, or nobody knows. An error's name stands in a
 * header or in the body, with or without its name space; each place is looked at.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/destination/ahi_int.h"

#define CALL_MS	   60000
#define PAGES_MAX  40		/* of ListDICOMImportJobs, newest first */
#define THROTTLED_MS 2000
#define GONE_ADVICE  "look at region and datastore_id"

static void
free_json(json_t **p)
{
	json_decref(*p);
}

/* ---- one call ------------------------------------------------------------ */

static void
call(struct ahi *a, const char *method, const char *path, const char *text,
    struct http_reply *reply)
{
	struct http_memory body = { .data = text };
	char sha256[65];
	struct http_request req = {
		.method = method,
		.path = path,
		.accept = "application/json",
		.deadline_ms = clock_mono_ms() + CALL_MS,
	};

	if (text != NULL) {
		body.len = strlen(text);
		sha256_hex(text, body.len, sha256);
		req.content_type = "application/json";
		req.body = http_memory_read;
		req.body_arg = &body;
		req.body_rewind = http_memory_rewind;
		req.body_length = body.len;
		req.sha256 = sha256;
	}
	(void)http_call(a->api, &req, reply);
}

static json_t *
read_object(const struct http_reply *r)
{
	json_t *o = r->body.len > 0 ? json_loadb(r->body.data, r->body.len, 0, NULL) :
	    NULL;

	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

/* For people, from a peer: printable ASCII. */
static void
copy_text(char *ret, size_t size, const char *s)
{
	size_t n = 0;

	for (; s != NULL && *s != '\0' && n + 1 < size; s++) {
		if (*s >= 0x20 && *s < 0x7f)
			ret[n++] = *s;
	}
	ret[n] = '\0';
}

/* ---- errors -------------------------------------------------------------- */

struct api_error {
	char name[64];		/* "ThrottlingException"; "" */
	char message[160];
};

/* "com.amazonaws.x#Name:http://…" */
static void
cut_name(const char *s, char *ret, size_t size)
{
	const char *hash = strchr(s, '#');

	copy_text(ret, size, hash != NULL ? hash + 1 : s);
	ret[strcspn(ret, ":")] = '\0';
}

static void
read_error(const struct http_reply *r, struct api_error *e)
{
	static const char *const names[] = { "code", "Code", "__type" };
	AUTO(free_json) json_t *o = read_object(r);
	const char *message = json_string_value(json_object_get(o, "message"));
	char text[200];

	if (!http_reply_header(r, "x-amzn-errortype", text, sizeof(text)))
		text[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names) && text[0] == '\0'; i++)
		copy_text(text, sizeof(text),
		    json_string_value(json_object_get(o, names[i])));
	cut_name(text, e->name, sizeof(e->name));
	if (message == NULL)
		message = json_string_value(json_object_get(o, "Message"));
	copy_text(e->message, sizeof(e->message), message);
	http_reply_redact(r, e->name);
	http_reply_redact(r, e->message);
}

static enum ahi_said
set_later(struct destination_result *ret, const struct http_reply *r,
    const char *what)
{
	ret->health = DESTINATION_BUSY;
	ret->retry_after_ms = r->retry_after_ms > 0 ? r->retry_after_ms :
	    THROTTLED_MS;
	if (ret->retry_after_ms > STOW_RETRY_AFTER)
		ret->retry_after_ms = STOW_RETRY_AFTER;
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s", what);
	return AHI_LATER;
}

static enum ahi_said
set_unsure(struct destination_result *ret, const struct http_reply *r)
{
	stow_health(r, ret);
	/* What did not even leave did not happen. */
	return r->outcome == HTTP_ANSWERED || r->sent_bytes > 0 ? AHI_UNSURE :
	    AHI_LATER;
}

static enum ahi_said
judge_client_error(const struct http_reply *r, const struct api_error *e)
{
	switch (r->status) {
	case 400:
	case 413:
	case 415:
		return AHI_WRONG;
	case 404:
		return strcmp(e->name, "UnknownOperationException") == 0 ||
		    strcmp(e->name, "UnknownOperation") == 0 ? AHI_WRONG : AHI_GONE;
	case 409:
		return AHI_CONFLICT;
	default:
		return AHI_DENIED;
	}
}

static bool
is_throttle(const struct http_reply *r, const struct api_error *e)
{
	return r->status == 429 || strstr(e->name, "Throttl") != NULL ||
	    strncmp(e->name, "TooManyRequests", 15) == 0;
}

static bool
is_transient(const struct http_reply *r, const struct api_error *e)
{
	return r->status >= 500 || r->status == 408 ||
	    strncmp(e->name, "RequestTimeout", 14) == 0 ||
	    strcmp(e->name, "RequestAborted") == 0;
}

/* AHI_DONE: a 200. what: the call, for people; advice: what to look at when it is
 * denied or wrong. */
static enum ahi_said
judge(const struct http_reply *r, const char *what, const char *advice,
    struct destination_result *ret)
{
	struct api_error e = { .name = "" };
	enum ahi_said said;

	if (r->outcome != HTTP_ANSWERED)
		return set_unsure(ret, r);
	if (r->status >= 200 && r->status < 300)
		return AHI_DONE;
	read_error(r, &e);
	if (is_throttle(r, &e))
		return set_later(ret, r, "HealthImaging throttles us: another "
		    "program uses the same account");
	if (r->status == 402)
		return set_later(ret, r, "402: the data store runs as many imports "
		    "as its quota allows: waiting for one of them to end");
	if (is_transient(r, &e))
		return set_unsure(ret, r);
	said = judge_client_error(r, &e);
	ret->health = DESTINATION_DOWN;
	(void)snprintf(ret->reason, sizeof(ret->reason), e.message[0] != '\0' ?
	    "%s: %d %s: %s (%s)" : "%s: %d %s: %s%s", what, r->status, e.name,
	    said == AHI_GONE ? GONE_ADVICE : advice, e.message);
	return said;
}

/* ---- starting ------------------------------------------------------------ */

static char *
write_start(const struct ahi_job *j)
{
	AUTO(free_json) json_t *o = json_object();

	(void)json_object_set_new(o, "jobName", json_string(j->token));
	(void)json_object_set_new(o, "clientToken", json_string(j->token));
	(void)json_object_set_new(o, "dataAccessRoleArn", json_string(j->role));
	(void)json_object_set_new(o, "inputS3Uri", json_string(j->input));
	(void)json_object_set_new(o, "outputS3Uri", json_string(j->output));
	if (j->owner != NULL)
		(void)json_object_set_new(o, "inputOwnerAccountId",
		    json_string(j->owner));
	return json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_PRESERVE_ORDER);
}

/* A job's id becomes a part of paths. */
static bool
job_id_ok(const char *s)
{
	return s != NULL && s[0] != '\0' && strlen(s) < AHI_JOB_SIZE &&
	    strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(s);
}

static enum ahi_said
say_nonsense(struct destination_result *ret, const char *what)
{
	ret->health = DESTINATION_FAILED;
	(void)snprintf(ret->reason, sizeof(ret->reason),
	    "%s: its answer cannot be understood", what);
	return AHI_UNSURE;
}

enum ahi_said
ahi_start(struct ahi *a, struct ahi_job *j, struct destination_result *ret)
{
	AUTO_FREE char *path = xasprintf("/startDICOMImportJob/datastore/%s",
	    a->opt->datastore_id);
	AUTO_FREE char *advice = xasprintf("allow medical-imaging:"
	    "StartDICOMImportJob on datastore/%s and iam:PassRole on %s, which must "
	    "trust medical-imaging.amazonaws.com", a->opt->datastore_id, j->role);
	AUTO_FREE char *text = write_start(j);
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	AUTO(free_json) json_t *o = NULL;
	enum ahi_said said;
	const char *id;

	call(a, "POST", path, text, &reply);
	said = judge(&reply, "StartDICOMImportJob", advice, ret);
	if (said != AHI_DONE)
		return said;
	o = read_object(&reply);
	id = json_string_value(json_object_get(o, "jobId"));
	if (!job_id_ok(id))
		return say_nonsense(ret, "StartDICOMImportJob");
	(void)snprintf(j->job, sizeof(j->job), "%s", id);
	return AHI_DONE;
}

/* ---- asking -------------------------------------------------------------- */

static bool
read_progress(const json_t *o, struct ahi_progress *p)
{
	const json_t *properties = json_object_get(o, "jobProperties");
	const char *status = json_string_value(
	    json_object_get(properties, "jobStatus"));

	if (status == NULL)
		return false;
	p->status = strcmp(status, "COMPLETED") == 0 ? AHI_COMPLETED :
	    strcmp(status, "FAILED") == 0 ? AHI_FAILED : AHI_WAITS;
	copy_text(p->output, sizeof(p->output),
	    json_string_value(json_object_get(properties, "outputS3Uri")));
	copy_text(p->message, sizeof(p->message),
	    json_string_value(json_object_get(properties, "message")));
	return true;
}

enum ahi_said
ahi_ask(struct ahi *a, const struct ahi_job *j, struct ahi_progress *progress,
    struct destination_result *ret)
{
	AUTO_FREE char *path = xasprintf("/getDICOMImportJob/datastore/%s/job/%s",
	    a->opt->datastore_id, j->job);
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	AUTO(free_json) json_t *o = NULL;
	enum ahi_said said;

	call(a, "GET", path, NULL, &reply);
	said = judge(&reply, "GetDICOMImportJob",
	    "allow medical-imaging:GetDICOMImportJob on the data store", ret);
	if (said != AHI_DONE)
		return said;
	o = read_object(&reply);
	if (o == NULL || !read_progress(o, progress))
		return say_nonsense(ret, "GetDICOMImportJob");
	http_reply_redact(&reply, progress->message);
	return AHI_DONE;
}

/* ---- finding ------------------------------------------------------------- */

static char *
escape_query(const char *s)
{
	struct buf b = BUF_INIT(3 * 8192 + 1);

	for (; *s != '\0'; s++) {
		if ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
		    (*s >= 'A' && *s <= 'Z') || strchr("-._~", *s) != NULL)
			(void)buf_add_char(&b, *s);
		else
			(void)buf_printf(&b, "%%%02X", (unsigned char)*s);
	}
	if (buf_error(&b) < 0)
		buf_clear(&b);
	return buf_take(&b);
}

static bool
find_named(const json_t *jobs, struct ahi_job *j)
{
	const json_t *one;
	size_t i;

	json_array_foreach(jobs, i, one) {
		const char *name = json_string_value(json_object_get(one, "jobName"));
		const char *id = json_string_value(json_object_get(one, "jobId"));

		if (name == NULL || strcmp(name, j->token) != 0 || !job_id_ok(id))
			continue;
		(void)snprintf(j->job, sizeof(j->job), "%s", id);
		return true;
	}
	return false;
}

/* next: NULL for the first page; then of the page after, or NULL. */
static enum ahi_said
find_on_page(struct ahi *a, struct ahi_job *j, char **next,
    struct destination_result *ret)
{
	AUTO_FREE char *token = *next != NULL ? escape_query(*next) : NULL;
	AUTO_FREE char *path = xasprintf("/listDICOMImportJobs/datastore/%s"
	    "?maxResults=50%s%s", a->opt->datastore_id,
	    token != NULL ? "&nextToken=" : "", token != NULL ? token : "");
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	AUTO(free_json) json_t *o = NULL;
	enum ahi_said said;
	const char *more;

	free(TAKE_PTR(*next));
	call(a, "GET", path, NULL, &reply);
	said = judge(&reply, "ListDICOMImportJobs",
	    "allow medical-imaging:ListDICOMImportJobs on the data store", ret);
	if (said != AHI_DONE)
		return said;
	o = read_object(&reply);
	if (o == NULL)
		return say_nonsense(ret, "ListDICOMImportJobs");
	if (find_named(json_object_get(o, "jobSummaries"), j))
		return AHI_DONE;
	more = json_string_value(json_object_get(o, "nextToken"));
	*next = more != NULL ? xstrdup(more) : NULL;
	return AHI_GONE;
}

enum ahi_said
ahi_find(struct ahi *a, struct ahi_job *j, struct destination_result *ret)
{
	AUTO_FREE char *next = NULL;
	enum ahi_said said;

	for (unsigned page = 0; page < PAGES_MAX; page++) {
		said = find_on_page(a, j, &next, ret);
		if (said != AHI_GONE || next == NULL)
			return said;
	}
	return AHI_GONE;
}

/* ---- probing ------------------------------------------------------------- */

void
ahi_probe_datastore(struct ahi *a, struct destination_result *ret)
{
	AUTO_FREE char *path = xasprintf("/datastore/%s", a->opt->datastore_id);
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	AUTO(free_json) json_t *o = NULL;
	const char *status;

	call(a, "GET", path, NULL, &reply);
	if (judge(&reply, "GetDatastore", "allow medical-imaging:GetDatastore on "
		"the data store, and look at region and datastore_id", ret) !=
	    AHI_DONE)
		return;
	o = read_object(&reply);
	status = json_string_value(json_object_get(json_object_get(o,
	    "datastoreProperties"), "datastoreStatus"));
	if (status != NULL && strcmp(status, "ACTIVE") == 0)
		return;
	ret->health = DESTINATION_DOWN;
	if (status != NULL)
		(void)snprintf(ret->reason, sizeof(ret->reason), "the data store is "
		    "not active but %.40s", status);
	else
		(void)snprintf(ret->reason, sizeof(ret->reason), "what answers is not "
		    "HealthImaging: look at api_endpoint");
}
