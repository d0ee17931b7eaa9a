/* ahi_text.c - import jobs as the spool keeps them: a text of JSON per job, durable
 * before each step that cannot be taken back.
 *
 * All that a job is started with stands in it, so that the request can be repeated
 * word for word although the configuration has changed since. A job whose buckets
 * or data store are no longer the configured ones is given up: what it sent is owed
 * again, to be asked for first.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/destination/ahi_int.h"

static void
free_json(json_t **p)
{
	json_decref(*p);
}

/* ---- names --------------------------------------------------------------- */

static bool
prefix_ok(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s <= ' ' || *s >= 0x7f || *s == '"' || *s == '\\')
			return false;
	}
	return true;
}

int
ahi_uri_parse(const char *uri, struct ahi_uri *ret)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	const char *bucket = uri + 5, *prefix;
	size_t len, n;

	if (strncmp(uri, "s3://", 5) != 0 || strlen(uri) > S3_KEY_MAX)
		return -EINVAL;
	len = strcspn(bucket, "/");
	if (len < 3 || len > 63 || strspn(bucket, "abcdefghijklmnopqrstuvwxyz"
		"0123456789.-") != len || strchr(letters, bucket[0]) == NULL ||
	    strchr(letters, bucket[len - 1]) == NULL)
		return -EINVAL;
	prefix = bucket + len;
	while (*prefix == '/')
		prefix++;
	n = strlen(prefix);
	if (!prefix_ok(prefix))
		return -EINVAL;
	(void)snprintf(ret->bucket, sizeof(ret->bucket), "%.*s", (int)len, bucket);
	(void)snprintf(ret->prefix, sizeof(ret->prefix), "%s%s", prefix,
	    n > 0 && prefix[n - 1] != '/' ? "/" : "");
	return 0;
}

void
ahi_make_token(char ret[static AHI_TOKEN_SIZE])
{
	uint8_t r[16];

	/* Blocks only while the machine boots; 16 bytes are never cut short. */
	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
		abort();
	r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
	r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
	(void)snprintf(ret, AHI_TOKEN_SIZE, "cw-%02x%02x%02x%02x-%02x%02x-%02x%02x-"
	    "%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3], r[4], r[5],
	    r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
}

/* A UID that a modality made up may hold anything. */
void
ahi_file_name(const struct spool_instance *in, char *ret, size_t size)
{
	char uid[DICOM_UID_MAX + 1];

	(void)snprintf(uid, sizeof(uid), "%s", in->sop_instance);
	for (char *p = uid; *p != '\0'; p++) {
		if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') ||
			(*p >= 'A' && *p <= 'Z') || *p == '.' || *p == '-'))
			*p = '_';
	}
	(void)snprintf(ret, size, "%s.%" PRIu64 ".dcm", uid, in->id);
}

void
ahi_key(const struct ahi_job *j, const struct spool_instance *in, char *ret)
{
	size_t n = strlen(j->prefix);

	memcpy(ret, j->prefix, n);
	ahi_file_name(in, ret + n, AHI_KEY_SIZE - n);
}

/* ---- writing ------------------------------------------------------------- */

static const char *const phases[AHI_PHASES] = {
	[AHI_OPEN] = "open",
	[AHI_CLOSED] = "closed",
	[AHI_STARTING] = "starting",
	[AHI_RUNNING] = "running",
	[AHI_RESULTS] = "running",
	[AHI_CLEANING] = "running",
};

static char *
write_job(const struct ahi *a, const struct ahi_job *j, enum ahi_phase phase)
{
	AUTO(free_json) json_t *o = json_object();

	(void)json_object_set_new(o, "phase", json_string(phases[phase]));
	(void)json_object_set_new(o, "batch", json_string(j->batch));
	(void)json_object_set_new(o, "input", json_string(j->input));
	(void)json_object_set_new(o, "output", json_string(j->output));
	(void)json_object_set_new(o, "role", json_string(j->role));
	if (j->owner != NULL)
		(void)json_object_set_new(o, "owner", json_string(j->owner));
	(void)json_object_set_new(o, "datastore", json_string(a->opt->datastore_id));
	(void)json_object_set_new(o, "token", json_string(j->token));
	if (j->job[0] != '\0')
		(void)json_object_set_new(o, "job", json_string(j->job));
	if (j->only != 0)
		(void)json_object_set_new(o, "only", json_integer((json_int_t)j->only));
	return json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_PRESERVE_ORDER);
}

int
ahi_job_enter(struct ahi *a, struct ahi_job *j, enum ahi_phase phase)
{
	AUTO_FREE char *text = write_job(a, j, phase);
	int r = 0;

	assert(text != NULL);
	if (phase <= AHI_RUNNING)
		r = spool_job_set(a->spool, j->id, text);
	if (r < 0)
		return r;
	LOCK_SCOPE(&a->mu);
	j->phase = phase;
	return 0;
}

static void
replace_text(char **p, const char *s)
{
	free(*p);
	*p = s != NULL ? xstrdup(s) : NULL;
}

static int
place_prefix(struct ahi_job *j)
{
	struct ahi_uri uri;

	if (ahi_uri_parse(j->input, &uri) < 0 ||
	    strlen(uri.prefix) + DICOM_UID_MAX + 32 >= sizeof(j->prefix))
		return -EINVAL;
	memcpy(j->prefix, uri.prefix, sizeof(j->prefix));
	return 0;
}

void
ahi_job_renew(struct ahi *a, struct ahi_job *j)
{
	replace_text(&j->output, a->opt->output);
	replace_text(&j->role, a->opt->data_access_role);
	replace_text(&j->owner, a->opt->input_owner);
	ahi_make_token(j->token);
}

int
ahi_job_make(struct ahi *a, uint64_t only, struct ahi_job **ret)
{
	struct ahi_job *j = xcalloc(1, sizeof(*j));
	AUTO_FREE char *text = NULL;
	int r;

	ahi_job_renew(a, j);
	j->batch = xstrdup(j->token);
	j->input = xasprintf("s3://%s/%s%s/", a->input.bucket, a->input.prefix,
	    j->batch);
	j->only = only;
	j->opened_ms = clock_mono_ms();
	j->since_ms = clock_wall_ms();
	r = place_prefix(j);
	if (r == 0) {
		text = write_job(a, j, AHI_OPEN);
		r = spool_job_new(a->spool, a->name, text, &j->id);
	}
	if (r < 0) {
		ahi_job_free(j);
		return r;
	}
	*ret = j;
	return 0;
}

void
ahi_job_free(struct ahi_job *j)
{
	if (j == NULL)
		return;
	free(j->batch);
	free(j->input);
	free(j->output);
	free(j->role);
	free(j->owner);
	free(j->held);
	free(j);
}

/* ---- reading ------------------------------------------------------------- */

static char *
take_text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? xstrdup(s) : NULL;
}

static int
find_phase(const char *name)
{
	for (int i = 0; name != NULL && i <= AHI_RUNNING; i++) {
		if (strcmp(phases[i], name) == 0)
			return i;
	}
	return -EINVAL;
}

/* The same data store, and the same buckets. */
static bool
is_ours(const struct ahi *a, const struct ahi_job *j, const json_t *o)
{
	const char *store = json_string_value(json_object_get(o, "datastore"));
	struct ahi_uri in, out;

	return store != NULL && strcmp(store, a->opt->datastore_id) == 0 &&
	    ahi_uri_parse(j->input, &in) == 0 &&
	    ahi_uri_parse(j->output, &out) == 0 &&
	    strcmp(in.bucket, a->input.bucket) == 0 &&
	    strcmp(out.bucket, a->output.bucket) == 0;
}

static struct ahi_job *
read_job(const struct ahi *a, const struct spool_job *from)
{
	AUTO(free_json) json_t *o = json_loads(from->text, 0, NULL);
	struct ahi_job *j = xcalloc(1, sizeof(*j));
	const char *token = json_string_value(json_object_get(o, "token"));
	const char *job = json_string_value(json_object_get(o, "job"));
	int phase = find_phase(json_string_value(json_object_get(o, "phase")));

	j->id = from->id;
	j->since_ms = from->since_ms;
	j->sent = from->sent;
	j->n_files = (unsigned)from->sent;
	j->batch = take_text(o, "batch");
	j->input = take_text(o, "input");
	j->output = take_text(o, "output");
	j->role = take_text(o, "role");
	j->owner = take_text(o, "owner");
	j->only = (uint64_t)json_integer_value(json_object_get(o, "only"));
	j->opened_ms = clock_mono_ms();
	(void)snprintf(j->token, sizeof(j->token), "%s", token != NULL ? token : "");
	(void)snprintf(j->job, sizeof(j->job), "%s", job != NULL ? job : "");
	if (phase < 0 || j->batch == NULL || j->input == NULL || j->output == NULL ||
	    j->role == NULL || token == NULL || !is_ours(a, j, o) ||
	    (phase == AHI_RUNNING && j->job[0] == '\0') || place_prefix(j) < 0) {
		ahi_job_free(j);
		return NULL;
	}
	j->phase = (enum ahi_phase)phase;
	return j;
}

/* Nobody puts anything into it any more, and what was on its way then is not known
 * to anybody. One that was made for a large object waits for just that: its parts
 * are under its prefix, and deliver() comes back to it. */
static void
resume_job(struct ahi_job *j)
{
	j->dirty = true;
	j->doubt = j->phase == AHI_STARTING;
	if (j->phase == AHI_OPEN && (j->only == 0 || j->sent > 0))
		j->full = true;
}

struct recovery {
	const struct ahi *a;
	struct ahi_jobs jobs;
	uint64_t *ended;	/* jobs that cannot go on */
	size_t n_ended;
};

static int
recover_job(void *arg, const struct spool_job *from)
{
	struct recovery *r = arg;
	struct ahi_job *j = read_job(r->a, from);

	if (j == NULL) {
		r->ended = xreallocarray(r->ended, r->n_ended + 1,
		    sizeof(*r->ended));
		r->ended[r->n_ended++] = from->id;
		return 0;
	}
	resume_job(j);
	TAILQ_INSERT_TAIL(&r->jobs, j, link);
	return 0;
}

static void
drop_recovery(struct recovery *r)
{
	struct ahi_job *j;

	while ((j = TAILQ_FIRST(&r->jobs)) != NULL) {
		TAILQ_REMOVE(&r->jobs, j, link);
		ahi_job_free(j);
	}
	free(r->ended);
}

static int
recover(struct ahi *a)
{
	AUTO(drop_recovery) struct recovery r = { .a = a };
	int error;

	TAILQ_INIT(&r.jobs);
	error = spool_jobs(a->spool, a->name, recover_job, &r);
	for (size_t i = 0; i < r.n_ended && error == 0; i++)
		error = spool_job_end(a->spool, r.ended[i]);
	if (error < 0)
		return error;
	LOCK_SCOPE(&a->mu);
	TAILQ_CONCAT(&a->jobs, &r.jobs, link);
	return 0;
}

/* One thread does it; the others wait as they do for a batch that is opened. */
int
ahi_recover(struct ahi *a)
{
	int r;

	(void)pthread_mutex_lock(&a->mu);
	while (a->opening && !a->recovered && !atomic_load(&a->canceled))
		(void)pthread_cond_wait(&a->opened, &a->mu);
	if (a->recovered || a->opening) {
		r = a->recovered ? 0 : -ECANCELED;
		(void)pthread_mutex_unlock(&a->mu);
		return r;
	}
	a->opening = true;
	(void)pthread_mutex_unlock(&a->mu);
	r = recover(a);
	LOCK_SCOPE(&a->mu);
	a->opening = false;
	a->recovered = r == 0;
	(void)pthread_cond_broadcast(&a->opened);
	return r;
}
