/* redact.c - what a server quotes of our secrets is struck out of its words.
 *
 * Some servers put the whole request into their message, or the login that they did
 * not like, into any field of any document. So what a request bears as its proof is
 * kept with the reply, and of a text that people will see no run of it is left: not
 * from its middle, nor the first letters of it where the text was cut.
 */
#include <string.h>

#include <openssl/evp.h>

#include "gateway/http/http_int.h"

#define RUN   8		/* letters in a row are no accident */
#define LEAST 4		/* of a secret, or at the end of a text */

/* How much of the secret text begins with; 0: nothing that tells. begins: a word
 * does, which may have been cut. */
static size_t
quoted_length(const char *text, bool begins, const char *secret, size_t n)
{
	size_t left = strlen(text), run = n < RUN ? n : RUN, at;
	const char *found;

	if (left < run)
		return begins && left >= LEAST && memcmp(text, secret, left) == 0 ?
		    left : 0;
	found = memmem(secret, n, text, run);
	if (found == NULL)
		return 0;
	at = (size_t)(found - secret);
	while (run < left && at + run < n && text[run] == secret[at + run])
		run++;
	return run;
}

void
redact_secret(char *text, const char *secret)
{
	size_t n = strlen(secret), run;
	bool begins = true;

	if (n < LEAST)
		return;
	while (*text != '\0') {
		run = quoted_length(text, begins, secret, n);
		memset(text, '*', run);
		text += run > 0 ? run : 1;
		begins = strchr(" \"'`=:(<[", text[-1]) != NULL;
	}
}

void
http_reply_redact(const struct http_reply *r, char *text)
{
	const char *end = r->proof.len > 0 ? r->proof.data + r->proof.len : NULL;

	for (const char *p = r->proof.data; p < end; p += strlen(p) + 1)
		redact_secret(text, p);
}

/* ---- what a request bore ------------------------------------------------- */

static void
add_piece(struct buf *b, const char *text)
{
	(void)buf_add(b, text, strlen(text) + 1);
}

/* The password by itself: "user:password" in base64. */
static void
add_password(struct buf *b, const char *encoded)
{
	size_t len = strlen(encoded);
	AUTO(cleanup_secret_free) char *text = xcalloc(1, len + 1);
	char *colon;

	if (EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)encoded,
		(int)len) < 0)
		return;
	colon = strchr(text, ':');
	if (colon != NULL)
		add_piece(b, colon + 1);
}

static void
add_authorization(struct buf *b, const char *value)
{
	const char *signature = strstr(value, "Signature=");
	const char *space = strchr(value, ' ');

	if (signature != NULL) {
		/* The rest of it names keys and regions, which help. */
		add_piece(b, signature + strlen("Signature="));
		return;
	}
	if (space != NULL && strncasecmp(value, "Basic ", 6) == 0)
		add_password(b, space + 1);
	add_piece(b, space != NULL ? space + 1 : value);
}

void
redact_collect(const struct curl_slist *sent, struct buf *ret)
{
	for (; sent != NULL; sent = sent->next) {
		const char *value = strchr(sent->data, ':');

		if (value == NULL)
			continue;
		value += 1 + strspn(value + 1, " ");
		if (strncasecmp(sent->data, "Authorization:", 14) == 0)
			add_authorization(ret, value);
		else if (strncasecmp(sent->data, "x-amz-security-token:", 21) == 0)
			add_piece(ret, value);
	}
}
