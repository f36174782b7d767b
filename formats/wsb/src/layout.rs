//! The names that Windows gives to folders and files of a backup.

/// The folder in the root of the target.
pub(crate) const ROOT: &str = "WindowsImageBackup";
/// In the folder of each computer.
pub(crate) const MEDIA_ID: &str = "MediaId";
/// What the folder of a point in time begins with; date and time follow.
pub(crate) const BACKUP_PREFIX: &str = "Backup ";
/// The list of what was backed up; written when a backup is done.
pub(crate) const SPECS: &str = "BackupSpecs.xml";
/// The images of volumes.
pub(crate) const IMAGE_EXTENSIONS: [&str; 2] = ["vhdx", "vhd"];
/// Volumes of one backup. Windows has 26 letters; volumes without one are rare.
pub(crate) const MAX_VOLUMES: usize = 1000;
