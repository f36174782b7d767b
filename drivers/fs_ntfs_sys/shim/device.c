/*
 * The device that the library works on: positioned reads and writes of the caller, and nothing of this machine.
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <ntfs-3g/device.h>
#include <ntfs-3g/logging.h>
#include <ntfs-3g/volume.h>

/* --- messages --------------------------------------------------------------------------------------------------- */

static _Thread_local char message[200];

/* The first error is the cause; what follows are its consequences. Nothing is ever printed. */
static int keep_message(const char *function, const char *file, int line, u32 level, void *data, const char *format,
			va_list arguments)
{
	(void) function;
	(void) file;
	(void) line;
	(void) data;
	if ((level & (NTFS_LOG_LEVEL_ERROR | NTFS_LOG_LEVEL_PERROR | NTFS_LOG_LEVEL_CRITICAL)) && !message[0])
		vsnprintf(message, sizeof(message), format, arguments);
	return 0;
}

const char *rn_message(void)
{
	return message;
}

void rn_forget_message(void)
{
	message[0] = 0;
}

int rn_classify(int code)
{
	switch (code) {
	case ENOENT:
		return RN_NOT_FOUND;
	case ENOSPC:
		return RN_NO_SPACE;
	case EIO:
		return RN_IO;
	default:
		return RN_OTHER;
	}
}

/* --- device operations ------------------------------------------------------------------------------------------ */

struct device {
	const struct rn_io *io;
	s64 position;
};

static int device_open(struct ntfs_device *dev, int flags)
{
	if (NDevOpen(dev)) {
		errno = EBUSY;
		return -1;
	}
	if ((flags & O_RDWR) != O_RDWR)
		NDevSetReadOnly(dev);
	NDevSetOpen(dev);
	return 0;
}

static int device_close(struct ntfs_device *dev)
{
	NDevClearOpen(dev);
	free(dev->d_private);
	dev->d_private = NULL;
	return 0;
}

static s64 device_seek(struct ntfs_device *dev, s64 offset, int whence)
{
	struct device *device = dev->d_private;
	s64 base = whence == SEEK_CUR ? device->position : whence == SEEK_END ? (s64) device->io->size : 0;
	s64 to;

	if (__builtin_add_overflow(base, offset, &to) || to < 0 || (u64) to > device->io->size) {
		errno = EINVAL;
		return -1;
	}
	device->position = to;
	return to;
}

static s64 device_pread(struct ntfs_device *dev, void *buffer, s64 count, s64 offset)
{
	struct device *device = dev->d_private;

	if (count < 0 || offset < 0) {
		errno = EINVAL;
		return -1;
	}
	if (device->io->read(device->io->context, (uint64_t) offset, buffer, (uint64_t) count)) {
		errno = EIO;
		return -1;
	}
	return count;
}

static s64 device_pwrite(struct ntfs_device *dev, const void *bytes, s64 count, s64 offset)
{
	struct device *device = dev->d_private;

	if (NDevReadOnly(dev)) {
		errno = EROFS;
		return -1;
	}
	if (count < 0 || offset < 0) {
		errno = EINVAL;
		return -1;
	}
	if (device->io->write(device->io->context, (uint64_t) offset, bytes, (uint64_t) count)) {
		errno = EIO;
		return -1;
	}
	return count;
}

static s64 device_read(struct ntfs_device *dev, void *buffer, s64 count)
{
	struct device *device = dev->d_private;
	s64 got = device_pread(dev, buffer, count, device->position);

	if (got > 0)
		device->position += got;
	return got;
}

static s64 device_write(struct ntfs_device *dev, const void *bytes, s64 count)
{
	struct device *device = dev->d_private;
	s64 got = device_pwrite(dev, bytes, count, device->position);

	if (got > 0)
		device->position += got;
	return got;
}

static int device_sync(struct ntfs_device *dev)
{
	NDevClearDirty(dev);
	return 0;
}

static int device_stat(struct ntfs_device *dev, struct stat *out)
{
	struct device *device = dev->d_private;

	memset(out, 0, sizeof(*out));
	out->st_mode = S_IFREG | 0600;
	out->st_size = (off_t) device->io->size;
	return 0;
}

/* There is no device to ask or to trim. */
static int device_ioctl(struct ntfs_device *dev, unsigned long request, void *argument)
{
	(void) dev;
	(void) request;
	(void) argument;
	errno = EOPNOTSUPP;
	return -1;
}

static struct ntfs_device_operations operations = {
	.open = device_open,
	.close = device_close,
	.seek = device_seek,
	.read = device_read,
	.write = device_write,
	.pread = device_pread,
	.pwrite = device_pwrite,
	.sync = device_sync,
	.stat = device_stat,
	.ioctl = device_ioctl,
};

/* --- volumes ---------------------------------------------------------------------------------------------------- */

int rn_open(const struct rn_io *io, rn_fs **out)
{
	struct device *device;
	struct ntfs_device *dev;
	int error;

	ntfs_log_set_handler(keep_message);
	*out = NULL;
	device = calloc(1, sizeof(*device));
	if (!device)
		return ENOMEM;
	device->io = io;
	dev = ntfs_device_alloc("volume", 0, &operations, device);
	if (!dev) {
		free(device);
		return ENOMEM;
	}
	errno = 0;
	/* "Forensic" is writable and leaves the volume alone while it opens: no log is emptied, nothing moved. */
	*out = ntfs_device_mount(dev, NTFS_MNT_FORENSIC);
	if (*out) {
		/* Files look up as in Windows; new files are never compressed, also in a compressed folder. */
		NVolClearCompression(*out);
		return ntfs_set_ignore_case(*out) ? errno : 0;
	}
	error = errno ? errno : EIO;
	free(dev->d_private);
	dev->d_private = NULL;
	NDevClearOpen(dev);
	ntfs_device_free(dev);
	return error;
}

int rn_close(rn_fs *fs)
{
	errno = 0;
	return ntfs_umount(fs, FALSE) ? (errno ? errno : EIO) : 0;
}
