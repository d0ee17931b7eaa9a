/* json_write.c - DICOM JSON (PS3.18 annex F) out.
 *
 * Numbers are written as numbers where the text is one by JSON's grammar, and as
 * strings where it is not; an empty value is null, an attribute without values
 * has no Value. Text that is not UTF-8 leaves as U+FFFD. Binary values are not
 * kept in a data set and so not written.
 */
#include <stdbool.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/dataset_int.h"
#include "gateway/dicom/utf8_int.h"

static bool
is_number_vr(uint16_t vr)
{
	static const uint16_t numbers[] = {
		DICOM_VR('D', 'S'), DICOM_VR('F', 'D'), DICOM_VR('F', 'L'),
		DICOM_VR('I', 'S'), DICOM_VR('S', 'L'), DICOM_VR('S', 'S'),
		DICOM_VR('S', 'V'), DICOM_VR('U', 'L'), DICOM_VR('U', 'S'),
		DICOM_VR('U', 'V'),
	};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i] == vr)
			return true;
	return false;
}

static size_t
span_digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* RFC 8259, section 6. */
static bool
is_json_number(const char *s)
{
	size_t n;

	if (*s == '-')
		s++;
	n = span_digits(s);
	if (n == 0 || (n > 1 && *s == '0'))
		return false;
	s += n;
	if (*s == '.') {
		n = span_digits(++s);
		if (n == 0)
			return false;
		s += n;
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '+' || *s == '-')
			s++;
		n = span_digits(s);
		if (n == 0)
			return false;
		s += n;
	}
	return *s == '\0';
}

static void
write_string(struct buf *b, const char *s, size_t len)
{
	(void)buf_add_char(b, '"');
	while (len > 0) {
		uint32_t cp = 0;
		char utf8[UTF8_MAX];
		size_t n = dicom_utf8_read(s, len, &cp);

		if (cp == '"' || cp == '\\')
			(void)buf_printf(b, "\\%c", (int)cp);
		else if (cp < 0x20 || cp == 0x7f)
			(void)buf_printf(b, "\\u%04x", (unsigned)cp);
		else
			(void)buf_add(b, utf8, dicom_utf8_write(cp, utf8));
		s += n;
		len -= n;
	}
	(void)buf_add_char(b, '"');
}

static void
write_name(struct buf *b, const char *name)
{
	static const char *const groups[] = { "Alphabetic", "Ideographic",
		"Phonetic" };
	bool first = true;

	(void)buf_add_char(b, '{');
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		size_t len = strcspn(name, "=");

		if (len > 0) {
			(void)buf_printf(b, "%s\"%s\":", first ? "" : ",",
			    groups[i]);
			write_string(b, name, len);
			first = false;
		}
		name += len + (name[len] == '=');
	}
	(void)buf_add_char(b, '}');
}

static void
write_text(struct buf *b, uint16_t vr, const char *text)
{
	if (text[0] == '\0')
		(void)buf_add_str(b, "null");
	else if (vr == DICOM_VR('P', 'N'))
		write_name(b, text);
	else if (is_number_vr(vr) && is_json_number(text))
		(void)buf_add_str(b, text);
	else
		write_string(b, text, strlen(text));
}

static void write_dataset(struct buf *b, const struct dicom_dataset *d);

static void
write_attribute(struct buf *b, const struct dicom_attribute *a)
{
	(void)buf_printf(b, "\"%08X\":{\"vr\":\"%c%c\"", (unsigned)a->tag,
	    a->vr >> 8, a->vr & 0xff);
	for (size_t i = 0; i < a->n; i++) {
		(void)buf_add_str(b, i == 0 ? ",\"Value\":[" : ",");
		if (a->item != NULL)
			write_dataset(b, a->item[i]);
		else
			write_text(b, a->vr, a->text[i]);
	}
	(void)buf_add_str(b, a->n > 0 ? "]}" : "}");
}

static void
write_dataset(struct buf *b, const struct dicom_dataset *d)
{
	const struct dicom_attribute *a = dicom_dataset_at(d, 0);

	(void)buf_add_char(b, '{');
	for (size_t i = 1; a != NULL; i++) {
		write_attribute(b, a);
		a = dicom_dataset_at(d, i);
		if (a != NULL)
			(void)buf_add_char(b, ',');
	}
	(void)buf_add_char(b, '}');
}

int
dicom_json_write(struct buf *b, const struct dicom_dataset *d)
{
	write_dataset(b, d);
	return buf_error(b);
}
