//! Filters of lists: `filter[field][_op]=value` and the same as JSON. The grammar is that of [`projectors::search::grammar`],
//! which saved segments are read with too; here its faults become those of a request.

use super::problem::FieldError;
use projectors::search::{
    Filter,
    grammar::{self, Fault},
    literal::Variables,
};
use serde_json::Value as Json;

pub use projectors::search::grammar::{Filterable, MAX_CLAUSES, MAX_DEPTH, MAX_VALUES};

/// Reads a filter. With `textual` all leaves are strings and lists are separated by commas (the bracket form);
/// otherwise JSON types must be right. Pointers in errors have the bracket form, `filter[status][_eq]`.
pub fn parse(
    tree: &Json,
    textual: bool,
    filterable: Filterable,
    variables: &Variables<'_>,
) -> Result<Filter, Vec<FieldError>> {
    grammar::parse(tree, textual, filterable, variables).map_err(errors)
}

/// What is wrong, as a problem lists it.
pub fn errors(faults: Vec<Fault>) -> Vec<FieldError> {
    let error = |fault: Fault| FieldError::new(fault.at, fault.code, fault.message).allowing(fault.allowed);
    faults.into_iter().map(error).collect()
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
