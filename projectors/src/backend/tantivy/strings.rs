//! A tenant's range of a column's dictionary: terms by ordinal and ordinals by test.

use std::io;
use std::ops::{Bound, Range};

use tantivy::columnar::{Column, StrColumn, TermOrdHit};

use super::layout::{low_prefix_range, low_range, split_value, tenant_range, value_term};
use crate::search::{Scalar, Test, lower};

/// Text values (or keys) of one tenant in one segment.
pub(super) struct Strings {
    column: StrColumn,
    tenant: String,
    /// Ordinals of the tenant's terms.
    range: Range<u64>,
}

/// A set of ordinals.
#[derive(Debug)]
pub(super) enum Ordinals {
    Range(Range<u64>),
    /// Ascending.
    List(Vec<u64>),
    /// Bits counted from `start`.
    Bits {
        start: u64,
        words: Vec<u64>,
    },
}

impl Strings {
    /// None if the tenant has no value here.
    pub(super) fn new(column: StrColumn, tenant: &str) -> io::Result<Option<Self>> {
        let mut strings = Self { column, tenant: tenant.to_owned(), range: 0..0 };
        strings.range = strings.between(&tenant_range(tenant))?;
        Ok(if strings.range.is_empty() { None } else { Some(strings) })
    }

    pub(super) fn ordinals(&self) -> &Column<u64> {
        self.column.ords()
    }

    /// Ordinal of the term, or of the next one and false.
    pub(super) fn at_or_after(&self, term: impl AsRef<[u8]>) -> io::Result<(u64, bool)> {
        Ok(match self.column.dictionary().term_ord_or_next(term)? {
            TermOrdHit::Exact(ordinal) => (ordinal, true),
            TermOrdHit::Next(ordinal) => (ordinal.min(self.column.num_terms() as u64), false),
        })
    }

    /// The term without its tenant.
    pub(super) fn term(&self, ordinal: u64) -> io::Result<String> {
        let mut term = String::new();
        let known = self.column.ord_to_str(ordinal, &mut term)?;
        let cut = self.tenant.len() + 1;
        if !known || !term.is_char_boundary(cut) || term.len() < cut {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an ordinal is not in its dictionary"));
        }
        Ok(term.split_off(cut))
    }

    /// Calls back with each term (without its tenant) of ascending ordinals.
    pub(super) fn terms(&self, ascending: &[u64], mut each: impl FnMut(&str)) -> io::Result<()> {
        let cut = self.tenant.len() + 1;
        let mut valid = true;
        let found = self.column.dictionary().sorted_ords_to_term_cb(ascending, |term| {
            match term.get(cut..).and_then(|rest| std::str::from_utf8(rest).ok()) {
                Some(rest) => each(rest),
                None => valid = false,
            }
        })?;
        if found && valid {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "an ordinal is not in its dictionary"))
        }
    }

    /// The ordinals of values that pass.
    pub(super) fn passing(&self, test: &Test) -> io::Result<Ordinals> {
        match test {
            Test::Any => Ok(Ordinals::Range(self.range.clone())),
            Test::NotBlank => {
                let (first, blank) = self.at_or_after(value_term(&self.tenant, ""))?;
                Ok(Ordinals::Range(if blank { first + 1..self.range.end } else { self.range.clone() }))
            }
            Test::OneOf(list) => {
                let mut ordinals = Vec::new();
                for value in list {
                    if let Scalar::Text(text) = value
                        && let Some(ordinal) = self.column.dictionary().term_ord(value_term(&self.tenant, text))?
                    {
                        ordinals.push(ordinal);
                    }
                }
                ordinals.sort_unstable();
                Ok(Ordinals::List(ordinals))
            }
            Test::Range(from, to) => {
                let start = match from {
                    Bound::Included(Scalar::Text(low)) => self.at_or_after(&low_range(&self.tenant, low).0)?.0,
                    Bound::Excluded(Scalar::Text(low)) => self.at_or_after(&low_range(&self.tenant, low).1)?.0,
                    _ => self.range.start,
                };
                let end = match to {
                    Bound::Included(Scalar::Text(high)) => self.at_or_after(&low_range(&self.tenant, high).1)?.0,
                    Bound::Excluded(Scalar::Text(high)) => self.at_or_after(&low_range(&self.tenant, high).0)?.0,
                    _ => self.range.end,
                };
                Ok(Ordinals::Range(start..end))
            }
            Test::StartsWith(start) => self.scan(&low_prefix_range(&self.tenant, &lower(start)), test),
            Test::Contains(_) | Test::ContainsLower(_) => self.scan(&tenant_range(&self.tenant), test),
        }
    }

    fn between<T: AsRef<[u8]>>(&self, (first, after): &(T, T)) -> io::Result<Range<u64>> {
        Ok(self.at_or_after(first)?.0..self.at_or_after(after)?.0)
    }

    /// Looks at every term within the bounds.
    fn scan<T: AsRef<[u8]>>(&self, bounds: &(T, T), test: &Test) -> io::Result<Ordinals> {
        let range = self.between(bounds)?;
        let mut words = vec![0_u64; usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0).div_ceil(64)];
        let mut stream = self.column.dictionary().range().ge(&bounds.0).lt(&bounds.1).into_stream()?;
        while stream.advance() {
            let rest = stream.key().get(self.tenant.len() + 1..).and_then(|rest| std::str::from_utf8(rest).ok());
            let Some((raw, low)) = rest.map(split_value) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a term is not text"));
            };
            if test.text(raw, low) {
                let at = stream.term_ord() - range.start;
                words[(at / 64) as usize] |= 1 << (at % 64);
            }
        }
        Ok(Ordinals::Bits { start: range.start, words })
    }
}

impl Ordinals {
    pub(super) fn contains(&self, ordinal: u64) -> bool {
        match self {
            Self::Range(range) => range.contains(&ordinal),
            Self::List(list) => list.binary_search(&ordinal).is_ok(),
            Self::Bits { start, words } => ordinal
                .checked_sub(*start)
                .is_some_and(|at| words.get((at / 64) as usize).is_some_and(|word| word & (1 << (at % 64)) != 0)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Range(range) => range.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Bits { words, .. } => words.iter().all(|word| *word == 0),
        }
    }
}
