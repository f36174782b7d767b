//! The pages, as a parser of HTML sees them. With `REPORT_PAGES=DIR` they are left there, for people to look at in a browser.

use crate::judge::Page;
use crate::sample;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use convert_report::{JobReport, html};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::{Duration, Instant};

/// Parses a page, leaves it where it is asked for, and checks what holds for every one of them.
fn parsed(name: &str, page: &str) -> Page {
    if let Some(folder) = std::env::var_os("REPORT_PAGES") {
        std::fs::write(Path::new(&folder).join(format!("{name}.html")), page).unwrap();
    }
    let parsed = Page::parse(page);
    assert_eq!(parsed.errors, [""; 0], "{name}: what the parser complains about");
    assert_eq!(parsed.comments, 0, "{name}");
    is_self_contained(name, &parsed);
    is_accessible(name, &parsed);
    parsed
}

fn is_self_contained(name: &str, page: &Page) {
    for element in &page.elements {
        let forbidden = ["script", "link", "iframe", "object", "embed", "base", "form"];
        assert!(!forbidden.contains(&element.tag.as_str()), "{name}: {}", element.tag);
        for (attribute, value) in &element.attributes {
            assert!(!attribute.starts_with("on") && attribute != "style", "{name}: {attribute}");
            let is_address =
                ["src", "href", "srcset", "poster", "data", "action"].contains(&attribute.as_str());
            let is_inside = value.starts_with("data:image/png;base64,") || value.ends_with(".html");
            assert!(!is_address || (is_inside && !value.contains("script:")), "{name}: {attribute}={value}");
        }
    }
    let styles = page.all("style");
    assert_eq!(styles.len(), 1, "{name}");
    let style = &styles[0].text;
    assert!(!style.contains("url(") && !style.contains("@import"));
    let metas = page.all("meta");
    let policy = metas.iter().find(|meta| meta.attribute("http-equiv") == Some("Content-Security-Policy"));
    let policy = policy.unwrap().attribute("content").unwrap();
    let hash = BASE64_STANDARD.encode(Sha256::digest(style));
    assert!(
        policy.starts_with("default-src 'none';") && policy.contains(&format!("'sha256-{hash}'")),
        "{policy}"
    );
}

fn is_accessible(name: &str, page: &Page) {
    assert!(page.all("html")[0].attribute("lang").is_some());
    assert_eq!((page.all("h1").len(), page.all("main").len()), (1, 1), "{name}");
    for table in page.all("table") {
        let parts: Vec<_> = page.children(table).collect();
        assert_eq!(
            parts.iter().map(|part| part.tag.as_str()).collect::<Vec<_>>(),
            ["thead", "tbody"],
            "{name}"
        );
        let head = page.children(parts[0]).next().unwrap();
        let heads = page
            .children(head)
            .filter(|cell| cell.tag == "th" && cell.attribute("scope") == Some("col"))
            .count();
        let rows: Vec<_> = page.children(parts[1]).collect();
        assert!(heads > 0 && !rows.is_empty(), "{name}: {}", table.text);
        for row in rows.iter().take(50) {
            assert_eq!(page.children(row).count(), heads, "{name}: {}", row.text);
        }
    }
    for picture in page.all("svg") {
        let has_name = picture.attribute("role") == Some("img")
            && picture.attribute("aria-label").is_some_and(|label| !label.trim().is_empty());
        assert!(
            has_name || picture.attribute("aria-hidden") == Some("true"),
            "{name}: {:?}",
            picture.attributes
        );
    }
    assert!(page.all("img").iter().all(|img| img.attribute("alt").is_some()), "{name}");
}

fn job(name: &str, report: &JobReport) -> Page {
    parsed(name, &html::job(report, Path::new("/nonexistent")))
}

#[test]
fn a_job_that_went_well_is_told_whole() {
    let report = sample::moved("web");
    let page = job("job", &report);
    let text = page.text();
    assert_eq!(page.all(".verdict .say")[0].text, report.headline());
    for told in [
        "Debian GNU/Linux 12",
        "Hyper-V generation 2",
        "VLAN 20 servers",
        "UUID=5f0c2f1e",
        "hv_storvsc.ko",
        "tpm-left-behind",
        "web login:",
        "6.1.0-28-amd64",
        "compared with the source",
        "the source is locked by another process",
        "'VLAN 20 servers=LAN'",
    ] {
        assert!(text.contains(told), "{told}");
    }
    for disk in &report.disks {
        assert!(
            text.contains(disk.digest.as_ref().unwrap())
                && text.contains(disk.source_digest.as_ref().unwrap())
        );
    }
    assert_eq!(page.all("svg.map").len(), 4);
    // Changed ranges are marked on the target alone.
    assert_eq!(page.all("path.chg").len(), 2);
    assert_eq!(page.all("path.curve").len(), 3);
}

#[test]
fn trouble_and_what_to_do_come_first() {
    let batch = sample::night(40, 4);
    let page = parsed("batch", &html::batch(&batch, Path::new("/nonexistent")));
    let heads: Vec<_> = page.all("main h2").into_iter().map(|head| head.text.as_str()).collect();
    assert_eq!(heads[..4], ["What to do", "Totals", "Timeline", "Warnings"]);
    let cards: Vec<_> = page.all("section article.card").into_iter().map(|card| card.text.as_str()).collect();
    assert_eq!(cards.len(), 4, "{cards:#?}");
    assert!(
        cards[0].contains("failed")
            && cards[2].contains("needs a person")
            && cards[3].contains("interrupted")
    );
    assert!(cards[2].contains("suspend BitLocker"), "{}", cards[2]);
    // A row for each job, and one bar for each of its attempts.
    assert_eq!(page.all(".rows li").len(), 40);
    let attempts: usize = batch.jobs.iter().map(|job| job.attempts.len()).sum();
    assert_eq!(page.all(".rows rect").len(), attempts);
    assert!(page.all(".verdict")[0].text.contains("rehome batch retry --failed"));
}

#[test]
fn a_thousand_jobs_are_a_small_page_made_at_once() {
    let batch = sample::night(1000, 8);
    let began = Instant::now();
    let page = html::batch(&batch, Path::new("/nonexistent"));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    let page = parsed("thousand", &page);
    assert_eq!(page.all("svg.lanes").len(), 2);
    let attempts: usize = batch.jobs.iter().map(|job| job.attempts.len()).sum();
    assert_eq!(page.all(".lanes rect").len(), attempts);
    let list = page.all("details.all")[0];
    assert!(
        list.text.starts_with("All 1,000 jobs")
            && batch.jobs.iter().all(|job| list.text.contains(job.name()))
    );
    let left_out = 1000 - page.all("details.job").len();
    assert!(left_out > 0 && page.text().contains(&format!("{left_out} more jobs in the report as JSON")));
}

#[test]
fn a_thousand_failures_are_a_small_page_too() {
    let mut batch = sample::night(1000, 8);
    let long = "grain 1,204 of the table at 0x50000 lies behind the end of the file ".repeat(20);
    for job in &mut batch.jobs {
        *job = sample::failed(&job.id, convert_report::State::Failed, 65, &long, Some("take another copy"));
    }
    let page = html::batch(&batch, Path::new("/nonexistent"));
    assert!(page.len() < 3_500_000, "{} bytes", page.len());
    parsed("failures", &page);
}

#[test]
fn hostile_text_is_text() {
    let report = sample::hostile();
    let shown = sample::HOSTILE.map(|text| text.escape_debug().to_string());
    for (name, page) in [
        ("hostile-job", html::job(&report, Path::new("/nonexistent"))),
        ("hostile-batch", {
            let mut batch = sample::night(3, 2);
            batch.jobs = vec![report.clone(); 3];
            batch.title = Some(sample::HOSTILE.join(" "));
            (batch.host, batch.retry) = (batch.title.clone(), batch.title.clone());
            html::batch(&batch, Path::new("/nonexistent"))
        }),
    ] {
        assert!(!page.contains(['\u{1b}', '\u{202e}', '\u{2066}', '\u{7}']), "{name}");
        let parsed = parsed(name, &page);
        // Every element is one of the report's own: nothing that was put in became one.
        assert_eq!(parsed.all("img").len() + parsed.all("script").len(), 0, "{name}");
        let text = parsed.text();
        for (raw, shown) in sample::HOSTILE.iter().zip(&shown) {
            let wanted = if raw.chars().any(char::is_control) || raw.contains('\u{202e}') {
                shown
            } else {
                &(*raw).to_owned()
            };
            assert!(text.contains(wanted.as_str()), "{name}: {wanted}");
        }
        assert_eq!(parsed.all("a").len(), 0, "{name}");
    }
}

#[test]
fn an_empty_report_is_a_page() {
    job("empty", &JobReport::default());
    parsed("empty-batch", &html::batch(&convert_report::BatchReport::default(), Path::new("")));
}

#[test]
fn a_screenshot_is_part_of_the_page_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 640, 400);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> = (0..640 * 400)
        .map(|at: u32| if at / 640 % 16 < 11 && at % 9 < 5 && at % 640 < 300 { 200 } else { 0 })
        .collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    std::fs::write(folder.path().join("screen.png"), &png).unwrap();
    std::fs::write(folder.path().join("secret.png"), "a key, not an image").unwrap();
    let mut report = sample::moved("web");
    let shots = |report: &JobReport| {
        let page = parsed("screenshot", &html::job(report, folder.path()));
        page.all("img").iter().map(|img| img.attribute("src").unwrap().to_owned()).collect::<Vec<_>>()
    };
    report.boot_test.as_mut().unwrap().screenshot = Some("secret.png".into());
    assert_eq!(shots(&report), [""; 0]);
    report.boot_test.as_mut().unwrap().screenshot = Some("/dev/zero".into());
    assert_eq!(shots(&report), [""; 0]);
    report.boot_test.as_mut().unwrap().screenshot = Some("screen.png".into());
    let found = shots(&report);
    assert_eq!(found.len(), 1);
    let data = found[0].strip_prefix("data:image/png;base64,").unwrap();
    assert_eq!(BASE64_STANDARD.decode(data).unwrap(), png);
}
