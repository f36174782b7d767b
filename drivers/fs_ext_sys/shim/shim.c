#include "shim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ext2fs/ext2fs.h>

#define CHUNK (1u << 20)

/* --- io_manager ------------------------------------------------------------------------------------------------ */

/* The library hands its `open` a name and nothing else, so the caller's io waits here for the one call. */
static _Thread_local const struct rh_io *pending;

static errcode_t channel_open(const char *name, int flags, io_channel *out);

static errcode_t channel_close(io_channel channel)
{
	if (--channel->refcount > 0)
		return 0;
	free(channel->name);
	free(channel);
	return 0;
}

static errcode_t channel_set_block_size(io_channel channel, int block_size)
{
	if (block_size <= 0)
		return EINVAL;
	channel->block_size = block_size;
	return 0;
}

/* A negative count means bytes. */
static int range(io_channel channel, unsigned long long block, int count, uint64_t *offset, uint64_t *length)
{
	uint64_t size = (uint64_t) channel->block_size;

	*length = count < 0 ? (uint64_t) -(int64_t) count : (uint64_t) count * size;
	return __builtin_mul_overflow((uint64_t) block, size, offset);
}

static errcode_t channel_read64(io_channel channel, unsigned long long block, int count, void *data)
{
	const struct rh_io *io = channel->private_data;
	uint64_t offset, length;

	if (range(channel, block, count, &offset, &length))
		return EIO;
	return io->read(io->context, offset, data, length) ? EIO : 0;
}

static errcode_t channel_write64(io_channel channel, unsigned long long block, int count, const void *data)
{
	const struct rh_io *io = channel->private_data;
	uint64_t offset, length;

	if (range(channel, block, count, &offset, &length))
		return EIO;
	return io->write(io->context, offset, data, length) ? EIO : 0;
}

static errcode_t channel_read(io_channel channel, unsigned long block, int count, void *data)
{
	return channel_read64(channel, block, count, data);
}

static errcode_t channel_write(io_channel channel, unsigned long block, int count, const void *data)
{
	return channel_write64(channel, block, count, data);
}

static errcode_t channel_write_bytes(io_channel channel, unsigned long offset, int count, const void *data)
{
	const struct rh_io *io = channel->private_data;

	if (count < 0)
		return EINVAL;
	return io->write(io->context, offset, data, (uint64_t) count) ? EIO : 0;
}

static errcode_t channel_flush(io_channel channel)
{
	(void) channel;
	return 0;
}

static struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "rehome",
	.open = channel_open,
	.close = channel_close,
	.set_blksize = channel_set_block_size,
	.read_blk = channel_read,
	.write_blk = channel_write,
	.flush = channel_flush,
	.write_byte = channel_write_bytes,
	.read_blk64 = channel_read64,
	.write_blk64 = channel_write64,
};

static errcode_t channel_open(const char *name, int flags, io_channel *out)
{
	io_channel channel = calloc(1, sizeof(*channel));

	(void) flags;
	if (!channel)
		return ENOMEM;
	channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	channel->manager = &manager;
	channel->block_size = 1024;
	channel->refcount = 1;
	channel->private_data = (void *) pending;
	channel->name = strdup(name);
	if (!channel->name) {
		free(channel);
		return ENOMEM;
	}
	*out = channel;
	return 0;
}

/* --- the file system as a whole ---------------------------------------------------------------------------------- */

void rh_init(void)
{
	initialize_ext2_error_table();
}

int rh_classify(long code)
{
	switch (code) {
	case EXT2_ET_FILE_NOT_FOUND:
		return RH_NOT_FOUND;
	case EXT2_ET_BLOCK_ALLOC_FAIL:
	case EXT2_ET_INODE_ALLOC_FAIL:
	case EXT2_ET_DIR_NO_SPACE:
	case ENOSPC:
		return RH_NO_SPACE;
	case EIO:
		return RH_IO;
	default:
		return RH_OTHER;
	}
}

const char *rh_message(long code)
{
	return error_message(code);
}

long rh_open(const struct rh_io *io, int writable, rh_fs **out)
{
	int flags = EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP | EXT2_FLAG_MASTER_SB_ONLY;
	errcode_t error;

	if (writable)
		flags |= EXT2_FLAG_RW;
	pending = io;
	error = ext2fs_open2("guest", NULL, flags, 0, 0, &manager, out);
	pending = NULL;
	/* The kernel leaves the backup superblocks alone too, and so does a check with e2fsck. */
	if (!error)
		(*out)->flags |= EXT2_FLAG_MASTER_SB_ONLY;
	return error;
}

void rh_free(rh_fs *fs)
{
	rh_forget_own_blocks(fs);
	ext2fs_free(fs);
}

long rh_flush(rh_fs *fs)
{
	return ext2fs_flush2(fs, 0);
}

long rh_load_bitmaps(rh_fs *fs)
{
	/* Descriptors that overlap would let an edit overwrite the bitmaps or the inodes themselves. */
	errcode_t error = ext2fs_check_desc(fs);

	if (!error)
		error = ext2fs_read_bitmaps(fs);
	if (!error)
		error = rh_find_own_blocks(fs);
	return error;
}

void rh_space(rh_fs *fs, struct rh_space *out)
{
	dgrp_t group;

	memset(out, 0, sizeof(*out));
	out->block_size = fs->blocksize;
	for (group = 0; group < fs->group_desc_count; group++) {
		out->free_blocks += ext2fs_bg_free_blocks_count(fs, group);
		out->free_inodes += ext2fs_bg_free_inodes_count(fs, group);
	}
}

void rh_recount_free(rh_fs *fs)
{
	struct rh_space space;

	rh_space(fs, &space);
	ext2fs_free_blocks_count_set(fs->super, space.free_blocks << fs->cluster_ratio_bits);
	fs->super->s_free_inodes_count = (uint32_t) space.free_inodes;
	ext2fs_mark_super_dirty(fs);
}

void rh_clear_orphan_list(rh_fs *fs)
{
	fs->super->s_last_orphan = 0;
	ext2fs_mark_super_dirty(fs);
}

void rh_clear_orphan_present(rh_fs *fs)
{
	ext2fs_clear_feature_orphan_present(fs->super);
	ext2fs_mark_super_dirty(fs);
}

uint32_t rh_orphan_checksum(rh_fs *fs, uint32_t ino, uint32_t generation, uint64_t block, char *buffer)
{
	return ext2fs_do_orphan_file_block_csum(fs, ino, generation, block, buffer);
}

int rh_inode_in_use(rh_fs *fs, uint32_t ino)
{
	return ino >= 1 && ino <= fs->super->s_inodes_count && fs->inode_map &&
	       ext2fs_test_inode_bitmap2(fs->inode_map, ino);
}

/* --- reading --------------------------------------------------------------------------------------------------- */

long rh_lookup(rh_fs *fs, uint32_t folder, const char *name, uint32_t length, uint32_t *ino)
{
	ext2_ino_t found = 0;
	errcode_t error = ext2fs_lookup(fs, folder, name, (int) length, NULL, &found);

	*ino = found;
	return error;
}

long rh_stat(rh_fs *fs, uint32_t ino, struct rh_inode *out)
{
	struct ext2_inode inode;
	errcode_t error = ext2fs_read_inode(fs, ino, &inode);

	if (error)
		return error;
	memset(out, 0, sizeof(*out));
	out->size = EXT2_I_SIZE(&inode);
	out->mode = inode.i_mode;
	out->uid = inode_uid(inode);
	out->gid = inode_gid(inode);
	out->links = inode.i_links_count;
	out->flags = inode.i_flags;
	out->dtime = inode.i_dtime;
	out->generation = inode.i_generation;
	out->sectors = inode.i_blocks;
	return 0;
}

struct listing {
	rh_entry_fn each;
	void *context;
};

static int on_entry(ext2_ino_t folder, int kind, struct ext2_dir_entry *entry, int offset, int block_size,
		    char *block, void *data)
{
	struct listing *listing = data;

	(void) folder;
	(void) kind;
	(void) offset;
	(void) block_size;
	(void) block;
	return listing->each(listing->context, entry->inode, (uint8_t) ext2fs_dirent_file_type(entry), entry->name,
			     (uint32_t) ext2fs_dirent_name_len(entry)) ? DIRENT_ABORT : 0;
}

long rh_list(rh_fs *fs, uint32_t folder, rh_entry_fn each, void *context)
{
	struct listing listing = { each, context };

	return ext2fs_dir_iterate2(fs, folder, 0, NULL, on_entry, &listing);
}

struct mapping {
	rh_block_fn each;
	void *context;
};

static int on_block(ext2_filsys fs, blk64_t *block, e2_blkcnt_t logical, blk64_t reference, int offset, void *data)
{
	struct mapping *mapping = data;

	(void) fs;
	(void) reference;
	(void) offset;
	return mapping->each(mapping->context, (uint64_t) logical, *block) ? BLOCK_ABORT : 0;
}

long rh_blocks(rh_fs *fs, uint32_t ino, rh_block_fn each, void *context)
{
	struct mapping mapping = { each, context };

	return ext2fs_block_iterate3(fs, ino, BLOCK_FLAG_DATA_ONLY | BLOCK_FLAG_READ_ONLY, NULL, on_block, &mapping);
}

long rh_read(rh_fs *fs, uint32_t ino, uint64_t offset, void *buffer, uint64_t length, uint64_t *got)
{
	ext2_file_t file;
	errcode_t error = ext2fs_file_open(fs, ino, 0, &file);

	*got = 0;
	if (error)
		return error;
	error = ext2fs_file_llseek(file, offset, EXT2_SEEK_SET, NULL);
	while (!error && *got < length) {
		unsigned int wanted = length - *got < CHUNK ? (unsigned int) (length - *got) : CHUNK;
		unsigned int now = 0;

		error = ext2fs_file_read(file, (char *) buffer + *got, wanted, &now);
		*got += now;
		if (!now)
			break;
	}
	ext2fs_file_close(file);
	return error;
}

long rh_read_link(rh_fs *fs, uint32_t ino, char *buffer, uint64_t capacity, uint64_t *length)
{
	struct ext2_inode inode;
	errcode_t error = ext2fs_read_inode(fs, ino, &inode);

	*length = 0;
	if (error)
		return error;
	if (EXT2_I_SIZE(&inode) > capacity)
		return EXT2_ET_SYMLINK_LOOP;
	if (!ext2fs_is_fast_symlink(&inode))
		return rh_read(fs, ino, 0, buffer, EXT2_I_SIZE(&inode), length);
	if (EXT2_I_SIZE(&inode) > sizeof(inode.i_block))
		return EXT2_ET_SYMLINK_LOOP;
	*length = EXT2_I_SIZE(&inode);
	memcpy(buffer, inode.i_block, *length);
	return 0;
}

/* --- editing --------------------------------------------------------------------------------------------------- */

static uint32_t now_seconds(rh_fs *fs)
{
	return (uint32_t) (fs->now ? fs->now : time(NULL));
}

/* Makes an inode without content one that maps blocks, by extents where the file system has them. */
static errcode_t start_mapping(rh_fs *fs, uint32_t ino, struct ext2_inode *inode)
{
	ext2_extent_handle_t handle;
	errcode_t error;

	inode->i_flags &= ~EXT4_INLINE_DATA_FL;
	memset(inode->i_block, 0, sizeof(inode->i_block));
	if (!ext2fs_has_feature_extents(fs->super))
		return 0;
	inode->i_flags |= EXT4_EXTENTS_FL;
	error = ext2fs_extent_open2(fs, ino, inode, &handle);
	if (error)
		return error;
	ext2fs_extent_free(handle);
	return 0;
}

long rh_empty_file(rh_fs *fs, uint32_t ino)
{
	struct ext2_inode inode;
	int inlined;
	errcode_t error = ext2fs_read_inode(fs, ino, &inode);

	if (error)
		return error;
	inlined = (inode.i_flags & EXT4_INLINE_DATA_FL) != 0;
	error = ext2fs_punch(fs, ino, &inode, NULL, 0, ~0ULL);
	if (!error)
		error = ext2fs_read_inode(fs, ino, &inode);
	if (error)
		return error;
	if (inlined) {
		error = start_mapping(fs, ino, &inode);
		if (error)
			return error;
	}
	error = ext2fs_inode_size_set(fs, &inode, 0);
	if (error)
		return error;
	inode.i_mtime = inode.i_ctime = now_seconds(fs);
	return ext2fs_write_inode(fs, ino, &inode);
}

long rh_write(rh_fs *fs, uint32_t ino, uint64_t offset, const void *bytes, uint64_t length)
{
	ext2_file_t file;
	struct ext2_inode inode;
	uint64_t done = 0;
	errcode_t error = ext2fs_read_inode(fs, ino, &inode);
	errcode_t closing;

	if (error)
		return error;
	/* The library copies a long write to inline data behind the end of its buffer (1.47.0). */
	if (inode.i_flags & EXT4_INLINE_DATA_FL)
		return EXT2_ET_INLINE_DATA_CANT_ITERATE;
	error = ext2fs_file_open(fs, ino, EXT2_FILE_WRITE, &file);
	if (error)
		return error;
	error = ext2fs_file_llseek(file, offset, EXT2_SEEK_SET, NULL);
	while (!error && done < length) {
		unsigned int wanted = length - done < CHUNK ? (unsigned int) (length - done) : CHUNK;
		unsigned int now = 0;

		error = ext2fs_file_write(file, (const char *) bytes + done, wanted, &now);
		done += now;
		if (!error && !now)
			error = EIO;
	}
	closing = ext2fs_file_close(file);
	return error ? error : closing;
}

long rh_touch(rh_fs *fs, uint32_t ino)
{
	struct ext2_inode inode;
	errcode_t error = ext2fs_read_inode(fs, ino, &inode);

	if (error)
		return error;
	inode.i_mtime = inode.i_ctime = now_seconds(fs);
	return ext2fs_write_inode(fs, ino, &inode);
}

static void set_owner(struct ext2_inode *inode, uint32_t uid, uint32_t gid)
{
	inode->i_uid = uid & 0xffff;
	ext2fs_set_i_uid_high(*inode, uid >> 16);
	inode->i_gid = gid & 0xffff;
	ext2fs_set_i_gid_high(*inode, gid >> 16);
}

long rh_create_file(rh_fs *fs, uint32_t folder, uint32_t mode, uint32_t uid, uint32_t gid, uint32_t *out)
{
	struct ext2_inode inode;
	ext2_ino_t ino;
	errcode_t error = ext2fs_new_inode(fs, folder, LINUX_S_IFREG | mode, NULL, &ino);

	if (error)
		return error;
	memset(&inode, 0, sizeof(inode));
	inode.i_mode = LINUX_S_IFREG | mode;
	inode.i_links_count = 1;
	inode.i_atime = inode.i_ctime = inode.i_mtime = now_seconds(fs);
	set_owner(&inode, uid, gid);
	error = ext2fs_write_new_inode(fs, ino, &inode);
	if (!error)
		error = start_mapping(fs, ino, &inode);
	if (!error)
		error = ext2fs_write_inode(fs, ino, &inode);
	if (error)
		return error;
	ext2fs_inode_alloc_stats2(fs, ino, 1, 0);
	*out = ino;
	return 0;
}

long rh_create_folder(rh_fs *fs, uint32_t folder, uint32_t mode, uint32_t uid, uint32_t gid, uint32_t *out)
{
	struct ext2_inode inode, parent;
	ext2_ino_t ino;
	errcode_t error = ext2fs_read_inode(fs, folder, &parent);

	if (!error)
		error = ext2fs_new_inode(fs, folder, LINUX_S_IFDIR | mode, NULL, &ino);
	if (!error)
		error = ext2fs_mkdir(fs, folder, ino, NULL);
	if (!error)
		error = ext2fs_read_inode(fs, ino, &inode);
	if (error)
		return error;
	inode.i_mode = LINUX_S_IFDIR | mode;
	set_owner(&inode, uid, gid);
	*out = ino;
	error = ext2fs_write_inode(fs, ino, &inode);
	/* The caller counts the parent's links: it knows the limit of the dir_nlink feature. */
	return error ? error : rh_set_links(fs, folder, parent.i_links_count);
}

long rh_create_link(rh_fs *fs, uint32_t folder, const char *target, uint32_t *out)
{
	ext2_ino_t ino;
	errcode_t error = ext2fs_new_inode(fs, folder, LINUX_S_IFLNK | 0777, NULL, &ino);

	if (!error)
		error = ext2fs_symlink(fs, folder, ino, NULL, target);
	*out = ino;
	return error;
}

static int dirent_type(uint32_t mode)
{
	if (LINUX_S_ISREG(mode))
		return EXT2_FT_REG_FILE;
	if (LINUX_S_ISDIR(mode))
		return EXT2_FT_DIR;
	if (LINUX_S_ISLNK(mode))
		return EXT2_FT_SYMLINK;
	if (LINUX_S_ISCHR(mode))
		return EXT2_FT_CHRDEV;
	if (LINUX_S_ISBLK(mode))
		return EXT2_FT_BLKDEV;
	if (LINUX_S_ISFIFO(mode))
		return EXT2_FT_FIFO;
	if (LINUX_S_ISSOCK(mode))
		return EXT2_FT_SOCK;
	return EXT2_FT_UNKNOWN;
}

long rh_link(rh_fs *fs, uint32_t folder, const char *name, uint32_t ino)
{
	struct ext2_inode inode;
	errcode_t error = ext2fs_read_inode(fs, ino, &inode);
	int type;

	if (error)
		return error;
	type = dirent_type(inode.i_mode);
	error = ext2fs_link(fs, folder, name, ino, type);
	if (error != EXT2_ET_DIR_NO_SPACE)
		return error;
	error = ext2fs_expand_dir(fs, folder);
	return error ? error : ext2fs_link(fs, folder, name, ino, type);
}

long rh_unlink(rh_fs *fs, uint32_t folder, const char *name, uint32_t ino)
{
	return ext2fs_unlink(fs, folder, name, ino, 0);
}

long rh_set_links(rh_fs *fs, uint32_t ino, uint32_t links)
{
	struct ext2_inode inode;
	errcode_t error = ext2fs_read_inode(fs, ino, &inode);

	if (error)
		return error;
	inode.i_links_count = (uint16_t) links;
	inode.i_ctime = now_seconds(fs);
	return ext2fs_write_inode(fs, ino, &inode);
}

static int on_parent_entry(ext2_ino_t folder, int kind, struct ext2_dir_entry *entry, int offset, int block_size,
			   char *block, void *data)
{
	uint32_t *parent = data;

	(void) folder;
	(void) kind;
	(void) offset;
	(void) block_size;
	(void) block;
	if (ext2fs_dirent_name_len(entry) != 2 || strncmp(entry->name, "..", 2))
		return 0;
	entry->inode = *parent;
	*parent = 0;
	return DIRENT_ABORT | DIRENT_CHANGED;
}

long rh_set_parent(rh_fs *fs, uint32_t folder, uint32_t parent)
{
	uint32_t todo = parent;
	errcode_t error = ext2fs_dir_iterate2(fs, folder, 0, NULL, on_parent_entry, &todo);

	if (error)
		return error;
	return todo ? EXT2_ET_DIR_CORRUPTED : 0;
}

long rh_release(rh_fs *fs, uint32_t ino)
{
	struct ext2_inode_large inode;
	struct ext2_inode *small = (struct ext2_inode *) &inode;
	errcode_t error;

	memset(&inode, 0, sizeof(inode));
	error = ext2fs_read_inode_full(fs, ino, small, sizeof(inode));
	if (!error)
		error = ext2fs_free_ext_attr(fs, ino, &inode);
	if (!error && ext2fs_inode_has_valid_blocks2(fs, small))
		error = ext2fs_punch(fs, ino, small, NULL, 0, ~0ULL);
	if (error)
		return error;
	inode.i_links_count = 0;
	inode.i_dtime = now_seconds(fs);
	if (!LINUX_S_ISLNK(inode.i_mode) || ext2fs_inode_has_valid_blocks2(fs, small)) {
		error = ext2fs_inode_size_set(fs, small, 0);
		if (error)
			return error;
	}
	error = ext2fs_write_inode_full(fs, ino, small, sizeof(inode));
	if (error)
		return error;
	ext2fs_inode_alloc_stats2(fs, ino, -1, LINUX_S_ISDIR(inode.i_mode));
	return 0;
}

/* Zeros the rest of the block that holds the end of the file, as the kernel does when it cuts. */
static errcode_t zero_tail(rh_fs *fs, uint32_t ino, struct ext2_inode *inode, uint64_t size)
{
	uint64_t inside = size % fs->blocksize;
	blk64_t block = 0;
	int flags = 0;
	char *buffer;
	errcode_t error;

	if (!inside)
		return 0;
	error = ext2fs_bmap2(fs, ino, inode, NULL, 0, size / fs->blocksize, &flags, &block);
	if (error || !block || (flags & BMAP_RET_UNINIT))
		return error;
	error = ext2fs_get_mem(fs->blocksize, &buffer);
	if (error)
		return error;
	error = io_channel_read_blk64(fs->io, block, 1, buffer);
	if (!error) {
		memset(buffer + inside, 0, fs->blocksize - inside);
		error = io_channel_write_blk64(fs->io, block, 1, buffer);
	}
	ext2fs_free_mem(&buffer);
	return error;
}

/* Frees what lies behind the end of the file. */
long rh_cut(rh_fs *fs, uint32_t ino)
{
	struct ext2_inode inode;
	uint64_t size, first;
	errcode_t error = ext2fs_read_inode(fs, ino, &inode);

	if (error || !ext2fs_inode_has_valid_blocks2(fs, &inode))
		return error;
	size = EXT2_I_SIZE(&inode);
	first = size / fs->blocksize + (size % fs->blocksize != 0);
	error = zero_tail(fs, ino, &inode, size);
	if (!error)
		error = ext2fs_punch(fs, ino, &inode, NULL, first, ~0ULL);
	if (!error)
		error = ext2fs_read_inode(fs, ino, &inode);
	if (error)
		return error;
	inode.i_dtime = 0;
	return ext2fs_write_inode(fs, ino, &inode);
}

long rh_copy_xattr(rh_fs *fs, uint32_t from, uint32_t to, const char *name)
{
	struct ext2_xattr_handle *source = NULL, *target = NULL;
	void *value = NULL;
	size_t length = 0;
	errcode_t error = ext2fs_xattrs_open(fs, from, &source);

	if (!error)
		error = ext2fs_xattrs_read(source);
	if (!error)
		error = ext2fs_xattr_get(source, name, &value, &length);
	if (!error)
		error = ext2fs_xattrs_open(fs, to, &target);
	if (!error)
		error = ext2fs_xattrs_read(target);
	/* `set` writes the attributes itself. */
	if (!error)
		error = ext2fs_xattr_set(target, name, value, length);
	if (value)
		ext2fs_free_mem(&value);
	if (target)
		ext2fs_xattrs_close(&target);
	if (source)
		ext2fs_xattrs_close(&source);
	return error == EXT2_ET_EA_KEY_NOT_FOUND || error == EXT2_ET_MISSING_EA_FEATURE ? 0 : error;
}
