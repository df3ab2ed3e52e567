//! The published pages of a site: from an author's template to bytes on the wire.
//!
//! [`render`] turns a page's source into HTML under limits that hold against a hostile author, [`page`] packs the HTML
//! once into everything an answer needs, [`cache`] keeps it, and [`respond`] answers a visitor's request from it.
//! [`serve`] stands in front of the API: [`target`] tells which requests are for a site, [`load`] makes what the cache
//! does not have, [`visits`] counts.
//!
//! ```text
//! source --dialect--> instructions --render--> HTML --page--> CachedPage --cache--> respond
//! ```
//!
//! # What a template may say
//!
//! Jinja as minijinja reads it, without the parts that reach outside the page (`include`, `import`, `extends`, `block`),
//! without `autoescape` (it is always on; `|safe` marks HTML the author vouches for) and without `namespace`, `dict`
//! and `debug`. Filters and tests are listed in [`filters`]; an unknown one is refused when the page is saved.

mod budget;
pub mod cache;
pub mod dialect;
mod engine;
pub mod error;
mod file;
pub mod filters;
mod format;
pub mod layout;
pub mod live;
pub mod load;
pub mod negotiate;
mod operators;
pub mod page;
pub mod render;
pub mod respond;
pub mod serve;
pub mod system_pages;
pub mod target;
pub mod visits;

#[cfg(test)]
mod render_tests;
