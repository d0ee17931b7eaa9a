/* rolesanywhere_session.c - CreateSession of IAM Roles Anywhere: one request, and
 * what its answer means.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/http/aws_session_int.h"
#include "gateway/http/rolesanywhere_int.h"

#define ASK_MS	   60000	/* for the whole request */
#define ANSWER_MAX (256u << 10)
#define SAID_MAX   120

/* ---- asking -------------------------------------------------------------- */

static char *
make_body(const struct roles_options *o)
{
	json_t *root = json_pack("{s:s, s:s, s:s, s:I}",
	    "profileArn", o->profile_arn, "roleArn", o->role_arn,
	    "trustAnchorArn", o->trust_anchor_arn,
	    "durationSeconds", (json_int_t)(o->duration_ms / 1000));
	char *text;

	if (root == NULL)
		return NULL;
	if (o->role_session_name != NULL)
		(void)json_object_set_new(root, "roleSessionName",
		    json_string(o->role_session_name));
	text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return text;
}

static int
hash_body(const char *text, char ret[static 65])
{
	unsigned char md[32];

	if (EVP_Digest(text, strlen(text), md, NULL, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(md); i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", md[i]);
	return 0;
}

/* "Name: value" as http_headers_add() made it. */
static void
split_line(char *line, struct http_header *ret)
{
	char *colon = strchr(line, ':');

	*colon = '\0';
	*ret = (struct http_header){ line, colon + 2 };
}

static int
send_signed(const struct roles *c, const struct roles_signer *k,
    struct http_request *req, int64_t now_ms, struct http_reply *reply)
{
	const struct http_service service = { .name = "rolesanywhere",
		.region = c->region };
	AUTO_FREE char *path = xasprintf("%s%s", c->http->base_path, req->path);
	const struct http_signing s = { .req = req, .service = &service,
		.host = c->http->authority, .path = path, .query = "",
		.now_ms = now_ms };
	struct http_header header[HTTP_HEADERS_MAX];
	struct http_headers h = { 0 };
	int r;

	r = roles_sign(k, &s, &h);
	if (r == 0) {
		for (size_t i = 0; i < h.n; i++)
			split_line(h.line[i], &header[i]);
		req->headers = header;
		req->n_headers = h.n;
		(void)http_call(c->http, req, reply);
	}
	http_headers_free(&h);
	return r;
}

static int
post_request(const struct roles *c, const struct roles_signer *k,
    int64_t now_ms, struct http_reply *reply)
{
	AUTO_FREE char *text = make_body(c->o);
	struct http_memory body = { .data = text };
	char hash[65];

	if (text == NULL || hash_body(text, hash) < 0)
		return -ENOMEM;
	body.len = strlen(text);
	return send_signed(c, k, &(struct http_request){
	    .method = "POST",
	    .path = "/sessions",
	    .accept = "application/json",
	    .content_type = "application/json",
	    .sha256 = hash,
	    .body = http_memory_read,
	    .body_arg = &body,
	    .body_rewind = http_memory_rewind,
	    .body_length = body.len,
	    .reply_max = ANSWER_MAX,
	    .urgent = true,
	    .deadline_ms = clock_mono_ms() + ASK_MS,
	}, now_ms, reply);
}

/* ---- answers ------------------------------------------------------------- */

static const struct {
	const char *code;
	const char *words;
} advice[] = {
	{ "AccessDeniedException", "does the role trust "
	    "rolesanywhere.amazonaws.com, does profile_arn list the role, are all "
	    "enabled, is the certificate that CA's, and not revoked?" },
	{ "ValidationException", "look at the ARNs, and at the certificate and its "
	    "chain" },
	{ "ResourceNotFoundException", "trust_anchor_arn or profile_arn does not "
	    "exist there: are region and account right?" },
	{ "ThrottlingException", "it asks for fewer requests" },
	{ "InvalidSignatureException", "the signature is not taken: does a proxy on "
	    "the way change headers?" },
};

static void
add_said(struct buf *b, const char *text)
{
	for (size_t i = 0; text[i] != '\0' && i < SAID_MAX; i++)
		(void)buf_add_char(b, text[i] >= 0x20 && text[i] < 0x7f ?
			text[i] : '?');
}

static void
explain_refusal(const struct roles *c, const struct http_reply *r,
    const json_t *answer, struct buf *why)
{
	const char *said = json_string_value(json_object_get(answer, "message"));
	const char *words = NULL;
	char code[64], text[sizeof(r->why)];

	aws_error_code(r, code, sizeof(code));
	for (size_t i = 0; i < ARRAY_LEN(advice); i++) {
		if (strcmp(advice[i].code, code) == 0)
			words = advice[i].words;
	}
	(void)buf_add_str(why, "Roles Anywhere: ");
	if (r->outcome != HTTP_ANSWERED || code[0] == '\0') {
		http_explain(r, text, sizeof(text));
		(void)buf_add_str(why, text);
		return;
	}
	add_said(why, code);
	(void)buf_add_str(why, ": ");
	if (aws_fault(r) != AWS_SKEWED || !skew_describe(c->http, why))
		(void)buf_add_str(why, words != NULL ? words : "it refuses");
	if (said != NULL) {
		(void)buf_add_str(why, " (");
		add_said(why, said);
		(void)buf_add_char(why, ')');
	}
}

static bool
key_ok(const char *text)
{
	if (text == NULL || text[0] == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text <= 0x20 || *text >= 0x7f)
			return false;
	}
	return true;
}

static void
wipe_string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (text != NULL)
		explicit_bzero((char *)text, strlen(text));
}

static int
take_keys(const json_t *answer, struct aws_keys *ret, struct buf *why)
{
	const json_t *c = json_object_get(json_array_get(json_object_get(answer,
	    "credentialSet"), 0), "credentials");
	const char *id = json_string_value(json_object_get(c, "accessKeyId"));
	const char *secret = json_string_value(json_object_get(c,
	    "secretAccessKey"));
	const char *token = json_string_value(json_object_get(c, "sessionToken"));
	const char *end = json_string_value(json_object_get(c, "expiration"));
	int64_t expires_ms;

	if (!key_ok(id) || !key_ok(secret) || !key_ok(token) || end == NULL ||
	    aws_time_parse(end, &expires_ms) < 0) {
		(void)buf_add_str(why, "Roles Anywhere: the answer holds no keys: is "
		    "endpoint right?");
		return -EPROTO;
	}
	*ret = (struct aws_keys){ .id = xstrdup(id), .secret = xstrdup(secret),
		.token = xstrdup(token), .expires_ms = expires_ms };
	wipe_string(c, "secretAccessKey");
	wipe_string(c, "sessionToken");
	return 0;
}

static int
judge_answer(const struct roles *c, const struct http_reply *r,
    struct aws_keys *ret, struct buf *why)
{
	json_t *answer = r->outcome == HTTP_ANSWERED && r->body.len > 0 ?
	    json_loadb(r->body.data, r->body.len, 0, NULL) : NULL;
	int e = -EACCES;

	if (r->outcome == HTTP_ANSWERED && (r->status == 201 || r->status == 200))
		e = take_keys(answer, ret, why);
	else
		explain_refusal(c, r, answer, why);
	json_decref(answer);
	return e;
}

int
roles_create_session(const struct roles *c, const struct roles_signer *k,
    int64_t now_ms, struct aws_keys *ret, bool *ret_refused, struct buf *why)
{
	struct http_reply reply;
	int r;

	*ret_refused = false;
	r = post_request(c, k, now_ms, &reply);
	if (r < 0) {
		(void)buf_printf(why, "%s: cannot sign", c->files.certificate);
		return r;
	}
	r = judge_answer(c, &reply, ret, why);
	*ret_refused = r < 0 && reply.outcome == HTTP_ANSWERED;
	if (reply.body.data != NULL)
		explicit_bzero(reply.body.data, reply.body.size);
	http_reply_free(&reply);
	return r;
}
