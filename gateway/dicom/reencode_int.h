/* reencode_int.h - the converter's inside, between reencode.c (what is said)
 * and reencode_out.c (how it is written). Only these two include it.
 */
#ifndef CW_DICOM_REENCODE_INT_H
#define CW_DICOM_REENCODE_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/dicom/reencode.h"
#include "gateway/dicom/scan.h"

#define REENCODE_OUT 8192	/* small things are collected up to here */
#define REENCODE_HELD 16
#define REENCODE_NO_END UINT64_MAX

/* The data set (0) or the item that is open at a depth. */
struct reencode_frame {
	int	 sign;		/* Pixel Representation; -1: not seen */
	unsigned bits;		/* Bits Allocated; 0: not seen */
	unsigned wave_bits;	/* Waveform Bits Allocated; 0: not seen */
	uint64_t item_end;	/* kept as it came: where the length says it ends */
	uint64_t seq_end;	/* of the sequence that is open inside */
};

enum reencode_value { VALUE_PASS, VALUE_SWAP, VALUE_DROP };

struct dicom_reencode {
	struct dicom_scan    *scan;
	struct dicom_inflate *inflate;	/* NULL unless deflated */
	dicom_sink_fn	     *fn;
	void		     *arg;
	bool		      big_endian;
	bool		      compare;	/* headers without VR */
	int		      result;
	char		      reason[160];

	bool	 raw;		/* inside UN of undefined length */
	unsigned raw_depth;	/* of that element */

	enum reencode_value value;	/* what happens to the current one */
	unsigned unit;			/* when swapped */
	uint8_t	 carry[8];		/* a unit that was cut by the portions */
	unsigned carried;
	bool	 odd;			/* it leaves with ... */
	char	 padding;		/* ... one of these behind it */
	bool	 captured;		/* its first bytes are wanted ... */
	uint8_t	 capture[2];		/* ... here, little endian */
	unsigned have;

	struct {
		size_t	 at;		/* of the VR in out */
		unsigned depth;
	} held[REENCODE_HELD];		/* US or SS: not known yet */
	unsigned n_held;
	bool	 past_sign;		/* the data set's own cannot come any more */

	uint64_t length;
	size_t	 used;
	uint8_t	 out[REENCODE_OUT];

	struct reencode_frame frame[DICOM_SCAN_DEPTH + 1];
};

/* All answer 0 or the latched result. */
int reencode_fail(struct dicom_reencode *r, int error, dicom_tag_t tag,
    const char *why);
int reencode_flush(struct dicom_reencode *r);
int reencode_put(struct dicom_reencode *r, const void *data, size_t len);
int reencode_put_swapped(struct dicom_reencode *r, const uint8_t *data,
    size_t len);

/* An item, or a delimiter. */
int reencode_put_marker(struct dicom_reencode *r, dicom_tag_t tag,
    uint32_t length);
int reencode_put_implicit(struct dicom_reencode *r, dicom_tag_t tag,
    uint32_t length);
int reencode_put_explicit(struct dicom_reencode *r, dicom_tag_t tag,
    uint16_t vr, uint32_t length);

/* The US just put at `depth` may still become SS. */
void reencode_hold(struct dicom_reencode *r, unsigned depth);
/* Pixel Representation of what is open at `depth`. */
void reencode_release(struct dicom_reencode *r, unsigned depth, bool is_signed);
/* The item at `depth` is over without one. */
void reencode_inherit(struct dicom_reencode *r, unsigned depth);

#endif
