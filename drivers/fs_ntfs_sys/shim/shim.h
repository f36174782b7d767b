/*
 * A flat interface over libntfs-3g. Structure layouts come from the installed headers, so that no hand-written copy
 * of them can go wrong. All functions return 0 or an errno.
 */
#ifndef REHOME_NTFS3G_SHIM_H
#define REHOME_NTFS3G_SHIM_H

#include <stdint.h>

/* Where the bytes are. The callbacks return 0 or something else for "failed". */
struct rn_io {
	void *context;
	uint64_t size;
	int (*read)(void *context, uint64_t offset, void *buffer, uint64_t length);
	int (*write)(void *context, uint64_t offset, const void *bytes, uint64_t length);
};

/* What the library says about a volume that is to be edited. */
enum rn_state { RN_CLEAN = 0, RN_HIBERNATED = 1, RN_UNCLEAN = 2, RN_READ_ONLY = 3 };

/* What an errno means to the caller, as far as cases have to be told apart. */
enum rn_class { RN_OTHER = 0, RN_NOT_FOUND = 1, RN_NO_SPACE = 2, RN_IO = 3 };

typedef struct _ntfs_volume rn_fs;

int rn_classify(int code);
/* What the library logged last on this thread, for a message; empty when nothing. */
const char *rn_message(void);
void rn_forget_message(void);

/* Changes nothing on the volume, whatever state it is in. */
int rn_open(const struct rn_io *io, rn_fs **out);
int rn_close(rn_fs *fs);
int rn_sync(rn_fs *fs);
int rn_state(rn_fs *fs, uint32_t *state);
int rn_free_space(rn_fs *fs, uint64_t *clusters);

/* Files and folders are named by references: record number and sequence number. Names are UTF-16 of this machine. */
int rn_descriptor(rn_fs *fs, uint64_t file, void *buffer, uint32_t capacity, uint32_t *length);
int rn_create(rn_fs *fs, uint64_t folder, const uint16_t *name, uint8_t length, int is_folder, const void *descriptor,
	      uint32_t descriptor_length, uint64_t *file);
int rn_write(rn_fs *fs, uint64_t file, uint64_t offset, const void *bytes, uint64_t length);
int rn_cut(rn_fs *fs, uint64_t file);
int rn_make_plain(rn_fs *fs, uint64_t file, int drop_reparse, const uint16_t *stream, uint32_t stream_length);
int rn_link(rn_fs *fs, uint64_t file, uint64_t folder, const uint16_t *name, uint8_t length);
int rn_unlink(rn_fs *fs, uint64_t file, uint64_t folder, const uint16_t *name, uint8_t length);

#endif
