//! What is wrong with a campaign's words before anybody gets them: found when they are written down, not when they go out.
//!
//! The words are tried on made-up receivers: one who has every field, those who lack one of them, and one who has none but
//! an address. What depends on a field's value (`{% if country == "FR" %}`) is not tried; its fault is that one mail's.

use super::merge::{ALWAYS, Around, HTML, MergeError, OPTIONAL, PREHEADER, SUBJECT, TEXT, WAY_OUT, Words};
use super::stack;
use bus_schema::{
    crm::contact::ContactDetails,
    mail::campaign::{CampaignContent, ConsentPurpose},
};
use std::{collections::BTreeSet, io};

/// Faults named of one content.
const MOST: usize = 20;

/// A fault, and what its author can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFault {
    /// `subject`, `preheader`, `html`, `text`.
    pub part: String,
    /// Stable: `template_syntax`, `unknown_merge_field`, `missing_fallback`, `template_fault`.
    pub code: &'static str,
    /// From 1 on.
    pub line: usize,
    /// From 1 on, in characters, where it is known.
    pub column: Option<usize>,
    pub message: String,
}

impl TemplateFault {
    /// A fault that one receiver's fields brought out.
    pub(super) fn of(error: &MergeError) -> Self {
        let (code, message) = match error.missing {
            true => ("missing_field", "this receiver lacks a field that is used here without a fallback".to_owned()),
            false => ("template_fault", error.what.clone()),
        };
        Self { part: error.part.clone(), code, line: error.line, column: None, message }
    }

    fn syntax(error: &MergeError) -> Self {
        let message = format!("the template is not understood: {}", error.what);
        Self { code: "template_syntax", message, ..Self::of(error) }
    }
}

/// The same on a stack that is deep enough.
pub async fn faults(content: CampaignContent, purpose: Option<ConsentPurpose>) -> io::Result<Vec<TemplateFault>> {
    stack::run(move || check(&content, purpose)).await
}

/// All faults that can be found without a receiver; none: it can go out. To be called on a deep stack. Without a purpose both
/// kinds of mail are allowed for.
pub fn check(content: &CampaignContent, purpose: Option<ConsentPurpose>) -> Vec<TemplateFault> {
    let words = match Words::try_new(content) {
        Ok(words) => words,
        Err(error) => return vec![TemplateFault::syntax(&error)],
    };
    let mut faults = unknown_fields(&words, content, purpose);
    if faults.is_empty() {
        faults = trials(&words, content, purpose);
    }
    faults.truncate(MOST);
    faults
}

fn unknown_fields(words: &Words, content: &CampaignContent, purpose: Option<ConsentPurpose>) -> Vec<TemplateFault> {
    let mut known: BTreeSet<&str> = OPTIONAL.into_iter().chain(ALWAYS).collect();
    if purpose != Some(ConsentPurpose::Service) {
        known.insert(WAY_OUT);
    }
    let is_known = |name: &str| match name.strip_prefix("contact.") {
        Some(field) => field == "email" || OPTIONAL.contains(&field),
        // What hangs on a field (`first_name.length`) shows in a trial.
        None => name == "contact" || known.contains(name.split('.').next().unwrap_or_default()),
    };
    let mut faults = Vec::new();
    for (part, source) in sources(content) {
        for name in words.asked_for(part).iter().filter(|name| !is_known(name)) {
            let (line, column) = place(source, name).unwrap_or((1, 1));
            let why = if name == WAY_OUT {
                "only mail that needs consent to marketing has a link to unsubscribe; use preferences_url".to_owned()
            } else {
                let all: Vec<&str> = known.iter().copied().collect();
                format!("there is no field {name}; fields are {}", all.join(", "))
            };
            let part = part.to_owned();
            let code = "unknown_merge_field";
            faults.push(TemplateFault { part, code, line, column: Some(column), message: why });
        }
    }
    faults
}

fn trials(words: &Words, content: &CampaignContent, purpose: Option<ConsentPurpose>) -> Vec<TemplateFault> {
    let url = "https://example.invalid/";
    let unsubscribe = (purpose != Some(ConsentPurpose::Service)).then_some(url);
    let lines = ["1 Example Street".to_owned()];
    let around = Around { unsubscribe, preferences: Some(url), sender: "Example", postal_address: &lines };
    let mut faults: Vec<TemplateFault> = Vec::new();
    let mut note = |fault: TemplateFault| {
        let same = |known: &TemplateFault| {
            let place = (&known.part, known.line, known.code) == (&fault.part, fault.line, fault.code);
            place && (fault.column.is_none() || known.column == fault.column)
        };
        if !faults.iter().any(same) {
            faults.push(fault);
        }
    };
    if let Err(error) = words.merge(&receiver(&OPTIONAL), &around) {
        note(TemplateFault::of(&error));
    }
    for lacking in OPTIONAL {
        let rest: Vec<&str> = OPTIONAL.into_iter().filter(|field| *field != lacking).collect();
        if let Err(error) = words.merge(&receiver(&rest), &around) {
            note(fallback(&error, Some(lacking), content));
        }
    }
    if let Err(error) = words.merge(&receiver(&[]), &around) {
        note(fallback(&error, None, content));
    }
    faults
}

fn fallback(error: &MergeError, lacking: Option<&str>, content: &CampaignContent) -> TemplateFault {
    let fault = TemplateFault::of(error);
    if !error.missing {
        return fault;
    }
    let source = sources(content).find(|(part, _)| *part == error.part).map(|(_, source)| source);
    let on_line = |name: &str| {
        let line = source?.lines().nth(error.line - 1)?;
        let bare = |name: &str| place_where(line, name, |after| !has_fallback(after));
        bare(name).or_else(|| bare(&format!("contact.{name}"))).map(|(_, column)| column)
    };
    let column = lacking.and_then(on_line);
    let name = lacking.unwrap_or("a field");
    let shown = lacking.unwrap_or("first_name");
    let message = format!("not everybody has {name}; say what stands there then: {{{{ {shown} | default(\"you\") }}}}");
    TemplateFault { code: "missing_fallback", column, message, ..fault }
}

/// Somebody made up who has these fields.
fn receiver(fields: &[&str]) -> ContactDetails {
    let value = |name: &str| fields.contains(&name).then(|| "Example".to_owned());
    ContactDetails {
        email: "somebody@example.org".into(),
        first_name: value("first_name"),
        last_name: value("last_name"),
        company: value("company"),
        city: value("city"),
        country: value("country"),
        ..ContactDetails::default()
    }
}

fn sources(content: &CampaignContent) -> impl Iterator<Item = (&'static str, &str)> {
    let text = content.text.as_deref().unwrap_or_default();
    [(SUBJECT, &*content.subject), (PREHEADER, &content.preheader), (HTML, &content.html), (TEXT, text)].into_iter()
}

/// Line and column of a name inside `{{ }}` or `{% %}`.
fn place(source: &str, name: &str) -> Option<(usize, usize)> {
    place_where(source, name, |_| true)
}

/// Whether a fallback follows a name directly.
fn has_fallback(after: &str) -> bool {
    let filter = after.trim_start().strip_prefix('|').map(str::trim_start);
    filter.is_some_and(|filter| filter.starts_with("default") || filter.starts_with("d("))
}

/// The first one with something that is wanted behind it.
fn place_where(source: &str, name: &str, is_wanted: impl Fn(&str) -> bool) -> Option<(usize, usize)> {
    let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let found = source.match_indices(name).map(|(at, _)| at).find(|at| {
        let (before, after) = (&source[..*at], &source[at + name.len()..]);
        let opened = before.rfind("{{").max(before.rfind("{%"));
        let closed = before.rfind("}}").max(before.rfind("%}"));
        opened.is_some()
            && opened > closed
            && !before.ends_with(in_name)
            && !after.starts_with(in_name)
            && is_wanted(after)
    })?;
    let before = &source[..found];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some((line, column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(html: &str) -> Vec<(&'static str, usize, Option<usize>)> {
        let content = CampaignContent { subject: "S".into(), html: html.into(), ..CampaignContent::default() };
        check(&content, Some(ConsentPurpose::Marketing)).iter().map(|f| (f.code, f.line, f.column)).collect()
    }

    #[test]
    fn faults_are_found_before_anybody_gets_them() {
        assert_eq!(faults("<p>{{ first_name | default('you') }} {{ contact.email }} {{ unsubscribe_url }}</p>"), []);
        assert_eq!(faults("{% if company %}{{ company }}{% else %}you{% endif %} {{ postal_address }}"), []);
        assert_eq!(faults("{% for n in range(3) %}{{ n }}{{ loop.index }}{% endfor %}"), []);
        assert_eq!(faults("<p>\n{{ first_name </p>")[0].0, "template_syntax");
        assert_eq!(faults("<p>é\n {{ fist_name }}</p>"), [("unknown_merge_field", 2, Some(5))]);
        assert_eq!(faults("{{ contact.phone }}"), [("unknown_merge_field", 1, Some(4))]);
        assert_eq!(faults("<p>\n\n  {{ first_name }}</p>"), [("missing_fallback", 3, Some(6))]);
        assert_eq!(faults("{% if company %}{{ city }}{% endif %}"), [("missing_fallback", 1, Some(20))]);
        assert_eq!(faults("{{ email | nothing }}")[0].0, "template_fault");
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
        assert_eq!(faults(endless)[0].0, "template_fault");
        assert_eq!(faults("{{ first_name }} {{ city }}\n{{ city }}").len(), 2);
        assert_eq!(faults("{{ city | default('x') }} {{ city }}"), [("missing_fallback", 1, Some(30))]);
    }

    #[test]
    fn the_subject_and_the_purpose_count_too() {
        let content = CampaignContent { subject: "Hi {{ city }}".into(), html: "x".into(), ..Default::default() };
        let fault = check(&content, None).remove(0);
        assert_eq!((&*fault.part, fault.code, fault.column), ("subject", "missing_fallback", Some(7)));
        assert!(fault.message.contains("default("), "{}", fault.message);
        let content = CampaignContent { html: "{{ unsubscribe_url }}".into(), ..Default::default() };
        assert_eq!(check(&content, None), []);
        assert_eq!(check(&content, Some(ConsentPurpose::Service))[0].code, "unknown_merge_field");
    }
}
