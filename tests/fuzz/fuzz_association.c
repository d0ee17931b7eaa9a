/* fuzz_association.c - the whole receiver, from the first byte of a connection to
 * the response, in process; only the spool is a stand-in.
 *
 * The first byte says how much is given: a good A-ASSOCIATE-RQ (1), a good C-STORE
 * request behind it (2), whether the rest is cut into P-DATA-TF by the lengths that
 * stand in it (4) or is what comes on the line, and whether bytes of the
 * A-ASSOCIATE-RQ are exchanged first (8). The peer sends all of it, says that
 * nothing more comes and listens to the end.
 */
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "config/config_int.h"
#include "gateway/association/assoc_int.h"
#include "gateway/association/shim_int.h"
#include "gateway/association/stream_int.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/dimse/dimse.h"
#include "tests/unit/dimse_client.h"
#include "tests/unit/dimse_fake_spool.h"

#define INPUT_MAX   (64 * 1024)	/* with what is given it fits a socket's buffer */
#define DEADLINE_MS 2000

enum { GOOD_REQUEST = 1, GOOD_COMMAND = 2, FRAMED = 4, PATCHED = 8 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char configuration[] =
    "gateway: {ae_title: CAUSEWAY, message_timeout: 1s, idle_timeout: 1s}\n"
    "spool: {directory: /nowhere}\n"
    "peers: [{ae_title: '*', address: 127.0.0.0/8}]\n"
    "unrouted: hold\n";
static const struct config_kind *const no_kinds[] = { NULL };

static struct dimse *dimse;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct buf problems = BUF_INIT(4096);
	const struct config *cfg;

	(void)argc;
	(void)argv;
	config_set_kinds(no_kinds, no_kinds);
	if (config_load_text("fuzz.yaml", configuration, strlen(configuration),
		&cfg, &problems) < 0) {
		(void)fputs(problems.data, stderr);
		abort();
	}
	log_set_level(LOG_ERROR);
	if (dul_global_init() < 0)
		abort();
	dimse = dimse_new(NULL, cfg);
	config_unref(cfg);
	return 0;
}

/* ---- what the peer says --------------------------------------------------- */

static void
add_request(struct buf *b)
{
	static const char items[] = "\x54\0\0\x1d\0\x19" CT_CLASS "\1\1"
	    "\x56\0\0\x21\0\x19" CT_CLASS "\2\0\3\0\1\0"
	    "\x57\0\0\x30\0\x19" CT_CLASS "\0\x11" DICOM_UID_STORAGE_SERVICE "\0\0"
	    "\x53\0\0\4\0\0\0\0" "\x58\0\0\7\2\0\0\1u\0\0";
	static const struct client_context contexts[] = {
		{ DICOM_UID_VERIFICATION, { DICOM_UID_IMPLICIT_LE } },
		{ CT_CLASS, { "1.2.840.10008.1.2.1" } },
		{ CT_CLASS, { DICOM_UID_IMPLICIT_LE } },
		{ MR_CLASS, { "1.2.840.10008.1.2.1.99" } },
		{ MR_CLASS, { "1.2.840.10008.1.2.2" } },
	};
	const struct client_request rq = { .calling = "RAW", .called = "CAUSEWAY",
		.application = "1.2.840.10008.3.1.1.1", .max_pdu = 16384,
		.items = items, .items_len = sizeof(items) - 1,
		.contexts = contexts, .n = ARRAY_LEN(contexts) };

	put_request(b, &rq);
}

static void
add_fragment(struct buf *b, uint8_t context, bool is_command, bool last,
    const void *data, size_t len)
{
	struct buf pdv = BUF_INIT(INPUT_MAX + 16);

	put_pdv(&pdv, context, is_command, last, data, len);
	put_pdu(b, C_DATA, pdv.data, pdv.len);
	buf_free(&pdv);
}

static void
add_command(struct buf *b, uint8_t context)
{
	const struct dicom_command rq = { .field = DICOM_C_STORE_RQ,
		.message_id = 1, .dataset_type = 1, .sop_class = CT_CLASS,
		.sop_instance = "1.2.3" };
	struct buf text = BUF_INIT(DICOM_COMMAND_MAX);

	(void)dicom_command_write(&text, &rq);
	add_fragment(b, context, true, true, text.data, text.len);
	buf_free(&text);
}

/* Context, flags, length (2 bytes), data, and so on. */
static void
add_framed(struct buf *b, const uint8_t *data, size_t size)
{
	size_t len;

	while (size >= 4) {
		len = (size_t)data[2] << 8 | data[3];
		if (len > size - 4)
			len = size - 4;
		add_fragment(b, data[0], (data[1] & 1) != 0, (data[1] & 2) != 0,
		    data + 4, len);
		data += 4 + len;
		size -= 4 + len;
	}
}

/* A count, and as many times offset (2 bytes) and value. */
static void
patch(struct buf *b, const uint8_t **data, size_t *size)
{
	unsigned n = *size > 0 ? (*data)[0] % 32 : 0;

	*data += *size > 0;
	*size -= *size > 0;
	for (; n > 0 && *size >= 3; n--, *data += 3, *size -= 3)
		b->data[((*data)[0] << 8 | (*data)[1]) % b->len] =
		    (char)(*data)[2];
}

static void
compose(struct buf *b, const uint8_t *data, size_t size)
{
	uint8_t given = *data++;

	size--;
	if ((given & GOOD_REQUEST) != 0)
		add_request(b);
	if ((given & PATCHED) != 0 && b->len > 0)
		patch(b, &data, &size);
	if ((given & GOOD_COMMAND) != 0)
		add_command(b, (uint8_t)(3 + 2 * (given >> 6)));
	if ((given & FRAMED) != 0)
		add_framed(b, data, size);
	else
		(void)buf_add(b, data, size);
}

/* ---- one connection --------------------------------------------------------- */

static void *
listen_to_end(void *arg)
{
	char text[4096];

	while (recv(*(int *)arg, text, sizeof(text), 0) > 0)
		;
	return NULL;
}

static void
receive(int fd)
{
	static const atomic_bool stopping;
	struct stream *s = stream_new(fd, -1);
	struct assoc *a = assoc_new(s, &stopping, "127.0.0.1", 104);

	stream_set_deadline(s, clock_mono_ms() + DEADLINE_MS);
	if (assoc_receive(a) == 0)
		dimse_serve(dimse, a);
	else
		assert(assoc_reason(a)[0] != '\0');
	assoc_free(a);
	stream_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf b = BUF_INIT(8 * INPUT_MAX);
	pthread_t listener;
	int fd[2];

	if (size == 0 || size > INPUT_MAX)
		return 0;
	compose(&b, data, size);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		abort();
	(void)fcntl(fd[0], F_SETFL, O_NONBLOCK);
	(void)send(fd[1], b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)shutdown(fd[1], SHUT_WR);
	buf_free(&b);
	if (pthread_create(&listener, NULL, listen_to_end, &fd[1]) != 0)
		abort();
	receive(fd[0]);
	(void)pthread_join(listener, NULL);
	(void)close(fd[1]);
	assert(fake.sources == 0);
	assert(fake.begun == fake.committed + fake.given_up);
	return 0;
}
