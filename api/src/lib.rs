pub mod docs;
pub mod http;
