/* aws_int.h - signing for AWS: what the kinds of credential for it share.
 *
 * sigv4.c signs; each kind only has to come by keys. Sources: IAM user guide,
 * "Create a signed AWS API request"; Amazon S3 API reference, "Signature
 * Calculations for the Authorization Header".
 */
#ifndef CW_HTTP_AWS_INT_H
#define CW_HTTP_AWS_INT_H

#include <stdint.h>

#include "gateway/http/http_int.h"

struct aws_keys {
	char	*id, *secret;
	char	*token;		/* of a session; NULL */
	int64_t	 expires_ms;	/* wall; INT64_MAX: never */
};
void aws_keys_free(struct aws_keys *k);	/* wipes; takes NULL, leaves it empty */

/* Adds x-amz-date, x-amz-content-sha256, x-amz-security-token and Authorization for
 * what s says. -EINVAL: s has no service, or a body without its hash. */
int  sigv4_sign(const struct aws_keys *k, const struct http_signing *s,
    struct http_headers *h);

/* The steps, for tests and for signatures by certificate (Roles Anywhere). Headers
 * in `more` are signed besides host, date and x-amz-*. */
struct sigv4_text {
	char *canonical, *to_sign, *scope, *signed_headers;	/* sigv4_text_free() */
	char  date[17];		/* 20130524T000000Z */
};
int  sigv4_prepare(const char *algorithm, const struct http_signing *s,
    const struct http_header *more, size_t n_more, struct sigv4_text *ret);
void sigv4_text_free(struct sigv4_text *t);
/* Of a text under the key that the scope's parts make: hex digits. */
#define SIGV4_SIGNATURE_SIZE 65
int  sigv4_signature(const struct aws_keys *k, const char *scope,
    const char *to_sign, char ret[static SIGV4_SIGNATURE_SIZE]);

/* What an answer of an AWS service says about who we are; code as in
 * x-amzn-errortype, JSON's __type or code, or XML's Code. */
enum aws_fault {
	AWS_NO_FAULT,		/* of ours */
	AWS_EXPIRED,		/* fetch new keys: ExpiredToken and the like */
	AWS_SKEWED,		/* RequestTimeTooSkewed, "Signature expired" */
	AWS_DENIED,		/* keys or rights are wrong: nothing helps by itself */
};
enum aws_fault aws_fault(const struct http_reply *r);
/* The code itself, cut at `:` and after `#`; "". */
void aws_error_code(const struct http_reply *r, char *buf, size_t size);

#endif
