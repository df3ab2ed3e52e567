pub mod docs;
pub mod http;
pub mod site;
