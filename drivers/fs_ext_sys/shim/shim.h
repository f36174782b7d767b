/*
 * A flat interface over libext2fs. Structure layouts come from the installed headers, so that no hand-written copy
 * of them can go wrong. All functions return 0 or a com_err code.
 */
#ifndef REHOME_EXT2FS_SHIM_H
#define REHOME_EXT2FS_SHIM_H

#include <stdint.h>

/* Where the bytes are. The callbacks return 0 or something else for "failed". */
struct rh_io {
	void *context;
	int (*read)(void *context, uint64_t offset, void *buffer, uint64_t length);
	int (*write)(void *context, uint64_t offset, const void *bytes, uint64_t length);
};

struct rh_inode {
	uint64_t size;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t links;
	uint32_t flags;
	uint32_t dtime;
	uint32_t generation;
	uint32_t sectors;
};

struct rh_space {
	uint64_t free_blocks;
	uint64_t free_inodes;
	uint32_t block_size;
};

/* What is wrong with an inode that is to be edited, in damage.c. */
enum rh_damage_kind {
	RH_SOUND = 0,
	RH_NOT_A_FILE = 1,
	RH_FREE_INODE = 2,
	RH_OUTSIDE = 3,
	RH_OWN = 4,
	RH_FREE = 5,
	RH_TWICE = 6
};

struct rh_damage {
	uint64_t block;
	uint32_t ino;
	uint32_t kind;
};

/* What a run of blocks is to its inode, in owners.c. A broken inode's blocks cannot be followed: it comes without any. */
enum rh_run_kind { RH_RUN_CONTENT = 0, RH_RUN_MAPPING = 1, RH_RUN_ATTRIBUTES = 2, RH_RUN_BROKEN = 3 };

/* The blocks of a group's own structures; the backup of superblock and descriptors is not in every group. */
struct rh_group {
	uint64_t super_block;
	uint64_t descriptors;
	uint64_t block_bitmap;
	uint64_t inode_bitmap;
	uint64_t inode_table;
	uint32_t descriptor_blocks;
	uint32_t inode_table_blocks;
	uint32_t super;
	/* The blocks at its start with superblock, descriptors and the room for more of them end here. */
	uint64_t base_end;
	/* In clusters. */
	uint32_t free_clusters;
	uint32_t no_bitmap;
	uint32_t descriptor_is_right;
};

/* What a code means to the caller, as far as cases have to be told apart. */
enum rh_class { RH_OTHER = 0, RH_NOT_FOUND = 1, RH_NO_SPACE = 2, RH_IO = 3 };

typedef struct struct_ext2_filsys rh_fs;
typedef int (*rh_entry_fn)(void *context, uint32_t ino, uint8_t type, const char *name, uint32_t length);
typedef int (*rh_block_fn)(void *context, uint64_t logical, uint64_t physical);

typedef int (*rh_run_fn)(void *context, uint32_t ino, uint64_t block, uint64_t count, uint32_t kind);

void rh_init(void);
int rh_classify(long code);
const char *rh_message(long code);

long rh_open(const struct rh_io *io, int writable, rh_fs **out);
void rh_free(rh_fs *fs);
long rh_flush(rh_fs *fs);
long rh_load_bitmaps(rh_fs *fs);
long rh_find_own_blocks(rh_fs *fs);
void rh_forget_own_blocks(rh_fs *fs);

long rh_lookup(rh_fs *fs, uint32_t folder, const char *name, uint32_t length, uint32_t *ino);
long rh_stat(rh_fs *fs, uint32_t ino, struct rh_inode *out);
long rh_list(rh_fs *fs, uint32_t folder, rh_entry_fn each, void *context);
long rh_blocks(rh_fs *fs, uint32_t ino, rh_block_fn each, void *context);
long rh_read(rh_fs *fs, uint32_t ino, uint64_t offset, void *buffer, uint64_t length, uint64_t *got);
long rh_read_link(rh_fs *fs, uint32_t ino, char *buffer, uint64_t capacity, uint64_t *length);
void rh_space(rh_fs *fs, struct rh_space *out);
int rh_inode_in_use(rh_fs *fs, uint32_t ino);

long rh_runs(rh_fs *fs, rh_run_fn each, void *context);
int rh_group(rh_fs *fs, uint32_t group, struct rh_group *out);
int rh_bitmap_is_right(rh_fs *fs, uint32_t group, const char *bitmap, uint32_t length);

long rh_find_damage(rh_fs *fs, const uint32_t *inodes, uint64_t count, struct rh_damage *out);
long rh_empty_file(rh_fs *fs, uint32_t ino);
long rh_write(rh_fs *fs, uint32_t ino, uint64_t offset, const void *bytes, uint64_t length);
long rh_create_file(rh_fs *fs, uint32_t folder, uint32_t mode, uint32_t uid, uint32_t gid, uint32_t *ino);
long rh_create_folder(rh_fs *fs, uint32_t folder, uint32_t mode, uint32_t uid, uint32_t gid, uint32_t *ino);
long rh_create_link(rh_fs *fs, uint32_t folder, const char *target, uint32_t *ino);
long rh_link(rh_fs *fs, uint32_t folder, const char *name, uint32_t ino);
long rh_unlink(rh_fs *fs, uint32_t folder, const char *name, uint32_t ino);
long rh_set_links(rh_fs *fs, uint32_t ino, uint32_t links);
long rh_set_parent(rh_fs *fs, uint32_t folder, uint32_t parent);
long rh_touch(rh_fs *fs, uint32_t ino);
long rh_release(rh_fs *fs, uint32_t ino);
long rh_cut(rh_fs *fs, uint32_t ino);
long rh_copy_xattr(rh_fs *fs, uint32_t from, uint32_t to, const char *name);

void rh_clear_orphan_list(rh_fs *fs);
void rh_clear_orphan_present(rh_fs *fs);
uint32_t rh_orphan_checksum(rh_fs *fs, uint32_t ino, uint32_t generation, uint64_t block, char *buffer);
void rh_recount_free(rh_fs *fs);

#endif
