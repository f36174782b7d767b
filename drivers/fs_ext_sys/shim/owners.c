/*
 * Which blocks belong to what: those of every inode in use, in runs, and those of each block group.
 */
#include "shim.h"

#include <string.h>

#include <ext2fs/ext2fs.h>

/* Blocks of the inode tables that are read at once. */
#define SCAN_BLOCKS 8

struct walk {
	rh_run_fn each;
	void *context;
	uint32_t ino;
	int stopped;
};

static int tell(struct walk *walk, blk64_t block, uint64_t count, enum rh_run_kind kind)
{
	if (!walk->stopped && walk->each(walk->context, walk->ino, block, count, kind))
		walk->stopped = 1;
	return walk->stopped;
}

static int on_block(ext2_filsys fs, blk64_t *block, e2_blkcnt_t logical, blk64_t reference, int offset, void *data)
{
	(void) fs;
	(void) reference;
	(void) offset;
	return tell(data, *block, 1, logical < 0 ? RH_RUN_MAPPING : RH_RUN_CONTENT) ? BLOCK_ABORT : 0;
}

static errcode_t walk_extents(rh_fs *fs, struct walk *walk)
{
	struct ext2fs_extent extent;
	ext2_extent_handle_t handle;
	errcode_t error = ext2fs_extent_open(fs, walk->ino, &handle);
	int next = EXT2_EXTENT_ROOT;

	if (error)
		return error;
	while (!(error = ext2fs_extent_get(handle, next, &extent))) {
		int leaf = extent.e_flags & EXT2_EXTENT_FLAGS_LEAF;

		next = EXT2_EXTENT_NEXT;
		if (extent.e_flags & EXT2_EXTENT_FLAGS_SECOND_VISIT)
			continue;
		if (tell(walk, extent.e_pblk, leaf ? extent.e_len : 1, leaf ? RH_RUN_CONTENT : RH_RUN_MAPPING))
			break;
	}
	ext2fs_extent_free(handle);
	return error == EXT2_ET_EXTENT_NO_NEXT || error == EXT2_ET_NO_CURRENT_NODE ? 0 : error;
}

static errcode_t walk_inode(rh_fs *fs, struct walk *walk, struct ext2_inode *inode)
{
	blk64_t attributes = ext2fs_file_acl_block(fs, inode);

	if (attributes && tell(walk, attributes, 1, RH_RUN_ATTRIBUTES))
		return 0;
	if (inode->i_flags & EXT4_INLINE_DATA_FL || !ext2fs_inode_has_valid_blocks2(fs, inode))
		return 0;
	if (inode->i_flags & EXT4_EXTENTS_FL)
		return walk_extents(fs, walk);
	return ext2fs_block_iterate3(fs, walk->ino, BLOCK_FLAG_READ_ONLY, NULL, on_block, walk);
}

long rh_runs(rh_fs *fs, rh_run_fn each, void *context)
{
	struct walk walk = { .each = each, .context = context };
	struct ext2_inode inode;
	ext2_inode_scan scan;
	errcode_t error = ext2fs_open_inode_scan(fs, SCAN_BLOCKS, &scan);

	if (error)
		return error;
	ext2fs_inode_scan_flags(scan, EXT2_SF_SKIP_MISSING_ITABLE, 0);
	while (!walk.stopped) {
		ext2_ino_t ino = 0;

		error = ext2fs_get_next_inode(scan, &ino, &inode);
		walk.ino = ino;
		if (error == EXT2_ET_INODE_CSUM_INVALID) {
			tell(&walk, 0, 0, RH_RUN_BROKEN);
			continue;
		}
		if (error || !ino)
			break;
		if (inode.i_links_count && walk_inode(fs, &walk, &inode))
			tell(&walk, 0, 0, RH_RUN_BROKEN);
	}
	ext2fs_close_inode_scan(scan);
	return error;
}

int rh_group(rh_fs *fs, uint32_t group, struct rh_group *out)
{
	blk64_t super, old, new;
	blk_t used;

	memset(out, 0, sizeof(*out));
	if (group >= fs->group_desc_count || ext2fs_super_and_bgd_loc2(fs, group, &super, &old, &new, &used))
		return 0;
	out->super = ext2fs_bg_has_super(fs, (dgrp_t) group);
	out->super_block = super;
	out->descriptors = old ? old : new;
	out->descriptor_blocks = !old ? new != 0
			       : ext2fs_has_feature_meta_bg(fs->super) ? fs->super->s_first_meta_bg : fs->desc_blocks;
	out->block_bitmap = ext2fs_block_bitmap_loc(fs, group);
	out->inode_bitmap = ext2fs_inode_bitmap_loc(fs, group);
	out->inode_table = ext2fs_inode_table_loc(fs, group);
	out->inode_table_blocks = fs->inode_blocks_per_group;
	out->base_end = used ? (out->super ? super : out->descriptors) + used : ext2fs_group_first_block2(fs, group);
	out->free_clusters = ext2fs_bg_free_blocks_count(fs, group);
	out->no_bitmap = ext2fs_has_group_desc_csum(fs) && ext2fs_bg_flags_test(fs, group, EXT2_BG_BLOCK_UNINIT);
	out->descriptor_is_right = ext2fs_group_desc_csum_verify(fs, group);
	return 1;
}

int rh_bitmap_is_right(rh_fs *fs, uint32_t group, const char *bitmap, uint32_t length)
{
	return group < fs->group_desc_count &&
	       ext2fs_block_bitmap_csum_verify(fs, group, (char *) bitmap, (int) length);
}
