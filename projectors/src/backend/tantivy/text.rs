//! A text query from whatever a person typed: words, phrases and an unfinished last word. There is no syntax to get
//! wrong; a quotation mark without its partner reaches to the end.

use std::ops::Bound;

use tantivy::Term;
use tantivy::query::{
    BooleanQuery, BoostQuery, EmptyQuery, InvertedIndexRangeQuery, Occur, PhrasePrefixQuery, PhraseQuery,
    Query as IndexQuery, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};

use super::layout::Layout;
use super::words::{Words, word_term};
use crate::search::{MAX_QUERY_WORDS, SearchError};

/// How much more a word counts in a heading.
const HEADING_WEIGHT: f32 = 3.0;
/// How many words of the vocabulary an unfinished word after others ("annual rep") may stand for.
const MAX_EXPANSIONS: u32 = 200;

/// What must be found side by side; one word is a phrase of one.
#[derive(Debug, PartialEq)]
struct Phrase {
    words: Vec<String>,
    unfinished: bool,
}

/// All phrases must be found, each in a heading or a body.
///
/// # Errors
/// `text_too_long` beyond [`MAX_QUERY_WORDS`] words.
pub(super) fn text_query(
    layout: &Layout,
    tenant: &str,
    text: &str,
    prefix: bool,
) -> Result<Box<dyn IndexQuery>, SearchError> {
    let phrases = phrases(text, prefix);
    let count = phrases.iter().map(|phrase| phrase.words.len()).sum();
    if count > MAX_QUERY_WORDS {
        return Err(SearchError::TextTooLong { unit: "words", count, max: MAX_QUERY_WORDS });
    }
    if phrases.is_empty() {
        return Ok(Box::new(EmptyQuery));
    }
    let clauses = phrases.iter().map(|phrase| {
        let heading = Box::new(BoostQuery::new(phrase.query(layout.heading, tenant), HEADING_WEIGHT));
        let body = phrase.query(layout.body, tenant);
        let either: Box<dyn IndexQuery> = Box::new(BooleanQuery::union(vec![heading, body]));
        (Occur::Must, either)
    });
    Ok(Box::new(BooleanQuery::new(clauses.collect())))
}

impl Phrase {
    fn query(&self, field: Field, tenant: &str) -> Box<dyn IndexQuery> {
        let mut terms: Vec<Term> =
            self.words.iter().map(|word| Term::from_field_text(field, &word_term(tenant, word))).collect();
        if terms.len() > 1 {
            if self.unfinished {
                let mut query = PhrasePrefixQuery::new(terms);
                query.set_max_expansions(MAX_EXPANSIONS);
                return Box::new(query);
            }
            return Box::new(PhraseQuery::new(terms));
        }
        let Some(term) = terms.pop() else { return Box::new(EmptyQuery) };
        let word: Box<dyn IndexQuery> = Box::new(TermQuery::new(term.clone(), IndexRecordOption::WithFreqs));
        if !self.unfinished {
            return word;
        }
        // No word goes on with the last code point: it is not a letter. The whole word counts more than a beginning.
        let end = word_term(tenant, &format!("{}\u{10ffff}", self.words[0]));
        let words =
            InvertedIndexRangeQuery::new(Bound::Included(term), Bound::Excluded(Term::from_field_text(field, &end)));
        Box::new(BooleanQuery::union(vec![word, Box::new(words)]))
    }
}

fn phrases(text: &str, prefix: bool) -> Vec<Phrase> {
    let mut splitter = Words::new();
    let mut found = Vec::new();
    let mut quoted = false;
    for piece in text.split(['"', '“', '”', '„', '«', '»']) {
        if quoted {
            found.push((splitter.split(piece), true));
        } else {
            // What is written together ("e-mail", an address) is looked for together.
            found.extend(piece.split_whitespace().map(|word| (splitter.split(word), false)));
        }
        quoted = !quoted;
    }
    let mut phrases: Vec<Phrase> = Vec::new();
    let mut last_quoted = false;
    for (words, quoted) in found.into_iter().filter(|(words, _)| !words.is_empty()) {
        phrases.push(Phrase { words, unfinished: false });
        last_quoted = quoted;
    }
    if let Some(last) = phrases.last_mut() {
        last.unfinished = prefix && !last_quoted;
    }
    phrases
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::tantivy::layout::schema;

    #[test]
    fn words_phrases_and_an_unfinished_word() {
        let got = phrases(r#"Big "red Car" foo@bar.org pre"#, true);
        let got: Vec<_> = got.iter().map(|p| (p.words.join(" "), p.unfinished)).collect();
        let want = [("big", false), ("red car", false), ("foo bar org", false), ("pre", true)];
        assert_eq!(got, want.map(|(words, unfinished)| (words.to_owned(), unfinished)));
        assert_eq!(
            phrases("\"never closed", true),
            [Phrase { words: vec!["never".into(), "closed".into()], unfinished: false }]
        );
        assert!(phrases("-- ? \"\" ", true).is_empty());
    }

    #[test]
    fn too_many_words_are_refused() {
        let (_, layout) = schema();
        assert!(text_query(&layout, "t", &"a ".repeat(32), false).is_ok());
        assert_eq!(text_query(&layout, "t", &"a ".repeat(33), false).unwrap_err().code(), "text_too_long");
    }

    proptest! {
        #[test]
        fn any_text_makes_a_query(text in ".{0,80}", prefix: bool) {
            let (_, layout) = schema();
            let result = text_query(&layout, "t", &text, prefix);
            prop_assert!(result.is_ok_and(|_| true) || text.len() > MAX_QUERY_WORDS);
        }
    }
}
