/*
 * What an inode must not map when it is to be edited. The library frees and reuses whatever a block pointer names, be
 * it an inode table; without metadata_csum nothing else notices a pointer that went astray.
 */
#include "shim.h"

#include <ext2fs/ext2fs.h>

/* A map of few and long stretches: its size goes by their number, not by that of the blocks. */
static errcode_t new_map(rh_fs *fs, const char *what, ext2fs_block_bitmap *out)
{
	__u16 type = fs->default_bitmap_type;
	errcode_t error;

	fs->default_bitmap_type = EXT2FS_BMAP64_RBTREE;
	error = ext2fs_allocate_block_bitmap(fs, what, out);
	fs->default_bitmap_type = type;
	return error;
}

struct walk {
	/* Blocks that no inode may map, or NULL for the inodes that exist to hold such blocks. */
	ext2fs_block_bitmap own;
	/* Blocks met before, also in other inodes. */
	ext2fs_block_bitmap seen;
	uint64_t block;
	enum rh_damage_kind damage;
};

static int in_range(rh_fs *fs, blk64_t block)
{
	return block >= fs->super->s_first_data_block && block < ext2fs_blocks_count(fs->super);
}

static enum rh_damage_kind judge(rh_fs *fs, const struct walk *walk, blk64_t block)
{
	if (!in_range(fs, block))
		return RH_OUTSIDE;
	if (walk->own && ext2fs_test_block_bitmap2(walk->own, block))
		return RH_OWN;
	if (!ext2fs_test_block_bitmap2(fs->block_map, block))
		return RH_FREE;
	return ext2fs_test_block_bitmap2(walk->seen, block) ? RH_TWICE : RH_SOUND;
}

static int on_block(ext2_filsys fs, blk64_t *block, e2_blkcnt_t logical, blk64_t reference, int offset, void *data)
{
	struct walk *walk = data;

	(void) logical;
	(void) reference;
	(void) offset;
	walk->block = *block;
	walk->damage = judge(fs, walk, *block);
	if (walk->damage)
		return BLOCK_ABORT;
	/* No block is met twice, so a walk ends after as many as the file system has. */
	ext2fs_mark_block_bitmap2(walk->seen, *block);
	return 0;
}

static errcode_t walk_blocks(rh_fs *fs, ext2_ino_t ino, struct walk *walk)
{
	return ext2fs_block_iterate3(fs, ino, BLOCK_FLAG_READ_ONLY, NULL, on_block, walk);
}

/* --- the file system's own blocks --------------------------------------------------------------------------------- */

/* Superblocks, descriptors with the room to grow, bitmaps and inode tables. ext2fs_check_desc went before. */
static void mark_groups(rh_fs *fs, ext2fs_block_bitmap own)
{
	dgrp_t group;

	for (group = 0; group < fs->group_desc_count; group++) {
		ext2fs_reserve_super_and_bgd(fs, group, own);
		ext2fs_mark_block_bitmap2(own, ext2fs_block_bitmap_loc(fs, group));
		ext2fs_mark_block_bitmap2(own, ext2fs_inode_bitmap_loc(fs, group));
		ext2fs_mark_block_bitmap_range2(own, ext2fs_inode_table_loc(fs, group), fs->inode_blocks_per_group);
	}
}

/* Adds the blocks of an inode that belongs to the file system. */
static errcode_t mark_inode(rh_fs *fs, ext2_ino_t ino, int may_hold_own, ext2fs_block_bitmap own)
{
	struct walk walk = { may_hold_own ? NULL : own, NULL, 0, RH_SOUND };
	blk64_t start = 0, end, last = ext2fs_blocks_count(fs->super) - 1;
	errcode_t error = new_map(fs, "blocks of one inode", &walk.seen);

	if (error)
		return error;
	error = walk_blocks(fs, ino, &walk);
	if (!error && walk.damage)
		error = EXT2_ET_BAD_BLOCK_NUM;
	end = fs->super->s_first_data_block;
	while (!error && end <= last && !ext2fs_find_first_set_block_bitmap2(walk.seen, end, last, &start)) {
		if (ext2fs_find_first_zero_block_bitmap2(walk.seen, start, last, &end))
			end = last + 1;
		ext2fs_mark_block_bitmap_range2(own, start, (unsigned int) (end - start));
	}
	ext2fs_free_block_bitmap(walk.seen);
	return error;
}

static errcode_t mark_inodes(rh_fs *fs, ext2fs_block_bitmap own)
{
	struct ext2_super_block *super = fs->super;
	errcode_t error = mark_inode(fs, EXT2_BAD_INO, 1, own);

	if (!error && ext2fs_has_feature_resize_inode(super))
		error = mark_inode(fs, EXT2_RESIZE_INO, 1, own);
	if (!error && ext2fs_has_feature_journal(super) && super->s_journal_inum)
		error = mark_inode(fs, super->s_journal_inum, 0, own);
	if (!error && ext2fs_has_feature_orphan_file(super))
		error = mark_inode(fs, super->s_orphan_file_inum, 0, own);
	if (!error && ext2fs_has_feature_mmp(super)) {
		if (!in_range(fs, super->s_mmp_block) || ext2fs_test_block_bitmap2(own, super->s_mmp_block) ||
		    !ext2fs_test_block_bitmap2(fs->block_map, super->s_mmp_block))
			return EXT2_ET_MMP_BAD_BLOCK;
		ext2fs_mark_block_bitmap2(own, super->s_mmp_block);
	}
	return error;
}

/* Whether the bitmap says that all of `own` is taken, as the kernel checks before it allocates. */
static errcode_t check_taken(rh_fs *fs, ext2fs_block_bitmap own)
{
	blk64_t start, end = fs->super->s_first_data_block, last = ext2fs_blocks_count(fs->super) - 1, free_block;

	while (end <= last && !ext2fs_find_first_set_block_bitmap2(own, end, last, &start)) {
		if (ext2fs_find_first_zero_block_bitmap2(own, start, last, &end))
			end = last + 1;
		if (!ext2fs_find_first_zero_block_bitmap2(fs->block_map, start, end - 1, &free_block))
			return EXT2_ET_GDESC_BAD_BLOCK_MAP;
	}
	return 0;
}

void rh_forget_own_blocks(rh_fs *fs)
{
	if (fs->priv_data)
		ext2fs_free_block_bitmap(fs->priv_data);
	fs->priv_data = NULL;
}

long rh_find_own_blocks(rh_fs *fs)
{
	ext2fs_block_bitmap own;
	errcode_t error;

	rh_forget_own_blocks(fs);
	error = new_map(fs, "blocks of the file system itself", &own);
	if (error)
		return error;
	fs->priv_data = own;
	mark_groups(fs, own);
	error = check_taken(fs, own);
	return error ? error : mark_inodes(fs, own);
}

/* --- inodes to edit ----------------------------------------------------------------------------------------------- */

static enum rh_damage_kind judge_number(rh_fs *fs, ext2_ino_t ino)
{
	if (ino > fs->super->s_inodes_count || (ino != EXT2_ROOT_INO && ino < EXT2_FIRST_INODE(fs->super)))
		return RH_NOT_A_FILE;
	return ext2fs_test_inode_bitmap2(fs->inode_map, ino) ? RH_SOUND : RH_FREE_INODE;
}

static errcode_t walk_content(rh_fs *fs, ext2_ino_t ino, struct walk *walk)
{
	struct ext2_inode inode;
	errcode_t error;

	walk->block = 0;
	walk->damage = judge_number(fs, ino);
	if (walk->damage)
		return 0;
	error = ext2fs_read_inode(fs, ino, &inode);
	if (error || !ext2fs_inode_has_valid_blocks2(fs, &inode))
		return error;
	return walk_blocks(fs, ino, walk);
}

/* Inodes may share a block of attributes, so those are compared with the content of all and not marked. */
static errcode_t check_attributes(rh_fs *fs, ext2_ino_t ino, struct walk *walk)
{
	struct ext2_inode inode;
	errcode_t error = ext2fs_read_inode(fs, ino, &inode);

	if (error)
		return error;
	walk->block = ext2fs_file_acl_block(fs, &inode);
	if (walk->block)
		walk->damage = judge(fs, walk, walk->block);
	return 0;
}

long rh_find_damage(rh_fs *fs, const uint32_t *inodes, uint64_t count, struct rh_damage *out)
{
	struct walk walk = { fs->priv_data, NULL, 0, RH_SOUND };
	uint64_t step;
	errcode_t error;

	if (!walk.own)
		return EXT2_ET_NO_BLOCK_BITMAP;
	error = new_map(fs, "blocks met", &walk.seen);
	if (error)
		return error;
	for (step = 0; !error && !walk.damage && step < 2 * count; step++) {
		out->ino = inodes[step % count];
		error = step < count ? walk_content(fs, out->ino, &walk) : check_attributes(fs, out->ino, &walk);
	}
	ext2fs_free_block_bitmap(walk.seen);
	out->block = walk.block;
	out->kind = walk.damage;
	return error;
}
