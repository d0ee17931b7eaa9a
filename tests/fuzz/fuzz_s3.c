/* fuzz_s3.c - documents of a hostile S3, and notes of uploads that somebody broke.
 * Errors are shown without control characters, parts stay within their plan, and a
 * note that was read is written the same.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "gateway/destination/s3_client_int.h"

#define LENGTH (50u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_error(const char *text, size_t size)
{
	struct s3_answer a = { .reply.body = BUF_INIT(1u << 20) };

	if (buf_add(&a.reply.body, text, size) == 0 && s3_read_error(&a))
		assert(strpbrk(a.code, "\n\r\t\x1b") == NULL);
	s3_answer_free(&a);
}

static void
read_parts(const char *text, size_t size)
{
	struct s3_upload u = { 0 };
	bool seen[4] = { false };
	unsigned next = 0;

	s3_upload_plan(&u, "k", 10, 35);
	(void)s3_upload_listed(&u, text, size, seen, &next);
	assert(next <= u.n);
	for (unsigned i = 0; i < u.n; i++)
		assert(!seen[i] || u.etag[i][0] != '\0');
	s3_upload_free(&u);
}

static void
read_note(const char *text)
{
	struct s3_upload u = { 0 }, v = { 0 };
	struct buf b = BUF_INIT(SPOOL_NOTE_MAX);

	if (s3_upload_parse(&u, text, "b", "k", LENGTH) == 0 &&
	    s3_upload_print(&u, "b", &b) == 0) {
		assert(s3_upload_parse(&v, b.data, "b", "k", LENGTH) == 0);
		assert(strcmp(u.id, v.id) == 0 && u.part == v.part && u.n == v.n);
	}
	buf_free(&b);
	s3_upload_free(&u);
	s3_upload_free(&v);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	read_error(text, size);
	read_parts(text, size);
	read_note(text);
	return 0;
}
