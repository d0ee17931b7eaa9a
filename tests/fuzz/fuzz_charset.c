/* fuzz_charset.c - libFuzzer: Specific Character Set, fold and name groups.
 *
 * The first line is the character set, the rest the text. What comes out must be
 * valid UTF-8 without controls but those of PS3.5, whatever went in, and folding
 * it twice must be folding it once.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/charset.h"
#include "gateway/dicom/utf8_int.h"
#include "gateway/dicom/vr.h"

static void
check_utf8(const struct buf *b)
{
	for (size_t at = 0; at < b->len;) {
		uint32_t cp = 0;
		size_t n = dicom_utf8_read(b->data + at, b->len - at, &cp);

		assert(n > 1 || cp < 0x80);
		assert(cp >= 0x20 || cp == '\t' || cp == '\n' || cp == '\f' ||
		    cp == '\r');
		at += n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint16_t vrs[] = { DICOM_VR('P', 'N'), DICOM_VR('L', 'O'),
		DICOM_VR('L', 'T') };
	const uint8_t *line = len > 0 ? memchr(data, '\n', len) : NULL;
	size_t n = line != NULL ? (size_t)(line - data) : 0;
	AUTO_FREE char *charset = malloc(n + 1);
	struct buf text = BUF_INIT(1u << 22), once = BUF_INIT(1u << 22);
	struct buf twice = BUF_INIT(1u << 22);

	if (line == NULL || len > 1u << 16)
		return 0;
	memcpy(charset, data, n);
	charset[n] = '\0';
	len -= n + 1;
	assert(dicom_to_utf8(charset, vrs[len % 3], line + 1, len, &text) == 0);
	check_utf8(&text);
	assert(dicom_fold(text.data, text.len, &once) == 0);
	assert(dicom_fold(once.data, once.len, &twice) == 0);
	assert(once.len == twice.len);
	assert(once.len == 0 || memcmp(once.data, twice.data, once.len) == 0);
	for (unsigned group = 0; group < 4 && text.len > 0; group++) {
		size_t glen;
		const char *p = dicom_name_group(text.data, text.len, group, &glen);

		assert(p >= text.data && p + glen <= text.data + text.len);
	}
	buf_free(&text);
	buf_free(&once);
	buf_free(&twice);
	return 0;
}
