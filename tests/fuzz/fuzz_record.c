/* fuzz_record.c - heads and containers as a hostile disk may hold them.
 *
 * The first byte chooses: a head as it is; a head whose seal is made right, so
 * that the fields behind it are reached; or a whole segment, in which a seal is
 * put right wherever a head's magic stands.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/base/fdio.h"
#include "spool/bytes_int.h"
#include "spool/files_int.h"

#define SEAL_AT	 (RECORD_HEAD - 8)
#define FILE_MAX (64u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t uuid[SPOOL_UUID] = "0123456789abcdef";

static void
seal(uint8_t *head)
{
	memcpy(head, "CWRECORD", 8);
	memcpy(head + 16, uuid, SPOOL_UUID);
	put64(head + SEAL_AT, hash_seal(head, SEAL_AT, record_seal_key(uuid)));
}

/* What is taken for a record can be written and read again as the same. */
static void
try_head(const uint8_t *head)
{
	uint8_t again[RECORD_HEAD], found[SPOOL_UUID];
	struct record r, r2;

	(void)record_spool(head, found);
	if (record_decode(head, uuid, &r) < 0)
		return;
	record_encode(&r, uuid, again);
	assert(record_decode(again, uuid, &r2) == 0);
	assert(memcmp(&r, &r2, sizeof(r)) == 0);
}

static int
check_record(void *arg, const struct record *r, uint64_t offset, bool intact)
{
	uint64_t *end = arg;

	assert(offset >= *end && offset % RECORD_ALIGN == 0 && r->segment == 1);
	assert(!intact || offset + RECORD_HEAD + r->length <= FILE_MAX);
	*end = offset + RECORD_HEAD;
	return 0;
}

static void
try_segment(uint8_t *data, size_t size)
{
	int fd = memfd_create("segment", MFD_CLOEXEC);
	struct segment_head head;
	struct record r;
	uint64_t end = 0;
	bool intact;

	for (size_t at = 0; at + RECORD_HEAD <= size; at += RECORD_ALIGN) {
		if (memcmp(data + at, "CWRECORD", 8) == 0)
			seal(data + at);
	}
	if (fd < 0 || fdio_pwrite(fd, data, size, 0) < 0)
		abort();
	(void)segment_head_read(fd, uuid, &head);
	(void)scan_segment(fd, uuid, 1, 0, true, check_record, &end);
	end = 0;
	(void)scan_segment(fd, uuid, 1, 1, false, check_record, &end);
	(void)scan_own(fd, uuid, true, &r, &intact);
	(void)close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t copy[FILE_MAX] = { 0 };
	size_t n = size > 0 ? size - 1 : 0;

	if (n > sizeof(copy))
		n = sizeof(copy);
	if (size == 0)
		return 0;
	memcpy(copy, data + 1, n);
	if (data[0] % 4 == 1)
		seal(copy);
	if (data[0] % 4 < 2)
		try_head(copy);
	else
		try_segment(copy, n);
	return 0;
}
