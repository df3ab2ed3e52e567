//! The reference of the API, served by the API itself and complete without any other host: `/openapi.json`, a page that
//! renders it at `/docs`, and the list of problem codes at `/docs/problems`.

pub mod catalog;
pub mod pages;

pub use catalog::{ProblemCatalog, Rule};
pub use pages::router;
