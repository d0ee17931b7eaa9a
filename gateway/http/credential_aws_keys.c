/* credential_aws_keys.c - AWS keys that lie in files: those of an IAM user, or of a
 * session that something else on this machine renews.
 *
 * Each file is read again when it is another one, so rotating is writing; a request
 * that is refused while one of them changed is tried once more.
 */
#include <errno.h>
#include <string.h>

#include "gateway/base/hash.h"
#include "gateway/http/aws_int.h"

#define ID_MAX 128

struct aws_keys_options {
	unsigned line;
	char	*access_key_id, *access_key_id_file;
	char	*secret_access_key_file, *session_token_file;
};

struct keys_in_files {
	char		   *id;			/* NULL: in id_file */
	struct secret_file *id_file, *secret, *token;	/* token may be NULL */
};

/* A request runs on one thread from its apply to its refresh. */
static _Thread_local struct {
	const struct keys_in_files *source;
	uint64_t hash;
} last_used;

static bool
id_ok(const char *id)
{
	size_t len = strlen(id);

	for (size_t i = 0; i < len; i++) {
		if (id[i] <= ' ' || id[i] >= 0x7f || strchr("/,=\"", id[i]) != NULL)
			return false;
	}
	return len > 0 && len <= ID_MAX;
}

static void
check_options(struct config_check *c, const void *section)
{
	const struct aws_keys_options *o = section;

	if ((o->access_key_id == NULL) == (o->access_key_id_file == NULL))
		config_problem(c, o->line, "access_key_id", "give either "
		    "access_key_id or access_key_id_file");
	else if (o->access_key_id != NULL && !id_ok(o->access_key_id))
		config_problem(c, o->line, "access_key_id", "is no key id, which "
		    "looks like AKIAIOSFODNN7EXAMPLE");
}

static void
close_keys(void *cred)
{
	struct keys_in_files *k = cred;

	if (last_used.source == k)
		last_used.source = NULL;
	secret_close(k->id_file);
	secret_close(k->secret);
	secret_close(k->token);
	free(k->id);
	free(k);
}

static int
open_files(struct keys_in_files *k, const struct aws_keys_options *o,
    struct buf *why)
{
	int r = 0;

	if (o->access_key_id != NULL && !id_ok(o->access_key_id)) {
		(void)buf_add_str(why, "credential: access_key_id cannot be used");
		return -EINVAL;
	}
	if (o->access_key_id == NULL)
		r = secret_open(o->access_key_id_file, &k->id_file, why);
	if (r == 0)
		r = secret_open(o->secret_access_key_file, &k->secret, why);
	if (r == 0 && o->session_token_file != NULL)
		r = secret_open(o->session_token_file, &k->token, why);
	return r;
}

static int
read_keys(struct keys_in_files *k, bool force, struct aws_keys *ret,
    struct buf *why)
{
	struct aws_keys keys = { .expires_ms = INT64_MAX };
	int r = 0;

	if (k->id != NULL)
		keys.id = xstrdup(k->id);
	else
		r = secret_get(k->id_file, force, &keys.id, why);
	if (r == 0 && !id_ok(keys.id)) {
		(void)buf_printf(why, "%s: holds no key id", secret_path(k->id_file));
		r = -EINVAL;
	}
	if (r == 0)
		r = secret_get(k->secret, force, &keys.secret, why);
	if (r == 0 && k->token != NULL)
		r = secret_get(k->token, force, &keys.token, why);
	if (r < 0)
		aws_keys_free(&keys);
	else
		*ret = keys;
	return r;
}

static int
open_keys(const void *options, const struct http_credential_options *opt,
    void **ret, struct buf *why)
{
	const struct aws_keys_options *o = options;
	struct keys_in_files *k = xcalloc(1, sizeof(*k));
	struct aws_keys keys = { 0 };
	int r;

	(void)opt;
	k->id = o->access_key_id != NULL ? xstrdup(o->access_key_id) : NULL;
	r = open_files(k, o, why);
	if (r == 0)
		r = read_keys(k, false, &keys, why);
	aws_keys_free(&keys);
	if (r < 0) {
		close_keys(k);
		return r;
	}
	*ret = k;
	return 0;
}

static uint64_t
hash_keys(const struct aws_keys *k)
{
	AUTO(cleanup_secret_free) char *text = xasprintf("%s %s %s", k->id,
	    k->secret, k->token != NULL ? k->token : "");

	return hash_seal(text, strlen(text), 0);
}

static int
apply_keys(void *cred, const struct http_signing *s, struct http_headers *h,
    struct buf *why)
{
	struct keys_in_files *k = cred;
	struct aws_keys keys;
	int r;

	r = read_keys(k, false, &keys, why);
	if (r < 0)
		return -EAGAIN;
	last_used.source = k;
	last_used.hash = hash_keys(&keys);
	r = sigv4_sign(&keys, s, h);
	if (r < 0)
		(void)buf_printf(why, "cannot sign: %s", strerror(-r));
	aws_keys_free(&keys);
	return r;
}

static bool
refresh_keys(void *cred, const struct http_reply *r)
{
	struct keys_in_files *k = cred;
	enum aws_fault fault = aws_fault(r);
	struct buf why = BUF_INIT(256);
	struct aws_keys now = { 0 };
	bool changed = false;

	if ((fault != AWS_EXPIRED && fault != AWS_DENIED) || last_used.source != k)
		return false;
	if (read_keys(k, true, &now, &why) == 0)
		changed = hash_keys(&now) != last_used.hash;
	aws_keys_free(&now);
	buf_free(&why);
	return changed;
}

static void
describe_keys(void *cred, struct buf *b)
{
	const struct keys_in_files *k = cred;

	if (k->id != NULL)
		(void)buf_printf(b, "access_key_id %s", k->id);
	else
		(void)buf_printf(b, "the key in access_key_id_file %s",
		    secret_path(k->id_file));
	(void)buf_printf(b, " with secret_access_key_file %s",
	    secret_path(k->secret));
}

static const struct config_option table[] = {
	{ .name = "access_key_id", .type = CONFIG_STRING,
	    .offset = offsetof(struct aws_keys_options, access_key_id),
	    .help = "the key's id, which is no secret" },
	{ .name = "access_key_id_file", .type = CONFIG_FILE,
	    .offset = offsetof(struct aws_keys_options, access_key_id_file),
	    .help = "or a file that holds it; read again when it changes, as are "
		"the others" },
	{ .name = "secret_access_key_file", .type = CONFIG_FILE, .required = true,
	    .offset = offsetof(struct aws_keys_options, secret_access_key_file),
	    .help = "holds the key's secret" },
	{ .name = "session_token_file", .type = CONFIG_FILE,
	    .offset = offsetof(struct aws_keys_options, session_token_file),
	    .help = "holds the token, where the keys are those of a session" },
	{ .name = NULL },
};

const struct http_credential_kind http_credential_aws_keys = {
	.config = {
		.name = "aws_keys",
		.section = {
			.name = "credential",
			.size = sizeof(struct aws_keys_options),
			.options = table,
			.check = check_options,
		},
	},
	.signs = true,
	.open = open_keys,
	.close = close_keys,
	.apply = apply_keys,
	.refresh = refresh_keys,
	.describe = describe_keys,
};
