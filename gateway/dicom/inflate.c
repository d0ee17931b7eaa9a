/* inflate.c - zlib's raw inflate with one portion of output and a limit.
 *
 * What follows the end of the compressed stream (the NUL that pads a deflated
 * data set to even length) is ignored.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>

#include <zlib.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/inflate.h"

#define PORTION (32u * 1024)

struct dicom_inflate {
	z_stream z;
	uint64_t room;		/* bytes that may still come out */
	bool	 ended;		/* the compressed stream is complete */
	int	 result;	/* non-zero: over, this is what feed answers */
	dicom_sink_fn *fn;
	void	*arg;
	unsigned char out[PORTION];
};

/* zlib asks for its fixed window and tables only, so this may not fail. */
static voidpf
allocate(voidpf opaque, uInt n, uInt size)
{
	(void)opaque;
	return xcalloc(n, size);
}

static void
release(voidpf opaque, voidpf p)
{
	(void)opaque;
	free(p);
}

static int
hand_on(struct dicom_inflate *z, size_t len)
{
	int r = 0;

	if (len > 0) {
		z->room -= len;
		r = z->fn(z->arg, z->out, len);
	}
	return r;
}

/* One call of inflate(): one portion out at most. A full maximum is no failure
 * until the stream shows another byte; for that byte there is always room. */
static int
inflate_portion(struct dicom_inflate *z)
{
	size_t offer = z->room < PORTION ? (size_t)z->room + 1 : PORTION, len;
	int status, r;

	z->z.next_out = z->out;
	z->z.avail_out = (uInt)offer;
	status = inflate(&z->z, Z_NO_FLUSH);
	len = offer - z->z.avail_out;
	if (len > z->room) {
		r = hand_on(z, (size_t)z->room);
		return r != 0 ? r : -EFBIG;
	}

	r = hand_on(z, len);
	if (r != 0)
		return r;
	if (status == Z_STREAM_END)
		z->ended = true;
	else if (status != Z_OK && status != Z_BUF_ERROR)
		return -EBADMSG;
	return 0;
}

struct dicom_inflate *
dicom_inflate_new(uint64_t max_out, dicom_sink_fn *fn, void *arg)
{
	struct dicom_inflate *z = xcalloc(1, sizeof(*z));
	int status;

	z->z.zalloc = allocate;
	z->z.zfree = release;
	z->room = max_out;
	z->fn = fn;
	z->arg = arg;
	status = inflateInit2(&z->z, -MAX_WBITS);
	assert(status == Z_OK);
	(void)status;
	return z;
}

void
dicom_inflate_free(struct dicom_inflate *z)
{
	if (z == NULL)
		return;
	(void)inflateEnd(&z->z);
	free(z);
}

int
dicom_inflate_feed(struct dicom_inflate *z, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len > 0 && z->result == 0 && !z->ended) {
		size_t n = len < INT_MAX ? len : INT_MAX;

		z->z.next_in = (z_const Bytef *)p;
		z->z.avail_in = (uInt)n;
		/* A full portion may hide more that is ready. */
		do {
			z->result = inflate_portion(z);
		} while (z->result == 0 && !z->ended &&
		    (z->z.avail_in > 0 || z->z.avail_out == 0));
		p += n;
		len -= n;
	}
	return z->result;
}

int
dicom_inflate_end(struct dicom_inflate *z)
{
	if (z->result == 0 && !z->ended)
		z->result = -EBADMSG;
	return z->result;
}
