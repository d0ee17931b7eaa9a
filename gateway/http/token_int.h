/* token_int.h - bearer tokens from the token endpoint of an issuer (RFC 6749):
 * what the kinds of credential that fetch them share.
 */
#ifndef CW_HTTP_TOKEN_INT_H
#define CW_HTTP_TOKEN_INT_H

#include <stdint.h>

#include "gateway/http/http_int.h"

/* The form that is posted; what is in it is wiped. */
struct token_form {
	int64_t	   now_ms;		/* wall time, as the issuer's clock has it */
	struct buf body;		/* token_form_add() */
	char	  *authorization;	/* the header's value; NULL: none */
	char	  *secret;		/* must not come back in a message; NULL */
};
void token_form_add(struct token_form *f, const char *name, const char *value);
/* Escaped as in a form. */
void token_escape(struct buf *b, const char *text);

struct token_issuer {
	const char *url;		/* borrowed, as is the rest; kept to the letter,
					 * a slash or a query at its end included */
	const char *option;		/* that names the url, for people */
	const char *ca_file;
	const struct config_proxy *proxy;
	bool	    clocked;		/* the form holds the time */
	int	  (*fill)(void *arg, struct token_form *f, struct buf *why);
	void	   *arg;
};

struct token_source;

/* http:// or https:// and a host, without a user. */
bool token_url_ok(const char *url);

int  token_source_new(const struct token_issuer *issuer, struct token_source **ret,
    struct buf *why);
void token_source_free(struct token_source *s);		/* takes NULL */
void token_source_cancel(struct token_source *s);
/* What `fill` reads has changed. */
void token_source_renew(struct token_source *s);

/* For the kinds: Authorization: Bearer, and what to do about a 401 or 403. */
int  token_source_apply(struct token_source *s, struct http_headers *h,
    struct buf *why);
bool token_source_refresh(struct token_source *s, const struct http_reply *r);

#endif
