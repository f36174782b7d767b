//! The page of text, on a terminal and in mail.

use crate::sample;
use convert_report::{State, text};
use unicode_width::UnicodeWidthStr;

fn is_a_page(text: &str) {
    assert!(text.lines().count() <= 60, "{} lines\n{text}", text.lines().count());
    for line in text.lines() {
        assert!(line.width() <= 80, "{} columns: {line}", line.width());
        assert!(!line.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)), "{line:?}");
    }
}

#[test]
fn a_text_is_one_page_whatever_is_in_it() {
    for page in [
        text::job(&sample::moved("web")),
        text::job(&sample::hostile()),
        text::batch(&sample::night(6, 2)),
        text::batch(&sample::night(1000, 8)),
    ] {
        is_a_page(&page);
    }
    let mut bad = sample::night(100, 4);
    for job in &mut bad.jobs {
        (job.state, job.error) = (State::Failed, sample::hostile().error);
        job.title = Some("漢字".repeat(50));
        job.warnings = vec![sample::warning(&job.id, "x")];
    }
    is_a_page(&text::batch(&bad));
}

#[test]
fn the_first_line_is_the_verdict_and_trouble_comes_before_details() {
    let page = text::batch(&sample::night(40, 4));
    let first = page.lines().next().unwrap();
    assert_eq!(first, "FAILED: 36 of 40 jobs are done; 2 failed, 1 needs a person, 1 interrupted");
    for told in
        ["grain 1,204", "no such file", "encrypted with BitLocker", "suspend BitLocker", "retry --failed"]
    {
        assert!(page.contains(told), "{told}\n{page}");
    }
    let page = text::job(&sample::moved("web"));
    assert_eq!(page.lines().next().unwrap(), "DONE: web was moved to Hyper-V generation 2, with 1 warning");
    let digest = sample::moved("web").disks[0].digest.clone().unwrap();
    assert!(page.contains(&digest) && page.contains("compared with the source"), "{page}");
}

#[test]
fn jobs_that_do_not_fit_are_counted() {
    let mut batch = sample::night(100, 4);
    batch.jobs.iter_mut().for_each(|job| job.state = State::Failed);
    let page = text::batch(&batch);
    let told = page.lines().filter(|line| line.ends_with(" failed") && line.starts_with("  ")).count();
    assert!(told > 3 && page.contains(&format!("… {} more jobs", 100 - told)), "{told}\n{page}");
}
