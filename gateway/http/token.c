/* token.c - bearer tokens from the token endpoint of an issuer (RFC 6749, 6750).
 *
 * The endpoint is asked through a client of its own, by the destination's proxy.
 * What it says on refusal is the most useful text that there is (Entra's names the
 * very field), so it is kept, cleaned of everything that might be a secret.
 */
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/http/ticket_int.h"
#include "gateway/http/token_int.h"

#define FORM_MAX     (64u << 10)
#define ANSWER_MAX   (128u << 10)
#define TOKEN_MAX    (16u << 10)	/* of a header line that servers take */
#define CONNECT_MS   15000
#define ASK_MS	     60000		/* for the whole request */
#define LIFE_MS	     (5 * 60000)	/* where the answer does not say */
#define LIFE_MOST_S  (30 * 86400)
#define SKEW_MS	     10000		/* a correction worth another try */
#define SETTLED_MS   60000		/* a 403 is not about a token's age before */
#define SAID_MAX     160
#define WORD_MAX     40			/* longer words may be a token */

struct token {
	char   *text;
	int64_t fetched_ms;	/* CLOCK_MONOTONIC */
};

struct token_source {
	struct token_issuer issuer;
	const char	   *path;	/* of issuer.url */
	struct http_client *http;
	struct ticket	   *ticket;
};

/* A request runs on one thread from its apply to its refresh. */
static _Thread_local struct {
	const struct token_source *source;
	uint64_t generation;
	int64_t	 fetched_ms;
} last_used;

/* ---- the form ------------------------------------------------------------ */

void
token_escape(struct buf *b, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
		    (*p >= '0' && *p <= '9') || strchr("-._~", *p) != NULL)
			(void)buf_add_char(b, (char)*p);
		else
			(void)buf_printf(b, "%%%02X", *p);
	}
}

void
token_form_add(struct token_form *f, const char *name, const char *value)
{
	(void)buf_printf(&f->body, "%s%s=", f->body.len > 0 ? "&" : "", name);
	token_escape(&f->body, value);
}

static void
wipe_buf(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->size);
	buf_free(b);
}

static void
form_free(struct token_form *f)
{
	wipe_buf(&f->body);
	secret_free(f->authorization);
	secret_free(f->secret);
}

/* ---- refusals ------------------------------------------------------------ */

static const struct {
	const char *error;
	const char *words;
} advice[] = {
	{ "invalid_client", "client_id, or its secret or key, is wrong or has "
	    "expired (Entra: Certificates & secrets of the app registration)" },
	{ "invalid_grant", "it does not take our signature: was the key deleted or "
	    "the account disabled, or is a clock wrong?" },
	{ "invalid_scope", "it does not know this scope, or does not give it to "
	    "this client" },
	{ "invalid_target", "it does not know this resource or audience" },
	{ "unauthorized_client", "this client may not fetch tokens by itself, or is "
	    "not known: allow it the client credentials grant" },
	{ "unsupported_grant_type", "it gives no tokens in this way: is this the "
	    "token endpoint, and of the right tenant or realm?" },
	{ "invalid_request", "it calls the request malformed: look at scope, "
	    "resource and audience, and at the tenant in the address" },
	{ "access_denied", "it denies this client the token: ask whoever runs it" },
	{ "temporarily_unavailable", "it is busy or being maintained" },
	{ "server_error", "it failed inside" },
};

/* In place: what of the form's secret, or of the header's, it quotes. */
static void
strike_out(char *text, const struct http_reply *r, const struct token_form *f)
{
	struct buf escaped = BUF_INIT(FORM_MAX);

	http_reply_redact(r, text);
	if (f->secret != NULL) {
		redact_secret(text, f->secret);
		token_escape(&escaped, f->secret);
		redact_secret(text, escaped.data != NULL ? escaped.data : "");
	}
	wipe_buf(&escaped);
}

/* One line of printable ASCII, without words that could be a token or a key. */
static void
add_said(struct buf *b, const char *said, const struct http_reply *r,
    const struct token_form *f)
{
	AUTO(cleanup_secret_free) char *whole = xstrdup(said);
	const char *text = whole;
	size_t start = b->len, len;

	strike_out(whole, r, f);
	for (; *text != '\0' && *text != '\r' && *text != '\n'; text += len) {
		len = strcspn(text, " \r\n");
		if (b->len - start + len > SAID_MAX)
			break;
		if (len > WORD_MAX)
			(void)buf_add_str(b, "...");
		for (size_t i = 0; len <= WORD_MAX && i < len; i++)
			(void)buf_add_char(b, text[i] > 0x20 && text[i] < 0x7f ?
				text[i] : '?');
		if (text[len] == ' ') {
			(void)buf_add_char(b, ' ');
			len++;
		}
	}
}

static const char *
words_for(const char *error)
{
	for (size_t i = 0; i < ARRAY_LEN(advice); i++) {
		if (strcmp(advice[i].error, error) == 0)
			return advice[i].words;
	}
	return "the issuer refuses";
}

static void
explain_refusal(const struct token_source *s, const struct http_reply *r,
    const json_t *answer, const struct token_form *f, struct buf *why)
{
	const char *error = json_string_value(json_object_get(answer, "error"));
	const char *said = json_string_value(json_object_get(answer,
	    "error_description"));
	char text[sizeof(r->why)];

	(void)buf_printf(why, "%s: ", s->issuer.option);
	if (error == NULL) {
		http_explain(r, text, sizeof(text));
		strike_out(text, r, f);
		(void)buf_printf(why, "%s%s", text, r->outcome == HTTP_ANSWERED &&
			r->status < 300 ? ": no answer of a token endpoint" : "");
		return;
	}
	(void)buf_printf(why, "%s: ", words_for(error));
	add_said(why, error, r, f);
	if (said != NULL) {
		(void)buf_add_str(why, ": ");
		add_said(why, said, r, f);
	}
}

/* ---- answers ------------------------------------------------------------- */

static void
wipe_string(json_t *answer, const char *key)
{
	const char *text = json_string_value(json_object_get(answer, key));

	if (text != NULL)
		explicit_bzero((char *)text, strlen(text));
}

static bool
token_ok(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if (text[i] <= 0x20 || text[i] >= 0x7f)
			return false;
	}
	return len > 0 && len <= TOKEN_MAX;
}

static bool
is_word(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return text[len] == '\0' && len <= 16;
}

/* A number, or a text that is one (older endpoints of Microsoft). */
static int64_t
life_of(const json_t *answer)
{
	const json_t *value = json_object_get(answer, "expires_in");
	double s = json_number_value(value);

	if (json_is_string(value))
		s = strtod(json_string_value(value), NULL);
	if (!(s > 0))
		return LIFE_MS;
	return s < LIFE_MOST_S ? (int64_t)(s * 1000) : LIFE_MOST_S * INT64_C(1000);
}

static int
take_token(const struct token_source *s, json_t *answer, struct token **ret,
    int64_t *ret_expires_ms, struct buf *why)
{
	const char *text = json_string_value(json_object_get(answer,
	    "access_token"));
	const char *type = json_string_value(json_object_get(answer, "token_type"));
	struct token *t;

	if (type != NULL && strcasecmp(type, "Bearer") != 0) {
		(void)buf_printf(why, "%s: the issuer gives tokens of type %s, and "
		    "we can only use Bearer", s->issuer.option,
		    is_word(type) ? type : "unknown");
		return -EPROTO;
	}
	if (text == NULL || !token_ok(text)) {
		(void)buf_printf(why, "%s: the answer holds no token that could be "
		    "used", s->issuer.option);
		return -EPROTO;
	}
	t = xcalloc(1, sizeof(*t));
	t->text = xstrdup(text);
	t->fetched_ms = clock_mono_ms();
	*ret = t;
	*ret_expires_ms = t->fetched_ms + life_of(answer);
	return 0;
}

static void
free_token(void *value)
{
	struct token *t = value;

	secret_free(t->text);
	free(t);
}

/* ---- asking -------------------------------------------------------------- */

static int
post_form(struct token_source *s, struct token_form *f, struct http_reply *r)
{
	struct http_memory body = { .data = f->body.data, .len = f->body.len };
	const struct http_header authorization = { "Authorization",
		f->authorization };
	const struct http_request req = {
		.method = "POST",
		.path = s->path,
		.accept = "application/json",
		.content_type = "application/x-www-form-urlencoded",
		.headers = &authorization,
		.n_headers = f->authorization != NULL ? 1 : 0,
		.body = http_memory_read,
		.body_arg = &body,
		.body_length = f->body.len,
		.body_rewind = http_memory_rewind,
		.reply_max = ANSWER_MAX,
		.urgent = true,
		.deadline_ms = clock_mono_ms() + ASK_MS,
	};

	return http_call(s->http, &req, r);
}

/* *ret_again: it may be about the time that the form held. */
static int
judge_answer(struct token_source *s, const struct token_form *f,
    const struct http_reply *r, struct token **ret, int64_t *ret_expires_ms,
    bool *ret_again, struct buf *why)
{
	json_t *answer = r->outcome == HTTP_ANSWERED && r->body.len > 0 ?
	    json_loadb(r->body.data, r->body.len, 0, NULL) : NULL;
	const char *error = json_string_value(json_object_get(answer, "error"));
	int e = -EACCES;

	if (r->outcome == HTTP_ANSWERED && r->status == 200 && error == NULL &&
	    json_is_object(answer))
		e = take_token(s, answer, ret, ret_expires_ms, why);
	else
		explain_refusal(s, r, answer, f, why);
	*ret_again = error != NULL && (strcmp(error, "invalid_grant") == 0 ||
	    strcmp(error, "invalid_client") == 0);
	wipe_string(answer, "access_token");
	wipe_string(answer, "refresh_token");
	wipe_string(answer, "id_token");
	json_decref(answer);
	return e;
}

static int
ask_once(struct token_source *s, int64_t now_ms, struct token **ret,
    int64_t *ret_expires_ms, bool *ret_again, struct buf *why)
{
	struct token_form f = { .now_ms = now_ms, .body = BUF_INIT(FORM_MAX) };
	struct http_reply reply;
	int r;

	r = s->issuer.fill(s->issuer.arg, &f, why);
	if (r == 0)
		r = buf_error(&f.body);
	if (r == 0) {
		(void)post_form(s, &f, &reply);
		r = judge_answer(s, &f, &reply, ret, ret_expires_ms, ret_again, why);
		if (reply.body.data != NULL)
			explicit_bzero(reply.body.data, reply.body.size);
		http_reply_free(&reply);
	}
	form_free(&f);
	return r;
}

static int
fetch_token(void *arg, void **ret_value, int64_t *ret_expires_ms,
    struct buf *why)
{
	struct token_source *s = arg;
	int64_t began = clock_mono_ms(), now = http_client_now_ms(s->http), skew;
	struct token *t;
	bool again = false;
	int r;

	r = ask_once(s, now, &t, ret_expires_ms, &again, why);
	skew = http_client_now_ms(s->http) - now - (clock_mono_ms() - began);
	if (r < 0 && again && s->issuer.clocked &&
	    (skew > SKEW_MS || skew < -SKEW_MS)) {
		buf_clear(why);
		r = ask_once(s, http_client_now_ms(s->http), &t, ret_expires_ms,
		    &again, why);
	}
	if (r < 0)
		return r;
	*ret_value = t;
	return 0;
}

/* ---- for the kinds ------------------------------------------------------- */

/* Where the path begins; NULL: it is no URL. */
static const char *
find_path(const char *url)
{
	const char *host = strncmp(url, "https://", 8) == 0 ? url + 8 :
	    strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
	size_t len;

	if (host == NULL)
		return NULL;
	len = strcspn(host, "/?#");
	return len > 0 && memchr(host, '@', len) == NULL ? host + len : NULL;
}

bool
token_url_ok(const char *url)
{
	const char *path = find_path(url);

	if (path == NULL || (*path != '/' && *path != '\0'))
		return false;
	for (const char *p = url; *p != '\0'; p++) {
		if (*p <= 0x20 || *p >= 0x7f || *p == '#')
			return false;
	}
	return true;
}

int
token_source_new(const struct token_issuer *issuer, struct token_source **ret,
    struct buf *why)
{
	const char *path = token_url_ok(issuer->url) ? find_path(issuer->url) : NULL;
	AUTO_FREE char *base = path != NULL ?
	    xstrndup(issuer->url, (size_t)(path - issuer->url)) : NULL;
	const struct http_client_options o = {
		.url = base,
		.ca_file = issuer->ca_file,
		.proxy = issuer->proxy,
		.connect_timeout_ms = CONNECT_MS,
		.stall_timeout_ms = ASK_MS / 2,
	};
	struct token_source *s;
	int r;

	if (base == NULL) {
		(void)buf_printf(why, "%s: is no http:// or https:// URL",
		    issuer->option);
		return -EINVAL;
	}
	s = xcalloc(1, sizeof(*s));
	s->path = path;
	r = http_client_new(&o, &s->http, why);
	if (r < 0) {
		free(s);
		return r;
	}
	s->issuer = *issuer;
	s->ticket = ticket_new(fetch_token, s, free_token);
	*ret = s;
	return 0;
}

void
token_source_free(struct token_source *s)
{
	if (s == NULL)
		return;
	ticket_free(s->ticket);
	http_client_free(s->http);
	free(s);
}

void
token_source_cancel(struct token_source *s)
{
	ticket_cancel(s->ticket);
	http_client_cancel(s->http);
}

void
token_source_renew(struct token_source *s)
{
	ticket_renew(s->ticket, true);
}

int
token_source_apply(struct token_source *s, struct http_headers *h,
    struct buf *why)
{
	AUTO(cleanup_secret_free) char *value = NULL;
	struct token *t;
	void *held;
	int r;

	r = ticket_take(s->ticket, &held, &last_used.generation, why);
	if (r < 0)
		return r;
	t = held;
	last_used.source = s;
	last_used.fetched_ms = t->fetched_ms;
	value = xasprintf("Bearer %s", t->text);
	ticket_give(s->ticket, t);
	return http_headers_add(h, "Authorization", value);
}

/* A 403 may mean that rights were given after the token was made. */
bool
token_source_refresh(struct token_source *s, const struct http_reply *r)
{
	if (last_used.source != s)
		return false;
	if (r->status == 403)
		return clock_mono_ms() - last_used.fetched_ms >= SETTLED_MS &&
		    ticket_refused(s->ticket, last_used.generation, false);
	return r->status == 401 &&
	    ticket_refused(s->ticket, last_used.generation, true);
}
