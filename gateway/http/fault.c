/* fault.c - what the body of a refusal says, and what to do about it.
 *
 * AWS, Google and Azure name a fault by a code that is far more telling than the
 * status: XML from S3, JSON from the others. Other bodies are not read: a DICOMweb
 * server may speak of patients in them.
 *
 * What is shown is short, printable and never holds what we sent to prove who we
 * are (redact.c).
 */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "gateway/http/aws_int.h"

/* ---- reading ------------------------------------------------------------- */

static void
copy_printable(const char *text, size_t len, char *buf, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c > ' ' && c < 0x7f)
			buf[n++] = (char)c;
		else if (c >= 0x7f)
			buf[n++] = '?';
		else if (n > 0 && buf[n - 1] != ' ')
			buf[n++] = ' ';
	}
	buf[n] = '\0';
}

/* "com.amazonaws#ThrottlingException" and "ThrottlingException:http://…" */
static void
take_code(const char *text, size_t len, struct fault *f)
{
	const char *hash = memchr(text, '#', len), *colon;

	if (hash != NULL) {
		len -= (size_t)(hash + 1 - text);
		text = hash + 1;
	}
	colon = memchr(text, ':', len);
	copy_printable(text, colon != NULL ? (size_t)(colon - text) : len, f->code,
	    sizeof(f->code));
}

static void
take_string(const json_t *j, const char *name, char *buf, size_t size)
{
	const char *text = json_string_value(json_object_get(j, name));

	if (text != NULL && buf[0] == '\0')
		copy_printable(text, strlen(text), buf, size);
}

static void
take_json_code(const json_t *j, const char *name, struct fault *f)
{
	const char *text = json_string_value(json_object_get(j, name));

	if (text != NULL && f->code[0] == '\0')
		take_code(text, strlen(text), f);
}

static void
read_json(const struct buf *body, struct fault *f)
{
	json_t *root = json_loadb(body->data, body->len, 0, NULL);
	const json_t *error = json_object_get(root, "error");

	if (json_is_object(error)) {	/* Google, Azure */
		take_json_code(error, "status", f);
		take_json_code(error, "code", f);
		take_string(error, "message", f->message, sizeof(f->message));
	} else if (json_is_string(error)) {	/* RFC 6750 */
		take_json_code(root, "error", f);
		take_string(root, "error_description", f->message,
		    sizeof(f->message));
	} else {
		take_json_code(root, "__type", f);
		take_json_code(root, "code", f);
		/* Without a code it is not AWS that speaks. */
		if (f->code[0] != '\0') {
			take_string(root, "message", f->message,
			    sizeof(f->message));
			take_string(root, "Message", f->message,
			    sizeof(f->message));
		}
	}
	json_decref(root);
}

static bool
find_element(const char *xml, const char *name, const char **ret, size_t *ret_len)
{
	AUTO_FREE char *open = xasprintf("<%s>", name);
	AUTO_FREE char *close = xasprintf("</%s>", name);
	const char *from = strstr(xml, open), *to;

	if (from == NULL)
		return false;
	from += strlen(open);
	to = strstr(from, close);
	if (to == NULL)
		return false;
	*ret = from;
	*ret_len = (size_t)(to - from);
	return true;
}

static void
read_xml(const char *xml, struct fault *f)
{
	const char *text;
	size_t len;

	if (strstr(xml, "<Error>") == NULL)
		return;
	if (f->code[0] == '\0' && find_element(xml, "Code", &text, &len))
		take_code(text, len, f);
	if (find_element(xml, "Message", &text, &len))
		copy_printable(text, len, f->message, sizeof(f->message));
}

void
fault_read(const struct http_reply *r, struct fault *ret)
{
	struct fault f = { 0 };
	char type[200];
	const char *body = r->body.data;

	if (http_reply_header(r, "x-amzn-ErrorType", type, sizeof(type)))
		take_code(type, strlen(type), &f);
	if (body != NULL) {
		body += strspn(body, " \t\r\n");
		if (*body == '{')
			read_json(&r->body, &f);
		else if (*body == '<')
			read_xml(body, &f);
	}
	http_reply_redact(r, f.code);
	http_reply_redact(r, f.message);
	*ret = f;
}

/* ---- AWS ----------------------------------------------------------------- */

static const struct {
	const char *code;
	enum aws_fault fault;
	const char *hint;	/* NULL: the message tells */
} codes[] = {
	{ "ExpiredToken", AWS_EXPIRED, "the session's keys have expired" },
	{ "ExpiredTokenException", AWS_EXPIRED, "the session's keys have expired" },
	{ "TokenRefreshRequired", AWS_EXPIRED, "the session's keys have expired" },
	{ "InvalidToken", AWS_EXPIRED, "the session token is not valid, or not this "
	  "key's" },
	{ "RequestTimeTooSkewed", AWS_SKEWED, "the clocks differ too much: is this "
	  "machine's set by NTP?" },
	{ "RequestExpired", AWS_SKEWED, "the clocks differ too much: is this "
	  "machine's set by NTP?" },
	{ "AccessDenied", AWS_DENIED, NULL },
	{ "AccessDeniedException", AWS_DENIED, NULL },
	{ "AllAccessDisabled", AWS_DENIED, NULL },
	{ "AccountProblem", AWS_DENIED, NULL },
	{ "IncompleteSignature", AWS_DENIED, NULL },
	{ "SignatureDoesNotMatch", AWS_DENIED, "the secret does not belong to the "
	  "key id, or a proxy changes requests" },
	{ "InvalidSignatureException", AWS_DENIED, "the secret does not belong to "
	  "the key id, or a proxy changes requests" },
	{ "InvalidAccessKeyId", AWS_DENIED, "this key id does not exist there: is it "
	  "deleted, or of another cloud?" },
	{ "InvalidClientTokenId", AWS_DENIED, "this key id does not exist there, or "
	  "its session token is missing" },
	{ "UnrecognizedClientException", AWS_DENIED, "this key id does not exist "
	  "there, or its session token is missing" },
	{ "MissingAuthenticationToken", AWS_DENIED, "the request was not signed: set "
	  "credential" },
	{ "MissingAuthenticationTokenException", AWS_DENIED, "the request was not "
	  "signed: set credential" },
	{ "NoSuchBucket", AWS_NO_FAULT, "there is no such bucket: look at bucket and "
	  "region" },
	{ "SlowDown", AWS_NO_FAULT, "it asks for fewer requests" },
	{ "ThrottlingException", AWS_NO_FAULT, "it asks for fewer requests" },
	{ "TooManyRequestsException", AWS_NO_FAULT, "it asks for fewer requests" },
};

static size_t
find_code(const char *code)
{
	size_t i = 0;

	while (i < ARRAY_LEN(codes) && strcmp(codes[i].code, code) != 0)
		i++;
	return i;
}

/* A wrong time comes under the code of a wrong signature. */
static bool
speaks_of_time(const struct fault *f)
{
	return strncmp(f->message, "Signature expired", 17) == 0 ||
	    strncmp(f->message, "Signature not yet current", 25) == 0;
}

void
aws_error_code(const struct http_reply *r, char *buf, size_t size)
{
	struct fault f;

	fault_read(r, &f);
	(void)snprintf(buf, size, "%s", f.code);
}

enum aws_fault
aws_fault(const struct http_reply *r)
{
	struct fault f;
	size_t i;

	if (r->outcome != HTTP_ANSWERED || r->status < 400)
		return AWS_NO_FAULT;
	fault_read(r, &f);
	if (speaks_of_time(&f))
		return AWS_SKEWED;
	i = find_code(f.code);
	if (i < ARRAY_LEN(codes))
		return codes[i].fault;
	/* The answer to a HEAD has no body. */
	return f.code[0] == '\0' && (r->status == 401 || r->status == 403) ?
	    AWS_DENIED : AWS_NO_FAULT;
}

/* ---- saying it ----------------------------------------------------------- */

static bool
region_ok(const char *s)
{
	size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return len > 0 && len <= 32 && s[len] == '\0';
}

/* Where the bucket really is. */
static bool
explain_region(const struct http_reply *r, const struct fault *f, struct buf *why)
{
	char region[64] = "";
	const char *text;
	size_t len;

	if (r->status != 301 && r->status != 307 && r->status != 400)
		return false;
	if (!http_reply_header(r, "x-amz-bucket-region", region, sizeof(region)) &&
	    r->body.data != NULL && find_element(r->body.data, "Region", &text,
		&len))
		copy_printable(text, len, region, sizeof(region));
	if (!region_ok(region))
		return false;
	/* It comes along with every 400: only these are about it. */
	if (r->status == 400 && strcmp(f->code, "AuthorizationHeaderMalformed") != 0 &&
	    strcmp(f->code, "IllegalLocationConstraintException") != 0 &&
	    strcmp(f->code, "IncorrectEndpoint") != 0)
		return false;
	(void)buf_printf(why, "the bucket is in another region: set region: %s",
	    region);
	return true;
}

static void
add_credential_name(const struct http_credential *c, struct buf *why)
{
	(void)buf_add_str(why, " (");
	credential_describe(c, why);
	(void)buf_add_char(why, ')');
}

bool
fault_explain(const struct http_reply *r, const struct http_credential *c,
    struct buf *why)
{
	struct fault f;
	size_t i;

	fault_read(r, &f);
	if (explain_region(r, &f, why))
		return true;
	if (f.code[0] == '\0' && f.message[0] == '\0')
		return false;
	i = speaks_of_time(&f) ? find_code("RequestTimeTooSkewed") :
	    find_code(f.code);
	(void)buf_add_str(why, f.code);
	if (i < ARRAY_LEN(codes) && codes[i].hint != NULL)
		(void)buf_printf(why, ": %s", codes[i].hint);
	else if (f.message[0] != '\0')
		(void)buf_printf(why, "%s%s", f.code[0] != '\0' ? ": " : "",
		    f.message);
	if (i < ARRAY_LEN(codes) && (codes[i].fault == AWS_DENIED ||
		codes[i].fault == AWS_EXPIRED))
		add_credential_name(c, why);
	return true;
}
