//! From a query to the postings that are walked: tenant and collections always, exact texts of the filter where a term
//! exists for them, words. What terms cannot decide is left to the matcher, which decides everything again.

use tantivy::Term;
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, Query as IndexQuery, TermQuery};
use tantivy::schema::IndexRecordOption;

use super::layout::Layout;
use super::text::text_query;
use crate::search::{Condition, Filter, Query, Scalar, SearchError, Test};

/// # Errors
/// Client mistakes only.
pub(super) fn plan(layout: &Layout, query: &Query) -> Result<Box<dyn IndexQuery>, SearchError> {
    let tenant = &query.tenant;
    let mut clauses = vec![unscored(vec![layout.tenant(tenant)])];
    if !query.collections.is_empty() {
        clauses.push(unscored(query.collections.iter().map(|name| layout.collection(tenant, name)).collect()));
    }
    required(layout, tenant, &query.filter, &mut clauses)?;
    if let Some(text) = query.words() {
        clauses.push((Occur::Must, text_query(layout, tenant, text, query.prefix)?));
    }
    Ok(Box::new(BooleanQuery::new(clauses)))
}

/// Any of the terms, without a say in the relevance.
fn unscored(terms: Vec<Term>) -> (Occur, Box<dyn IndexQuery>) {
    let term = |term| Box::new(TermQuery::new(term, IndexRecordOption::Basic)) as Box<dyn IndexQuery>;
    let mut queries: Vec<_> = terms.into_iter().map(term).collect();
    let any = match queries.pop() {
        Some(only) if queries.is_empty() => only,
        Some(last) => {
            queries.push(last);
            Box::new(BooleanQuery::union(queries))
        }
        None => Box::new(BooleanQuery::union(queries)),
    };
    (Occur::Must, Box::new(ConstScoreQuery::new(any, 0.0)))
}

/// Adds what every match must have, as far as terms can tell.
fn required(
    layout: &Layout,
    tenant: &str,
    filter: &Filter,
    clauses: &mut Vec<(Occur, Box<dyn IndexQuery>)>,
) -> Result<(), SearchError> {
    match filter {
        Filter::And(parts) => parts.iter().try_for_each(|part| required(layout, tenant, part, clauses)),
        Filter::Cmp { field, op, values } => {
            if let Condition { negated: false, test: Test::OneOf(list) } = Condition::try_new(field, *op, values)? {
                let term = |value: &Scalar| match value {
                    Scalar::Text(text) => layout.exact(tenant, field, text),
                    _ => None,
                };
                if let Some(terms) = list.iter().map(term).collect::<Option<Vec<_>>>() {
                    clauses.push(unscored(terms));
                }
            }
            Ok(())
        }
        Filter::All | Filter::Or(_) | Filter::Not(_) => Ok(()),
    }
}
