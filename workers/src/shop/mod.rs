//! What buying sets off.

pub mod fulfilment;
