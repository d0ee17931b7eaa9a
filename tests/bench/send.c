/* send.c - a C-STORE sender that does nothing but write PDUs, for `make bench`.
 *
 *   send [-a ASSOCIATIONS] [-n OBJECTS] [-c CALLED] [-T] PORT FILE
 *
 * FILE is a Part 10 file in explicit VR little endian whose study, series and
 * instance UIDs are 2.25.N with N of 39 digits (tests/bench/data.py makes such).
 * It is mapped once per association; of every object only the UIDs are written
 * anew, so that each is fresh: a study for each 200, a series for each 100. PDUs
 * are as large as the peer takes, up to 128 KiB. An object follows when the
 * response to the one before it is here (no asynchronous operations). TCP_NODELAY
 * is set. -T speaks TLS and believes any certificate.
 *
 * Prints one line of JSON: objects, failures, bytes of data sets, seconds from
 * the first association's start to the last one's end, and latencies from the
 * first byte of a request to its response.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define PDU_MAX		131072u
#define PDV_HEAD	12u	/* of PDU and PDV together */
#define UID_DIGITS	39
#define COUNT_DIGITS	12
#define UID_LEN		(5 + UID_DIGITS)
#define PER_STUDY	200
#define PER_SERIES	100
#define IOV_PAIRS	32
#define APPLICATION	"1.2.840.10008.3.1.1.1"
#define IMPLICIT_LE	"1.2.840.10008.1.2"

struct object {		/* where things are in the file */
	const char *path;
	size_t	    size, dataset, study, series, instance;
	char	    sop_class[65], syntax[65];
};

struct sender {
	pthread_t	     thread;
	unsigned	     number;
	const struct object *object;
	uint8_t		    *map;	/* private to this one */
	int		     fd;
	SSL		    *ssl;
	size_t		     peer_pdu;
	uint64_t	     sent, failed;
	float		    *latency_ms;
	uint8_t		     gather[IOV_PAIRS * 2048];
};

static struct {
	unsigned   associations, port;
	uint64_t   objects;	/* of each association */
	const char *called;
	SSL_CTX	  *tls;
	char	   prefix[UID_LEN - COUNT_DIGITS + 1];
} run = { .associations = 1, .objects = 100, .called = "CAUSEWAY" };

static _Noreturn void __attribute__((format(printf, 1, 2)))
fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fprintf(stderr, "send: ");
	(void)vfprintf(stderr, fmt, ap);
	(void)fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

static double
seconds_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- the object ---------------------------------------------------------- */

static uint32_t
read_le(const uint8_t *p, unsigned bytes)
{
	uint32_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return v;
}

/* The value of the element at `at`, and where the next one begins. */
static size_t
step_element(const uint8_t *p, size_t at, size_t *value, size_t *len)
{
	static const char longs[] = "OB OW OF OD OL OV SQ UN UT UC UR";
	char vr[3] = { (char)p[at + 4], (char)p[at + 5], '\0' };

	if (strstr(longs, vr) != NULL) {
		*len = read_le(p + at + 8, 4);
		*value = at + 12;
	} else {
		*len = read_le(p + at + 6, 2);
		*value = at + 8;
	}
	return *value + *len;
}

static void
copy_uid(char out[65], const uint8_t *p, size_t len)
{
	if (len > 64)
		fail("a UID of %zu bytes", len);
	memcpy(out, p, len);
	out[len] = '\0';
}

static void
find_uids(struct object *o, const uint8_t *p)
{
	size_t at = 132, value, len;

	while (at + 12 < o->size && o->series == 0) {
		uint32_t tag = read_le(p + at, 2) << 16 | read_le(p + at + 2, 2);
		size_t next = step_element(p, at, &value, &len);

		if (next > o->size)
			break;
		if (o->dataset == 0 && tag > 0x0002ffff)
			o->dataset = at;
		if (tag == 0x00020002)
			copy_uid(o->sop_class, p + value, len);
		else if (tag == 0x00020010)
			copy_uid(o->syntax, p + value, len);
		else if (tag == 0x00080018)
			o->instance = len == UID_LEN ? value : 0;
		else if (tag == 0x0020000d)
			o->study = len == UID_LEN ? value : 0;
		else if (tag == 0x0020000e)
			o->series = len == UID_LEN ? value : 0;
		at = next;
	}
	if (o->instance == 0 || o->study == 0 || o->series == 0)
		fail("%s: no UIDs of %d characters found", o->path, UID_LEN);
}

static uint8_t *
map_object(const struct object *o)
{
	int fd = open(o->path, O_RDONLY | O_CLOEXEC);
	void *p;

	if (fd < 0)
		fail("%s: %s", o->path, strerror(errno));
	p = mmap(NULL, o->size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED)
		fail("%s: %s", o->path, strerror(errno));
	(void)close(fd);
	return p;
}

static void
read_object(struct object *o, const char *path)
{
	struct stat st;
	uint8_t *p;

	if (stat(path, &st) < 0 || st.st_size < 256)
		fail("%s: not there, or empty", path);
	o->path = path;
	o->size = (size_t)st.st_size;
	p = map_object(o);
	find_uids(o, p);
	(void)munmap(p, o->size);
}

static void
make_prefix(void)
{
	uint8_t random[UID_DIGITS - COUNT_DIGITS];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		fail("getrandom: %s", strerror(errno));
	memcpy(run.prefix, "2.25.1", 6);	/* below 2^128 */
	for (size_t i = 1; i < sizeof(random); i++)
		run.prefix[5 + i] = (char)('0' + random[i] % 10);
}

static void
set_uid(uint8_t *at, unsigned level, const struct sender *s, uint64_t count)
{
	char uid[UID_LEN + 1];

	(void)snprintf(uid, sizeof(uid), "%s%1u%03u%08" PRIu64, run.prefix,
	    level % 10, s->number % 1000, count % 100000000);
	memcpy(at, uid, UID_LEN);
}

/* ---- bytes on the connection --------------------------------------------- */

static void
write_tls(struct sender *s, const struct iovec *iov, int n)
{
	size_t used = 0;

	for (int i = 0; i < n; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left > 0) {
			size_t len = sizeof(s->gather) - used;

			if (len > left)
				len = left;
			memcpy(s->gather + used, p, len);
			used += len;
			p += len;
			left -= len;
			if (used < sizeof(s->gather) && (left > 0 || i + 1 < n))
				continue;
			if (SSL_write(s->ssl, s->gather, (int)used) != (int)used)
				fail("TLS: the peer hung up");
			used = 0;
		}
	}
	if (used > 0 && SSL_write(s->ssl, s->gather, (int)used) != (int)used)
		fail("TLS: the peer hung up");
}

static void
write_all(struct sender *s, struct iovec *iov, int n)
{
	if (s->ssl != NULL) {
		write_tls(s, iov, n);
		return;
	}
	while (n > 0) {
		ssize_t done = writev(s->fd, iov, n);

		if (done < 0)
			fail("writing: %s", strerror(errno));
		while (n > 0 && (size_t)done >= iov->iov_len) {
			done -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
}

static void
read_all(struct sender *s, uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = s->ssl != NULL ? SSL_read(s->ssl, p, (int)len) :
		    recv(s->fd, p, len, 0);

		if (n <= 0)
			fail("reading: %s", n == 0 ? "the peer hung up" :
			    strerror(errno));
		p += n;
		len -= (size_t)n;
	}
}

static uint32_t
read_be(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
}

static void
put_be(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static void
put_le(uint8_t *p, uint32_t v, unsigned bytes)
{
	for (; bytes-- > 0; v >>= 8)
		*p++ = (uint8_t)v;
}

static size_t
read_pdu(struct sender *s, uint8_t *type, uint8_t *body, size_t room)
{
	uint8_t head[6];
	uint32_t len;

	read_all(s, head, sizeof(head));
	len = read_be(head + 2);
	if (len > room)
		fail("a PDU of %" PRIu32 " bytes from the peer", len);
	read_all(s, body, len);
	*type = head[0];
	return len;
}

/* ---- the association ----------------------------------------------------- */

static size_t
put_item(uint8_t *p, uint8_t type, const char *text)
{
	size_t len = strlen(text);

	p[0] = type;
	p[1] = 0;
	p[2] = (uint8_t)(len >> 8);
	p[3] = (uint8_t)len;
	memcpy(p + 4, text, len);
	return 4 + len;
}

static void
end_item(uint8_t *item, const uint8_t *end)
{
	size_t len = (size_t)(end - item) - 4;

	item[2] = (uint8_t)(len >> 8);
	item[3] = (uint8_t)len;
}

static size_t
make_request(const struct object *o, uint8_t *p)
{
	uint8_t *at = p + 74, *item;
	char title[17];

	memset(p, 0, 74);
	p[0] = 1;
	p[7] = 1;	/* protocol version */
	(void)snprintf(title, sizeof(title), "%-16s", run.called);
	memcpy(p + 10, title, 16);
	memcpy(p + 26, "BENCH           ", 16);
	at += put_item(at, 0x10, APPLICATION);
	item = at;
	memcpy(item, "\x20\0\0\0\1\0\0\0", 8);
	at += 8;
	at += put_item(at, 0x30, o->sop_class);
	at += put_item(at, 0x40, o->syntax);
	end_item(item, at);
	item = at;
	memcpy(item, "\x50\0\0\0\x51\0\0\4", 8);
	put_be(item + 8, PDU_MAX);
	at += 12;
	at += put_item(at, 0x52, "2.25.329800735698586629295641978511506172918");
	end_item(item, at);
	put_be(p + 2, (uint32_t)(at - p) - 6);
	return (size_t)(at - p);
}

/* The peer's maximum length, of the user information in its A-ASSOCIATE-AC. */
static void
read_acceptance(struct sender *s, const uint8_t *p, size_t len)
{
	uint32_t max = 0;
	size_t at = 68;
	bool accepted = false;

	while (at + 4 <= len) {
		size_t item = (size_t)p[at + 2] << 8 | p[at + 3];

		if (p[at] == 0x21 && at + 6 < len)
			accepted = p[at + 6] == 0;
		if (p[at] == 0x50 && p[at + 4] == 0x51)
			max = read_be(p + at + 8);
		at += 4 + item;
	}
	if (!accepted)
		fail("the peer does not take this kind of object");
	s->peer_pdu = max == 0 || max > PDU_MAX ? PDU_MAX : max;
}

static void
open_connection(struct sender *s)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)run.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("port %u: %s", run.port, strerror(errno));
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (run.tls == NULL)
		return;
	s->ssl = SSL_new(run.tls);
	if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1 ||
	    SSL_connect(s->ssl) != 1)
		fail("TLS: no handshake");
}

static void
open_association(struct sender *s)
{
	uint8_t p[4096], type;
	struct iovec iov = { p, make_request(s->object, p) };
	size_t len;

	open_connection(s);
	write_all(s, &iov, 1);
	len = read_pdu(s, &type, p, sizeof(p));
	if (type != 2)
		fail("not accepted: PDU type %u, reason %u/%u/%u", type, p[1],
		    p[2], p[3]);
	read_acceptance(s, p, len);
}

static void
release_association(struct sender *s)
{
	uint8_t p[4096] = { 5, 0, 0, 0, 0, 4 }, type;
	struct iovec iov = { p, 10 };

	write_all(s, &iov, 1);
	(void)read_pdu(s, &type, p, sizeof(p));
	if (type != 6)
		fail("no release: PDU type %u", type);
	if (s->ssl != NULL)
		(void)SSL_shutdown(s->ssl);
	SSL_free(s->ssl);
	(void)close(s->fd);
}

/* ---- C-STORE ------------------------------------------------------------- */

static size_t
put_element(uint8_t *p, uint16_t element, const void *value, size_t len,
    size_t padded)
{
	put_le(p, 0, 2);
	put_le(p + 2, element, 2);
	put_le(p + 4, (uint32_t)padded, 4);
	memset(p + 8, 0, padded);
	memcpy(p + 8, value, len);
	return 8 + padded;
}

static size_t
put_us(uint8_t *p, uint16_t element, unsigned v)
{
	uint8_t value[2] = { (uint8_t)v, (uint8_t)(v >> 8) };

	return put_element(p, element, value, 2, 2);
}

static void
put_pdv(uint8_t *p, size_t len, unsigned control)
{
	p[0] = 4;
	p[1] = 0;
	put_be(p + 2, (uint32_t)len + 6);
	put_be(p + 6, (uint32_t)len + 2);
	p[10] = 1;	/* the one context */
	p[11] = (uint8_t)control;
}

static size_t
make_command(const struct sender *s, unsigned message, uint8_t *pdu)
{
	uint8_t *p = pdu + PDV_HEAD, *at = p + 12;
	size_t len = strlen(s->object->sop_class);

	at += put_element(at, 0x0002, s->object->sop_class, len, len + len % 2);
	at += put_us(at, 0x0100, 1);
	at += put_us(at, 0x0110, message);
	at += put_us(at, 0x0700, 0);
	at += put_us(at, 0x0800, 0);
	at += put_element(at, 0x1000, s->map + s->object->instance, UID_LEN,
	    UID_LEN);
	put_le(p, 0, 4);
	put_le(p + 4, 4, 4);
	put_le(p + 8, (uint32_t)(at - p) - 12, 4);
	put_pdv(pdu, (size_t)(at - p), 3);
	return (size_t)(at - pdu);
}

static void
write_object(struct sender *s, unsigned message)
{
	const struct object *o = s->object;
	uint8_t heads[IOV_PAIRS][PDV_HEAD], command[512];
	struct iovec iov[1 + 2 * IOV_PAIRS];
	size_t portion = s->peer_pdu - 6, at = o->dataset;
	int n = 0;

	iov[n++] = (struct iovec){ command, make_command(s, message, command) };
	while (at < o->size) {
		int pair;

		for (pair = 0; pair < IOV_PAIRS && at < o->size; pair++) {
			size_t len = o->size - at < portion ? o->size - at :
			    portion;

			put_pdv(heads[pair], len, at + len == o->size ? 2 : 0);
			iov[n++] = (struct iovec){ heads[pair], PDV_HEAD };
			iov[n++] = (struct iovec){ s->map + at, len };
			at += len;
		}
		write_all(s, iov, n);
		n = 0;
	}
}

static unsigned
read_status(struct sender *s)
{
	uint8_t p[16384], type;
	size_t len = read_pdu(s, &type, p, sizeof(p)), at = 6;

	if (type != 4)
		fail("PDU type %u instead of a response", type);
	while (at + 8 <= len) {
		uint32_t tag = read_le(p + at, 2) << 16 | read_le(p + at + 2, 2);
		uint32_t size = read_le(p + at + 4, 4);

		if (tag == 0x00000900)
			return read_le(p + at + 8, 2);
		at += 8 + size;
	}
	fail("a response without status");
}

static void
store_one(struct sender *s, uint64_t i)
{
	double start = seconds_now();
	unsigned status;

	set_uid(s->map + s->object->study, 1, s, i / PER_STUDY);
	set_uid(s->map + s->object->series, 2, s, i / PER_SERIES);
	set_uid(s->map + s->object->instance, 3, s, i);
	write_object(s, (unsigned)(i % 65000) + 1);
	status = read_status(s);
	s->latency_ms[i] = (float)((seconds_now() - start) * 1e3);
	s->sent++;
	if (status != 0 && s->failed++ == 0)
		(void)fprintf(stderr, "send: status %04XH\n", status);
}

static void *
run_sender(void *arg)
{
	struct sender *s = arg;

	open_association(s);
	for (uint64_t i = 0; i < run.objects; i++)
		store_one(s, i);
	release_association(s);
	return NULL;
}

/* ---- all of them --------------------------------------------------------- */

static int
compare_floats(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void
print_result(struct sender *senders, const struct object *o, double seconds)
{
	uint64_t total = run.associations * run.objects, sent = 0, failed = 0;
	float *all = calloc(total, sizeof(*all));
	struct rusage ru;

	if (all == NULL)
		fail("out of memory");
	for (unsigned i = 0; i < run.associations; i++) {
		memcpy(all + i * run.objects, senders[i].latency_ms,
		    run.objects * sizeof(*all));
		sent += senders[i].sent;
		failed += senders[i].failed;
	}
	qsort(all, total, sizeof(*all), compare_floats);
	(void)getrusage(RUSAGE_SELF, &ru);
	(void)printf("{\"objects\": %" PRIu64 ", \"failed\": %" PRIu64
	    ", \"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"p50_ms\": %.3f, "
	    "\"p99_ms\": %.3f, \"max_ms\": %.3f, \"cpu_s\": %.3f}\n", sent,
	    failed, sent * (o->size - o->dataset), seconds, (double)all[total / 2],
	    (double)all[total * 99 / 100], (double)all[total - 1],
	    (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
	free(all);
}

static void
start_sender(struct sender *s, unsigned number, const struct object *o)
{
	s->number = number;
	s->object = o;
	s->map = map_object(o);
	s->latency_ms = calloc(run.objects, sizeof(*s->latency_ms));
	if (s->latency_ms == NULL)
		fail("out of memory");
}

static const char *
read_options(int argc, char **argv)
{
	uint64_t total = 100;
	bool tls = false;
	int c;

	while ((c = getopt(argc, argv, "a:n:c:T")) != -1) {
		switch (c) {
		case 'a': run.associations = (unsigned)atoi(optarg); break;
		case 'n': total = strtoull(optarg, NULL, 10); break;
		case 'c': run.called = optarg; break;
		case 'T': tls = true; break;
		default: fail("see tests/bench/send.c");
		}
	}
	if (argc - optind != 2 || run.associations == 0 ||
	    total < run.associations)
		fail("usage: send [-a ASSOCIATIONS] [-n OBJECTS] [-c CALLED] "
		    "[-T] PORT FILE");
	run.objects = total / run.associations;
	run.port = (unsigned)atoi(argv[optind]);
	if (tls) {
		run.tls = SSL_CTX_new(TLS_client_method());
		if (run.tls == NULL)
			fail("no TLS");
	}
	return argv[optind + 1];
}

int
main(int argc, char **argv)
{
	struct object o = { 0 };
	struct sender *senders;
	uint64_t failed = 0;
	double start;

	read_object(&o, read_options(argc, argv));
	make_prefix();
	senders = calloc(run.associations, sizeof(*senders));
	if (senders == NULL)
		fail("out of memory");
	for (unsigned i = 0; i < run.associations; i++)
		start_sender(&senders[i], i, &o);
	start = seconds_now();
	for (unsigned i = 0; i < run.associations; i++) {
		if (pthread_create(&senders[i].thread, NULL, run_sender,
			&senders[i]) != 0)
			fail("no thread");
	}
	for (unsigned i = 0; i < run.associations; i++) {
		(void)pthread_join(senders[i].thread, NULL);
		failed += senders[i].failed;
	}
	print_result(senders, &o, seconds_now() - start);
	return failed == 0 ? 0 : 1;
}
