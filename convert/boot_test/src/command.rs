//! The command line of QEMU.

use crate::choose::Choice;
use crate::controllers::adapter;
use crate::firmware::Uefi;
use crate::qemu::Qemu;
use crate::run::BootTest;
use serde_json::json;
use std::path::Path;

/// Sockets and files of a run, below its private folder, which is where QEMU runs.
pub(crate) const DISKS: &str = "nbd";
pub(crate) const CONTROL: &str = "qmp";
pub(crate) const PICTURE: &str = "picture";
pub(crate) const CELLS: &str = "cells";

/// All arguments of the machine. The guest's first serial port is QEMU's stdout; nothing outside can be reached from its network.
pub(crate) fn arguments(qemu: &Qemu, test: &BootTest, choice: &Choice, uefi: Option<&Uefi>) -> Vec<String> {
    let mut line = qemu.arguments();
    let mut add = |words: &[&str]| line.extend(words.iter().map(|word| (*word).to_owned()));
    let board = choice.controller.board;
    match uefi {
        Some(uefi) => {
            add(&["-blockdev", &file("code", &uefi.code, true)]);
            add(&["-blockdev", &file("variables", &uefi.variables, false)]);
            add(&["-machine", &format!("{board},pflash0=code,pflash1=variables")]);
        }
        None => add(&["-machine", board]),
    }
    add(&["-m", &test.memory_mib.to_string(), "-rtc", "base=utc", "-boot", "strict=on"]);
    // A guest that switches itself off leaves its last screen; one that starts over is counted.
    add(&["-no-shutdown", "-device", "VGA"]);
    add(&["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"]);
    add(&["-chardev", &format!("socket,id=control,path={CONTROL},server=on,wait=off")]);
    add(&["-mon", "chardev=control,mode=control"]);
    choice.controller.devices.iter().for_each(|device| add(&["-device", device]));
    for number in 0..test.disks.len() {
        let node = json!({
            "driver": "nbd", "node-name": format!("disk{number}"), "export": number.to_string(),
            "server": { "type": "unix", "path": DISKS },
        });
        add(&["-blockdev", &node.to_string()]);
        let device = choice.controller.disk;
        let device = device
            .replace("{n}", &number.to_string())
            .replace("{half}", &(number / 2).to_string())
            .replace("{odd}", &(number % 2).to_string());
        add(&["-device", &format!("{device},drive=disk{number},bootindex={number}")]);
    }
    if let Some(model) = adapter(test.target) {
        let mac = test.mac.map(|mac| format!(",mac={mac}")).unwrap_or_default();
        add(&["-netdev", "user,id=net,restrict=on"]);
        // Without its boot ROM: there is nobody to start from.
        add(&["-device", &format!("{model},netdev=net,romfile={mac}")]);
    }
    line
}

fn file(name: &str, path: &Path, is_read_only: bool) -> String {
    let path = path.to_string_lossy();
    json!({ "driver": "file", "node-name": name, "filename": path, "read-only": is_read_only }).to_string()
}
