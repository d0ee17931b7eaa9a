/* aws_session_int.h - keys for AWS that are fetched and expire: what the kinds of
 * credential that come by them share.
 */
#ifndef CW_HTTP_AWS_SESSION_INT_H
#define CW_HTTP_AWS_SESSION_INT_H

#include "gateway/http/aws_int.h"
#include "gateway/http/process_int.h"

struct aws_session;

/* Fills the keys; their expires_ms is by the clock that says now_ms: ours,
 * corrected by what the services said of theirs. */
typedef int aws_session_fetch_fn(void *arg, int64_t now_ms, struct aws_keys *ret,
    struct buf *why);

struct aws_session *aws_session_new(aws_session_fetch_fn *fetch, void *arg);
void aws_session_free(struct aws_session *s);	/* takes NULL */
void aws_session_cancel(struct aws_session *s);	/* the fetch is the caller's to end */
/* What it fetches from changed; keep: the old keys serve if no others can be had. */
void aws_session_renew(struct aws_session *s, bool keep);

/* For the kinds. */
int  aws_session_apply(struct aws_session *s, const struct http_signing *what,
    struct http_headers *h, struct buf *why);
bool aws_session_refresh(struct aws_session *s, const struct http_reply *r);

/* "2024-02-29T12:00:00Z", with a fraction or an offset, too; -EINVAL. */
int aws_time_parse(const char *text, int64_t *ret_wall_ms);

/* Ends a fetch: -EACCES with why when the keys are over already, by the services'
 * clock and by ours. */
int aws_keys_check(const struct aws_keys *k, int64_t now_ms, const char *from,
    struct buf *why);

/* What a program for `credential_process` prints; ret->expires_ms as it says. */
int aws_process_parse(const char *name, const char *text, size_t len,
    struct aws_keys *ret, struct buf *why);
int aws_process_fetch(struct process *p, int64_t now_ms, struct aws_keys *ret,
    struct buf *why);

#endif
