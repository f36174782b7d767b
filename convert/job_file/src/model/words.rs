//! Words of job files. They are those of the command line.

use schemars::JsonSchema;
use serde::Deserialize;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
        pub enum $name {
            $($(#[$item_doc])* #[serde(rename = $word)] $item),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$item),+];

            /// The word on the command line.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$item => $word),+ }
            }
        }
    };
}

words! {
    /// What a job does.
    Kind {
        /// Fix the guest, convert its disks, define the machine.
        Migrate = "migrate",
        /// Copy one image into another format.
        Convert = "convert",
    }
}

words! {
    /// Where a machine can go.
    Platform {
        /// Microsoft Hyper-V.
        HyperV = "hyperv",
        /// KVM with libvirt.
        Kvm = "kvm",
        /// Proxmox VE.
        Proxmox = "proxmox",
        /// VMware.
        Vmware = "vmware",
        /// VirtualBox.
        VirtualBox = "virtualbox",
        /// Xen.
        Xen = "xen",
        /// KubeVirt.
        KubeVirt = "kubevirt",
        /// Microsoft Azure.
        Azure = "azure",
        /// Google Compute Engine.
        Gcp = "gcp",
        /// Amazon EC2.
        Aws = "aws",
    }
}

words! {
    /// How a machine starts.
    Firmware {
        /// What the guest can, UEFI first.
        Auto = "auto",
        /// BIOS.
        Bios = "bios",
        /// UEFI.
        Uefi = "uefi",
    }
}

words! {
    /// How a machine of Xen runs.
    XenType {
        /// Emulated hardware.
        Hvm = "hvm",
        /// Nothing emulated.
        Pvh = "pvh",
    }
}

words! {
    /// Who edits the guest.
    Editor {
        /// Whoever can.
        Auto = "auto",
        /// rehome itself.
        Native = "native",
        /// The micro-VM.
        MicroVm = "microvm",
    }
}

words! {
    /// What a guest gets anew.
    Identity {
        /// Its machine id.
        MachineId = "machine-id",
        /// Its SSH host keys.
        SshHostKeys = "ssh-host-keys",
    }
}

words! {
    /// Hashes of the whole disk.
    Hash {
        /// As b3sum.
        Blake3 = "blake3",
        /// As sha256sum.
        Sha256 = "sha256",
        /// As md5sum.
        Md5 = "md5",
    }
}
