//! Words of texts: split at everything but letters and digits, lower-cased, accents folded to ASCII ("Müller" is found
//! by "muller"), each made a term of its tenant.

use std::borrow::Cow;

use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, SimpleTokenizer, TextAnalyzer, Token, TokenStream, Tokenizer,
};

pub(super) const TOKENIZER: &str = "tenant_words";

/// Longer words are found by their first bytes.
const MAX_WORD_BYTES: usize = 100;

/// A text as the [`TenantWords`] tokenizer wants it.
pub(super) fn tenant_text(tenant: &str, text: &str) -> String {
    format!("{tenant}\0{text}")
}

/// The term of one word of a tenant.
pub(super) fn word_term(tenant: &str, word: &str) -> String {
    format!("{tenant}\0{word}")
}

/// Splits and folds text without a tenant.
#[derive(Clone)]
pub(super) struct Words(TextAnalyzer);

impl Words {
    pub(super) fn new() -> Self {
        Self(TextAnalyzer::builder(SimpleTokenizer::default()).filter(LowerCaser).filter(AsciiFoldingFilter).build())
    }

    pub(super) fn split(&mut self, text: &str) -> Vec<String> {
        let text = composed(text);
        let mut words = Vec::new();
        self.0.token_stream(&text).process(&mut |token| {
            let word = &token.text[..token.text.floor_char_boundary(MAX_WORD_BYTES)];
            if !word.is_empty() {
                words.push(word.to_owned());
            }
        });
        words
    }
}

/// Drops combining accents: a decomposed "ü" (two characters, as some systems type it) would be split in the middle.
fn composed(text: &str) -> Cow<'_, str> {
    let combining = |c: char| ('\u{300}'..='\u{36f}').contains(&c);
    if text.contains(combining) { Cow::Owned(text.replace(combining, "")) } else { Cow::Borrowed(text) }
}

/// The tokenizer of the index: reads the tenant in front of the text and puts it in front of every word.
#[derive(Clone)]
pub(super) struct TenantWords(Words);

impl TenantWords {
    pub(super) fn new() -> Self {
        Self(Words::new())
    }
}

impl Tokenizer for TenantWords {
    type TokenStream<'a> = TenantStream;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> TenantStream {
        let (tenant, text) = text.split_once('\0').unwrap_or(("", text));
        let words = self.0.split(text);
        TenantStream { prefix: word_term(tenant, ""), words: words.into_iter(), token: Token::default() }
    }
}

pub(super) struct TenantStream {
    prefix: String,
    words: std::vec::IntoIter<String>,
    token: Token,
}

impl TokenStream for TenantStream {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.next() else { return false };
        self.token.text.clear();
        self.token.text.push_str(&self.prefix);
        self.token.text.push_str(&word);
        // A new token stands before the first position.
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded_and_cut() {
        let mut words = Words::new();
        assert_eq!(words.split("Größe: MÜLLER's e-mail"), ["grosse", "muller", "s", "e", "mail"]);
        assert_eq!(words.split("Mu\u{308}ller"), ["muller"]);
        assert_eq!(words.split("Привет, 東京 2024"), ["привет", "東京", "2024"]);
        assert_eq!(words.split(&"x".repeat(500))[0].len(), MAX_WORD_BYTES);
        assert!(words.split("?!\"  ").is_empty());
    }

    #[test]
    fn every_word_belongs_to_the_tenant_and_has_a_position() {
        let mut tokenizer = TenantWords::new();
        let text = tenant_text("acme", "one two");
        let mut seen = Vec::new();
        tokenizer.token_stream(&text).process(&mut |token| seen.push((token.position, token.text.clone())));
        assert_eq!(seen, [(0, "acme\0one".to_owned()), (1, "acme\0two".to_owned())]);
    }
}
