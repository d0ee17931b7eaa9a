/* client.c - HTTP over the control socket. What goes wrong is said in words that
 * tell what to look at.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "gateway/ctl/ctl_int.h"

#define REPLY_MAX (64u << 20)
#define URL_MAX	  (16u << 10)

struct transfer {
	CURL	  *curl;
	struct buf reply;	/* JSON, errors too */
	int	   fd;		/* of a file that is wanted, else -1 */
	int	   error;	/* of writing it */
};

static size_t
on_data(char *data, size_t one, size_t n, void *arg)
{
	struct transfer *t = arg;
	long status = 0;

	(void)one;
	(void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (t->fd >= 0 && status == 200) {
		t->error = fdio_write(t->fd, data, n);
		return t->error == 0 ? n : 0;
	}
	return buf_add(&t->reply, data, n) == 0 ? n : 0;
}

static void
explain_connect(const struct ctl *c, int os_error, char *why, size_t size)
{
	switch (os_error) {
	case ENOENT:
		(void)snprintf(why, size, "%s does not exist: is causewayd "
		    "running? (-s names another socket)", c->socket);
		break;
	case ECONNREFUSED:
		(void)snprintf(why, size, "nobody answers at %s: is causewayd "
		    "running?", c->socket);
		break;
	case EACCES:
	case EPERM:
		(void)snprintf(why, size, "you may not use %s: be root or a member "
		    "of its group", c->socket);
		break;
	default:
		(void)snprintf(why, size, "%s: %s", c->socket,
		    os_error != 0 ? strerror(os_error) : "cannot connect");
	}
}

static void
explain_curl(const struct ctl *c, const struct transfer *t, CURLcode code,
    char *why, size_t size)
{
	long os_error = 0;

	(void)curl_easy_getinfo(t->curl, CURLINFO_OS_ERRNO, &os_error);
	if (t->error != 0)
		(void)snprintf(why, size, "%s", strerror(-t->error));
	else if (code == CURLE_COULDNT_CONNECT)
		explain_connect(c, (int)os_error, why, size);
	else if (code == CURLE_PARTIAL_FILE)
		(void)snprintf(why, size, "the reply broke off: the daemon ended, "
		    "or the image is damaged on its disk");
	else
		(void)snprintf(why, size, "%s: %s", c->socket,
		    curl_easy_strerror(code));
}

/* 0: an answer, with *ret_status; else why. */
static int
perform(struct ctl *c, struct transfer *t, const char *method, const char *path,
    const char *body, long *ret_status, char *why, size_t size)
{
	struct curl_slist *headers;
	AUTO_FREE char *url = xasprintf("http://causeway%s", path);
	CURLcode code;

	headers = curl_slist_append(NULL, "Content-Type: application/json");
	(void)curl_easy_setopt(t->curl, CURLOPT_UNIX_SOCKET_PATH, c->socket);
	(void)curl_easy_setopt(t->curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(t->curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, on_data);
	(void)curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
	if (strcmp(method, "POST") == 0)
		(void)curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS,
		    body != NULL ? body : "");
	code = curl_easy_perform(t->curl);
	curl_slist_free_all(headers);
	if (code != CURLE_OK) {
		explain_curl(c, t, code, why, size);
		return -EIO;
	}
	(void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, ret_status);
	return 0;
}

static void
print_problems(struct ctl *c, const json_t *reply)
{
	static const char *const names[] = { "problems", "studies" };
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(reply, names[0]), i, v) {
		struct buf b = BUF_INIT(64 << 10);

		ctl_escape(&b, json_string_value(v) != NULL ?
		    json_string_value(v) : "");
		(void)fprintf(c->err, "  %s\n", b.len > 0 ? b.data : "");
		buf_free(&b);
	}
	json_array_foreach(json_object_get(reply, names[1]), i, v) {
		struct buf b = BUF_INIT(64 << 10);

		ctl_escape(&b, ctl_str(v, "uid"));
		(void)fprintf(c->err, "  id:%llu  %.10s  %s\n",
		    (unsigned long long)ctl_u64(v, "id"),
		    ctl_str(v, "last_arrival"), b.len > 0 ? b.data : "");
		buf_free(&b);
	}
}

static int
take_reply(struct ctl *c, const struct transfer *t, long status, json_t **ret)
{
	json_t *reply = json_loadb(t->reply.data != NULL ? t->reply.data : "",
	    t->reply.len, JSON_DECODE_ANY, NULL);

	if (status == 200 && reply != NULL) {
		*ret = reply;
		return CTL_DONE;
	}
	if (c->json && reply != NULL)
		ctl_print_json(c, reply);
	else if (ctl_str(reply, "error")[0] != '\0') {
		(void)ctl_fail(c, "%s", ctl_str(reply, "error"));
		print_problems(c, reply);
	} else
		(void)ctl_fail(c, "the daemon answered %ld and not what was "
		    "expected", status);
	json_decref(reply);
	return CTL_FAILED;
}

int
ctl_call(struct ctl *c, const char *method, const char *path, json_t *body,
    json_t **ret)
{
	struct transfer t = { .curl = curl_easy_init(),
		.reply = BUF_INIT(REPLY_MAX), .fd = -1 };
	AUTO_FREE char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	char why[512];
	long status = 0;
	int r;

	json_decref(body);
	if (t.curl == NULL)
		return ctl_fail(c, "out of memory");
	r = perform(c, &t, method, path, text, &status, why, sizeof(why));
	r = r < 0 ? ctl_fail(c, "%s", why) : take_reply(c, &t, status, ret);
	curl_easy_cleanup(t.curl);
	buf_free(&t.reply);
	return r;
}

int
ctl_download(struct ctl *c, const char *path, int fd, char *why, size_t size)
{
	struct transfer t = { .curl = curl_easy_init(),
		.reply = BUF_INIT(REPLY_MAX), .fd = fd };
	long status = 0;
	int r;

	if (t.curl == NULL)
		return -ENOMEM;
	r = perform(c, &t, "GET", path, NULL, &status, why, size);
	if (r == 0 && status != 200) {
		json_t *reply = json_loadb(t.reply.data != NULL ? t.reply.data : "",
		    t.reply.len, 0, NULL);

		(void)snprintf(why, size, "%s", ctl_str(reply, "error"));
		json_decref(reply);
		r = -EIO;
	}
	curl_easy_cleanup(t.curl);
	buf_free(&t.reply);
	return r;
}

static void
add_encoded(struct buf *b, const char *s)
{
	char *text = curl_easy_escape(NULL, s, 0);

	(void)buf_add_str(b, text != NULL ? text : "");
	curl_free(text);
}

void
ctl_path(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt != '\0'; fmt++) {
		if (fmt[0] == '%' && fmt[1] == 's') {
			add_encoded(b, va_arg(ap, const char *));
			fmt++;
		} else
			(void)buf_add_char(b, *fmt);
	}
	va_end(ap);
}

void
ctl_print_json(struct ctl *c, const json_t *o)
{
	(void)json_dumpf(o, c->out, JSON_INDENT(2) | JSON_ENCODE_ANY);
	(void)fputc('\n', c->out);
}

const char *
ctl_str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

uint64_t
ctl_u64(const json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));

	return n > 0 ? (uint64_t)n : 0;
}

bool
ctl_bool(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}
