/* command.c - command sets: elements of group 0000 in implicit VR little endian,
 * written in order, read in any.
 *
 * Lenient in reading: a missing or wrong group length, unknown elements and odd
 * lengths pass; a string that does not fit its field stays empty, so that the
 * service can refuse the message by name instead of dropping the association.
 */
#include <errno.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/command.h"
#include "gateway/dicom/vr.h"

enum {
	E_LENGTH = 0x0000, E_AFFECTED_CLASS = 0x0002, E_REQUESTED_CLASS = 0x0003,
	E_FIELD = 0x0100, E_MESSAGE_ID = 0x0110, E_RESPONDING_TO = 0x0120,
	E_MOVE_DESTINATION = 0x0600, E_PRIORITY = 0x0700, E_DATASET_TYPE = 0x0800,
	E_STATUS = 0x0900, E_OFFENDING = 0x0901, E_COMMENT = 0x0902,
	E_AFFECTED_INSTANCE = 0x1000, E_REQUESTED_INSTANCE = 0x1001,
	E_EVENT_TYPE = 0x1002, E_ACTION_TYPE = 0x1008, E_REMAINING = 0x1020,
	E_COMPLETED = 0x1021, E_FAILED = 0x1022, E_WARNING = 0x1023,
	E_ORIGINATOR_TITLE = 0x1030, E_ORIGINATOR_ID = 0x1031,
};

/* Requests whose UIDs are "Requested" ones (PS3.7 section 10.3). */
enum {
	N_GET_RQ = 0x0110, N_SET_RQ = 0x0120, N_DELETE_RQ = 0x0150,
};

#define RESPONSE 0x8000

static uint16_t
get_u16(const uint8_t *p)
{
	return (uint16_t)(p[1] << 8 | p[0]);
}

static uint32_t
get_u32(const uint8_t *p)
{
	return (uint32_t)get_u16(p + 2) << 16 | get_u16(p);
}

static void
keep_text(char *dst, size_t size, const uint8_t *value, size_t len)
{
	/* A second one, or the Requested beside the Affected, does not count. */
	if (dst[0] == '\0')
		(void)dicom_trim(value, len, dst, size);
}

static void
keep_comment(struct dicom_command *cmd, const uint8_t *value, size_t len)
{
	size_t max = sizeof(cmd->error_comment) - 1;

	(void)dicom_trim(value, len < max ? len : max, cmd->error_comment,
	    sizeof(cmd->error_comment));
}

/* What is no number of two bytes is left as it is. */
static void
keep_u16(uint16_t *dst, bool *has, const uint8_t *value, size_t len)
{
	if (len < 2)
		return;
	*dst = get_u16(value);
	if (has != NULL)
		*has = true;
}

static void
keep_string(struct dicom_command *cmd, unsigned element, const uint8_t *value,
    size_t len)
{
	switch (element) {
	case E_AFFECTED_CLASS:
	case E_REQUESTED_CLASS:
		keep_text(cmd->sop_class, sizeof(cmd->sop_class), value, len);
		break;
	case E_AFFECTED_INSTANCE:
	case E_REQUESTED_INSTANCE:
		keep_text(cmd->sop_instance, sizeof(cmd->sop_instance), value, len);
		break;
	case E_MOVE_DESTINATION:
		keep_text(cmd->move_destination, sizeof(cmd->move_destination),
		    value, len);
		break;
	case E_ORIGINATOR_TITLE:
		keep_text(cmd->originator_title, sizeof(cmd->originator_title),
		    value, len);
		break;
	case E_COMMENT:
		keep_comment(cmd, value, len);
		break;
	}
}

static void
keep_number(struct dicom_command *cmd, unsigned element, const uint8_t *value,
    size_t len)
{
	const struct {
		unsigned  element;
		uint16_t *dst;
		bool	 *has;
	} numbers[] = {
		{ E_FIELD, &cmd->field, NULL },
		{ E_MESSAGE_ID, &cmd->message_id, NULL },
		{ E_RESPONDING_TO, &cmd->responding_to, NULL },
		{ E_DATASET_TYPE, &cmd->dataset_type, NULL },
		{ E_STATUS, &cmd->status, NULL },
		{ E_PRIORITY, &cmd->priority, &cmd->has_priority },
		{ E_EVENT_TYPE, &cmd->event_type, &cmd->has_event_type },
		{ E_ACTION_TYPE, &cmd->action_type, &cmd->has_action_type },
		{ E_REMAINING, &cmd->remaining, &cmd->has_remaining },
		{ E_COMPLETED, &cmd->completed, &cmd->has_counters },
		{ E_FAILED, &cmd->failed, &cmd->has_counters },
		{ E_WARNING, &cmd->warning, &cmd->has_counters },
		{ E_ORIGINATOR_ID, &cmd->originator_id, &cmd->has_originator_id },
	};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (numbers[i].element == element)
			keep_u16(numbers[i].dst, numbers[i].has, value, len);
	}
	if (element == E_OFFENDING && len >= 4)
		cmd->offending_element = (uint32_t)get_u16(value) << 16 |
		    get_u16(value + 2);
}

/* Without (0000,0800) the kind of the message tells whether a data set follows. */
static uint16_t
guess_dataset(uint16_t field)
{
	bool present = field == DICOM_C_STORE_RQ || field == DICOM_C_FIND_RQ ||
	    field == DICOM_C_MOVE_RQ || field == DICOM_C_GET_RQ;

	return present ? DICOM_DATASET_PRESENT : DICOM_DATASET_NONE;
}

int
dicom_command_parse(const void *data, size_t len, struct dicom_command *ret)
{
	struct dicom_command cmd = { 0 };
	bool has_dataset_type = false;
	const uint8_t *p = data;

	if (len > DICOM_COMMAND_MAX)
		return -EBADMSG;
	while (len > 0) {
		unsigned element;
		uint32_t length;

		if (len < 8 || get_u16(p) != 0x0000)
			return -EBADMSG;
		element = get_u16(p + 2);
		length = get_u32(p + 4);
		if (length > len - 8)
			return -EBADMSG;
		keep_string(&cmd, element, p + 8, length);
		keep_number(&cmd, element, p + 8, length);
		if (element == E_DATASET_TYPE && length >= 2)
			has_dataset_type = true;
		p += 8 + length;
		len -= 8 + length;
	}
	if (cmd.field == 0)
		return -EBADMSG;
	if (!has_dataset_type)
		cmd.dataset_type = guess_dataset(cmd.field);
	*ret = cmd;
	return 0;
}

static void
add_header(struct buf *b, unsigned element, size_t len)
{
	uint8_t h[8] = { 0, 0, (uint8_t)element, (uint8_t)(element >> 8),
		(uint8_t)len, (uint8_t)(len >> 8) };

	(void)buf_add(b, h, sizeof(h));
}

static void
add_u16(struct buf *b, unsigned element, uint16_t v)
{
	uint8_t value[2] = { (uint8_t)v, (uint8_t)(v >> 8) };

	add_header(b, element, sizeof(value));
	(void)buf_add(b, value, sizeof(value));
}

static void
add_u16_if(struct buf *b, bool has, unsigned element, uint16_t v)
{
	if (has)
		add_u16(b, element, v);
}

static void
add_text(struct buf *b, unsigned element, const char *text, char padding)
{
	size_t len = strlen(text), odd = len & 1;

	if (len == 0)
		return;
	add_header(b, element, len + odd);
	(void)buf_add(b, text, len);
	if (odd)
		(void)buf_add_char(b, padding);
}

/* LO: a comment may quote what a peer sent, and must stay one value. */
static void
add_comment(struct buf *b, const char *text)
{
	char clean[sizeof(((struct dicom_command *)NULL)->error_comment)];
	size_t n = 0;

	while (n < sizeof(clean) - 1 && text[n] != '\0') {
		char c = text[n];

		clean[n++] = c < ' ' || c > '~' || c == '\\' ? '?' : c;
	}
	clean[n] = '\0';
	add_text(b, E_COMMENT, clean, ' ');
}

static void
add_offending(struct buf *b, uint32_t tag)
{
	uint8_t at[4] = { (uint8_t)(tag >> 16), (uint8_t)(tag >> 24),
		(uint8_t)tag, (uint8_t)(tag >> 8) };

	if (tag == 0)
		return;
	add_header(b, E_OFFENDING, sizeof(at));
	(void)buf_add(b, at, sizeof(at));
}

static bool
names_requested(const struct dicom_command *cmd)
{
	return cmd->field == DICOM_N_ACTION_RQ || cmd->field == N_GET_RQ ||
	    cmd->field == N_SET_RQ || cmd->field == N_DELETE_RQ;
}

static void
add_elements(struct buf *b, const struct dicom_command *cmd)
{
	bool response = (cmd->field & RESPONSE) != 0;
	bool cancel = cmd->field == DICOM_C_CANCEL_RQ;
	bool requested = names_requested(cmd);

	add_text(b, requested ? E_REQUESTED_CLASS : E_AFFECTED_CLASS,
	    cmd->sop_class, '\0');
	add_u16(b, E_FIELD, cmd->field);
	add_u16_if(b, !response && !cancel, E_MESSAGE_ID, cmd->message_id);
	add_u16_if(b, response || cancel, E_RESPONDING_TO, cmd->responding_to);
	add_text(b, E_MOVE_DESTINATION, cmd->move_destination, ' ');
	add_u16_if(b, cmd->has_priority, E_PRIORITY, cmd->priority);
	add_u16(b, E_DATASET_TYPE, cmd->dataset_type);
	add_u16_if(b, response, E_STATUS, cmd->status);
	add_offending(b, cmd->offending_element);
	add_comment(b, cmd->error_comment);
	add_text(b, requested ? E_REQUESTED_INSTANCE : E_AFFECTED_INSTANCE,
	    cmd->sop_instance, '\0');
	add_u16_if(b, cmd->has_event_type, E_EVENT_TYPE, cmd->event_type);
	add_u16_if(b, cmd->has_action_type, E_ACTION_TYPE, cmd->action_type);
	add_u16_if(b, cmd->has_remaining, E_REMAINING, cmd->remaining);
	add_u16_if(b, cmd->has_counters, E_COMPLETED, cmd->completed);
	add_u16_if(b, cmd->has_counters, E_FAILED, cmd->failed);
	add_u16_if(b, cmd->has_counters, E_WARNING, cmd->warning);
	add_text(b, E_ORIGINATOR_TITLE, cmd->originator_title, ' ');
	add_u16_if(b, cmd->has_originator_id, E_ORIGINATOR_ID, cmd->originator_id);
}

int
dicom_command_write(struct buf *b, const struct dicom_command *cmd)
{
	static const uint8_t unset[4];
	size_t at;

	add_header(b, E_LENGTH, sizeof(unset));
	(void)buf_add(b, unset, sizeof(unset));
	at = b->len;
	add_elements(b, cmd);
	if (buf_error(b) != 0)
		return buf_error(b);
	for (size_t i = 0, length = b->len - at; i < sizeof(unset); i++)
		b->data[at - sizeof(unset) + i] = (char)(length >> 8 * i);
	return 0;
}
