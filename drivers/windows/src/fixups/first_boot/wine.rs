//! The runner and its steps under somebody else's cmd.exe and service control manager: those of Wine.
//!
//! Wine has no `route` and a `netsh` that does nothing, and its `find` knows no `/i`: in the steps they are replaced, and
//! `route print` answers as Windows does.

use super::{FirstBoot, SERVICE, plan_step, service};
use crate::fixups::drivers_at_first_boot::DriversAtFirstBoot;
use crate::fixups::drivers_at_first_boot::tests::package;
use crate::fixups::static_ip::StaticIp;
use crate::phony::{Phony, SET, target};
use driver_core::{
    Adapter, Applies, Context, Draft, FileKind, Fixup, GuestTree, Mac, Wishes, apply, make_plan,
};
use driver_registry::{Kind, Value};
use format_core::Result;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A Windows of Wine's making, in a folder of its own.
struct Wine {
    folder: tempfile::TempDir,
}

impl Wine {
    fn new() -> Self {
        let wine = Self { folder: tempfile::tempdir().unwrap() };
        wine.run(&["wineboot", "-i"]);
        wine.stop();
        wine
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("timeout");
        command.arg("60").arg(program).env("WINEPREFIX", self.folder.path().join("prefix"));
        command.env("WINEDEBUG", "-all").env("WINEDLLOVERRIDES", "mscoree,mshtml=d").env_remove("DISPLAY");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command("wine").args(arguments).output().expect("wine, a package of Debian's");
        assert!(output.status.success(), "wine {arguments:?}: {output:?}");
        output
    }

    /// Ends all of its processes, as a machine that is switched off.
    fn stop(&self) {
        self.command("wineserver").arg("-k").output().unwrap();
        self.command("wineserver").arg("-w").output().unwrap();
    }

    /// A file on drive C.
    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("prefix/drive_c").join(path)
    }

    fn write(&self, path: &str, content: &[u8]) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), content).unwrap();
    }

    fn log(&self) -> String {
        // Wine's own folder is called so.
        std::fs::read(self.path("windows/logs/rehome/firstboot.log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Starts it, with its services, until `words` are in the log.
    fn start_until(&self, words: &str) -> String {
        // What goes on in the background would keep a pipe open.
        let mut start = self.command("wine");
        start.args(["cmd", "/d", "/c", "ver"]).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(start.status().unwrap().success());
        self.wait(words, || self.log().contains(words));
        self.log()
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let begin = Instant::now();
        while !done() {
            assert!(begin.elapsed() < Duration::from_secs(60), "{what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn copy(&self, tree: &GuestTree, folder: &str) {
        for entry in tree.read_dir(folder).unwrap() {
            let path = format!("{folder}/{}", entry.name);
            if entry.kind == FileKind::Folder {
                self.copy(tree, &path);
                continue;
            }
            let mut content = tree.read_file(&path, 1 << 20).unwrap().unwrap();
            if path.ends_with(".cmd") {
                let text = String::from_utf8(content).unwrap();
                let text = text
                    .replace("route.exe print", r"type C:\route.txt")
                    .replace("netsh.exe", "cmd.exe /d /c echo netsh.exe")
                    .replace("pnputil.exe", r"cmd.exe /d /c C:\pnputil.cmd")
                    .replace("find.exe /i", "find.exe");
                content = text.into_bytes();
            }
            self.write(&path.replace("/Windows", "windows"), &content);
        }
    }

    /// Puts the files of the guest's first start there, and its service into the registry.
    fn install(&self, tree: &GuestTree) {
        self.stop();
        let _ = std::fs::remove_dir_all(self.path("windows/logs/rehome"));
        self.copy(tree, "/Windows/rehome");
        let mut text = format!(
            "REGEDIT4\r\n\r\n[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\{SERVICE}]\r\n"
        );
        for (name, value) in service() {
            let _ = write!(text, "\"{name}\"={}\r\n", registry_text(&value));
        }
        self.write("service.reg", text.as_bytes());
        self.run(&["regedit", "/S", r"C:\service.reg"]);
        self.stop();
    }

    fn has_service(&self) -> bool {
        let key = format!(r"HKLM\SYSTEM\CurrentControlSet\Services\{SERVICE}");
        self.command("wine").args(["reg", "query", &key]).output().unwrap().status.success()
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A value as files of that version have it, where texts are of single bytes.
fn registry_text(value: &Value) -> String {
    let narrow: Vec<String> = value.data.iter().step_by(2).map(|byte| format!("{byte:02x}")).collect();
    match value.kind {
        Kind::DWORD => format!("dword:{:08x}", value.as_u32().unwrap()),
        Kind::EXPAND_STRING => format!("hex(2):{}", narrow.join(",")),
        Kind::MULTI_STRING => format!("hex(7):{}", narrow.join(",")),
        _ => format!("\"{}\"", value.as_str().unwrap().replace('\\', "\\\\")),
    }
}

/// Steps of a test.
struct Steps(&'static [(&'static str, &'static str)]);

impl Fixup for Steps {
    fn id(&self) -> &'static str {
        "steps"
    }

    fn title(&self) -> &'static str {
        "steps of a test"
    }

    fn applies(&self, _: &Context<'_>, _: &Draft<'_>) -> Result<Applies> {
        Ok(Applies::Yes)
    }

    fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        self.0.iter().try_for_each(|(name, script)| plan_step(draft, name, script, "a test"))
    }
}

/// The guest after all of `fixups`.
fn guest(phony: Phony, wishes: &Wishes, fixups: &[&dyn Fixup]) -> GuestTree {
    let (mut tree, guest) = phony.build();
    let context = Context { wishes, ..Context::new(&guest, target("kvm-uefi")) };
    let planned = make_plan(&context, &tree, fixups).unwrap();
    assert!(planned.obstacles().next().is_none(), "{:?}", planned.fixups);
    apply(&mut tree, &planned.edits).unwrap();
    tree
}

/// Says its arguments; one package wants a restart. (259 is no exit code for Wine, which waits for the process to end then.)
const PNPUTIL: &[u8] = b"@echo off\r\necho %*\r\nif /i \"%~n2\"==\"NetKVM\" exit 3010\r\nexit 0\r\n";

/// One Windows for all, because making one takes most of the time.
#[test]
fn the_first_start_goes_as_planned_under_another_cmd_exe() {
    let wine = Wine::new();
    steps_run_in_order_again_when_they_ask_for_it_and_then_all_is_gone(&wine);
    drivers_are_installed_before_addresses_are_given_by_hardware_address(&wine);
    a_step_that_always_wants_a_restart_does_not_get_it_for_ever(&wine);
}

fn steps_run_in_order_again_when_they_ask_for_it_and_then_all_is_gone(wine: &Wine) {
    const TWICE: &str = "@echo off\nif exist C:\\second exit /b 0\necho first>C:\\second\nexit 251\n";
    let steps: &[(&str, &str)] = &[
        ("20-twice", TWICE),
        ("10-one", "@echo off\necho it is \"one\" & exit /b 0\n"),
        ("30-fails", "@echo off\nexit 5\n"),
    ];
    let tree = guest(Phony::windows_2016(), &Wishes::NONE, &[&Steps(steps), &FirstBoot]);
    let setup = |number: &str| {
        let set = ["reg", "add", r"HKLM\SYSTEM\Setup", "/v", "SystemSetupInProgress", "/t", "REG_DWORD"];
        wine.run(&[&set[..], &["/d", number, "/f"]].concat());
    };
    setup("1");
    wine.install(&tree);

    let log = wine.start_until("Windows Setup runs");
    assert!(!log.contains("step "), "{log}");
    setup("0");
    wine.wait("it waits on", || wine.log().contains("to be continued at the next start"));
    let log = wine.log();
    let at = |words: &str| log.find(words).unwrap_or_else(|| panic!("{words} in {log}"));
    assert!(at("step 10-one ended with 0") < at("step 20-twice ended with 251"));
    assert!(at("step 20-twice ended with 251") < at("restart 1") && !log.contains("step 30-fails"), "{log}");
    assert!(wine.path("windows/rehome/firstboot/20-twice.cmd").exists());
    wine.stop();

    let log = wine.start_until("all is done");
    assert_eq!(log.matches("it is \"one\"").count(), 1, "{log}");
    assert_eq!(log.matches("step 20-twice ended").count(), 2, "{log}");
    assert_eq!(log.matches("step 30-fails ended with 5").count(), 1, "{log}");
    wine.wait("the folder is left", || !wine.path("windows/rehome").exists());
    assert!(!wine.has_service());
}

fn a_step_that_always_wants_a_restart_does_not_get_it_for_ever(wine: &Wine) {
    let steps: &[(&str, &str)] = &[("10-endless", "@exit 251\n")];
    let tree = guest(Phony::windows_2016(), &Wishes::NONE, &[&Steps(steps), &FirstBoot]);
    wine.write("windows/rehome/starts.txt", b"5\r\n");
    wine.write("windows/rehome/restarts.txt", b"2\r\n");
    wine.install(&tree);
    let log = wine.start_until("to be continued");
    assert!(log.contains("restart 3"), "{log}");
    wine.stop();
    wine.write("windows/rehome/starts.txt", b"5\r\n");
    let log = wine.start_until("there were 3");
    assert!(!log.contains("restart 4"), "{log}");
    wine.wait("it does not wait for the next start", || wine.log().matches("to be continued").count() == 2);
    wine.stop();
    wine.start_until("gave up");
    wine.wait("the service is left", || !wine.has_service());
    assert!(wine.path("windows/rehome/firstboot/10-endless.cmd").exists());
}

fn drivers_are_installed_before_addresses_are_given_by_hardware_address(wine: &Wine) {
    const GUID: &str = "{11111111-2222-3333-4444-555555555555}";
    let connection =
        format!(r"{SET}\Control\Network\{{4D36E972-E325-11CE-BFC1-08002BE10318}}\{GUID}\Connection");
    let interface = format!(r"{SET}\Services\Tcpip\Parameters\Interfaces\{GUID}");
    let phony = Phony::windows_2016()
        .value(&connection, "Name", Value::string(r#"a"&echo %PATH%|^ "#))
        .value(&connection, "PnpInstanceID", Value::string(r"PCI\VEN_1AF4&DEV_1000\3&1"))
        .value(&interface, "EnableDHCP", Value::dword(0))
        .value(&interface, "IPAddress", Value::multi_string(&["192.0.2.10", "192.0.2.11"]))
        .value(&interface, "SubnetMask", Value::multi_string(&["255.255.255.0", "255.255.255.0"]))
        .value(&interface, "DefaultGateway", Value::multi_string(&["192.0.2.1"]))
        .value(&interface, "NameServer", Value::string("192.0.2.53"));
    let mac = |last| Mac([0x52, 0x54, 0, 0x12, 0x34, last]);
    let mut wishes = Wishes::default();
    wishes.network.adapters = vec![Adapter { source: Some(mac(1)), target: Some(mac(0xab)) }];
    for (inf, file) in [("NetKVM.inf", "netkvm.sys"), ("balloon.inf", "balloon.sys"), ("bad.inf", "bad.sys")]
    {
        wishes.drivers.push(package(inf, &[(inf, 3), (file, 3)]));
    }
    // One does not end, and is passed over; one wants a restart.
    let tree = guest(phony, &wishes, &[&DriversAtFirstBoot, &StaticIp, &FirstBoot]);
    wine.write("pnputil.cmd", PNPUTIL);
    wine.write("windows/rehome/drivers/bad/bad.inf.begun", b"begun\r\n");
    wine.write(
        "route.txt",
        b"===========================================================================\r\n\
          Interface List\r\n \
          \x20 7...52 54 00 12 34 56 ......Red Hat VirtIO Ethernet Adapter\r\n \
          12...52 54 00 12 34 ab ......Red Hat VirtIO Ethernet Adapter #2\r\n \
          \x20 1...........................Software Loopback Interface 1\r\n \
          13...00 00 00 00 00 00 00 e0 Microsoft ISATAP Adapter\r\n\
          ===========================================================================\r\n",
    );
    wine.install(&tree);
    let log = wine.start_until("to be continued");
    let drivers = r#"/add-driver "C:\windows\rehome\drivers"#;
    for words in [
        format!(r#"{drivers}\netkvm\NetKVM.inf" /install"#),
        format!(r#"{drivers}\balloon\balloon.inf" /install"#),
        r"netkvm\NetKVM.inf: pnputil ended with 3010".into(),
        r"balloon\balloon.inf: pnputil ended with 0".into(),
        r"bad\bad.inf was begun at an earlier start".into(),
        "step 10-drivers ended with 250".into(),
        "step 20-static-ip-1 ended with 0".into(),
        "restart 1".into(),
    ] {
        assert!(log.contains(&words), "{words} in {log}");
    }
    wine.stop();
    wine.start_until("all is done");
    wine.wait("the folder is left", || !wine.path("windows/rehome").exists());
    let said: Vec<&str> = log.lines().map(str::trim).filter(|line| line.starts_with("netsh.exe")).collect();
    assert_eq!(
        said,
        [
            "netsh.exe interface ipv4 set address name=12 source=static address=192.0.2.10 mask=255.255.255.0 gateway=192.0.2.1",
            "netsh.exe interface ipv4 add address name=12 address=192.0.2.11 mask=255.255.255.0",
            "netsh.exe interface ipv4 set dnsservers name=12 source=static address=192.0.2.53 register=primary validate=no",
            "netsh.exe interface ipv4 show addresses name=12",
        ],
        "{log}"
    );
}
