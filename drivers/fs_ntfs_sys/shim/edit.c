/*
 * Edits. Each opens what it needs and closes it again, so that nothing but the volume's own inodes stays in memory.
 */
#include "shim.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <ntfs-3g/attrib.h>
#include <ntfs-3g/dir.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/reparse.h>
#include <ntfs-3g/security.h>
#include <ntfs-3g/volume.h>

static int failure(void)
{
	return errno ? errno : EIO;
}

/* Keeps the first error. */
static int close_inode(ntfs_inode *ni, int error)
{
	errno = 0;
	if (ntfs_inode_close(ni) && !error)
		return failure();
	return error;
}

static int open_inode(rn_fs *fs, uint64_t file, ntfs_inode **out)
{
	errno = 0;
	*out = ntfs_inode_open(fs, file);
	return *out ? 0 : failure();
}

static int is_dirty(ntfs_inode *ni)
{
	return NInoDirty(ni) || NInoAttrListDirty(ni) || NInoFileNameDirty(ni);
}

/* The volume's own inodes are open all the time; what changed in them is written here. */
int rn_sync(rn_fs *fs)
{
	ntfs_inode *inodes[] = { fs->lcnbmp_ni, fs->secure_ni, fs->mft_ni, fs->mftmirr_ni };
	unsigned int at;

	for (at = 0; at < sizeof(inodes) / sizeof(*inodes); at++) {
		errno = 0;
		if (inodes[at] && is_dirty(inodes[at]) && ntfs_inode_sync(inodes[at]))
			return failure();
	}
	return 0;
}

static void mark_changed(ntfs_inode *ni)
{
	ni->flags |= FILE_ATTR_ARCHIVE;
	ntfs_inode_update_times(ni, NTFS_UPDATE_MCTIME);
	NInoFileNameSetDirty(ni);
	NInoSetDirty(ni);
}

/*
 * A new name with the descriptor that the caller computed. The library wants an identifier of a descriptor before the
 * inode exists: the folder's own is one that exists, and it is replaced before the inode is closed.
 */
int rn_create(rn_fs *fs, uint64_t folder, const uint16_t *name, uint8_t length, int is_folder, const void *descriptor,
	      uint32_t descriptor_length, uint64_t *file)
{
	struct SECURITY_CONTEXT context = { .vol = fs };
	ntfs_inode *dir, *ni;
	ntfschar units[255];
	le32 security;
	int at, error = open_inode(fs, folder, &dir);

	if (error)
		return error;
	for (at = 0; at < length; at++)
		units[at] = cpu_to_le16(name[at]);
	security = test_nino_flag(dir, v3_Extensions) ? dir->security_id : const_cpu_to_le32(0);
	if (!security)
		security = ntfs_inherited_id(&context, dir, is_folder);
	errno = 0;
	ni = ntfs_create(dir, security, units, length, is_folder ? S_IFDIR : S_IFREG);
	if (!ni)
		return close_inode(dir, failure());
	*file = MK_MREF(ni->mft_no, le16_to_cpu(ni->mrec->sequence_number));
	errno = 0;
	if (ntfs_set_ntfs_acl(&context, ni, descriptor, descriptor_length, 0))
		error = failure();
	/* The folder's index in memory has the new name, the one on the volume not yet. */
	errno = 0;
	if (ntfs_inode_close_in_dir(ni, dir) && !error)
		error = failure();
	if (!error)
		ntfs_inode_update_times(dir, NTFS_UPDATE_MCTIME);
	return close_inode(dir, error);
}

int rn_write(rn_fs *fs, uint64_t file, uint64_t offset, const void *bytes, uint64_t length)
{
	ntfs_inode *ni;
	ntfs_attr *data;
	uint64_t done = 0;
	int error = open_inode(fs, file, &ni);

	if (error)
		return error;
	errno = 0;
	data = ntfs_attr_open(ni, AT_DATA, AT_UNNAMED, 0);
	if (!data)
		return close_inode(ni, failure());
	while (!error && done < length) {
		s64 now;

		errno = 0;
		now = ntfs_attr_pwrite(data, (s64) (offset + done), (s64) (length - done), (const char *) bytes + done);
		if (now <= 0)
			error = failure();
		else
			done += (uint64_t) now;
	}
	ntfs_attr_close(data);
	mark_changed(ni);
	return close_inode(ni, error);
}

/* Empties a file. */
int rn_cut(rn_fs *fs, uint64_t file)
{
	ntfs_inode *ni;
	ntfs_attr *data;
	int error = open_inode(fs, file, &ni);

	if (error)
		return error;
	errno = 0;
	data = ntfs_attr_open(ni, AT_DATA, AT_UNNAMED, 0);
	if (!data)
		return close_inode(ni, failure());
	if (ntfs_attr_truncate(data, 0))
		error = failure();
	ntfs_attr_close(data);
	mark_changed(ni);
	return close_inode(ni, error);
}

/*
 * Makes a compressed or sparse file an empty one that is neither: its content goes, its reparse point with the entry in
 * the volume's index of them, and the stream that held the content in another form.
 */
int rn_make_plain(rn_fs *fs, uint64_t file, int drop_reparse, const uint16_t *stream, uint32_t stream_length)
{
	ntfs_inode *ni;
	ntfschar units[255];
	uint32_t at;
	int error = open_inode(fs, file, &ni);

	if (error)
		return error;
	if (stream_length > sizeof(units) / sizeof(*units))
		return close_inode(ni, EINVAL);
	for (at = 0; at < stream_length; at++)
		units[at] = cpu_to_le16(stream[at]);
	errno = 0;
	if (drop_reparse && ntfs_remove_ntfs_reparse_data(ni))
		error = failure();
	if (!error && stream_length && ntfs_attr_remove(ni, AT_DATA, units, stream_length))
		error = failure();
	if (!error && ntfs_attr_remove(ni, AT_DATA, AT_UNNAMED, 0))
		error = failure();
	if (!error) {
		ni->flags &= ~(FILE_ATTR_COMPRESSED | FILE_ATTR_SPARSE_FILE);
		if (ntfs_attr_add(ni, AT_DATA, AT_UNNAMED, 0, NULL, 0))
			error = failure();
		ni->data_size = ni->allocated_size = 0;
	}
	mark_changed(ni);
	return close_inode(ni, error);
}

int rn_link(rn_fs *fs, uint64_t file, uint64_t folder, const uint16_t *name, uint8_t length)
{
	ntfs_inode *ni, *dir;
	ntfschar units[255];
	int at, error = open_inode(fs, file, &ni);

	if (error)
		return error;
	error = open_inode(fs, folder, &dir);
	if (error)
		return close_inode(ni, error);
	for (at = 0; at < length; at++)
		units[at] = cpu_to_le16(name[at]);
	errno = 0;
	if (ntfs_link(ni, dir, units, length))
		error = failure();
	if (!error) {
		ntfs_inode_update_times(ni, NTFS_UPDATE_CTIME);
		ntfs_inode_update_times(dir, NTFS_UPDATE_MCTIME);
	}
	/* The folder first: closing the file looks for its new name in the folder's index on the volume. */
	error = close_inode(dir, error);
	return close_inode(ni, error);
}

int rn_unlink(rn_fs *fs, uint64_t file, uint64_t folder, const uint16_t *name, uint8_t length)
{
	ntfs_inode *ni, *dir;
	ntfschar units[255];
	int at, error = open_inode(fs, file, &ni);

	if (error)
		return error;
	error = open_inode(fs, folder, &dir);
	if (error)
		return close_inode(ni, error);
	for (at = 0; at < length; at++)
		units[at] = cpu_to_le16(name[at]);
	errno = 0;
	/* Closes both in any case. */
	return ntfs_delete(fs, NULL, ni, dir, units, length) ? failure() : 0;
}
