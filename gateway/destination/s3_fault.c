/* s3_fault.c - what an answer of S3 that is no success means, and for whom.
 *
 * The code in the document decides, the status where there is none (HEAD, proxies,
 * servers that are not Amazon's). An object is refused for its own sake only; what
 * keys, rights, names of buckets or regions are in the way of is the destination's,
 * in words that say what to change.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/destination/s3_client_int.h"
#include "gateway/destination/stow_int.h"

#define DOWN   S3_FAILED, DESTINATION_DOWN, false
#define BUSY   S3_FAILED, DESTINATION_BUSY, false
#define FAILED S3_FAILED, DESTINATION_FAILED, false
#define AGAIN  S3_FAILED, DESTINATION_FAILED, true
#define REFUSE S3_REFUSED, DESTINATION_UP, false

#define WAIT_WORDS   "it asks for fewer requests"
#define BROKEN_WORDS "it failed inside; that passes, and it is tried again"
#define NO_BUCKET_WORDS "there is no such bucket: create it, or correct its name"
#define LOST_WORDS   "not all of it arrived, or not as it was sent"
#define REGION_WORDS "the bucket is in another region"
#define KEY_WORDS    "the object's name is longer than 1024 bytes: shorten `key` " \
		     "or `prefix`"
#define KMS_WORDS    "the KMS key cannot be used: look at `kms_key`, and whether " \
		     "the key is enabled"
#define FULL_WORDS   "the bucket has no room left"
#define EXPIRED_WORDS "the session keys have expired, and there are no newer ones"

struct meaning {
	const char *code;
	enum s3_said said;
	enum destination_health health;
	bool again;
	const char *words;
};

static const struct meaning meanings[] = {
	{ "NoSuchKey", S3_ABSENT, DESTINATION_UP, false, "" },
	{ "NoSuchUpload", S3_ABSENT, DESTINATION_UP, false, "" },
	{ "PreconditionFailed", S3_EXISTS, DESTINATION_UP, false, "" },

	{ "SlowDown", BUSY, WAIT_WORDS },
	{ "ServiceUnavailable", BUSY, WAIT_WORDS },
	{ "Throttling", BUSY, WAIT_WORDS },
	{ "ThrottlingException", BUSY, WAIT_WORDS },
	{ "RequestThrottled", BUSY, WAIT_WORDS },
	{ "RequestLimitExceeded", BUSY, WAIT_WORDS },
	{ "BandwidthLimitExceeded", BUSY, WAIT_WORDS },
	{ "TooManyRequests", BUSY, WAIT_WORDS },
	{ "QuotaExceeded", BUSY, FULL_WORDS },
	{ "XMinioStorageFull", BUSY, FULL_WORDS },
	{ "XMinioAdminBucketQuotaExceeded", BUSY, FULL_WORDS },

	{ "InternalError", AGAIN, BROKEN_WORDS },
	{ "InternalFailure", AGAIN, BROKEN_WORDS },
	{ "OperationAborted", AGAIN, "somebody else changes it at the same time" },
	{ "ConditionalRequestConflict", AGAIN,
	    "somebody else writes it at the same time" },
	{ "RequestTimeout", AGAIN, "it did not want to wait for the rest: is the "
	    "line very slow?" },
	{ "IncompleteBody", AGAIN, LOST_WORDS },
	{ "BadDigest", AGAIN, LOST_WORDS },
	{ "XAmzContentSHA256Mismatch", AGAIN, LOST_WORDS },
	{ "NotImplemented", FAILED, "this server lacks something that is needed" },

	{ "InvalidAccessKeyId", DOWN, "it does not know these access keys: are "
	    "they for this account, and not deleted?" },
	{ "SignatureDoesNotMatch", DOWN, "the secret key does not belong to the "
	    "access key, or something in between changes requests" },
	{ "ExpiredToken", DOWN, EXPIRED_WORDS },
	{ "TokenRefreshRequired", DOWN, EXPIRED_WORDS },
	{ "InvalidToken", DOWN, "the session token does not belong to the keys" },
	{ "RequestTimeTooSkewed", DOWN, "its clock and ours differ too much: look "
	    "at the time service (NTP) of this machine" },
	{ "AllAccessDisabled", DOWN, "the account or the bucket is disabled" },
	{ "AccountProblem", DOWN, "the AWS account has a problem: ask its owner" },
	{ "NotSignedUp", DOWN, "the AWS account is not signed up for S3" },
	{ "NoSuchBucket", DOWN, NO_BUCKET_WORDS },
	{ "InvalidBucketName", DOWN, "no bucket can have this name" },
	{ "InvalidBucketOwnerAWSAccountID", DOWN,
	    "expected_bucket_owner must be the 12 digits of an account" },
	{ "PermanentRedirect", DOWN, REGION_WORDS },
	{ "TemporaryRedirect", DOWN, "it is being moved, or is quite new in another "
	    "region" },
	{ "Redirect", DOWN, REGION_WORDS },
	{ "IncorrectEndpoint", DOWN, REGION_WORDS },
	{ "AuthorizationHeaderMalformed", DOWN, REGION_WORDS },
	{ "IllegalLocationConstraintException", DOWN, REGION_WORDS },
	{ "InvalidRegionName", DOWN, REGION_WORDS },
	{ "InvalidStorageClass", DOWN, "it knows no such storage_class" },
	{ "InvalidEncryptionAlgorithmError", DOWN, "it cannot encrypt so: look at "
	    "`sse`" },
	{ "KMS.", DOWN, KMS_WORDS },	/* a prefix of several */

	{ "EntityTooLarge", REFUSE, "larger than it takes" },
	{ "KeyTooLong", REFUSE, KEY_WORDS },
	{ "KeyTooLongError", REFUSE, KEY_WORDS },
	{ "KeyUnsupported", REFUSE, "it cannot have an object of this name" },
	{ "MetadataTooLarge", REFUSE, "it does not take the metadata" },
};

static const struct meaning statuses[] = {
	{ "301", DOWN, REGION_WORDS },
	{ "307", DOWN, REGION_WORDS },
	{ "401", DOWN, "it does not accept who we are: look at `credential`" },
	{ "404", S3_ABSENT, DESTINATION_UP, false, "" },
	{ "405", DOWN, "it does not allow this there: is `endpoint` an S3 "
	    "service's?" },
	{ "407", DOWN, "a proxy in between wants a login of its own" },
	{ "412", S3_EXISTS, DESTINATION_UP, false, "" },
	{ "413", REFUSE, "the server, or a proxy in between, takes no request of "
	    "this size: lower `part_size` or raise its limit" },
	{ "429", BUSY, WAIT_WORDS },
	{ "500", AGAIN, BROKEN_WORDS },
	{ "501", FAILED, "this server lacks something that is needed" },
	{ "502", AGAIN, "what stands in front of it cannot reach it" },
	{ "503", BUSY, "it is busy or being maintained" },
	{ "504", AGAIN, "what stands in front of it has no answer from it" },
	{ "507", BUSY, FULL_WORDS },
};

static const struct meaning denied = { "AccessDenied", DOWN, "" };
static const struct meaning no_bucket = { "NoSuchBucket", DOWN, NO_BUCKET_WORDS };
static const struct meaning unknown = { "", FAILED, "it refuses the request" };

/* ---- reading it ---------------------------------------------------------- */

/* What is shown of it: one line, and nothing that we sent to prove who we are. */
static void
clean_shown(const struct http_reply *r, char *text)
{
	for (char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	}
	http_reply_redact(r, text);
}

static int
take_error(void *arg, const char *path, const char *text)
{
	struct s3_answer *a = arg;

	if (strcmp(path, "Error/Code") == 0)
		(void)snprintf(a->code, sizeof(a->code), "%s", text);
	else if (strcmp(path, "Error/Message") == 0)
		(void)snprintf(a->message, sizeof(a->message), "%s", text);
	else if (strcmp(path, "Error/Region") == 0)
		(void)snprintf(a->region, sizeof(a->region), "%s", text);
	return 0;
}

bool
s3_read_error(struct s3_answer *a)
{
	char region[sizeof(a->region)];

	a->code[0] = a->message[0] = a->region[0] = '\0';
	if (a->reply.body.len > 0)
		(void)s3_xml_walk(a->reply.body.data, a->reply.body.len, take_error,
		    a);
	if (http_reply_header(&a->reply, "x-amz-bucket-region", region,
		sizeof(region)))
		(void)snprintf(a->region, sizeof(a->region), "%s", region);
	clean_shown(&a->reply, a->code);
	clean_shown(&a->reply, a->message);
	clean_shown(&a->reply, a->region);
	return a->code[0] != '\0';
}

/* ---- judging it ---------------------------------------------------------- */

static const struct meaning *
find_code(const char *code)
{
	if (strcmp(code, "AccessDenied") == 0)
		return &denied;
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++) {
		const char *known = meanings[i].code;
		size_t len = strlen(known);

		if (known[len - 1] == '.' ? strncmp(code, known, len) == 0 :
		    strcmp(code, known) == 0)
			return &meanings[i];
	}
	return NULL;
}

static const struct meaning *
find_status(const struct s3_request *q, int status)
{
	char text[16];

	if (status == 403)
		return &denied;
	if (status == 404 && q->key == NULL)
		return &no_bucket;
	(void)snprintf(text, sizeof(text), "%d", status);
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		if (strcmp(statuses[i].code, text) == 0)
			return &statuses[i];
	}
	return &unknown;
}

static void
explain_denial(const struct s3 *s, const struct s3_request *q,
    const struct s3_answer *a, struct buf *b)
{
	if (strstr(a->message, "kms:") != NULL) {
		(void)buf_add_str(b, "the keys may not use the KMS key: allow "
		    "kms:GenerateDataKey and kms:Decrypt on it");
		return;
	}
	(void)buf_printf(b, "allow %s on arn:aws:s3:::%s", q->action, s->bucket);
	if (q->key != NULL)
		(void)buf_printf(b, "/%s%s*", s->prefix,
		    s->prefix[0] != '\0' ? "/" : "");
	if (s->sse != NULL && strncmp(s->sse, "aws:kms", 7) == 0)
		(void)buf_add_str(b, ", and kms:GenerateDataKey on the KMS key");
	if (s->expected_owner != NULL)
		(void)buf_printf(b, "; or account %s does not own the bucket",
		    s->expected_owner);
}

static void
explain(const struct s3 *s, const struct s3_request *q, const struct meaning *m,
    struct s3_answer *a)
{
	struct buf b = BUF_INIT(1024);

	(void)buf_printf(&b, "bucket %s: ", s->bucket);
	if (a->code[0] != '\0')
		(void)buf_printf(&b, "%s: ", a->code);
	else
		(void)buf_printf(&b, "%d: ", a->reply.status);
	if (m == &denied)
		explain_denial(s, q, a, &b);
	else
		(void)buf_add_str(&b, m->words);
	if (m->health == DESTINATION_DOWN && a->region[0] != '\0' &&
	    strcmp(a->region, s->region) != 0)
		(void)buf_printf(&b, ": write `region: %s`", a->region);
	if (m == &unknown && a->message[0] != '\0')
		(void)buf_printf(&b, ": %s", a->message);
	(void)snprintf(a->why, sizeof(a->why), "%s", b.len > 0 ? b.data : "");
	buf_free(&b);
}

/* In milliseconds, by S3's own header or the common one. */
static int64_t
wanted_pause(const struct http_reply *r)
{
	char text[16];
	int64_t ms = r->retry_after_ms;

	if (http_reply_header(r, "x-amz-retry-after", text, sizeof(text)) &&
	    text[0] != '\0' && strspn(text, "0123456789") == strlen(text))
		ms = strtoll(text, NULL, 10);
	return ms > STOW_RETRY_AFTER ? STOW_RETRY_AFTER : ms;
}

static void
apply(const struct s3 *s, const struct s3_request *q, const struct meaning *m,
    struct s3_answer *a)
{
	a->said = m->said;
	a->health = m->health;
	a->again = m->again;
	a->retry_after_ms = m->health == DESTINATION_BUSY ?
	    wanted_pause(&a->reply) : -1;
	explain(s, q, m, a);
}

void
s3_judge_code(const struct s3 *s, const struct s3_request *q, struct s3_answer *a)
{
	const struct meaning *m;

	clean_shown(&a->reply, a->code);
	m = find_code(a->code);
	apply(s, q, m != NULL ? m : &unknown, a);
}

/* No answer that could be read: as with any other server. */
static void
judge_outcome(const struct s3_request *q, struct s3_answer *a)
{
	struct destination_result r = { .health = DESTINATION_UP,
		.retry_after_ms = -1 };

	stow_health(&a->reply, &r);
	a->said = a->reply.outcome == HTTP_LOCAL && q->body != NULL ?
	    S3_UNREADABLE : S3_FAILED;
	a->health = r.health;
	a->again = a->reply.outcome == HTTP_BROKEN && q->sink == NULL;
	(void)snprintf(a->why, sizeof(a->why), "%s", r.reason);
}

void
s3_judge(const struct s3 *s, const struct s3_request *q, struct s3_answer *a)
{
	const struct meaning *m;

	if (a->reply.outcome != HTTP_ANSWERED) {
		judge_outcome(q, a);
		return;
	}
	m = s3_read_error(a) ? find_code(a->code) : NULL;
	if (m == NULL)
		m = find_status(q, a->reply.status);
	apply(s, q, m, a);
}
