/* s3_xml.c - the small documents that S3 answers with.
 *
 * One walk serves all: each element that ends is told with the names around it.
 * What comes is bounded in depth, in names and in text, and no document type is
 * allowed in it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <expat.h>

#include "gateway/destination/s3_client_int.h"

#define DEPTH_MAX 8
#define PATH_SIZE 256
#define TEXT_MAX  (16u << 10)

struct walk {
	XML_Parser expat;
	s3_xml_fn *fn;
	void	  *arg;
	int	   error;
	char	   path[PATH_SIZE];
	size_t	   ends[DEPTH_MAX];	/* of path, before each element */
	unsigned   depth;
	bool	   leaf;	/* nothing has begun inside of this one */
	struct buf text;
};

static void
fail_walk(struct walk *w, int error)
{
	if (w->error == 0)
		w->error = error;
	(void)XML_StopParser(w->expat, XML_FALSE);
}

static void XMLCALL
on_start(void *arg, const char *name, const char **properties)
{
	struct walk *w = arg;
	const char *colon = strrchr(name, ':');
	size_t len = strlen(w->path), n;

	(void)properties;
	if (colon != NULL)
		name = colon + 1;
	n = strlen(name);
	if (w->depth == DEPTH_MAX || len + 1 + n >= sizeof(w->path)) {
		fail_walk(w, -EBADMSG);
		return;
	}
	w->ends[w->depth++] = len;
	(void)snprintf(w->path + len, sizeof(w->path) - len, "%s%s",
	    len > 0 ? "/" : "", name);
	w->leaf = true;
	buf_clear(&w->text);
}

static void XMLCALL
on_end(void *arg, const char *name)
{
	struct walk *w = arg;
	int r;

	(void)name;
	r = w->fn(w->arg, w->path, w->leaf && w->text.len > 0 ? w->text.data : "");
	if (r != 0)
		fail_walk(w, r);
	w->path[w->ends[--w->depth]] = '\0';
	w->leaf = false;
}

static void XMLCALL
on_text(void *arg, const char *text, int len)
{
	struct walk *w = arg;

	if (w->leaf && buf_add(&w->text, text, (size_t)len) < 0)
		fail_walk(w, -EBADMSG);
}

static void XMLCALL
on_doctype(void *arg, const char *name, const char *system_id,
    const char *public_id, int has_internal_subset)
{
	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_internal_subset;
	fail_walk(arg, -EBADMSG);
}

int
s3_xml_walk(const char *text, size_t len, s3_xml_fn *fn, void *arg)
{
	struct walk w = { .fn = fn, .arg = arg, .text = BUF_INIT(TEXT_MAX) };
	enum XML_Status status;

	/* S3 keeps a connection alive with it while it works. */
	while (len > 0 && strchr(" \t\r\n", *text) != NULL && *text != '\0') {
		text++;
		len--;
	}
	if (len == 0 || len > S3_REPLY_MAX)
		return -EBADMSG;
	w.expat = XML_ParserCreate(NULL);
	if (w.expat == NULL)
		return -ENOMEM;
	XML_SetUserData(w.expat, &w);
	XML_SetElementHandler(w.expat, on_start, on_end);
	XML_SetCharacterDataHandler(w.expat, on_text);
	XML_SetStartDoctypeDeclHandler(w.expat, on_doctype);
	status = XML_Parse(w.expat, text, (int)len, XML_TRUE);
	if (w.error == 0 && status != XML_STATUS_OK)
		w.error = -EBADMSG;
	XML_ParserFree(w.expat);
	buf_free(&w.text);
	return w.error;
}

void
s3_xml_add(struct buf *b, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '&')
			(void)buf_add_str(b, "&amp;");
		else if (*text == '<')
			(void)buf_add_str(b, "&lt;");
		else if (*text == '>')
			(void)buf_add_str(b, "&gt;");
		else if (*text == '"')
			(void)buf_add_str(b, "&quot;");
		else if ((unsigned char)*text < 0x20)
			(void)buf_printf(b, "&#%u;", (unsigned char)*text);
		else
			(void)buf_add_char(b, *text);
	}
}
