/* uid.c - predicates for UIDs and titles, the trimming that every comparison
 * begins with, and the pattern language of titles in the configuration.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "gateway/dicom/uid.h"

static bool
is_padding(char c)
{
	return c == ' ' || c == '\0';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int
dicom_trim(const void *src, size_t len, char *dst, size_t dst_size)
{
	const char *s = src;

	while (len > 0 && is_padding(s[len - 1]))
		len--;
	while (len > 0 && is_padding(s[0])) {
		s++;
		len--;
	}
	if (len >= dst_size)
		return -EMSGSIZE;
	if (len > 0 && memchr(s, '\0', len) != NULL)
		return -EINVAL;
	if (len > 0)
		memcpy(dst, s, len);
	dst[len] = '\0';
	return 0;
}

bool
dicom_uid_ok(const char *uid)
{
	size_t len = strnlen(uid, DICOM_UID_MAX + 1), begin = 0;

	if (len == 0 || len > DICOM_UID_MAX)
		return false;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && is_digit(uid[i]))
			continue;
		if (i < len && uid[i] != '.')
			return false;
		/* A component is not empty, and begins with 0 only when it is 0. */
		if (i == begin || (uid[begin] == '0' && i - begin > 1))
			return false;
		begin = i + 1;
	}
	return true;
}

bool
dicom_uid_tolerable(const char *uid)
{
	size_t len = strnlen(uid, DICOM_UID_MAX + 1);

	if (len == 0 || len > DICOM_UID_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (uid[i] <= ' ' || uid[i] > '~')
			return false;
	}
	return true;
}

bool
dicom_title_ok(const char *title)
{
	size_t len = strnlen(title, DICOM_TITLE_MAX + 1);

	if (len == 0 || len > DICOM_TITLE_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (title[i] < ' ' || title[i] > '~' || title[i] == '\\')
			return false;
	}
	return title[0] != ' ' && title[len - 1] != ' ';
}

static const char *
next_char(const char *s)
{
	s++;
	while (((unsigned char)*s & 0xc0) == 0x80)
		s++;
	return s;
}

/* Only the last `*` is ever tried again, so hostile text costs no more than the
 * product of the lengths. */
bool
dicom_glob_match(const char *pattern, const char *text)
{
	const char *star = NULL, *mark = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			mark = text;
		} else if (*pattern == '?') {
			pattern++;
			text = next_char(text);
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star + 1;
			text = mark = next_char(mark);
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

int
dicom_uid_new(char ret[DICOM_UID_MAX + 1])
{
	unsigned __int128 v;
	uint8_t uuid[16];
	char digits[40];
	size_t n = sizeof(digits);

	if (getrandom(uuid, sizeof(uuid), 0) != (ssize_t)sizeof(uuid))
		return -EIO;
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);	/* RFC 4122: version 4 */
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
	v = 0;
	for (size_t i = 0; i < sizeof(uuid); i++)
		v = v << 8 | uuid[i];
	digits[--n] = '\0';
	do {
		digits[--n] = (char)('0' + (int)(v % 10));
		v /= 10;
	} while (v > 0);
	(void)snprintf(ret, DICOM_UID_MAX + 1, "2.25.%s", digits + n);
	return 0;
}
