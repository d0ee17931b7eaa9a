/* service.c - which service an abstract syntax asks for (rule 14), and names of
 * UIDs for messages.
 *
 * Nobody can list what vendors store, so storage is what remains: whatever
 * PS3.6 does not list as something else.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/dicom/uid.h"
#include "gateway/dicom/uid_int.h"

static int
compare_suffix(const void *key, const void *member)
{
	const struct dicom_uid_name *n = member;

	return strcmp(key, n->suffix);
}

static const struct dicom_uid_name *
find_name(const char *uid)
{
	size_t root = sizeof(DICOM_UID_ROOT) - 1;

	if (strncmp(uid, DICOM_UID_ROOT, root) != 0)
		return NULL;
	return bsearch(uid + root, dicom_uid_names, dicom_uid_name_count,
	    sizeof(dicom_uid_names[0]), compare_suffix);
}

enum dicom_service
dicom_service_of(const char *abstract_syntax)
{
	const struct dicom_uid_name *n = find_name(abstract_syntax);

	if (n != NULL)
		return n->service;
	return dicom_syntax_known(abstract_syntax) ? DICOM_SERVICE_OTHER :
	    DICOM_SERVICE_STORAGE;
}

const char *
dicom_uid_name(const char *uid)
{
	const struct dicom_uid_name *n = find_name(uid);

	if (n != NULL)
		return n->name;
	return dicom_syntax_known(uid) ? dicom_syntax_find(uid)->name : NULL;
}
