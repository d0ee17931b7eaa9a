/* keyword.c - SOP classes by their keywords (PS3.6 table A-1): a name without what is
 * neither letter nor digit. Their capitals follow no rule, so case does not count.
 */
#include <ctype.h>
#include <string.h>

#include "gateway/dicom/uid.h"
#include "gateway/dicom/uid_int.h"

static const char *
skip_others(const char *s)
{
	while (*s != '\0' && !isalnum((unsigned char)*s))
		s++;
	return s;
}

static bool
same_words(const char *name, const char *keyword)
{
	for (;;) {
		name = skip_others(name);
		if (*name == '\0' || tolower((unsigned char)*name) !=
		    tolower((unsigned char)*keyword))
			return *name == '\0' && *keyword == '\0';
		name++;
		keyword++;
	}
}

static bool
name_has_keyword(const char *name, const char *keyword)
{
	static const char digits[] = "12-lead", word[] = "twelvelead";

	/* The one keyword that spells a number. */
	if (strncmp(name, digits, sizeof(digits) - 1) == 0)
		return strncasecmp(keyword, word, sizeof(word) - 1) == 0 &&
		    same_words(name + sizeof(digits) - 1,
			keyword + sizeof(word) - 1);
	return same_words(name, keyword);
}

bool
dicom_uid_has_keyword(const char *uid, const char *keyword)
{
	const char *name = dicom_uid_name(uid);

	return name != NULL && name_has_keyword(name, keyword);
}

bool
dicom_keyword_known(const char *keyword)
{
	for (size_t i = 0; i < dicom_uid_name_count; i++) {
		if (name_has_keyword(dicom_uid_names[i].name, keyword))
			return true;
	}
	return false;
}
