//! A report as text for a person and as JSON for a program.

use std::fmt::Write as _;

use super::{Report, Verdict};

/// `{"verdict": "ok", "checks": [{"name", "verdict", "what", "fix"}]}` and a newline.
pub(super) fn json(report: &Report) -> String {
    let value = serde_json::json!({ "verdict": report.verdict(), "checks": report.checks });
    format!("{value:#}\n")
}

pub(super) fn table(report: &Report) -> String {
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for check in &report.checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        };
        let _ = writeln!(out, "{verdict}  {:width$}  {}", check.name, check.what);
        if let Some(fix) = &check.fix {
            let _ = writeln!(out, "{:indent$}-> {fix}", "", indent = 6 + width + 2);
        }
    }
    let count = |verdict| report.checks.iter().filter(|check| check.verdict == verdict).count();
    let _ = writeln!(
        out,
        "\n{} ok, {} to look at, {} failed",
        count(Verdict::Ok),
        count(Verdict::Warn),
        count(Verdict::Fail)
    );
    out
}

#[cfg(test)]
mod tests {
    use super::super::Check;
    use super::*;

    fn report() -> Report {
        let mut report = Report { checks: vec![Check::ok("a", "fine.")] };
        report.add([Check::warn("a longer name", "tight.", "make room")]);
        report
    }

    #[test]
    fn the_table_is_aligned_and_summed() {
        let expected = "ok    a              fine.\nWARN  a longer name  tight.\n                     -> make room\n\n\
                        1 ok, 1 to look at, 0 failed\n";
        assert_eq!(table(&report()), expected);
    }

    #[test]
    fn json_carries_the_worst_verdict() {
        let mut report = report();
        let value: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
        assert_eq!(value["verdict"], "warn");
        assert_eq!(value["checks"][0]["fix"], serde_json::Value::Null);
        report.add([Check::fail("b", "broken.", "mend it")]);
        let value: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
        assert_eq!((&value["verdict"], &value["checks"][2]["fix"]), (&"fail".into(), &"mend it".into()));
    }
}
