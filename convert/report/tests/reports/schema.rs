//! The schema that is published describes what is written: Python's jsonschema says so.

use crate::judge::python;
use crate::sample;
use convert_report::{Report, State};
use serde_json::{Value, json};

/// Reads a schema and documents, and tells for each of them what does not fit.
const VALIDATE: &str = "import json, sys, jsonschema
schema, documents = json.load(sys.stdin)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
json.dump([[error.message for error in validator.iter_errors(document)] for document in documents], sys.stdout)";

fn errors(documents: &[Value]) -> Vec<Vec<String>> {
    let said = python(VALIDATE, &[], &json!([Report::schema(), documents]).to_string());
    serde_json::from_str(&said).unwrap()
}

fn documents() -> Vec<Value> {
    let reports = [
        Report::Job(Box::new(sample::moved("web"))),
        Report::Job(Box::new(sample::hostile())),
        Report::Job(Box::new(sample::failed("db", State::Held, 78, "encrypted", None))),
        Report::Batch(Box::new(sample::night(40, 4))),
    ];
    reports.iter().map(|report| serde_json::from_str(&report.to_json().unwrap()).unwrap()).collect()
}

#[test]
fn every_report_fits_its_schema_and_is_read_again_as_it_was() {
    let documents = documents();
    assert_eq!(errors(&documents), vec![Vec::<String>::new(); documents.len()]);
    for document in documents {
        let again = Report::parse(document.to_string().as_bytes(), "").unwrap();
        assert_eq!(serde_json::to_value(again).unwrap(), document);
    }
}

#[test]
fn what_is_none_does_not_fit() {
    let mut broken = Vec::new();
    for (pointer, value) in [
        ("/report", json!("job-v9")),
        ("/state", json!("finished")),
        ("/disks/0/virtual_size", json!(-1)),
        ("/warnings", json!("none")),
        ("/disks/0/before/runs", json!([["a", 1]])),
    ] {
        let mut document = documents().remove(0);
        *document.pointer_mut(pointer).unwrap() = value;
        broken.push(document);
    }
    for (document, errors) in broken.iter().zip(errors(&broken)) {
        assert!(!errors.is_empty(), "{document:#}");
    }
}

#[test]
fn what_is_no_report_is_refused() {
    use format_core::ErrorKind::{Corrupt, Unsupported};
    for (text, kind) in [
        ("", Corrupt),
        ("{", Corrupt),
        ("[]", Corrupt),
        ("{}", Corrupt),
        ("{\"report\": \"job-v2\"}", Unsupported),
        ("{\"report\": \"job-v1\", \"state\": \"finished\"}", Corrupt),
    ] {
        assert_eq!(Report::parse(text.as_bytes(), "x").unwrap_err().kind(), kind, "{text}");
    }
    assert!(Report::parse(b"{\"report\": \"job-v1\", \"of a later version\": 1}", "x").is_ok());
}
