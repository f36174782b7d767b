//! A device of the VM as a volume.

use crate::failure::Doing;
use crate::vm::{Device, QUICK, Vm};
use driver_core::Volume;
use format_core::{Error, Result};
use microvm_init::Request;

/// What is asked for at once.
const PIECE: usize = 4 << 20;

pub(crate) struct VmVolume {
    pub(crate) vm: Vm,
    pub(crate) device: Device,
}

impl Volume for VmVolume {
    fn size(&self) -> u64 {
        self.device.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.device.size) {
            let text = format!("{:#x} bytes at {offset:#x} leave {}", buf.len(), self.device.path);
            return Err(Error::usage(text));
        }
        let what = format!("read {}", self.device.path);
        let mut at = offset;
        for piece in buf.chunks_mut(PIECE) {
            let length = piece.len() as u64;
            let request = Request::ReadDevice { device: self.device.path.clone(), offset: at, length };
            let doing = Doing::machine(&what);
            let content = self.vm.ask(doing, &request, &[], length, QUICK)?.content;
            if content.len() != piece.len() {
                return Err(Error::contract("the micro-VM read less than was asked for"));
            }
            piece.copy_from_slice(&content);
            at += length;
        }
        Ok(())
    }

    fn write_all_at(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Err(Error::contract(format!("{} of the micro-VM is only read", self.device.path)))
    }
}
