/* fuzz_healthimaging.c - answers of the import API, and an import's manifest and lists,
 * by whoever can write them: names of jobs stay names, texts printable, outcomes those
 * of files that were sent.
 *
 * "STATUS TYPE" in the first line: an answer of the API with this status and type of
 * error. Else a manifest and lists, parted by lines of "--".
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/destination/ahi_int.h"
#include "gateway/destination/s3_client_int.h"

#define FILES 8
#define PARTS 4
#define PART  "\n--\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *body, *type = "";
static int status;			/* 0: of lists */
static const char *parts[PARTS];	/* NULL: not there */
static unsigned asked;

/* ---- instead of HTTP ----------------------------------------------------- */

static int
give_list(const char *path, const struct http_request *req,
    struct http_reply *ret)
{
	const char *text = strstr(path, "manifest") != NULL ? parts[0] :
	    strstr(path, "success") != NULL ? parts[1] :
	    strstr(path, "failure") != NULL ? parts[2] : parts[3];
	size_t len = text != NULL ? strlen(text) : 0;

	ret->status = text != NULL ? 200 : 404;
	if (req->sink == NULL)
		return buf_add(&ret->body, text != NULL ? text : "", len);
	for (size_t at = 0; at < len; at += 100) {
		size_t n = len - at < 100 ? len - at : 100;

		if (req->sink(req->sink_arg, text + at, n) != 0)
			ret->outcome = HTTP_LOCAL;
	}
	return 0;
}

int
http_call(struct http_client *c, const struct http_request *req,
    struct http_reply *ret)
{
	(void)c;
	assert(strpbrk(req->path, " \r\n") == NULL);
	*ret = (struct http_reply){ .outcome = HTTP_ANSWERED, .status = status,
		.retry_after_ms = -1, .head = BUF_INIT(4096),
		.body = BUF_INIT(1u << 20) };
	if (status == 0)
		return give_list(req->path, req, ret);
	(void)buf_printf(&ret->head, "x-amzn-ErrorType: %s\r\n", type);
	/* Else the pages of a list would go on. */
	(void)buf_add_str(&ret->body, asked++ < 3 ? body : "{}");
	return 0;
}

void
http_reply_free(struct http_reply *r)
{
	buf_free(&r->head);
	buf_free(&r->body);
}

/* ---- what must hold ------------------------------------------------------- */

static void
check_printable(const char *s)
{
	for (; *s != '\0'; s++)
		assert(*s >= 0x20 && *s < 0x7f);
}

static struct ahi_options options = {
	.datastore_id = (char[]){ "0123456789abcdef0123456789abcdef" },
};
static struct s3 out = { .bucket = (char[]){ "out" }, .region = (char[]){ "x" },
	.prefix = (char[]){ "" } };
static struct ahi box = { .opt = &options, .output = { "out", "site7/" },
	.out = &out };

static struct ahi_job
fresh_job(void)
{
	static char output_uri[] = "s3://out/site7", input_uri[] = "s3://in/cw-1/";
	static char role[] = "arn";

	return (struct ahi_job){ .output = output_uri, .input = input_uri,
		.role = role,
		.token = "cw-1", .job = "j1" };
}

static void
try_api(void)
{
	struct ahi_job j = fresh_job();
	struct ahi_progress p;
	struct destination_result r = { .health = DESTINATION_UP };

	asked = 0;
	(void)ahi_start(&box, &j, &r);
	assert(strspn(j.job, "abcdefghijklmnopqrstuvwxyz0123456789") ==
	    strlen(j.job));
	asked = 0;
	(void)ahi_find(&box, &j, &r);
	assert(strspn(j.job, "abcdefghijklmnopqrstuvwxyz0123456789") ==
	    strlen(j.job));
	asked = 0;
	if (ahi_ask(&box, &j, &p, &r) == AHI_DONE) {
		check_printable(p.output);
		check_printable(p.message);
	}
	ahi_probe_datastore(&box, &r);
	assert(r.retry_after_ms <= STOW_RETRY_AFTER);
}

static void
try_results(void)
{
	struct ahi_outcome v[FILES];
	struct ahi_outcomes o = { .v = v, .n = FILES };
	struct ahi_job j = fresh_job();
	struct destination_result r = { .health = DESTINATION_UP };

	for (unsigned i = 0; i < FILES; i++) {
		v[i] = (struct ahi_outcome){ .id = i + 1 };
		(void)snprintf(v[i].file, sizeof(v[i].file), "1.2.%u.dcm", i + 1);
	}
	if (parts[0] != NULL)
		(void)ahi_uri_parse(parts[0], &j.results);
	(void)ahi_read_results(&box, &j, &o, &r);
	for (unsigned i = 0; i < FILES; i++) {
		assert(v[i].code <= 0xffff);
		check_printable(v[i].words);
		check_printable(v[i].image_set);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = malloc(size + 1);
	char *at = text, *end;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	end = strchr(text, '\n');
	if (*text >= '1' && *text <= '9' && end != NULL) {
		*end = '\0';
		status = (int)strtol(text, &at, 10);
		type = at + strspn(at, " ");
		body = end + 1;
		try_api();
		return 0;
	}
	status = 0;
	memset(parts, 0, sizeof(parts));
	for (unsigned i = 0; i < PARTS && at != NULL; i++) {
		parts[i] = at;
		at = strstr(at, PART);
		if (at != NULL) {
			*at = '\0';
			at += strlen(PART);
		}
	}
	try_results();
	return 0;
}
