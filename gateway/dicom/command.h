/* command.h - DIMSE command sets (PS3.7 section 9.3, annex E), ours to read and
 * write because DCMTK cannot when it does not know the transfer syntax.
 *
 * A command set is implicit little endian whatever the context negotiated.
 */
#ifndef CW_DICOM_COMMAND_H
#define CW_DICOM_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/dicom/uid.h"

#define DICOM_COMMAND_MAX (64 * 1024)

enum dicom_command_field {
	DICOM_C_STORE_RQ = 0x0001, DICOM_C_STORE_RSP = 0x8001,
	DICOM_C_GET_RQ = 0x0010, DICOM_C_GET_RSP = 0x8010,
	DICOM_C_FIND_RQ = 0x0020, DICOM_C_FIND_RSP = 0x8020,
	DICOM_C_MOVE_RQ = 0x0021, DICOM_C_MOVE_RSP = 0x8021,
	DICOM_C_ECHO_RQ = 0x0030, DICOM_C_ECHO_RSP = 0x8030,
	DICOM_N_EVENT_REPORT_RQ = 0x0100, DICOM_N_EVENT_REPORT_RSP = 0x8100,
	DICOM_N_ACTION_RQ = 0x0130, DICOM_N_ACTION_RSP = 0x8130,
	DICOM_C_CANCEL_RQ = 0x0fff,
};

#define DICOM_STATUS_SUCCESS	      0x0000
#define DICOM_STATUS_OUT_OF_RESOURCES 0xa700	/* PS3.4 B.2.3 */
#define DICOM_STATUS_MISMATCH	      0xa900
#define DICOM_STATUS_UNREADABLE	      0xc000
#define DICOM_STATUS_NOT_AUTHORIZED   0x0124	/* PS3.7 C.5.25 */
#define DICOM_STATUS_UNRECOGNIZED     0x0211
#define DICOM_STATUS_CLASS_UNSUPPORTED 0x0122

#define DICOM_DATASET_NONE    0x0101	/* (0000,0800): no data set follows */
#define DICOM_DATASET_PRESENT 0x0001

/* Zero-initialise; only what `has_` or a non-empty string says is written.
 * Strings are trimmed when read. */
struct dicom_command {
	uint16_t field;
	uint16_t message_id;		/* requests; N- and C- alike */
	uint16_t responding_to;		/* responses, C-CANCEL */
	uint16_t dataset_type;		/* DICOM_DATASET_* ; others mean present */
	uint16_t priority;
	uint16_t status;
	char	 sop_class[DICOM_UID_MAX + 1];	  /* Affected, or Requested */
	char	 sop_instance[DICOM_UID_MAX + 1];
	char	 move_destination[DICOM_TITLE_MAX + 1];
	char	 originator_title[DICOM_TITLE_MAX + 1];
	uint16_t originator_id;
	bool	 has_originator_id;
	char	 error_comment[64 + 1];
	uint32_t offending_element;	/* 0: none */
	bool	 has_priority;
	uint16_t event_type, action_type;
	bool	 has_event_type, has_action_type;
	uint16_t remaining, completed, failed, warning;
	bool	 has_counters, has_remaining;
};

/* -EBADMSG: not a command set, or one without a command field. */
int dicom_command_parse(const void *data, size_t len, struct dicom_command *ret);
/* Appends group length and elements in order. */
int dicom_command_write(struct buf *b, const struct dicom_command *cmd);

static inline bool
dicom_command_has_dataset(const struct dicom_command *cmd)
{
	return cmd->dataset_type != DICOM_DATASET_NONE;
}

#endif
