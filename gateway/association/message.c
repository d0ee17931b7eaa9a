/* message.c - whole messages: a command set, and the data set that follows it. For
 * services that keep them in memory; an image is written and read in parts.
 */
#include <errno.h>
#include <string.h>

#include "gateway/association/assoc_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/dicom/command.h"

int
assoc_send_message(struct assoc *a, uint8_t context,
    const struct dicom_command *cmd, const void *data, size_t len)
{
	struct buf b AUTO(buf_free) = BUF_INIT(DICOM_COMMAND_MAX);
	int e;

	e = dicom_command_write(&b, cmd);
	if (e == 0)
		e = assoc_write(a, context, true, b.data, b.len);
	if (e == 0 && len > 0)
		e = assoc_write(a, context, false, data, len);
	return e;
}

int
assoc_read_command(struct assoc *a, bool inside, struct dicom_command *ret,
    uint8_t *ret_context)
{
	struct buf b AUTO(buf_free) = BUF_INIT(DICOM_COMMAND_MAX);
	struct assoc_pdv pdv = { 0 };
	int r;

	while (!pdv.last) {
		r = assoc_read(a, inside || b.len > 0, &pdv);
		if (r != 0)
			return r;
		if (!pdv.command || (b.len > 0 && pdv.context != *ret_context))
			return assoc_fail(a, -EPROTO, "a message that is broken off");
		*ret_context = pdv.context;
		if (buf_add(&b, pdv.data, pdv.len) < 0)
			return assoc_fail(a, -EPROTO, "a command of more than %d "
			    "bytes", DICOM_COMMAND_MAX);
	}
	if (dicom_command_parse(b.data, b.len, ret) < 0)
		return assoc_fail(a, -EPROTO, "a command set that cannot be read");
	return 0;
}

int
assoc_read_dataset(struct assoc *a, uint8_t context, struct buf *ret)
{
	struct assoc_pdv pdv = { 0 };
	int r;

	while (!pdv.last) {
		r = assoc_read(a, true, &pdv);
		if (r == 1)
			return assoc_fail(a, -EPROTO, "released in the middle of a "
			    "message");
		if (r < 0)
			return r;
		if (pdv.command || pdv.context != context)
			return assoc_fail(a, -EPROTO, "a data set that is broken "
			    "off");
		if (pdv.len > 0)
			(void)buf_add(ret, pdv.data, pdv.len);
	}
	return buf_error(ret);
}
