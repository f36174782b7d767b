/*
 * What the library thinks of a volume, and security descriptors.
 */
#include "shim.h"

#include <errno.h>
#include <stdlib.h>

#include <ntfs-3g/attrib.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/logfile.h>
#include <ntfs-3g/security.h>
#include <ntfs-3g/volume.h>

static int failure(void)
{
	return errno ? errno : EIO;
}

/* Whether the log says that the volume was left in order, and without metadata in the cache of Windows (version 2.0). */
static int log_is_clean(ntfs_attr *log)
{
	RESTART_PAGE_HEADER *page = NULL;
	int clean = ntfs_check_logfile(log, &page) && ntfs_is_logfile_clean(log, page);

	if (page && page->major_ver == const_cpu_to_le16(2) && page->minor_ver == const_cpu_to_le16(0))
		clean = 0;
	free(page);
	return clean;
}

int rn_state(rn_fs *fs, uint32_t *state)
{
	ntfs_inode *ni;
	ntfs_attr *log;

	*state = RN_CLEAN;
	if (NVolReadOnly(fs)) {
		*state = RN_READ_ONLY;
		return 0;
	}
	errno = 0;
	if (ntfs_volume_check_hiberfile(fs, 0) < 0) {
		if (errno != EPERM)
			return failure();
		*state = RN_HIBERNATED;
		return 0;
	}
	ni = ntfs_inode_open(fs, FILE_LogFile);
	if (!ni)
		return failure();
	log = ntfs_attr_open(ni, AT_DATA, AT_UNNAMED, 0);
	if (!log) {
		int error = failure();

		ntfs_inode_close(ni);
		return error;
	}
	if (!log_is_clean(log) || (fs->flags & VOLUME_IS_DIRTY))
		*state = RN_UNCLEAN;
	ntfs_attr_close(log);
	return ntfs_inode_close(ni) ? failure() : 0;
}

/* Counts once; the library keeps the number afterwards. */
int rn_free_space(rn_fs *fs, uint64_t *clusters)
{
	errno = 0;
	if (!NVolFreeSpaceKnown(fs) && ntfs_volume_get_free_space(fs))
		return failure();
	*clusters = fs->free_clusters > 0 ? (uint64_t) fs->free_clusters : 0;
	return 0;
}

int rn_descriptor(rn_fs *fs, uint64_t file, void *buffer, uint32_t capacity, uint32_t *length)
{
	struct SECURITY_CONTEXT context = { .vol = fs };
	ntfs_inode *ni;
	int size;

	errno = 0;
	ni = ntfs_inode_open(fs, file);
	if (!ni)
		return failure();
	size = ntfs_get_ntfs_acl(&context, ni, buffer, capacity);
	if (ntfs_inode_close(ni))
		return failure();
	if (size <= 0)
		return size ? -size : ENOENT;
	if ((uint32_t) size > capacity)
		return ERANGE;
	*length = (uint32_t) size;
	return 0;
}
