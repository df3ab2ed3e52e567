//! Everything a client can find in `code`, as JSON for programs and as a page for people.

use std::fmt::Write as _;

use serde::Serialize;

use crate::http::codes::{FieldCode, ProblemCode, field};

/// A code of a business rule: what stands in `errors[0].code`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Rule {
    pub code: &'static str,
    /// The problem it comes with.
    pub problem: &'static str,
    pub status: u16,
    /// What it says, for each kind of resource that has the rule.
    pub messages: Vec<&'static str>,
}

impl Rule {
    pub fn new(code: &'static str, problem: ProblemCode, message: &'static str) -> Self {
        Self { code, problem: problem.code(), status: problem.status_number(), messages: vec![message] }
    }
}

/// The codes of the HTTP layer and of the business rules.
#[derive(Debug, Clone, Default)]
pub struct ProblemCatalog {
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Entry {
    code: &'static str,
    status: u16,
    #[serde(rename = "type")]
    type_uri: &'static str,
    title: &'static str,
    explanation: &'static str,
}

#[derive(Serialize)]
struct Listing<'a> {
    problems: Vec<Entry>,
    fields: &'a [FieldCode],
    rules: &'a [Rule],
}

impl ProblemCatalog {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds codes of business rules. The same code of several kinds of resource is one rule with several messages.
    pub fn with_rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self.rules.sort_unstable();
        self.rules.dedup_by(|next, rule| {
            let same = (next.code, next.status) == (rule.code, rule.status);
            if same {
                next.messages.retain(|message| !rule.messages.contains(message));
                rule.messages.append(&mut next.messages);
            }
            same
        });
        self
    }

    /// For programs.
    pub fn json(&self) -> Vec<u8> {
        let problems = ProblemCode::ALL
            .iter()
            .map(|code| Entry {
                code: code.code(),
                status: code.status_number(),
                type_uri: code.type_uri(),
                title: code.title(),
                explanation: code.explanation(),
            })
            .collect();
        let listing = Listing { problems, fields: field::ALL, rules: &self.rules };
        serde_json::to_vec(&listing).unwrap_or_default()
    }

    /// For people; the anchors are the fragments of the `type` addresses. Works without scripts.
    pub fn page(&self) -> String {
        let mut rows = String::new();
        for code in ProblemCode::ALL {
            let _ = write!(
                rows,
                "<section id=\"{code}\" class=\"problem\"><h3><code>{code}</code> <span class=\"status s{class}\">\
                 {status}</span></h3><p><strong>{title}.</strong> {explanation}</p></section>",
                code = code.code(),
                class = code.status_number() / 100,
                status = code.status_number(),
                title = escape(code.title()),
                explanation = escape(code.explanation()),
            );
        }
        let template = include_str!("problems.html");
        template.replace("<!--problems-->", &rows).replace("<!--fields-->", &table(field::ALL)).replace(
            "<!--rules-->",
            &if self.rules.is_empty() { "<p>None.</p>".to_owned() } else { rule_table(&self.rules) },
        )
    }
}

fn table(codes: &[FieldCode]) -> String {
    let mut rows = String::from("<table><thead><tr><th>Code</th><th>Meaning</th></tr></thead><tbody>");
    for FieldCode { code, explanation } in codes {
        let (code, explanation) = (escape(code), escape(explanation));
        let _ = write!(rows, "<tr id=\"{code}\"><td><code>{code}</code></td><td>{explanation}</td></tr>");
    }
    rows + "</tbody></table>"
}

fn rule_table(rules: &[Rule]) -> String {
    let mut rows =
        String::from("<table><thead><tr><th>Code</th><th>Comes with</th><th>Meaning</th></tr></thead><tbody>");
    let mut last = "";
    for Rule { code, problem, status, messages } in rules {
        // An anchor stands once, also when a code comes with two problems.
        let anchor = if *code == last { String::new() } else { format!(" id=\"{}\"", escape(code)) };
        last = code;
        let messages: Vec<String> = messages.iter().map(|message| escape(message)).collect();
        let _ = write!(
            rows,
            "<tr{anchor}><td><code>{}</code></td><td><a href=\"#{problem}\">{status} {problem}</a></td><td>{}</td></tr>",
            escape(code),
            messages.join("<br>"),
        );
    }
    rows + "</tbody></table>"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(message: &'static str) -> Rule {
        Rule::new("already_paid", ProblemCode::Rejected, message)
    }

    #[test]
    fn every_code_has_its_anchor() {
        let rules = [rule("The order <is> paid."), rule("The order <is> paid."), rule("The invoice is paid.")];
        let page = ProblemCatalog::new().with_rules(rules).page();
        for code in ProblemCode::ALL {
            assert!(page.contains(&format!("id=\"{}\"", code.code())));
        }
        assert!(field::ALL.iter().all(|entry| page.contains(&format!("<code>{}</code>", entry.code))));
        assert_eq!(page.matches("id=\"already_paid\"").count(), 1);
        assert!(page.contains("The invoice is paid.<br>The order &lt;is&gt; paid.</td>"));
        assert!(page.contains("&lt;is&gt;") && !page.contains("<!--"));
    }

    #[test]
    fn programs_get_the_same_list() {
        let listing: serde_json::Value =
            serde_json::from_slice(&ProblemCatalog::new().with_rules([rule("The order is paid.")]).json()).unwrap();
        assert_eq!(listing["problems"].as_array().unwrap().len(), ProblemCode::ALL.len());
        assert_eq!(listing["rules"][0]["code"], "already_paid");
        assert_eq!(
            (&listing["rules"][0]["status"], &listing["rules"][0]["problem"]),
            (&ProblemCode::Rejected.status_number().into(), &"rejected".into())
        );
    }
}
