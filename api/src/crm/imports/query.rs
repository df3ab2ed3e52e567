//! The query strings of imports, read strictly: an unknown or repeated parameter is refused.

use super::desk::{FileForm, ReportQuery};
use crate::http::{
    bracket,
    codes::field,
    problem::{FieldError, Problem},
    strict_json,
};
use axum::http::{HeaderMap, header};
use bus_schema::crm::import::{Duplicates, ImportFormat};
use std::collections::BTreeMap;

/// Lines of a report in one page.
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

/// What an import's caller says beside the file.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) label: String,
    pub(super) duplicates: Duplicates,
    pub(super) dry_run: bool,
    pub(super) tags: Vec<String>,
    pub(super) form: FileForm,
}

/// The parameters of a query string by name.
struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn parse(raw: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        let mut errors = Vec::new();
        for parameter in bracket::parse(raw.unwrap_or_default())? {
            if !known.contains(&parameter.written.as_str()) {
                let message = "there is no such parameter here";
                let error = FieldError::new(&parameter.written, field::UNKNOWN_PARAMETER, message);
                errors.push(error.allowing(known.iter().copied()));
            } else if parameters.insert(parameter.written.clone(), parameter.value).is_some() {
                let message = "this parameter stands twice";
                errors.push(FieldError::new(&parameter.written, field::DUPLICATE_PARAMETER, message));
            }
        }
        if errors.is_empty() { Ok(Self(parameters)) } else { Err(Problem::parameters(errors)) }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// One of some words.
    fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let found = choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
        let words = choices.iter().map(|(word, _)| *word);
        let refused = || FieldError::new(name, field::UNKNOWN_VARIANT, "is not one of the allowed words");
        found.map(Some).ok_or_else(|| Problem::parameters(vec![refused().allowing(words)]))
    }
}

impl Wanted {
    pub(super) fn parse(raw: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        const KNOWN: [&str; 7] = ["label", "duplicates", "dry_run", "encoding", "format", "mapping", "tags"];
        let mut parameters = Parameters::parse(raw, &KNOWN)?;
        let duplicates =
            parameters.choice("duplicates", &[("skip", Duplicates::Skip), ("merge", Duplicates::Merge)])?;
        let dry_run = parameters.choice("dry_run", &[("true", true), ("false", false)])?;
        let tags = parameters.take("tags").unwrap_or_default();
        let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        let label = parameters.take("label").unwrap_or_else(|| "Contacts".to_owned());
        let form = form(&mut parameters, headers)?;
        let (duplicates, dry_run) = (duplicates.unwrap_or(Duplicates::Skip), dry_run.unwrap_or(false));
        Ok(Self { label, duplicates, dry_run, tags, form })
    }
}

/// What a preview's caller says beside the file's beginning, and whether the file goes on behind it.
pub(super) fn preview(raw: Option<&str>, headers: &HeaderMap) -> Result<(FileForm, bool), Problem> {
    let mut parameters = Parameters::parse(raw, &["encoding", "format", "mapping", "cut"])?;
    let cut = parameters.choice("cut", &[("true", true), ("false", false)])?;
    Ok((form(&mut parameters, headers)?, cut.unwrap_or(false)))
}

impl ReportQuery {
    pub(super) fn parse(raw: Option<&str>) -> Result<Self, Problem> {
        let mut parameters = Parameters::parse(raw, &["after", "limit", "outcome", "of"])?;
        let undo = parameters.choice("of", &[("import", false), ("undo", true)])?.unwrap_or(false);
        let limit = match parameters.take("limit").map(|limit| limit.parse::<usize>()) {
            None => DEFAULT_PAGE,
            Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
            Some(_) => {
                let message = format!("must be a number from 1 to {MAX_PAGE}");
                return Err(Problem::parameters(vec![FieldError::new("limit", field::OUT_OF_RANGE, message)]));
            }
        };
        let outcomes = parameters.take("outcome").unwrap_or_default();
        let outcomes = outcomes.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Ok(Self { undo, after: parameters.take("after"), limit, outcomes })
    }
}

/// The format comes from `format` or the media type, the encoding from `encoding` or the media type's charset.
fn form(parameters: &mut Parameters, headers: &HeaderMap) -> Result<FileForm, Problem> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, rest) = media.split_once(';').unwrap_or((media, ""));
    let announced = match kind.trim().to_ascii_lowercase().as_str() {
        "text/csv" | "application/csv" => Some(ImportFormat::Csv),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(ImportFormat::Ndjson),
        _ => None,
    };
    let told = parameters.choice("format", &[("csv", ImportFormat::Csv), ("ndjson", ImportFormat::Ndjson)])?;
    let format =
        told.or(announced).ok_or_else(|| Problem::unsupported_media_type("text/csv or application/x-ndjson"))?;
    let charset = rest.split(';').filter_map(|parameter| parameter.split_once('=')).find_map(|(name, value)| {
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
    });
    let mapping = parameters.take("mapping").map(|text| mapping(&text)).transpose()?;
    Ok(FileForm { format, encoding: parameters.take("encoding").or(charset), mapping })
}

fn mapping(text: &str) -> Result<BTreeMap<String, String>, Problem> {
    let refused = |why: String| {
        let message = format!("must be a JSON object such as {{\"E-Mail\": \"email\"}}{why}");
        Problem::parameters(vec![FieldError::new("mapping", field::MALFORMED, message)])
    };
    strict_json::check(text.as_bytes(), 2).map_err(|_| refused(String::new()))?;
    serde_json::from_str(text).map_err(|error| refused(format!(": {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(media: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, media.parse().unwrap())])
    }

    #[test]
    fn what_is_said_and_what_is_not() {
        let wanted = Wanted::parse(None, &headers("text/csv; charset=\"windows-1252\"")).unwrap();
        assert_eq!((wanted.label.as_str(), wanted.duplicates, wanted.dry_run), ("Contacts", Duplicates::Skip, false));
        assert_eq!((wanted.form.format, wanted.form.encoding.as_deref()), (ImportFormat::Csv, Some("windows-1252")));
        let query =
            "label=Fair&duplicates=merge&dry_run=true&encoding=utf-8&tags=a,%20b&mapping=%7B%22M%22:%22email%22%7D";
        let wanted = Wanted::parse(Some(query), &headers("text/csv; charset=latin1")).unwrap();
        assert_eq!(
            (wanted.duplicates, wanted.dry_run, wanted.tags),
            (Duplicates::Merge, true, vec!["a".into(), "b".into()])
        );
        assert_eq!(wanted.form.encoding.as_deref(), Some("utf-8"));
        assert_eq!(wanted.form.mapping.unwrap()["M"], "email");
        let wanted = Wanted::parse(Some("format=ndjson"), &HeaderMap::new()).unwrap();
        assert_eq!(wanted.form.format, ImportFormat::Ndjson);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let status =
            |query: &str, media: &str| Wanted::parse(Some(query), &headers(media)).unwrap_err().document().status;
        assert_eq!(status("", "application/json"), 415);
        for query in
            ["dupes=skip", "duplicates=no", "dry_run=1", "mapping=[]", "label=a&label=b", "mapping=%7B\"a\":1%7D"]
        {
            assert_eq!(status(query, "text/csv"), 400, "{query}");
        }
        assert_eq!(ReportQuery::parse(Some("limit=0")).unwrap_err().document().status, 400);
        let query = ReportQuery::parse(Some("outcome=failed,skipped&of=undo&limit=7&after=12")).unwrap();
        assert_eq!((query.outcomes.len(), query.undo, query.limit, query.after.as_deref()), (2, true, 7, Some("12")));
    }
}
