//! What acts on the log and on behalf of it: everything with side effects. One module per context.

pub mod crm;
