//! Archives that carry an image and its proof through a pipe, unpacked by others.

use crate::bench::{Bench, MIB};

const SIZE: u64 = 9 * MIB + 300;

#[test]
fn an_unpacked_image_can_be_verified() {
    let bench = Bench::new();
    bench.disk("disk.raw", SIZE, &[(0, 70_000), (6 * MIB, 2 * MIB), (SIZE - 10, 10)]);
    bench.rehome(&["convert", "disk.raw", "disk.qcow2", "-o", "compressed=on"]).ends(0);
    bench.rehome(&["convert", "disk.raw", "disk.vmdk", "-o", "subformat=streamOptimized"]).ends(0);
    for (number, (tool, source)) in [
        ("tar -x", "convert disk.raw"),
        ("bsdtar -x", "convert disk.qcow2"),
        ("tar -x", "convert - < disk.vmdk"),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = format!("unpacked{number}");
        let (verb, rest) = source.split_once(' ').unwrap();
        let (file, input) = rest.split_once(' ').unwrap_or((rest, ""));
        let line = format!(
            "set -o pipefail; mkdir {folder}; \"$REHOME\" {verb} {file} - --tar web.raw {input} | {tool} -v -C {folder} -f -"
        );
        let run = bench.bash(&line).ends(0);
        assert!(!run.stderr.contains("Unexpected") && !run.stderr.contains("lone zero"), "{run:?}");
        let image = format!("{folder}/web.raw");
        // A VMDK holds whole sectors.
        assert_eq!(bench.read(&image)[..SIZE as usize], bench.read("disk.raw"), "{source}");
        bench.rehome(&["verify", &image]).ends(0);
        assert_eq!(bench.json_of(&format!("{image}.rehome.json"))["image"]["name"], "web.raw");
        bench.flip(&image, 7 * MIB);
        bench.rehome(&["verify", &image]).ends(1);
    }
}

#[test]
fn a_size_beyond_octal_digits_is_read_by_others() {
    let bench = Bench::new();
    let size: u64 = (8 << 30) + 700;
    bench.disk("huge.raw", size, &[(size - 700, 700)]);
    for tool in ["tar", "bsdtar"] {
        let line = format!("\"$REHOME\" convert huge.raw - --tar huge.raw | {tool} -tvf -");
        let run = bench.bash(&line).ends(0);
        let words: Vec<_> = run.stdout.split_whitespace().collect();
        assert!(words.contains(&size.to_string().as_str()), "{run:?}");
        assert!(words.contains(&"huge.raw.rehome.blocks"), "{run:?}");
    }
}

#[test]
fn an_archive_that_ended_early_is_noticed_and_wrong_ones_are_refused() {
    let bench = Bench::new();
    bench.disk("disk.raw", SIZE, &[(0, SIZE)]);
    let run = bench.bash("\"$REHOME\" convert disk.raw - --tar a.raw | head -c 5000000 | tar -tf -");
    assert_eq!(run.code, Some(2), "GNU tar says so: {run:?}");
    bench.rehome(&["convert", "disk.raw", "out.tar", "--tar", "a.raw"]).ends(2);
    bench.rehome(&["convert", "disk.raw", "-", "--tar", "../a.raw"]).ends(2);
    bench.rehome(&["convert", "disk.raw", "-", "--tar", "a.vmdk", "-O", "vmdk"]).ends(2);
    assert_eq!(bench.names(), ["disk.raw"]);
}
