/* sink.c - a STOW-RS server and a bucket that keep nothing, for `make bench`.
 *
 *   sink SOCKET
 *
 * HTTP/1.1 on a UNIX socket behind nginx, a thread per connection. It reads the
 * whole body of every POST, takes the SOP class and instance UID of each part from
 * its Part 10 head, passes over the rest by the part's Content-Length and answers
 * 200 with every instance in the Referenced SOP Sequence. A PUT is an object of S3:
 * read, and answered with some ETag; no signature is looked at.
 *
 * GET /count says how many instances came since the last GET /stats, which says in
 * JSON what came since then: instances, bytes of bodies, when the first request began
 * (by CLOCK_MONOTONIC), seconds from there to the end of the last answer, and the
 * number of instances and of bytes of each request. Other GETs find nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX  16384u
#define BUFFER	  (256u << 10)
#define PEEK	  1024u		/* of a part: the UIDs of group 0002 are in it */

struct connection {
	int	 fd;
	size_t	 at, len;
	uint64_t left;		/* of the body */
	uint8_t	 buffer[BUFFER];
	char	*answer;
	size_t	 answered, room;
};

struct request {
	uint64_t instances, bytes;
};

static struct {
	pthread_mutex_t mu;
	uint64_t	instances, bytes;
	double		first, last;
	struct request *requests;
	size_t		n, room;
} stats = { .mu = PTHREAD_MUTEX_INITIALIZER };

static double
seconds_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- reading ------------------------------------------------------------- */

/* Makes at least `want` bytes stand in the buffer; false: the peer is gone. */
static bool
fill(struct connection *c, size_t want)
{
	while (c->len - c->at < want) {
		ssize_t n;

		if (c->at > 0) {
			memmove(c->buffer, c->buffer + c->at, c->len - c->at);
			c->len -= c->at;
			c->at = 0;
		}
		if (want > sizeof(c->buffer))
			return false;
		n = recv(c->fd, c->buffer + c->len, sizeof(c->buffer) - c->len, 0);
		if (n <= 0)
			return false;
		c->len += (size_t)n;
	}
	return true;
}

static bool
skip(struct connection *c, uint64_t bytes)
{
	while (bytes > 0) {
		size_t here = c->len - c->at;

		if (here == 0) {
			if (!fill(c, 1))
				return false;
			continue;
		}
		if (here > bytes)
			here = (size_t)bytes;
		c->at += here;
		bytes -= here;
	}
	return true;
}

/* A head up to and with its empty line, as a string; false: gone or too long. */
static bool
read_head(struct connection *c, char out[static HEAD_MAX], size_t *ret_len)
{
	size_t want = 1;

	for (;;) {
		const uint8_t *p, *end;

		if (want > HEAD_MAX - 1 || !fill(c, want))
			return false;
		p = c->buffer + c->at;
		end = memmem(p, c->len - c->at, "\r\n\r\n", 4);
		if (end != NULL && (size_t)(end - p) + 4 < HEAD_MAX) {
			*ret_len = (size_t)(end - p) + 4;
			memcpy(out, p, *ret_len);
			out[*ret_len] = '\0';
			c->at += *ret_len;
			return true;
		}
		want = c->len - c->at + 1;
	}
}

static bool
find_length(const char *head, uint64_t *ret)
{
	const char *p = strcasestr(head, "\r\ncontent-length:");

	if (p == NULL)
		return false;
	*ret = strtoull(p + strlen("\r\ncontent-length:"), NULL, 10);
	return true;
}

/* ---- one part ------------------------------------------------------------ */

static void __attribute__((format(printf, 2, 3)))
add(struct connection *c, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (c->room - c->answered < 512) {
		c->room = c->room * 2 + 4096;
		c->answer = realloc(c->answer, c->room);
		if (c->answer == NULL)
			abort();
	}
	va_start(ap, fmt);
	n = vsnprintf(c->answer + c->answered, c->room - c->answered, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= c->room - c->answered)
		abort();
	c->answered += (size_t)n;
}

/* The UID of (0002,element) in the first bytes of a Part 10 file. */
static void
find_uid(const uint8_t *p, size_t len, uint8_t tag, char out[65])
{
	const uint8_t want[6] = { 2, 0, tag, 0, 'U', 'I' };
	const uint8_t *at = memmem(p, len, want, sizeof(want));
	size_t size = at != NULL && at + 8 <= p + len ? at[6] : 0;

	if (size > 64 || at == NULL || at + 8 + size > p + len)
		size = 0;
	memcpy(out, at != NULL ? at + 8 : p, size);
	out[size] = '\0';
}

static bool
take_part(struct connection *c, uint64_t number)
{
	char head[HEAD_MAX], sop_class[65], instance[65];
	uint64_t length;
	size_t len, peek;

	if (!read_head(c, head, &len) || !find_length(head, &length))
		return false;
	peek = length < PEEK ? (size_t)length : PEEK;
	if (len + length > c->left || !fill(c, peek))
		return false;
	find_uid(c->buffer + c->at, peek, 0x02, sop_class);
	find_uid(c->buffer + c->at, peek, 0x03, instance);
	c->left -= len + length;
	add(c, "%s{\"00081150\":{\"vr\":\"UI\",\"Value\":[\"%s\"]},"
	    "\"00081155\":{\"vr\":\"UI\",\"Value\":[\"%s\"]}}",
	    number > 0 ? "," : "", sop_class, instance);
	return skip(c, length);
}

/* The line of a boundary; the last ends with two hyphens. */
static bool
take_boundary(struct connection *c, bool *ret_last)
{
	const uint8_t *p, *end;
	size_t len;

	if (!fill(c, 4))
		return false;
	if (memcmp(c->buffer + c->at, "\r\n", 2) == 0) {
		c->at += 2;
		c->left -= 2;
	}
	if (!fill(c, c->left < 100 ? (size_t)c->left : 100))
		return false;
	p = c->buffer + c->at;
	end = memmem(p, c->len - c->at, "\r\n", 2);
	if (end == NULL || memcmp(p, "--", 2) != 0)
		return false;
	*ret_last = memcmp(end - 2, "--", 2) == 0;
	len = (size_t)(end - p);
	/* The end of the line belongs to the part's head, so that a head with
	 * no field at all still ends with an empty line. */
	c->at += len;
	c->left -= len;
	return true;
}

/* ---- one request --------------------------------------------------------- */

static void
count_request(uint64_t instances, uint64_t bytes, double start)
{
	(void)pthread_mutex_lock(&stats.mu);
	if (stats.n == stats.room) {
		stats.room = stats.room * 2 + 256;
		stats.requests = realloc(stats.requests,
		    stats.room * sizeof(*stats.requests));
		if (stats.requests == NULL)
			abort();
	}
	stats.requests[stats.n++] = (struct request){ instances, bytes };
	stats.instances += instances;
	stats.bytes += bytes;
	if (stats.first == 0.0 || start < stats.first)
		stats.first = start;
	stats.last = seconds_now();
	(void)pthread_mutex_unlock(&stats.mu);
}

static bool
send_answer(struct connection *c, const char *status)
{
	char head[256];
	int n = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Type: "
	    "application/dicom+json\r\nETag: \"1\"\r\nContent-Length: %zu\r\n\r\n",
	    status, c->answered);

	if (c->answered == 0)
		return send(c->fd, head, (size_t)n, MSG_NOSIGNAL) == n;
	return send(c->fd, head, (size_t)n, MSG_NOSIGNAL | MSG_MORE) == n &&
	    send(c->fd, c->answer, c->answered, MSG_NOSIGNAL) ==
	    (ssize_t)c->answered;
}

static bool
take_post(struct connection *c, const char *head)
{
	double start = seconds_now();
	uint64_t length, number = 0;
	bool last = false;

	c->answered = 0;
	if (!find_length(head, &length))
		return false;
	c->left = length;
	add(c, "{\"00081199\":{\"vr\":\"SQ\",\"Value\":[");
	for (;;) {
		if (!take_boundary(c, &last))
			return false;
		if (last)
			break;
		if (!take_part(c, number++))
			return false;
	}
	if (!skip(c, c->left))
		return false;
	add(c, "]}}");
	if (!send_answer(c, "200 OK"))
		return false;
	count_request(number, length, start);
	return true;
}

static bool
take_put(struct connection *c, const char *head)
{
	double start = seconds_now();
	uint64_t length;

	c->answered = 0;
	if (!find_length(head, &length) || !skip(c, length) ||
	    !send_answer(c, "200 OK"))
		return false;
	count_request(1, length, start);
	return true;
}

static bool
tell_count(struct connection *c)
{
	c->answered = 0;
	(void)pthread_mutex_lock(&stats.mu);
	add(c, "%" PRIu64 "\n", stats.instances);
	(void)pthread_mutex_unlock(&stats.mu);
	return send_answer(c, "200 OK");
}

static bool
tell_stats(struct connection *c)
{
	c->answered = 0;
	(void)pthread_mutex_lock(&stats.mu);
	add(c, "{\"instances\": %" PRIu64 ", \"bytes\": %" PRIu64
	    ", \"began\": %.6f, \"seconds\": %.6f, \"requests\": [",
	    stats.instances, stats.bytes, stats.first, stats.last - stats.first);
	for (size_t i = 0; i < stats.n; i++)
		add(c, "%s[%" PRIu64 ", %" PRIu64 "]", i > 0 ? ", " : "",
		    stats.requests[i].instances, stats.requests[i].bytes);
	add(c, "]}\n");
	stats.instances = stats.bytes = 0;
	stats.first = stats.last = 0.0;
	stats.n = 0;
	(void)pthread_mutex_unlock(&stats.mu);
	return send_answer(c, "200 OK");
}

static void *
serve(void *arg)
{
	struct connection *c = arg;
	char head[HEAD_MAX];
	size_t len;
	bool more = true;

	while (more && read_head(c, head, &len)) {
		if (strncmp(head, "POST ", 5) == 0)
			more = take_post(c, head);
		else if (strncmp(head, "PUT ", 4) == 0)
			more = take_put(c, head);
		else if (strncmp(head, "GET /count ", 11) == 0)
			more = tell_count(c);
		else if (strncmp(head, "GET /stats ", 11) == 0)
			more = tell_stats(c);
		else {
			c->answered = 0;
			add(c, "[]");
			more = send_answer(c, "200 OK");
		}
	}
	(void)close(c->fd);
	free(c->answer);
	free(c);
	return NULL;
}

int
main(int argc, char **argv)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(at.sun_path)) {
		(void)fprintf(stderr, "usage: sink SOCKET\n");
		return 2;
	}
	memcpy(at.sun_path, argv[1], strlen(argv[1]));
	(void)signal(SIGPIPE, SIG_IGN);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(fd, 64) < 0) {
		(void)fprintf(stderr, "sink: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	for (;;) {
		struct connection *c = calloc(1, sizeof(*c));
		pthread_t thread;

		if (c == NULL)
			return 1;
		c->fd = accept(fd, NULL, NULL);
		if (c->fd < 0 || pthread_create(&thread, NULL, serve, c) != 0) {
			(void)close(c->fd);
			free(c);
			continue;
		}
		(void)pthread_detach(thread);
	}
}
