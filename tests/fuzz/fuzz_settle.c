/* fuzz_settle.c - settle logs as a hostile disk may hold them, and hostile text
 * on its way through one.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/base/fdio.h"
#include "spool/settle_line_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
take_line(void *arg, const struct settle_entry *e, const char *line, size_t len)
{
	size_t *n = arg;

	if (e != NULL)
		*n += strlen(e->reason) + strlen(e->actor) +
		    strlen(e->destination) + strlen(e->study) +
		    strlen(e->remote);
	*n += len > 0 ? (size_t)line[len - 1] : 0;
	return 0;
}

static void
try_file(const uint8_t *data, size_t size)
{
	int fd = memfd_create("settle.log", MFD_CLOEXEC);
	struct settle_tail tail = { 0 };
	size_t n = 0;

	if (fd < 0 || fdio_pwrite(fd, data, size, 0) < 0)
		abort();
	if (settle_file_read(fd, 0, size, take_line, &n, &tail) == 0)
		assert(tail.end <= size);
	(void)settle_file_read(fd, 0, size, take_line, &n, NULL);
	(void)close(fd);
}

/* Whatever the text, it comes back, on one line of printable bytes. */
static void
try_text(const uint8_t *data, size_t size)
{
	struct buf line = BUF_INIT(SETTLE_LINE_MAX);
	char text[201] = "";
	struct settle_entry e = { .verb = SETTLE_DELIVERY, .id = 1,
		.destination = text, .study = text, .actor = text,
		.reason = text, .remote = text }, back;

	memcpy(text, data, size < sizeof(text) - 1 ? size : sizeof(text) - 1);
	assert(settle_line_encode(&e, &line) == 0);
	for (size_t i = 0; i + 1 < line.len; i++)
		assert((unsigned char)line.data[i] >= 0x20 ||
		    line.data[i] == '\t');
	assert(settle_line_decode(line.data, line.len - 1, &back) == 0);
	assert(strcmp(back.destination, text) == 0);
	assert(strcmp(back.study, text) == 0);
	assert(strcmp(back.actor, text) == 0);
	assert(strcmp(back.reason, text) == 0);
	assert(strcmp(back.remote, text) == 0);
	buf_free(&line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);
	struct settle_entry e;

	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	copy[size] = '\0';
	(void)settle_line_decode(copy, size, &e);
	free(copy);
	try_file(data, size);
	try_text(data, size);
	return 0;
}
