/* credential_aws_process.c - keys for AWS that a program prints, as the SDKs'
 * credential_process does: IAM Roles Anywhere's helper, a vault's client, a script.
 *
 * It prints one JSON object of Version 1 and is run again before what it printed
 * expires.
 */
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/http/aws_session_int.h"

struct process_options {
	unsigned line;
	struct config_strings command;
};

struct process_credential {
	struct process	   *process;
	struct aws_session *session;
};

/* ---- what it prints ------------------------------------------------------ */

/* Of printable ASCII: it goes into a header. */
static bool
key_ok(const char *text)
{
	if (text == NULL || text[0] == '\0' || strlen(text) > HTTP_SECRET_MAX)
		return false;
	for (; *text != '\0'; text++) {
		if (*text <= 0x20 || *text >= 0x7f)
			return false;
	}
	return true;
}

static const char *
check_keys(const json_t *root)
{
	const json_t *version = json_object_get(root, "Version");
	const json_t *token = json_object_get(root, "SessionToken");

	if (!json_is_object(root))
		return "what it prints is no JSON object";
	if (!json_is_integer(version) || json_integer_value(version) != 1)
		return "what it prints has no \"Version\": 1";
	if (!key_ok(json_string_value(json_object_get(root, "AccessKeyId"))) ||
	    !key_ok(json_string_value(json_object_get(root, "SecretAccessKey"))))
		return "what it prints lacks AccessKeyId or SecretAccessKey";
	if (token != NULL && !json_is_null(token) &&
	    !key_ok(json_string_value(token)))
		return "its SessionToken cannot be used";
	return NULL;
}

static const char *
take_keys(const json_t *root, struct aws_keys *ret)
{
	const json_t *end = json_object_get(root, "Expiration");
	const json_t *token = json_object_get(root, "SessionToken");
	const char *wrong = check_keys(root);
	int64_t expires_ms = INT64_MAX;

	if (wrong != NULL)
		return wrong;
	if (end != NULL && !json_is_null(end) && (!json_is_string(end) ||
		aws_time_parse(json_string_value(end), &expires_ms) < 0))
		return "its Expiration is no time of ISO 8601";
	*ret = (struct aws_keys){
		.id = xstrdup(json_string_value(json_object_get(root,
		    "AccessKeyId"))),
		.secret = xstrdup(json_string_value(json_object_get(root,
		    "SecretAccessKey"))),
		.token = json_is_string(token) ?
		    xstrdup(json_string_value(token)) : NULL,
		.expires_ms = expires_ms,
	};
	return NULL;
}

static void
wipe_json(json_t *root)
{
	const char *key;
	json_t *value;

	json_object_foreach(root, key, value) {
		if (json_is_string(value))
			explicit_bzero((char *)json_string_value(value),
			    json_string_length(value));
	}
	json_decref(root);
}

int
aws_process_parse(const char *name, const char *text, size_t len,
    struct aws_keys *ret, struct buf *why)
{
	json_t *root = json_loadb(text, len, 0, NULL);
	const char *wrong = take_keys(root, ret);

	wipe_json(root);
	if (wrong == NULL)
		return 0;
	(void)buf_printf(why, "%s: %s", name, wrong);
	return -EPROTO;
}

int
aws_process_fetch(struct process *p, int64_t now_ms, struct aws_keys *ret,
    struct buf *why)
{
	struct aws_keys keys;
	char *text;
	size_t len;
	int r;

	r = process_run(p, PROCESS_LIMIT_MS, &text, &len, why);
	if (r < 0)
		return r;
	r = aws_process_parse(process_program(p), text, len, &keys, why);
	process_wipe(text);
	if (r < 0)
		return r;
	r = aws_keys_check(&keys, now_ms, process_program(p), why);
	if (r < 0)
		aws_keys_free(&keys);
	else
		*ret = keys;
	return r;
}

/* ---- the kind ------------------------------------------------------------ */

static int
fetch_keys(void *arg, int64_t now_ms, struct aws_keys *ret, struct buf *why)
{
	const struct process_credential *c = arg;

	return aws_process_fetch(c->process, now_ms, ret, why);
}

static int
open_process(const void *options, const struct http_credential_options *opt,
    void **ret, struct buf *why)
{
	const struct process_options *o = options;
	struct process_credential *c;
	struct process *p;
	int r;

	(void)opt;
	r = process_new(&o->command, &p, why);
	if (r < 0)
		return r;
	c = xcalloc(1, sizeof(*c));
	c->process = p;
	c->session = aws_session_new(fetch_keys, c);
	*ret = c;
	return 0;
}

static void
close_process(void *cred)
{
	struct process_credential *c = cred;

	aws_session_free(c->session);
	process_free(c->process);
	free(c);
}

static int
apply_process(void *cred, const struct http_signing *s, struct http_headers *h,
    struct buf *why)
{
	struct process_credential *c = cred;

	return aws_session_apply(c->session, s, h, why);
}

static bool
refresh_process(void *cred, const struct http_reply *r)
{
	struct process_credential *c = cred;

	return aws_session_refresh(c->session, r);
}

static void
cancel_process(void *cred)
{
	struct process_credential *c = cred;

	aws_session_cancel(c->session);
	process_cancel(c->process);
}

static void
describe_process(void *cred, struct buf *b)
{
	const struct process_credential *c = cred;

	(void)buf_printf(b, "the keys that command %s printed",
	    process_program(c->process));
}

static const struct config_option table[] = {
	{ .name = "command", .type = CONFIG_STRINGS, .required = true,
	    .offset = offsetof(struct process_options, command),
	    .help = "a program and its arguments, as a list or as one line (no "
		"shell); prints keys as the SDKs' credential_process does" },
	{ .name = NULL },
};

const struct http_credential_kind http_credential_aws_process = {
	.config = {
		.name = "aws_process",
		.section = {
			.name = "credential",
			.size = sizeof(struct process_options),
			.options = table,
		},
	},
	.signs = true,
	.open = open_process,
	.close = close_process,
	.apply = apply_process,
	.refresh = refresh_process,
	.cancel = cancel_process,
	.describe = describe_process,
};
